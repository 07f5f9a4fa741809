"""The use cases of the read side: project events and answer questions.

They know the ports only: no broker, no store, no wire format. The encoded parts of pages pass through as bytes.

Every package imports `ports`. `questions` also imports `freshness` and `lags`. `projecting` imports neither.
"""
