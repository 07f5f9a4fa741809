"""Creates the builders of messages from the settings and the table."""

from __future__ import annotations

from relay.config import RelaySettings
from relay.events.message import MessageBuilder, MessageLimits
from relay.events.parked_notice import ParkedNotices
from relay.events.subject import SubjectTemplate
from relay.outbox.table import OutboxTable


def message_builder(
    settings: RelaySettings, table: OutboxTable, source_epoch: int, publish_epoch: int, term: int, limits: MessageLimits
) -> MessageBuilder:
    """Returns the builder of messages for the events of `table`, by the settings."""
    return MessageBuilder(
        SubjectTemplate(settings.subject_template),
        event_source=settings.event_source,
        source_epoch=source_epoch,
        publish_epoch=publish_epoch,
        term=term,
        partitions=settings.partitions,
        splices_personal=table.has_personal,
        plain_roles=table.plain_roles,
        json_roles=table.json_roles,
        byte_roles=table.byte_roles,
        limits=limits,
    )


def parked_notices(
    settings: RelaySettings, source_epoch: int, publish_epoch: int, term: int, limits: MessageLimits
) -> ParkedNotices:
    """Returns the builder of the notices about parked events, by the settings."""
    return ParkedNotices(
        settings.barrier_subject, source_epoch=source_epoch, publish_epoch=publish_epoch, term=term, limits=limits
    )
