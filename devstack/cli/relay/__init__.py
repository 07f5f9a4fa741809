"""`tandem relay …`: how the relay is doing, and what it has parked."""
