"""Applies events to the store, parks those that cannot be applied, and acknowledges both."""
