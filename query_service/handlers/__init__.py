"""The service's edges: gRPC calls in (`grpc`), the stream's messages in (`stream`), notices in and out (`notices`)."""
