"""Holds `tandem relay …`: the relay's state, adoptions, and parked events."""
