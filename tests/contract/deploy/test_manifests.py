"""Each policy refuses its mutants, and both versions of Kubernetes refuse unknown fields."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deploy.cluster import Cluster
from deploy.policies import POLICIES, Policy, availability, lifecycle, network, pod_security, references
from deploy.validate import KUBERNETES_VERSIONS, cluster, schema_faults

Edit = Callable[[Cluster], None]


@pytest.fixture(scope="module")
def production() -> Cluster:
    return cluster("production")


@pytest.fixture
def broken(production: Cluster) -> Cluster:
    """A copy to break."""
    return Cluster(copy.deepcopy(production.manifests), production.outside_secrets)


def found(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    (manifest,) = (each for each in cluster.of(kind) if each["metadata"]["name"] == name)
    return manifest


def spec(cluster: Cluster, kind: str, name: str = "command") -> Any:
    return found(cluster, kind, name)["spec"]


def pod(cluster: Cluster, name: str = "command") -> Any:
    return spec(cluster, "Deployment", name)["template"]["spec"]


def main(cluster: Cluster, name: str = "command") -> Any:
    return pod(cluster, name)["containers"][0]


def relay(cluster: Cluster) -> Any:
    return pod(cluster)["initContainers"][1]


def job(cluster: Cluster) -> Any:
    return next(cluster.of("Job"))


def labels(cluster: Cluster, name: str) -> Any:
    return spec(cluster, "Deployment", name)["template"]["metadata"]["labels"]


def rule(cluster: Cluster, name: str, direction: str) -> Any:
    return spec(cluster, "NetworkPolicy", name)[direction][0]


def without(cluster: Cluster, kind: str, name: str) -> None:
    cluster.manifests.remove(found(cluster, kind, name))


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda c: relay(c).update(restartPolcy="Always"), "restartPolcy"),
        (lambda c: main(c)["readinessProbe"]["grpc"].update(port="grpc"), "grpc"),
        (lambda c: main(c)["resources"].update(request={}), "request"),
        (lambda c: pod(c).pop("containers"), "containers"),
        (lambda c: found(c, "HorizontalPodAutoscaler", "command").update(apiVersion="autoscaling/v3"), "schema"),
    ],
)
def test_a_field_kubernetes_does_not_know_is_refused(broken: Cluster, version: str, edit: Edit, complaint: str) -> None:
    edit(broken)
    assert any(complaint in fault for fault in schema_faults(broken.manifests, version))


MUTANTS: dict[Policy, list[tuple[Edit, str]]] = {
    pod_security.pods_are_restricted: [
        (lambda c: pod(c)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
        (lambda c: pod(c)["securityContext"].update(runAsUser=0), "runAsUser"),
        (lambda c: pod(c)["securityContext"].pop("seccompProfile"), "seccomp"),
        (lambda c: pod(c).update(hostNetwork=True), "hostNetwork"),
        (lambda c: pod(c)["volumes"].append({"name": "node", "hostPath": {"path": "/"}}), "volume node"),
    ],
    pod_security.containers_are_restricted: [
        (lambda c: relay(c)["securityContext"].update(allowPrivilegeEscalation=True), "escalation"),
        (lambda c: main(c)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]), "capabilities"),
        (lambda c: main(c)["securityContext"].update(runAsUser=0), "runAsNonRoot"),
        (lambda c: main(c)["ports"][0].update(hostPort=1), "hostPort"),
    ],
    pod_security.roots_are_read_only: [
        (lambda c: main(c)["securityContext"].pop("readOnlyRootFilesystem"), "read-only"),
    ],
    pod_security.namespaces_enforce_it: [
        (lambda c: found(c, "Namespace", "tandem")["metadata"]["labels"].clear(), "restricted"),
    ],
    pod_security.pods_have_no_token: [
        (lambda c: pod(c).pop("automountServiceAccountToken"), "Token"),
        (lambda c: pod(c).pop("enableServiceLinks"), "Links"),
        (lambda c: found(c, "ServiceAccount", "command").pop("automountServiceAccountToken"), "ServiceAccount/command"),
    ],
    pod_security.secrets_are_mounted_files: [
        (
            lambda c: main(c)["env"].append({"name": "COMMAND_DATABASE_URL", "value": "postgresql://a:b@c/d"}),
            "COMMAND_DATABASE_URL",
        ),
        (lambda c: main(c).update(envFrom=[{"secretRef": {"name": "command-secrets"}}]), "as files"),
        (lambda c: main(c)["volumeMounts"][0].pop("readOnly"), "read-only"),
    ],
    pod_security.images_are_pinned: [
        (lambda c: main(c).update(image="tandem-command"), "tag"),
        (lambda c: relay(c).update(image="host:5000/tandem-relay:latest"), "tag"),
    ],
    pod_security.images_are_of_one_release: [
        (lambda c: relay(c).update(image="tandem-relay:0.0.9"), "tandem-relay: runs as 0.0.9, 0.1.0"),
    ],
    lifecycle.containers_state_what_they_need: [
        (lambda c: relay(c)["resources"]["requests"].pop("cpu"), "requests.cpu"),
        (lambda c: main(c)["resources"].pop("limits"), "limits.memory"),
    ],
    lifecycle.containers_are_probed: [
        (lambda c: relay(c).pop("livenessProbe"), "no livenessProbe"),
        (lambda c: main(c, "query-project").pop("readinessProbe"), "no readinessProbe"),
    ],
    lifecycle.calls_are_probed_by_calls: [
        (lambda c: main(c)["readinessProbe"]["grpc"].pop("service"), "of the service"),
        (
            lambda c: main(c)["livenessProbe"]["grpc"].update(service="tandem.orders.v1.OrderCommandService"),
            "without a service",
        ),
        (
            lambda c: main(c).update(livenessProbe={"httpGet": {"path": "/livez", "port": "metrics"}}),
            "liveness asks gRPC",
        ),
    ],
    lifecycle.processes_listen_on_their_ports: [
        (lambda c: main(c)["env"][1].update(value="127.0.0.1:50051"), "listens on"),
    ],
    lifecycle.relays_gate_nothing: [
        (lambda c: relay(c).update(readinessProbe={}), "readinessProbe"),
        (lambda c: relay(c).update(startupProbe={}), "startupProbe"),
        (lambda c: relay(c).pop("restartPolicy"), "restartPolicy"),
    ],
    lifecycle.writers_have_a_relay: [
        (lambda c: pod(c)["initContainers"].pop(), "no relay"),
    ],
    lifecycle.pods_wait_for_the_schema: [
        (lambda c: pod(c)["initContainers"].reverse(), "first container"),
        (lambda c: pod(c, "query-serve").pop("initContainers"), "first container"),
        (
            lambda c: pod(c, "query-project")["initContainers"][0].update(args=["await-schema"]),
            "await-schema --consumer",
        ),
        (lambda c: pod(c)["initContainers"][0].update(image="tandem-command:0.0.9"), "same image"),
    ],
    lifecycle.balancers_hear_of_the_end: [
        (lambda c: main(c).pop("lifecycle"), "preStop"),
    ],
    lifecycle.stopping_fits_into_the_grace: [
        (lambda c: pod(c).update(terminationGracePeriodSeconds=40), "terminationGracePeriodSeconds"),
        (lambda c: main(c)["lifecycle"]["preStop"]["sleep"].update(seconds=10), "terminationGracePeriodSeconds"),
    ],
    lifecycle.jobs_end_and_go: [
        (lambda c: job(c)["metadata"].update(name="command-migrate"), "must end"),
        (lambda c: job(c)["metadata"].update(name="command-migrate-0.1.0"), "DNS label"),
        (lambda c: job(c)["metadata"].update(name="x" * 60 + "-0-1-0"), "DNS label"),
        (lambda c: job(c)["spec"].pop("ttlSecondsAfterFinished"), "pile up"),
    ],
    availability.one_budget_takes_each_deployment: [
        (lambda c: without(c, "PodDisruptionBudget", "command"), "0 Pod"),
    ],
    availability.budgets_let_nodes_drain: [
        (lambda c: spec(c, "PodDisruptionBudget").update(maxUnavailable=0), "maxUnavailable: 1"),
        (lambda c: spec(c, "PodDisruptionBudget").pop("unhealthyPodEvictionPolicy"), "AlwaysAllow"),
    ],
    availability.new_pods_come_first: [
        (lambda c: spec(c, "Deployment").pop("strategy"), "new pod first"),
    ],
    availability.deployments_are_spread: [
        (lambda c: pod(c)["topologySpreadConstraints"].pop(), "zone"),
        (
            lambda c: pod(c)["topologySpreadConstraints"][0].update(labelSelector={"matchLabels": {"app": "x"}}),
            "hostname",
        ),
    ],
    availability.scaling_looks_at_the_container: [
        (
            lambda c: spec(c, "HorizontalPodAutoscaler")["metrics"][0]["containerResource"].update(container="relay"),
            "ContainerResource",
        ),
        (
            lambda c: spec(c, "HorizontalPodAutoscaler").update(
                metrics=[{"type": "Resource", "resource": {"name": "cpu"}}]
            ),
            "ContainerResource",
        ),
        (lambda c: spec(c, "HorizontalPodAutoscaler").update(minReplicas=99), "minReplicas"),
        (
            lambda c: spec(c, "HorizontalPodAutoscaler")["scaleTargetRef"].update(name="commands"),
            "no Deployment commands",
        ),
    ],
    availability.scaling_is_left_to_the_autoscaler: [
        (lambda c: spec(c, "Deployment", "query-project").update(replicas=2), "leave out replicas"),
        (lambda c: without(c, "HorizontalPodAutoscaler", "query-serve"), "query-serve"),
    ],
    references.selectors_match: [
        (lambda c: spec(c, "Deployment")["selector"]["matchLabels"].update(tier="x"), "its own pods"),
        (lambda c: spec(c, "Service").update(selector={"app.kubernetes.io/name": "commands"}), "0 workloads"),
        (lambda c: spec(c, "Service").update(selector={"app.kubernetes.io/part-of": "tandem"}), "workloads, not one"),
        (
            lambda c: spec(c, "NetworkPolicy", "call-command").update(
                podSelector={"matchLabels": {"app.kubernetes.io/name": "x"}}
            ),
            "matches no pod",
        ),
    ],
    references.probes_ask_declared_ports: [
        (lambda c: main(c)["readinessProbe"]["grpc"].update(port=50061), "50061"),
        (lambda c: relay(c)["livenessProbe"]["httpGet"].update(port="metrics"), "port metrics"),
    ],
    references.services_lead_to_declared_ports: [
        (lambda c: spec(c, "Service")["ports"][0].update(targetPort="http"), "http"),
    ],
    references.ingress_opens_declared_ports: [
        (lambda c: rule(c, "call-command", "ingress")["ports"][0].update(port=1), "opens"),
    ],
    references.accounts_exist: [
        (lambda c: without(c, "ServiceAccount", "command"), "no ServiceAccount command"),
        (lambda c: pod(c).pop("serviceAccountName"), "ServiceAccount default"),
    ],
    references.secrets_exist: [
        (lambda c: pod(c)["volumes"][0]["secret"].update(secretName="secrets"), "Secret secrets"),
        (
            lambda c: c.manifests.append(
                {"kind": "Secret", "metadata": {"name": "relay-secrets", "namespace": "tandem"}, "stringData": {}}
            ),
            "must not be in the repository",
        ),
    ],
    references.volumes_are_mounted: [
        (lambda c: pod(c)["volumes"].pop(), "is mounted but not there"),
        (lambda c: relay(c).pop("volumeMounts"), "is there but not mounted"),
    ],
    network.everything_is_denied_first: [
        (lambda c: without(c, "NetworkPolicy", "default-deny"), "denies everything"),
        (lambda c: spec(c, "NetworkPolicy", "default-deny").update(policyTypes=["Ingress"]), "denies everything"),
        (lambda c: spec(c, "NetworkPolicy", "default-deny").update(egress=[{}]), "denies everything"),
    ],
    network.pods_reach_what_they_need_and_no_more: [
        (
            lambda c: labels(c, "query-serve").update({"orders.tandem/reaches-postgres": "yes"}),
            "Deployment/query-serve: may reach postgres:5432",
        ),
        (
            lambda c: labels(c, "query-project").update({"orders.tandem/reaches-postgres": "yes"}),
            "Deployment/query-project: may reach postgres:5432",
        ),
        (
            lambda c: spec(c, "NetworkPolicy", "reach-postgres").update(podSelector={}),
            "Job/query-migrate-0-1-0: may reach postgres:5432",
        ),
        (
            lambda c: labels(c, "command").update({"orders.tandem/reaches-elasticsearch": "yes"}),
            "Deployment/command: may reach elasticsearch:9200",
        ),
        (lambda c: labels(c, "command").pop("orders.tandem/reaches-nats"), "cannot reach nats:4222"),
        (lambda c: rule(c, "reach-nats", "egress").pop("to"), "may reach anything"),
        (
            lambda c: rule(c, "reach-nats", "egress").update(to=[{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
            "may reach anything",
        ),
        (lambda c: rule(c, "resolve-names", "egress").pop("ports"), "may reach anything"),
    ],
    network.ingress_names_callers_and_ports: [
        (lambda c: rule(c, "call-command", "ingress").pop("from"), "from whom"),
        (lambda c: rule(c, "call-command", "ingress").pop("ports"), "to which port"),
        (lambda c: rule(c, "call-command", "ingress").update({"from": [{"namespaceSelector": {}}]}), "every namespace"),
    ],
    network.ingress_opens_served_ports_only: [
        (lambda c: rule(c, "call-command", "ingress")["ports"].append({"protocol": "TCP", "port": 9052}), "opens 9052"),
    ],
    network.callers_are_let_in: [
        (lambda c: without(c, "NetworkPolicy", "call-query-serve"), "nobody can call it"),
    ],
}


def test_every_policy_has_a_mutant() -> None:
    assert MUTANTS.keys() == set(POLICIES)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("policy", "edit", "complaint"),
    [(policy, *mutant) for policy, mutants in MUTANTS.items() for mutant in mutants],
    ids=lambda part: getattr(part, "__name__", None),
)
def test_a_broken_manifest_is_refused(
    production: Cluster, broken: Cluster, policy: Policy, edit: Edit, complaint: str
) -> None:
    assert list(policy(production)) == []
    edit(broken)
    faults = list(policy(broken))
    assert any(complaint in fault for fault in faults), faults
