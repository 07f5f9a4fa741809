"""Creates the message builder from the settings and the table."""

from __future__ import annotations

from relay.config import RelaySettings
from relay.events.message import MessageBuilder, MessageLimits
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
        limits=limits,
    )
