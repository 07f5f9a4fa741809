"""Says where the local stack keeps the files of the audit log, and which settings its processes get."""

from __future__ import annotations

from pathlib import Path

from devstack.stack.topology import Topology


def log_key_file(directory: Path) -> Path:
    """Returns the file of the log's signing key in the stack's directory. Its public half is beside it, in `.pub`."""
    return directory / "audit" / "log.key"


def witness_directory(directory: Path) -> Path:
    """Returns the directory of the local witness in the stack's directory."""
    return directory / "audit" / "witness"


def audit_settings(topology: Topology, directory: Path) -> dict[str, str]:
    """Returns the environment variables of notary and witness, apart from AUDIT_PROBES_LISTEN."""
    return {
        "AUDIT_DATABASE_URL": topology.postgres_url,
        "AUDIT_NATS_URL": topology.nats_url,
        "AUDIT_KEY_FILE": str(log_key_file(directory)),
        "AUDIT_WITNESS_URL": f"http://{topology.witness}",
        "AUDIT_WITNESS_DIRECTORY": str(witness_directory(directory)),
        "AUDIT_WITNESS_LISTEN": topology.witness,
        "AUDIT_LOG_KEY": f"{log_key_file(directory)}.pub",
    }
