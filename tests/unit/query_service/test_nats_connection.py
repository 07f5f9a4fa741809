"""Header blocks are read as the library reads them, whose slower way the projector's messages do not take."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from query_service.handlers.nats_connection import header_fields

NAMES = st.from_regex("[A-Za-z][A-Za-z-]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs", "Cc", "Z"]))


def by_the_library(block: bytes) -> dict[str, str]:
    found = asyncio.run(Client()._process_headers(block))
    assert found is not None
    return found


@given(st.dictionaries(NAMES, VALUES, min_size=1))
def test_fields_are_those_that_the_library_finds(fields: dict[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    block = f"NATS/1.0\r\n{lines}\r\n".encode()
    assert header_fields(block) == by_the_library(block) == fields


@pytest.mark.parametrize(
    "block",
    [
        b"NATS/1.0 404 No Messages\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0 409 Consumer Deleted\r\nNats-Pending-Messages: 3\r\n\r\n",
        b"NATS/1.0\r\nName:value\r\nOther:\tvalue: of two parts \r\nno field\r\n\r\n",
        b"NATS/1.0\r\nName: \xff\r\n\r\n",
    ],
)
def test_whatever_the_server_says(block: bytes) -> None:
    found = {name: value for name, value in header_fields(block).items() if value}
    assert found == by_the_library(block)


def test_a_message_without_headers_has_none() -> None:
    assert header_fields(None) == {}
