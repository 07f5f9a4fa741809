"""The plug-ins every test may use; each states its own options, fixtures and report lines."""

pytest_plugins = [
    "tests.fixtures.stores",
    "tests.fixtures.postgres",
    "tests.fixtures.nats",
    "tests.fixtures.elasticsearch",
    "tests.fixtures.private_servers",
    "tests.fixtures.relay_world",
    "tests.fixtures.write_model",
    "tests.fixtures.command_process",
    "tests.fixtures.system",
]
