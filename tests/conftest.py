"""The plug-ins every test may use; each states its own options, fixtures and report lines."""

import os
import re

from hypothesis import HealthCheck, settings

from devstack.servers import ports

# A loaded machine is many times slower; how long an example takes says nothing about whether it is right.
settings.register_profile("tandem", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tandem")

# Before anything loads gRPC: its handlers would run, and write to the output, in each server that a test starts.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Workers start servers at the same time: each has ports of its own to choose from.
if worker := re.fullmatch(r"gw(\d+)", os.environ.get("PYTEST_XDIST_WORKER", "")):
    ports._FREE = ports._FREE[int(worker[1]) % 8 :: 8]

pytest_plugins = [
    "tests.fixtures.process_log",
    "tests.fixtures.ports",
    "tests.fixtures.stores",
    "tests.fixtures.postgres",
    "tests.fixtures.nats",
    "tests.fixtures.elasticsearch",
    "tests.fixtures.private_servers",
    "tests.fixtures.nats_cluster",
    "tests.fixtures.cuttable_disk",
    "tests.fixtures.relay_world",
    "tests.fixtures.write_model",
    "tests.fixtures.command_process",
    "tests.fixtures.system",
]
