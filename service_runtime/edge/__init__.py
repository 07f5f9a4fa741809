"""Handles a gRPC call before and after its use case, the same way for every service.

It knows no orders. A service provides tables: its methods, the rules of its requests, the answers to its errors.
"""
