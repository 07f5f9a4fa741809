"""Defines what a use case refuses, or cannot do now. `handlers/grpc/status.py` maps these errors to answers."""

from __future__ import annotations

from collections.abc import Sequence


class QueryRefused(Exception):  # noqa: N818 - the names say what happened
    """A query that gets no answer."""


class OrderUnknown(QueryRefused):
    """No such order."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"there is no order {order_id}")
        self.order_id = order_id


class VersionUnknown(QueryRefused):
    """The order has no such version, or did not exist yet at that time."""

    def __init__(self, order_id: str, wanted: str) -> None:
        super().__init__(f"order {order_id} has no {wanted}")
        self.order_id = order_id


class Behind(QueryRefused):
    """The read model has not applied a version that is known to exist. `current_version` is 0 if it has none."""

    def __init__(self, order_id: str, needed_version: int, current_version: int) -> None:
        super().__init__(
            f"the read model has order {order_id} at version {current_version} and not yet at {needed_version};"
            " ask again, allow a longer max_wait, or accept a stale answer"
        )
        self.order_id, self.needed_version, self.current_version = order_id, needed_version, current_version


class Parked(QueryRefused):
    """The requested version could not be projected and waits for an operator. Waiting does not help."""

    def __init__(self, order_id: str, version: int) -> None:
        super().__init__(f"version {version} of order {order_id} could not be projected and is parked")
        self.order_id, self.version = order_id, version


class TokenOfOtherSource(QueryRefused):
    """The token has another source epoch than the read model follows."""

    def __init__(self, token_epoch: int, current_epoch: int) -> None:
        super().__init__(
            f"the consistency token is of source epoch {token_epoch}, the read model follows epoch {current_epoch};"
            " drop the token and read again"
        )
        self.token_epoch, self.current_epoch = token_epoch, current_epoch


class CustomerUnknown(QueryRefused):
    """No order names such a customer."""

    def __init__(self, customer_id: str) -> None:
        super().__init__(f"there is no order of a customer {customer_id}")
        self.customer_id = customer_id


class PageTokenMalformed(QueryRefused):
    """The page token was not issued for this query, or is damaged; the text says which."""


class SumTooLarge(QueryRefused):
    """A sum that the contract's numbers cannot hold. `keys` are those of its group, "" for one that its orders do not
    have; () for the sum of all groups."""

    def __init__(self, figure: str, keys: Sequence[str], currency_code: str) -> None:
        self.figure, self.group, self.currency_code = figure, ", ".join(key or "none" for key in keys), currency_code
        of_what = f"of the group {self.group}" if keys else "of all these orders"
        super().__init__(
            f"the {figure} {of_what} in {currency_code} does not fit into 64 bits; ask for fewer orders, by a filter on"
            " their time for example"
        )


class DependencyDown(Exception):  # noqa: N818
    """A store or broker cannot be reached or cannot work now. The same call may succeed later."""

    def __init__(self, dependency: str, detail: str) -> None:
        super().__init__(f"{dependency}: {detail}")
        self.dependency, self.detail = dependency, detail


class ReadStoreNotReady(Exception):  # noqa: N818
    """The store is not set up as this release needs it. The text names what is missing and what to run."""
