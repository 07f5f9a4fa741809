"""A message whose personal data was altered is found, also where its body alone would give the digest."""

from __future__ import annotations

import pytest

from audit.leaves.stream_message import StreamMessage
from audit.verifying import stream_copies
from audit.verifying.stream_copies import message_findings
from tests.support.audit_events import EventWriter, body_of, headers_of
from tests.support.source_mutants import Mutant, noticed


def check_altered_personal_data(*, whole: bool) -> None:
    writer = EventWriter()
    first, second = writer.event(1), writer.event(1)
    headers = {name: value for name, value in headers_of(second).items() if name != "Tandem-Personal-Digest"}
    journal = {second.order_id: [first, second] if whole else [second]}

    def findings(personal: str) -> list[str]:
        message = StreamMessage(7, headers, body_of(second._replace(personal=personal)))
        return [found.what for found in message_findings(message, journal)]

    assert second.personal is not None
    assert findings(second.personal) == []
    found = findings('{"note": "EVIL"}')
    assert len(found) == 1
    assert "does not give its" in found[0]


@pytest.mark.parametrize("whole", [True, False])
def test_altered_personal_data_are_found(whole: bool) -> None:
    check_altered_personal_data(whole=whole)


@pytest.mark.mutant
def test_a_digest_that_is_not_compared_with_the_journals_is_noticed() -> None:
    compared = "fitting[0].personal_digest != own.event.personal_digest or "
    with noticed(Mutant(stream_copies._difference, compared, "")):
        check_altered_personal_data(whole=False)
