"""Connects the processes of the query service over NATS: notices of applied versions, and requests to refresh.

A notice is a hint: it makes a process read the store sooner. No guarantee depends on one.
"""
