"""The read side's use cases: project events, answer questions. Knows no broker, no store and no wire format."""
