"""Lists why an export can end early. The messages are for the caller."""

from __future__ import annotations

from command_service.application.errors import CommandError, DependencyUnavailable


class ExportInterrupted(DependencyUnavailable):
    """The database or this process stopped answering. The caller resumes after the last page that arrived."""

    def __init__(self, dependency: str, what: str) -> None:
        super().__init__(dependency, f"{what}; resume the export after its last page")


class ExportTooSlow(CommandError):  # noqa: N818 - says what happened
    """A statement of the export reached the time limit."""

    def __init__(self) -> None:
        super().__init__(
            "the database needed longer than COMMAND_EXPORT_DEADLINE_SECONDS; ask for less at once, or let the operator"
            " raise the setting"
        )
