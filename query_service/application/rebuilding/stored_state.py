"""Changes the stored state of a rebuild, also when several processes change it at the same time."""

from __future__ import annotations

from collections.abc import Callable

from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.generations import Generations, Rebuild
from query_service.application.rebuilding.machine import RebuildRefused

#: A change that lost so often against others is given up. Each loss means that another change was made.
ATTEMPTS = 100


async def change(generations: Generations, rebuild_id: str, changed: Callable[[Rebuild], Rebuild]) -> Rebuild:
    """Replaces the stored rebuild by `changed` of it, and returns it. Raises what `changed` raises.

    Raises RebuildRefused when the rebuild with this id is no longer the last one, DependencyDown and ReadStoreNotReady.
    """
    for _ in range(ATTEMPTS):
        stored = await generations.rebuild()
        if stored.rebuild is None:
            raise RebuildRefused("no rebuild is running; `tandem rebuild start` begins one")
        check_same(stored.rebuild, rebuild_id)
        after = changed(stored.rebuild)
        if after == stored.rebuild or await generations.save(after, stored):
            return after
    raise DependencyDown("read store", f"the state of the rebuild changed {ATTEMPTS} times while it was written")


def check_same(rebuild: Rebuild, rebuild_id: str) -> None:
    """Raises RebuildRefused when this is not the rebuild with this id. Its process may have slept for a while."""
    if rebuild.rebuild_id != rebuild_id:
        raise RebuildRefused("another rebuild was started meanwhile; see `tandem rebuild status`")
