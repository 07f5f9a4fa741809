"""Holds the service's edges: gRPC calls (`grpc`), the stream's messages (`stream`), notices in and out (`notices`)."""
