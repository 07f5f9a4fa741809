"""Adds an index to the outbox, by which the events of an order are found.

The table may have many events, and commands must not wait while they are indexed. So each partition gets its index
concurrently, which no transaction can contain. A run that was interrupted is repeated: it builds only what is missing.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

NAME = "outbox_aggregate_id_aggregate_version_idx"
COLUMNS = "(aggregate_id, aggregate_version)"
#: Building waits for running transactions, and nobody waits for the build. Other locks have the shorter limit of the
#: session.
BUILD_LOCK_TIMEOUT = "10min"
#: The partitions without their part of the index, and whether an interrupted build left an unusable one.
MISSING = f"""
SELECT partition.relname, EXISTS (
    SELECT FROM pg_index WHERE indexrelid = to_regclass(partition.relname || '_aggregate_id_aggregate_version_idx')
    AND NOT indisvalid
)
FROM pg_inherits JOIN pg_class AS partition ON partition.oid = inhrelid
WHERE inhparent = 'outbox'::regclass AND NOT EXISTS (
    SELECT FROM pg_inherits AS attached JOIN pg_index ON indexrelid = attached.inhrelid
    WHERE attached.inhparent = '{NAME}'::regclass AND indrelid = partition.oid
)
ORDER BY partition.oid
"""  # noqa: S608


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # Partitions that are made from now on get the index too, as they are made like the table.
        op.execute(f"CREATE INDEX IF NOT EXISTS {NAME} ON ONLY outbox {COLUMNS}")
        for partition, unusable in op.get_bind().exec_driver_sql(MISSING).all():
            index = f"{partition}_aggregate_id_aggregate_version_idx"
            if unusable:
                op.execute(f"DROP INDEX CONCURRENTLY {index}")
            limit = op.get_bind().exec_driver_sql("SHOW lock_timeout").scalar()
            op.execute(f"SET lock_timeout = '{BUILD_LOCK_TIMEOUT}'")
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {partition} {COLUMNS}")
            op.execute(f"SET lock_timeout = '{limit}'")
            op.execute(f"ALTER INDEX {NAME} ATTACH PARTITION {index}")
