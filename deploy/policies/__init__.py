"""Policies for what is deployed. Each takes a cluster and yields one sentence for each fault."""

import inspect
from collections.abc import Callable, Iterator

from deploy.cluster import Cluster
from deploy.policies import availability, lifecycle, network, pod_security, references

Policy = Callable[[Cluster], Iterator[str]]

#: Every public function of these modules, so that none can be forgotten.
POLICIES: tuple[Policy, ...] = tuple(
    function
    for module in (pod_security, lifecycle, availability, references, network)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
)


def faults(cluster: Cluster) -> list[str]:
    """Ask every policy."""
    return [fault for policy in POLICIES for fault in policy(cluster)]
