"""The service's edges: gRPC calls (`grpc`), messages of the stream (`stream`), and notices in and out (`notices`)."""
