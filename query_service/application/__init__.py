"""The read side's use cases: project events, answer questions. Knows no broker and no store, only the ports.

`ports` is below all; `freshness` and `lags` serve the `questions`; `projecting` shares nothing with them but the ports.
"""
