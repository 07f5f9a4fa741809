"""The contract's messages ↔ the domain's values, and the JSON texts of the journal."""
