"""Starts, proves, stops and observes the local stack: its services, and where they run."""
