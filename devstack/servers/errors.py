"""What can go wrong with a local server, each said in one sentence that names the cause and the way out."""


class ServerError(Exception):
    """A local server could not be downloaded, installed, started or reached; the message is one complete sentence."""


class PortBusy(ServerError):  # noqa: N818 - read as the state it names
    """The port a server was told to use is taken by another process."""


class Missing(ServerError):  # noqa: N818
    """Something this machine does not have: a package, a download, a JDK. Nothing is broken, something is absent."""


class NoJdk(Missing):
    """No Java on this machine can run Elasticsearch."""


class AlreadyRunning(ServerError):  # noqa: N818
    """Another live process owns this server's directory."""
