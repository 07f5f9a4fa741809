"""Policies on what pods may do: Kubernetes' restricted profile, no token, a read-only root."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from deploy.cluster import Cluster, title

FLOATING_TAGS = {"", "latest", "untagged"}
#: Images that write to their own root, and why.
WRITABLE_ROOT = {"elasticsearch": "creates a keystore beside its configuration"}
VOLUMES = {"name", "secret", "emptyDir", "configMap", "persistentVolumeClaim", "projected"}
_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|_URL$")


def pods_are_restricted(cluster: Cluster) -> Iterator[str]:
    """Demand a user other than root, the runtime's system call filter, and nothing of the node."""
    for pod in cluster.pods:
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{pod.name}: set runAsNonRoot and a runAsUser other than 0"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name}: set seccompProfile RuntimeDefault"
        for field in {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys():
            yield f"{pod.name}: {field} is the node's, not ours"
        for volume in pod.spec.get("volumes", []):
            if not volume.keys() <= VOLUMES:
                yield f"{pod.name}: volume {volume['name']} is of a kind that is not allowed"


def containers_are_restricted(cluster: Cluster) -> Iterator[str]:
    """Demand no capability, no privilege escalation and no port of the node."""
    for container in cluster.containers:
        context = container.spec.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{container.place}: forbid privilege escalation"
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{container.place}: drop ALL capabilities and add none"
        if context.get("runAsNonRoot") is False or context.get("runAsUser") == 0:
            yield f"{container.place}: must not undo runAsNonRoot of its pod"
        if any("hostPort" in port for port in container.spec.get("ports", [])):
            yield f"{container.place}: hostPort is the node's, not ours"


def roots_are_read_only(cluster: Cluster) -> Iterator[str]:
    """Demand a read-only root file system: an intruder must find no place to write to."""
    for container in cluster.containers:
        read_only = container.spec.get("securityContext", {}).get("readOnlyRootFilesystem")
        if read_only is not True and container.image[0] not in WRITABLE_ROOT:
            yield f"{container.place}: make the root file system read-only"


def namespaces_enforce_it(cluster: Cluster) -> Iterator[str]:
    """Demand that each namespace lets the cluster refuse less restricted pods."""
    enforcing = {
        namespace["metadata"]["name"]
        for namespace in cluster.of("Namespace")
        if namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") == "restricted"
    }
    for name in sorted({pod.namespace for pod in cluster.pods} - enforcing):
        yield f"Namespace/{name}: label it pod-security.kubernetes.io/enforce: restricted"


def pods_have_no_token(cluster: Cluster) -> Iterator[str]:
    """Demand no access to the Kubernetes API: none of our processes uses it."""
    for pod in cluster.pods:
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: set automountServiceAccountToken: false"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: set enableServiceLinks: false, links look like our settings"
    for account in cluster.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{title(account)}: set automountServiceAccountToken: false"


def secrets_are_mounted_files(cluster: Cluster) -> Iterator[str]:
    """Demand secrets as read-only files: an environment is printed in many places."""
    for container in cluster.containers:
        if "envFrom" in container.spec or any("valueFrom" in entry for entry in container.spec.get("env", [])):
            yield f"{container.place}: mount secrets as files, do not put them into the environment"
        for name in filter(_SECRET_NAME.search, container.environment):
            yield f"{container.place}: {name} belongs into a mounted secret"
        for mount in container.spec.get("volumeMounts", []):
            if mount["mountPath"] == "/run/secrets" and mount.get("readOnly") is not True:
                yield f"{container.place}: mount secrets read-only"


def images_are_pinned(cluster: Cluster) -> Iterator[str]:
    """Demand a tag that names a version, so that the same image runs tomorrow."""
    for container in cluster.containers:
        if container.image[1] in FLOATING_TAGS:
            yield f"{container.place}: image {container.spec['image']} needs a tag that names a version"


def images_are_of_one_release(cluster: Cluster) -> Iterator[str]:
    """Demand one tag for each image, also in the Jobs that operators create."""
    tags: dict[str, set[str]] = defaultdict(set)
    for container in cluster.containers:
        tags[container.image[0]].add(container.image[1])
    yield from (f"{name}: runs as {', '.join(sorted(found))}" for name, found in tags.items() if len(found) > 1)
