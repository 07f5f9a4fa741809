"""The read side's use cases: project events, answer questions. Knows no broker, no store and no
wire format, only the ports; the parts of pages that it hands on are bytes to it.

`ports` is below all; `freshness` and `lags` serve the `questions`; `projecting` shares nothing with them but the ports.
"""
