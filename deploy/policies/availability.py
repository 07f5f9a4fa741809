"""Replicas survive nodes, and scale by the load of the process that matters."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.cluster import Cluster, Pod, matches, title


def _deployments(cluster: Cluster) -> Iterator[Pod]:
    return (pod for pod in cluster.pods if pod.owner["kind"] == "Deployment")


def deployments_survive_evictions(cluster: Cluster) -> Iterator[str]:
    """One budget each, that neither lets all go at once nor blocks a node from being drained."""
    for pod in _deployments(cluster):
        budgets = [
            budget
            for budget in cluster.of("PodDisruptionBudget")
            if budget["metadata"]["namespace"] == pod.namespace and matches(budget["spec"]["selector"], pod.labels)
        ]
        if len(budgets) != 1:
            yield f"{pod.name}: {len(budgets)} PodDisruptionBudgets take it, one must"
        for budget in budgets:
            if budget["spec"].get("maxUnavailable") != 1:
                yield f"{title(budget)}: set maxUnavailable: 1, which is right for any number of replicas"
            if budget["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
                yield f"{title(budget)}: set unhealthyPodEvictionPolicy: AlwaysAllow, or a broken pod holds its node"
        if pod.owner["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"{pod.name}: a roll-out must start the new pod first (maxUnavailable: 0)"


def deployments_are_spread(cluster: Cluster) -> Iterator[str]:
    """Not all replicas on one node or in one zone."""
    for pod in _deployments(cluster):
        constraints = pod.spec.get("topologySpreadConstraints", [])
        keys = {each["topologyKey"] for each in constraints if matches(each["labelSelector"], pod.labels)}
        for missing in sorted({"kubernetes.io/hostname", "topology.kubernetes.io/zone"} - keys):
            yield f"{pod.name}: spread it over {missing}"


def scaling_looks_at_the_container(cluster: Cluster) -> Iterator[str]:
    """Scaled by the CPU of the container that serves: a busy sidecar must not multiply the writers."""
    deployments = {pod.owner["metadata"]["name"]: pod for pod in _deployments(cluster)}
    scaled = set()
    for scaler in cluster.of("HorizontalPodAutoscaler"):
        spec = scaler["spec"]
        pod = deployments.get(spec["scaleTargetRef"]["name"])
        if pod is None:
            yield f"{title(scaler)}: there is no Deployment {spec['scaleTargetRef']['name']}"
            continue
        scaled.add(pod.app)
        mains = {container.name for container in pod.containers if container.role == "main"}
        for metric in spec["metrics"]:
            if metric.get("containerResource", {}).get("container") not in mains:
                yield f"{title(scaler)}: scale by ContainerResource of the main container of {pod.name}"
        if not 1 <= spec.get("minReplicas", 1) <= spec["maxReplicas"]:
            yield f"{title(scaler)}: minReplicas must be at least 1 and at most maxReplicas"
    for name, pod in deployments.items():
        if pod.ours and pod.app not in scaled:
            yield f"{name}: has no HorizontalPodAutoscaler"
        if pod.ours and "replicas" in pod.owner["spec"]:
            yield f"{pod.name}: leave out replicas, or each apply undoes the autoscaler"
