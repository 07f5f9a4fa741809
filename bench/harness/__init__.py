"""What every bench stands on: interleaved rounds, the servers, claims with their limits, and the report at the end."""
