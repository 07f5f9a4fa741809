"""The edge of a gRPC service: what happens to each call before and after its use case, the same for every service.

It knows no orders. A service gives four things: the methods that it serves (`service_methods.Behaviour`), the rules of
its requests (`request_validation.Validator`), the answers to its errors (`refusals.Refusals`), and the error for an
answer that is late. The last three are parts of its `service_methods.Terms`.

A call passes through these modules. `grpc_server` accepts the call within its limits. If the server is full,
`call_limits` refuses the call without parsing its request. `service_methods` parses the bytes, validates the request,
calls the behaviour within the time that the caller and the server allow, and counts the call. `refusals` turns every
error into a status, so no other error reaches a caller.
"""
