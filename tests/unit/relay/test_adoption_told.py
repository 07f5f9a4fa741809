"""What an adoption tells: ids from outside steer no terminal, neither in lines nor in JSON."""

from __future__ import annotations

import json

import pytest

from relay.adoption import command as adoption_command
from relay.adoption.command import DONE, DOWN, told
from relay.outbox.adoption_record import AdoptionRecord, LostEvent

EVIL = "\x1b]0;x\x07\x9b2J\n\u202e"


def record() -> AdoptionRecord:
    """One lost event, of an aggregate that somebody named."""
    lost = LostEvent(EVIL, EVIL, EVIL, None, 7)
    return AdoptionRecord(2, 10, "2026-01-01T00:00:00Z", 0, 1, 1, (lost,))


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("code", "lines"), [(DONE, told(record())), (DOWN, [f"the database says {EVIL}"])])
def test_ids_and_reasons_steer_no_terminal(
    as_json: bool, code: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert adoption_command._say(as_json, code, lines, record() if code == DONE else None) == code
    said = "".join(capsys.readouterr())
    assert all(character == "\n" or character.isprintable() for character in said), said
    if as_json:
        assert json.loads(said)["message"] == lines[0]
    else:
        assert len(said.splitlines()) == len(lines)
