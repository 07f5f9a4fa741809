"""The edge of a gRPC service: what happens to a call before and after its use case, the same for every service.

It knows no orders. A service gives four things: the methods it serves (`service_methods.Behaviour`), the rules of its
requests (`request_validation.Validator`), the answers to its errors (`refusals.Refusals`), and what it says when an
answer is late. The last three are its `service_methods.Terms`.

The way of a call: `grpc_server` accepts it within its limits; `call_limits` refuses it unread when the server is full;
`service_methods` parses the bytes, validates the request, calls the behaviour within the time that the caller and the
server allow, and counts. Whatever is raised becomes a status in `refusals`, and nothing else reaches a caller.
"""
