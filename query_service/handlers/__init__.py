"""Connects the service to the outside: gRPC calls (`grpc`), the stream (`stream`), and notices (`notices`)."""
