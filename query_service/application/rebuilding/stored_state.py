"""Changes the stored state of a rebuild, also when several processes change it at the same time."""

from __future__ import annotations

from collections.abc import Callable

from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.generations import Generations, Rebuild
from query_service.application.rebuilding.machine import RebuildRefused

#: A change that lost so often against others is given up. Each loss means that another change was made.
ATTEMPTS = 100


async def change(generations: Generations, changed: Callable[[Rebuild], Rebuild]) -> Rebuild:
    """Replaces the stored rebuild by `changed` of it, and returns it. Raises what `changed` raises.

    Raises RebuildRefused without a rebuild, DependencyDown and ReadStoreNotReady.
    """
    for _ in range(ATTEMPTS):
        stored = await generations.rebuild()
        if stored.rebuild is None:
            raise RebuildRefused("no rebuild is running; `tandem rebuild start` begins one")
        after = changed(stored.rebuild)
        if after == stored.rebuild or await generations.save(after, stored):
            return after
    raise DependencyDown("read store", f"the state of the rebuild changed {ATTEMPTS} times while it was written")
