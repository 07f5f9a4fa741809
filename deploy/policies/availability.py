"""Policies on replicas: they survive the loss of a node and scale by the load of the process that matters."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.cluster import Cluster, Pod, matches, title


def one_budget_takes_each_deployment(cluster: Cluster) -> Iterator[str]:
    """Demand exactly one PodDisruptionBudget for each Deployment."""
    for pod in _deployments(cluster):
        budgets = cluster.of("PodDisruptionBudget", pod.namespace)
        if (count := sum(matches(budget["spec"]["selector"], pod.labels) for budget in budgets)) != 1:
            yield f"{pod.name}: {count} PodDisruptionBudgets take it, one must"


def budgets_let_nodes_drain(cluster: Cluster) -> Iterator[str]:
    """Demand that a budget evicts one pod at a time and never blocks the drain of a node."""
    for budget in cluster.of("PodDisruptionBudget"):
        if budget["spec"].get("maxUnavailable") != 1:
            yield f"{title(budget)}: set maxUnavailable: 1, which is right for any number of replicas"
        if budget["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{title(budget)}: set unhealthyPodEvictionPolicy: AlwaysAllow, or a broken pod holds its node"


def new_pods_come_first(cluster: Cluster) -> Iterator[str]:
    """Demand that a roll-out removes no pod before the new one is ready."""
    for pod in _deployments(cluster):
        if pod.owner["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"{pod.name}: a roll-out must start the new pod first (maxUnavailable: 0)"


def deployments_are_spread(cluster: Cluster) -> Iterator[str]:
    """Demand that replicas are spread over nodes and zones."""
    for pod in _deployments(cluster):
        constraints = pod.spec.get("topologySpreadConstraints", [])
        keys = {each["topologyKey"] for each in constraints if matches(each["labelSelector"], pod.labels)}
        for missing in sorted({"kubernetes.io/hostname", "topology.kubernetes.io/zone"} - keys):
            yield f"{pod.name}: spread it over {missing}"


def scaling_looks_at_the_container(cluster: Cluster) -> Iterator[str]:
    """Demand scaling by the CPU of the main container: a busy sidecar must not multiply the writers."""
    deployments = {pod.owner["metadata"]["name"]: pod for pod in _deployments(cluster)}
    for scaler in cluster.of("HorizontalPodAutoscaler"):
        spec = scaler["spec"]
        pod = deployments.get(spec["scaleTargetRef"]["name"])
        mains = {container.name for container in pod.containers if container.role == "main"} if pod else set()
        if pod is None:
            yield f"{title(scaler)}: there is no Deployment {spec['scaleTargetRef']['name']}"
        elif not {metric.get("containerResource", {}).get("container") for metric in spec["metrics"]} <= mains:
            yield f"{title(scaler)}: scale by ContainerResource of the main container of {pod.name}"
        if not 1 <= spec.get("minReplicas", 1) <= spec["maxReplicas"]:
            yield f"{title(scaler)}: minReplicas must be at least 1 and at most maxReplicas"


def scaling_is_left_to_the_autoscaler(cluster: Cluster) -> Iterator[str]:
    """Demand an autoscaler for each of our Deployments, and no `replicas`, which each apply would set back."""
    scaled = {scaler["spec"]["scaleTargetRef"]["name"] for scaler in cluster.of("HorizontalPodAutoscaler")}
    for pod in (each for each in _deployments(cluster) if each.ours):
        if pod.owner["metadata"]["name"] not in scaled:
            yield f"{pod.name}: has no HorizontalPodAutoscaler"
        if "replicas" in pod.owner["spec"]:
            yield f"{pod.name}: leave out replicas, or each apply undoes the autoscaler"


def _deployments(cluster: Cluster) -> list[Pod]:
    return [pod for pod in cluster.pods if pod.kind == "Deployment"]
