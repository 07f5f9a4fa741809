"""Declares what the read side needs of its store, and its errors. Every store implements these ports."""
