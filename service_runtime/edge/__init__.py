"""The edge of a gRPC service: what happens to a call before and after a use case, the same for every service.

It knows no orders. A service gives tables: its methods, the rules of its requests, the answers to its errors.
"""
