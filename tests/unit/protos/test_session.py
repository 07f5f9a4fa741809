"""A session outlives its source database: commands that were done never raise, and the newest source counts."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Sequence

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tandem.orders import consistency_token
from tandem.orders.client import Session
from tandem.orders.consistency_token import MAX_VERSIONS, ConsistencyToken, decode, encode
from tandem.orders.errors import DependencyUnavailable, OrderError, TokenFromOtherSource
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderResponse

#: What a command's answer said: source epoch, number of the order, version; or text that is no token.
Answer = tuple[int, int, int] | str
answers = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 99), st.integers(1, 5))
    | st.sampled_from(["", "hello", "t1.AAAA", "t2.A"]),
    max_size=150,
)


def token(epoch: int, order: int = 0, version: int = 1) -> str:
    return encode(ConsistencyToken(epoch, {str(uuid.UUID(int=order)): version}))


def expected(said: Sequence[Answer]) -> dict[str, int]:
    """What a session asks for: the versions of the newest epoch, the last 64 orders of it."""
    told = [answer for answer in said if not isinstance(answer, str)]
    newest = max((epoch for epoch, _, _ in told), default=0)
    versions: dict[str, int] = {}
    for epoch, order, version in told:
        if epoch == newest:
            name = str(uuid.UUID(int=order))
            versions[name] = max(version, versions.pop(name, 0))
    return dict(list(versions.items())[-MAX_VERSIONS:])


def check(said: Sequence[Answer]) -> None:
    session = Session()
    for answer in said:
        session.wrote(PlaceOrderResponse(consistency_token=answer if isinstance(answer, str) else token(*answer)))
    asked = session.read_options().consistency_token
    assert (dict(decode(asked).versions) if asked else {}) == expected(said)


@given(answers)
def test_any_answers_are_taken_and_the_newest_source_counts(said: list[Answer]) -> None:
    check(said)


FAULTS: dict[str, Callable[..., str]] = {
    "tokens are merged, whatever source they are of": lambda *texts: consistency_token.merge(
        *texts, forget_oldest=True
    ),
    "an older token replaces a newer one": lambda *texts: texts[-1],
    "the first source counts for ever": lambda *texts: texts[0] or texts[1],
}


@pytest.mark.mutant
@pytest.mark.parametrize("fault", FAULTS)
def test_mutants_are_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consistency_token, "latest", FAULTS[fault])
    with pytest.raises((AssertionError, ValueError)):
        check([(1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 3, 1), "hello", (2, 3, 2)])


def check_threads(session: Session, monkeypatch: pytest.MonkeyPatch, patience: float) -> None:
    """A thread takes an answer into account while another one is in the midst of that."""
    latest = consistency_token.latest
    other = threading.Thread(target=session.wrote, args=(PlaceOrderResponse(consistency_token=token(1, order=2)),))

    def interrupted(*texts: str) -> str:
        merged = latest(*texts)
        if threading.current_thread() is threading.main_thread():
            other.start()
            other.join(patience)
        return merged

    monkeypatch.setattr(consistency_token, "latest", interrupted)
    session.wrote(PlaceOrderResponse(consistency_token=token(1, order=1)))
    other.join()
    assert len(decode(session.token).versions) == 2


def test_threads_may_share_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    check_threads(Session(), monkeypatch, patience=0.05)


@pytest.mark.mutant
def test_threads_that_do_not_wait_for_each_other_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    monkeypatch.setattr(session, "_changing", contextlib.nullcontext())
    with pytest.raises(AssertionError):
        check_threads(session, monkeypatch, patience=60.0)


def test_a_session_with_an_unreadable_token_of_its_own_goes_on() -> None:
    session = Session()
    session.token = "from somewhere"
    session.wrote(PlaceOrderResponse(consistency_token=token(1)))
    assert session.token == token(1)


def test_a_token_that_cannot_be_read_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    session = Session()
    session.wrote(PlaceOrderResponse(consistency_token=""))
    assert caplog.messages == []
    session.wrote(PlaceOrderResponse(consistency_token="t9.later"))
    assert ["cannot read the consistency token" in message for message in caplog.messages] == [True]


def test_forgetting() -> None:
    session = Session()
    session.wrote(PlaceOrderResponse(consistency_token=token(1)))
    session.forget()
    assert session.read_options().consistency_token == ""


def other_source(token_epoch: int, current: int) -> OrderError:
    epochs = {"token_epoch": str(token_epoch), "current_epoch": str(current)}
    return TokenFromOtherSource(grpc.StatusCode.FAILED_PRECONDITION, "other", metadata=epochs)


@pytest.mark.parametrize(
    ("held", "refusal", "asks_again", "kept"),
    [
        (1, other_source(1, 2), True, False),
        (2, other_source(1, 2), True, True),  # another thread has written since
        (3, other_source(3, 2), False, True),  # the read model does not follow yet
        (1, TokenFromOtherSource(grpc.StatusCode.FAILED_PRECONDITION, "says no more"), False, True),
        (1, DependencyUnavailable(grpc.StatusCode.UNAVAILABLE, "away"), False, True),
        (0, other_source(1, 2), True, False),
    ],
)
def test_a_refusal_drops_what_can_no_longer_be_asked_for(
    held: int, refusal: OrderError, asks_again: bool, kept: bool
) -> None:
    session = Session()
    session.token = token(held) if held else ""
    assert session.refused(refusal) is asks_again
    assert bool(session.token) is kept
