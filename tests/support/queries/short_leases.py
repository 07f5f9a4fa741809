"""Runs the query service with leases that end soon: `python -m tests.support.queries.short_leases rebuild start`."""

from __future__ import annotations

import sys

from query_service.__main__ import main
from query_service.application.rebuilding import leases

#: How long a lease lasts, in seconds. A living worker renews it every second, also on a loaded machine.
LEASE_SECONDS = 3

if __name__ == "__main__":
    leases.LEASE = LEASE_SECONDS * 1_000_000
    sys.exit(main(sys.argv[1:]))
