"""Errors of a local server. Each message is one sentence that names the cause and what to do."""


class ServerError(Exception):
    """A local server could not be downloaded, installed, started or reached. The message is a complete sentence."""


class PortBusy(ServerError):  # noqa: N818 - read as the state it names
    """Another process uses the server's port."""


class Missing(ServerError):  # noqa: N818
    """This machine lacks something: a package, a download, a JDK. Nothing is broken."""


class NoJdk(Missing):
    """No Java on this machine can run Elasticsearch."""


class AlreadyRunning(ServerError):  # noqa: N818
    """Another live process owns this server's directory."""
