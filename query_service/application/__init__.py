"""The use cases of the read side: project events and answer questions.

The use cases depend on ports only, and know no broker, store or wire format. Encoded parts of pages are bytes to them.

Every package imports `ports`. `questions` also imports `freshness` and `lags`. `projecting` imports neither.
"""
