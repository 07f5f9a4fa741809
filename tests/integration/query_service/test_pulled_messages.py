"""Pulled messages come past the library, as a whole; every other message comes by it."""

from query_service.handlers.nats_connection import NatsConnection, header_fields


async def test_what_is_pulled_goes_past_the_library_and_nothing_else_does(nats_url: str) -> None:
    client, got = NatsConnection(), list[tuple[str, bytes | None, bytes]]()
    await client.connect(nats_url)
    try:
        await client.receive("pulled", lambda *message: got.append(message))
        others = await client.subscribe("others")
        await client.publish_all(["others", "pulled"], b"both")
        await client.publish("pulled", b"one", reply="there", headers={"Name": "value"})
        assert (await others.next_msg(10)).data == b"both"
        await client.flush()
        assert [(reply, header_fields(block), body) for reply, block, body in got] == [
            ("", {}, b"both"),
            ("there", {"Name": "value"}, b"one"),
        ]
    finally:
        await client.close()
