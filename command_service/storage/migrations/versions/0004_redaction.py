"""Adds what a redaction finds a customer's orders and an order's stored responses by.

The tables may be large, and commands must not wait while they are indexed. So the indices are built concurrently, which
no transaction can contain. A run that was interrupted is repeated: it builds only what is missing.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

INDICES = {
    "orders_customer_id_order_id_idx": "orders (customer_id, order_id)",
    "command_log_shows_idx": "command_log (shows) WHERE shows IS NOT NULL",
}
#: Building waits for running transactions, and nobody waits for the build.
BUILD_LOCK_TIMEOUT = "10min"
UNUSABLE = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('{}') AND NOT indisvalid)"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        op.execute("ALTER TABLE command_log ADD COLUMN IF NOT EXISTS shows uuid")
        limit = connection.exec_driver_sql("SHOW lock_timeout").scalar()
        op.execute(f"SET lock_timeout = '{BUILD_LOCK_TIMEOUT}'")
        for name, place in INDICES.items():
            if connection.exec_driver_sql(UNUSABLE.format(name)).scalar():
                op.execute(f"DROP INDEX CONCURRENTLY {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {place}")
        op.execute(f"SET lock_timeout = '{limit}'")
