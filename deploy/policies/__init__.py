"""What our manifests must hold beyond their schema. Each policy takes a cluster and yields one sentence per fault."""

from collections.abc import Callable, Iterator

from deploy.cluster import Cluster
from deploy.policies import availability, lifecycle, network, pod_security, references

Policy = Callable[[Cluster], Iterator[str]]

POLICIES: tuple[Policy, ...] = (
    pod_security.pods_are_restricted,
    pod_security.containers_are_restricted,
    pod_security.namespaces_enforce_it,
    pod_security.pods_have_no_token,
    pod_security.secrets_are_mounted_files,
    pod_security.images_are_pinned,
    lifecycle.containers_state_what_they_need,
    lifecycle.containers_are_probed,
    lifecycle.relays_gate_nothing,
    lifecycle.pods_wait_for_the_schema,
    lifecycle.stopping_fits_into_the_grace,
    lifecycle.jobs_end_and_go,
    availability.deployments_survive_evictions,
    availability.deployments_are_spread,
    availability.scaling_looks_at_the_container,
    references.names_are_unique,
    references.selectors_match,
    references.ports_exist,
    references.accounts_and_secrets_exist,
    network.everything_is_denied_first,
    network.pods_reach_what_they_need_and_no_more,
    network.doors_are_narrow,
)


def faults(cluster: Cluster) -> list[str]:
    """Every sentence of every policy."""
    return [fault for policy in POLICIES for fault in policy(cluster)]
