"""Defines the errors of the use cases. `handlers/grpc/status.py` maps each to a gRPC status."""

from __future__ import annotations

from collections.abc import Sequence


class QueryRefused(Exception):  # noqa: N818 - the names say what happened
    """The service refuses to answer the question."""


class OrderUnknown(QueryRefused):
    """There is no such order."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"there is no order {order_id}")
        self.order_id = order_id


class VersionUnknown(QueryRefused):
    """The order has no such version, or did not exist yet at that time."""

    def __init__(self, order_id: str, wanted: str) -> None:
        super().__init__(f"order {order_id} has no {wanted}")
        self.order_id = order_id


class Lagging(QueryRefused):
    """The read model lags: it has not applied a version that is known to exist.

    `current_version` is 0 when the read model does not have the order.
    """

    def __init__(self, order_id: str, needed_version: int, current_version: int) -> None:
        super().__init__(
            f"the read model lags: it has order {order_id} at version {current_version}, not yet at {needed_version};"
            " retry, allow a longer max_wait, or accept a stale answer"
        )
        self.order_id, self.needed_version, self.current_version = order_id, needed_version, current_version


class Parked(QueryRefused):
    """The version asked for could not be projected. An operator must retry it; waiting does not help."""

    def __init__(self, order_id: str, version: int) -> None:
        super().__init__(
            f"version {version} of order {order_id} could not be projected and is parked, until an operator retries it"
        )
        self.order_id, self.version = order_id, version


class TokenOfOtherSource(QueryRefused):
    """The token's source epoch is not the one that the read model is at."""

    def __init__(self, token_epoch: int, current_epoch: int) -> None:
        super().__init__(
            f"the consistency token is of source epoch {token_epoch}, but the read model is at epoch {current_epoch};"
            " drop the token and read again"
        )
        self.token_epoch, self.current_epoch = token_epoch, current_epoch


class CustomerUnknown(QueryRefused):
    """There is no order of such a customer."""

    def __init__(self, customer_id: str) -> None:
        super().__init__(f"there is no order of a customer {customer_id}")
        self.customer_id = customer_id


class PageTokenMalformed(QueryRefused):
    """The page token was issued for another question, or is damaged; the text says which."""


class ResumeTokenMalformed(QueryRefused):
    """The resume token is damaged, or was not issued by this system."""


class ResumeTokenExpired(QueryRefused):
    """The stream no longer has the changes after a resume token, or is another one."""


class TooManyWatchers(QueryRefused):
    """The process has as many watchers as it may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"this replica has {most} watchers, which is its limit; retry in a moment")


class WatcherTooSlow(QueryRefused):
    """A watcher was ended, because it reads more slowly than orders change. `resume_token` says where to go on."""

    def __init__(self, resume_token: str) -> None:
        super().__init__(
            "the watch was ended because its caller reads more slowly than orders change; resume it with the resume"
            " token, narrow the filter, or watch with WATCH_MODE_LATEST"
        )
        self.resume_token = resume_token


class SumTooLarge(QueryRefused):
    """A sum does not fit into the contract's 64 bits.

    `keys` are the keys of the sum's group, "" where its orders have no such key. () means the sum of all groups.
    """

    def __init__(self, figure: str, keys: Sequence[str], currency_code: str) -> None:
        self.figure, self.group, self.currency_code = figure, ", ".join(key or "none" for key in keys), currency_code
        of_what = f"of the group {self.group}" if keys else "of all these orders"
        super().__init__(
            f"the {figure} {of_what} in {currency_code} does not fit into 64 bits; ask for fewer orders, for example by"
            " a filter on their time"
        )


class RebuildNeeded(QueryRefused):
    """The read model has documents of an earlier release, which lack a `field` that the question needs."""

    def __init__(self, field: str) -> None:
        super().__init__(
            f"an earlier release wrote documents without the field {field}, which this question needs; the operator"
            " must rebuild the read model"
        )
        self.field = field


class DependencyDown(Exception):  # noqa: N818
    """A store or broker cannot be reached or does not work now; the same call may succeed later."""

    def __init__(self, dependency: str, detail: str) -> None:
        super().__init__(f"{dependency}: {detail}")
        self.dependency, self.detail = dependency, detail


class ReadStoreNotReady(Exception):  # noqa: N818
    """The store is not set up for this release. The text says what is missing and what to run."""
