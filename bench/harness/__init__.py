"""Contains what all benches share: interleaved rounds, servers, claims with limits, and the report."""
