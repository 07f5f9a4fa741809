"""The service's edges: gRPC calls in, messages of the stream in, notices in and out."""
