"""The manifests: right by the schemas of two Kubernetes versions and by our policies, and each policy does refuse."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest

from deploy.cluster import Cluster
from deploy.policies import POLICIES, Policy, availability, lifecycle, network, pod_security, references
from deploy.validate import KUBERNETES_VERSIONS, OVERLAYS, cluster, schema_faults

rendered = functools.cache(cluster)
OVERLAY_NAMES = sorted(path.name for path in OVERLAYS.iterdir())
Edit = Callable[[Cluster], None]


@pytest.fixture(scope="module")
def production() -> Cluster:
    return rendered("production")


@pytest.fixture
def broken(production: Cluster) -> Cluster:
    """A copy to break."""
    return Cluster(copy.deepcopy(production.manifests), production.outside_secrets)


def found(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    (manifest,) = (each for each in cluster.of(kind) if each["metadata"]["name"] == name)
    return manifest


def pod(cluster: Cluster, name: str = "command") -> Any:
    return found(cluster, "Deployment", name)["spec"]["template"]["spec"]


def main(cluster: Cluster, name: str = "command") -> Any:
    return pod(cluster, name)["containers"][0]


def relay(cluster: Cluster) -> Any:
    return pod(cluster)["initContainers"][1]


def job(cluster: Cluster) -> Any:
    return next(cluster.of("Job"))


def labels(cluster: Cluster, name: str) -> Any:
    return found(cluster, "Deployment", name)["spec"]["template"]["metadata"]["labels"]


def policy(cluster: Cluster, name: str) -> Any:
    return found(cluster, "NetworkPolicy", name)["spec"]


def without(cluster: Cluster, kind: str, name: str) -> None:
    cluster.manifests.remove(found(cluster, kind, name))


@pytest.mark.parametrize("overlay", OVERLAY_NAMES)
@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_kubernetes_knows_every_field(overlay: str, version: str) -> None:
    assert list(schema_faults(rendered(overlay).manifests, version)) == []


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


@pytest.mark.parametrize("overlay", OVERLAY_NAMES)
@pytest.mark.parametrize("rule", POLICIES, ids=lambda rule: rule.__name__)
def test_the_manifests_keep_every_policy(overlay: str, rule: Policy) -> None:
    assert list(rule(rendered(overlay))) == []


MUTANTS: list[tuple[Policy, Edit, str]] = [
    (pod_security.pods_are_restricted, lambda c: pod(c)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    (pod_security.pods_are_restricted, lambda c: pod(c)["securityContext"].update(runAsUser=0), "runAsUser"),
    (pod_security.pods_are_restricted, lambda c: pod(c)["securityContext"].pop("seccompProfile"), "seccomp"),
    (pod_security.pods_are_restricted, lambda c: pod(c).update(hostNetwork=True), "hostNetwork"),
    (
        pod_security.pods_are_restricted,
        lambda c: pod(c)["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
        "volume node",
    ),
    (
        pod_security.containers_are_restricted,
        lambda c: relay(c)["securityContext"].update(allowPrivilegeEscalation=True),
        "escalation",
    ),
    (
        pod_security.containers_are_restricted,
        lambda c: main(c)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
        "capabilities",
    ),
    (
        pod_security.containers_are_restricted,
        lambda c: main(c)["securityContext"].pop("readOnlyRootFilesystem"),
        "read-only",
    ),
    (pod_security.containers_are_restricted, lambda c: main(c)["securityContext"].update(runAsUser=0), "runAsNonRoot"),
    (pod_security.containers_are_restricted, lambda c: main(c)["ports"][0].update(hostPort=1), "hostPort"),
    (
        pod_security.namespaces_enforce_it,
        lambda c: found(c, "Namespace", "tandem")["metadata"]["labels"].clear(),
        "restricted",
    ),
    (pod_security.pods_have_no_token, lambda c: pod(c).pop("automountServiceAccountToken"), "Token"),
    (pod_security.pods_have_no_token, lambda c: pod(c).pop("enableServiceLinks"), "Links"),
    (
        pod_security.pods_have_no_token,
        lambda c: found(c, "ServiceAccount", "command").pop("automountServiceAccountToken"),
        "ServiceAccount/command",
    ),
    (
        pod_security.secrets_are_mounted_files,
        lambda c: main(c)["env"].append({"name": "COMMAND_DATABASE_URL", "value": "postgresql://a:b@c/d"}),
        "COMMAND_DATABASE_URL",
    ),
    (
        pod_security.secrets_are_mounted_files,
        lambda c: main(c).update(envFrom=[{"secretRef": {"name": "command-secrets"}}]),
        "as files",
    ),
    (pod_security.secrets_are_mounted_files, lambda c: main(c)["volumeMounts"][0].pop("readOnly"), "read-only"),
    (pod_security.images_are_pinned, lambda c: main(c).update(image="tandem-command"), "tag"),
    (pod_security.images_are_pinned, lambda c: relay(c).update(image="host:5000/tandem-relay:latest"), "tag"),
    (lifecycle.containers_state_what_they_need, lambda c: relay(c)["resources"]["requests"].pop("cpu"), "requests.cpu"),
    (lifecycle.containers_state_what_they_need, lambda c: main(c)["resources"].pop("limits"), "limits.memory"),
    (lifecycle.containers_are_probed, lambda c: relay(c).pop("livenessProbe"), "no livenessProbe"),
    (lifecycle.containers_are_probed, lambda c: main(c, "query-project").pop("readinessProbe"), "no readinessProbe"),
    (lifecycle.containers_are_probed, lambda c: main(c)["readinessProbe"]["grpc"].pop("service"), "of the service"),
    (
        lifecycle.containers_are_probed,
        lambda c: main(c)["livenessProbe"]["grpc"].update(service="tandem.orders.v1.OrderCommandService"),
        "without a service",
    ),
    (
        lifecycle.containers_are_probed,
        lambda c: main(c).update(livenessProbe={"httpGet": {"path": "/livez", "port": "metrics"}}),
        "liveness asks gRPC",
    ),
    (lifecycle.containers_are_probed, lambda c: main(c)["env"][1].update(value="127.0.0.1:50051"), "listens on"),
    (lifecycle.relays_gate_nothing, lambda c: relay(c).update(readinessProbe={}), "readinessProbe"),
    (lifecycle.relays_gate_nothing, lambda c: relay(c).update(startupProbe={}), "startupProbe"),
    (lifecycle.relays_gate_nothing, lambda c: relay(c).pop("restartPolicy"), "restartPolicy"),
    (lifecycle.relays_gate_nothing, lambda c: pod(c)["initContainers"].pop(), "no relay"),
    (lifecycle.pods_wait_for_the_schema, lambda c: pod(c)["initContainers"].reverse(), "first container"),
    (lifecycle.pods_wait_for_the_schema, lambda c: pod(c, "query-serve").pop("initContainers"), "first container"),
    (
        lifecycle.pods_wait_for_the_schema,
        lambda c: pod(c, "query-project")["initContainers"][0].update(args=["await-schema"]),
        "await-schema --consumer",
    ),
    (
        lifecycle.pods_wait_for_the_schema,
        lambda c: pod(c)["initContainers"][0].update(image="tandem-command:0.0.9"),
        "same image",
    ),
    (lifecycle.stopping_fits_into_the_grace, lambda c: main(c).pop("lifecycle"), "preStop"),
    (
        lifecycle.stopping_fits_into_the_grace,
        lambda c: pod(c).update(terminationGracePeriodSeconds=40),
        "terminationGracePeriodSeconds",
    ),
    (
        lifecycle.stopping_fits_into_the_grace,
        lambda c: main(c)["lifecycle"]["preStop"]["sleep"].update(seconds=10),
        "terminationGracePeriodSeconds",
    ),
    (lifecycle.jobs_end_and_go, lambda c: job(c)["metadata"].update(name="command-migrate"), "must end"),
    (lifecycle.jobs_end_and_go, lambda c: job(c)["metadata"].update(name="command-migrate-0.1.0"), "DNS label"),
    (lifecycle.jobs_end_and_go, lambda c: job(c)["metadata"].update(name="x" * 60 + "-0-1-0"), "DNS label"),
    (lifecycle.jobs_end_and_go, lambda c: job(c)["spec"].pop("ttlSecondsAfterFinished"), "pile up"),
    (availability.deployments_survive_evictions, lambda c: without(c, "PodDisruptionBudget", "command"), "0 Pod"),
    (
        availability.deployments_survive_evictions,
        lambda c: found(c, "PodDisruptionBudget", "command")["spec"].update(maxUnavailable=0),
        "maxUnavailable: 1",
    ),
    (
        availability.deployments_survive_evictions,
        lambda c: found(c, "PodDisruptionBudget", "command")["spec"].pop("unhealthyPodEvictionPolicy"),
        "AlwaysAllow",
    ),
    (
        availability.deployments_survive_evictions,
        lambda c: found(c, "Deployment", "command")["spec"].pop("strategy"),
        "new pod first",
    ),
    (availability.deployments_are_spread, lambda c: pod(c)["topologySpreadConstraints"].pop(), "zone"),
    (
        availability.deployments_are_spread,
        lambda c: pod(c)["topologySpreadConstraints"][0].update(labelSelector={"matchLabels": {"app": "x"}}),
        "hostname",
    ),
    (
        availability.scaling_looks_at_the_container,
        lambda c: found(c, "HorizontalPodAutoscaler", "command")["spec"]["metrics"][0]["containerResource"].update(
            container="relay"
        ),
        "ContainerResource",
    ),
    (
        availability.scaling_looks_at_the_container,
        lambda c: found(c, "HorizontalPodAutoscaler", "command")["spec"].update(
            metrics=[{"type": "Resource", "resource": {"name": "cpu"}}]
        ),
        "ContainerResource",
    ),
    (
        availability.scaling_looks_at_the_container,
        lambda c: found(c, "HorizontalPodAutoscaler", "command")["spec"].update(minReplicas=99),
        "minReplicas",
    ),
    (
        availability.scaling_looks_at_the_container,
        lambda c: found(c, "Deployment", "query-project")["spec"].update(replicas=2),
        "leave out replicas",
    ),
    (
        availability.scaling_looks_at_the_container,
        lambda c: without(c, "HorizontalPodAutoscaler", "query-serve"),
        "query-serve",
    ),
    (
        availability.scaling_looks_at_the_container,
        lambda c: found(c, "HorizontalPodAutoscaler", "command")["spec"]["scaleTargetRef"].update(name="commands"),
        "no Deployment commands",
    ),
    (references.names_are_unique, lambda c: c.manifests.append(found(c, "Service", "command")), "2 times"),
    (
        references.selectors_match,
        lambda c: found(c, "Deployment", "command")["spec"]["selector"]["matchLabels"].update(tier="x"),
        "its own pods",
    ),
    (
        references.selectors_match,
        lambda c: found(c, "Service", "command")["spec"].update(selector={"app.kubernetes.io/name": "commands"}),
        "0 workloads",
    ),
    (
        references.selectors_match,
        lambda c: found(c, "Service", "command")["spec"].update(selector={"app.kubernetes.io/part-of": "tandem"}),
        "workloads, not one",
    ),
    (
        references.selectors_match,
        lambda c: policy(c, "call-command").update(podSelector={"matchLabels": {"app.kubernetes.io/name": "x"}}),
        "matches no pod",
    ),
    (references.ports_exist, lambda c: main(c)["readinessProbe"]["grpc"].update(port=50061), "50061"),
    (references.ports_exist, lambda c: relay(c)["livenessProbe"]["httpGet"].update(port="metrics"), "port metrics"),
    (
        references.ports_exist,
        lambda c: found(c, "Service", "command")["spec"]["ports"][0].update(targetPort="http"),
        "http",
    ),
    (references.ports_exist, lambda c: policy(c, "call-command")["ingress"][0]["ports"][0].update(port=1), "opens"),
    (
        references.accounts_and_secrets_exist,
        lambda c: without(c, "ServiceAccount", "command"),
        "no ServiceAccount command",
    ),
    (references.accounts_and_secrets_exist, lambda c: pod(c).pop("serviceAccountName"), "ServiceAccount default"),
    (
        references.accounts_and_secrets_exist,
        lambda c: pod(c)["volumes"][0]["secret"].update(secretName="secrets"),
        "Secret secrets",
    ),
    (references.accounts_and_secrets_exist, lambda c: pod(c)["volumes"].pop(), "is mounted but not there"),
    (references.accounts_and_secrets_exist, lambda c: relay(c).pop("volumeMounts"), "is there but not mounted"),
    (
        references.accounts_and_secrets_exist,
        lambda c: c.manifests.append(
            {"kind": "Secret", "metadata": {"name": "relay-secrets", "namespace": "tandem"}, "stringData": {}}
        ),
        "must not be in the repository",
    ),
    (network.everything_is_denied_first, lambda c: without(c, "NetworkPolicy", "default-deny"), "denies everything"),
    (
        network.everything_is_denied_first,
        lambda c: policy(c, "default-deny").update(policyTypes=["Ingress"]),
        "denies everything",
    ),
    (network.everything_is_denied_first, lambda c: policy(c, "default-deny").update(egress=[{}]), "denies everything"),
    (
        network.pods_reach_what_they_need_and_no_more,
        lambda c: labels(c, "query-serve").update({"orders.tandem/reaches-postgres": "yes"}),
        "Deployment/query-serve: may reach postgres:5432",
    ),
    (
        network.pods_reach_what_they_need_and_no_more,
        lambda c: labels(c, "query-project").update({"orders.tandem/reaches-postgres": "yes"}),
        "Deployment/query-project: may reach postgres:5432",
    ),
    (
        network.pods_reach_what_they_need_and_no_more,
        lambda c: policy(c, "reach-postgres").update(podSelector={}),
        "Job/query-migrate-0-1-0: may reach postgres:5432",
    ),
    (
        network.pods_reach_what_they_need_and_no_more,
        lambda c: labels(c, "command").update({"orders.tandem/reaches-elasticsearch": "yes"}),
        "Deployment/command: may reach elasticsearch:9200",
    ),
    (
        network.pods_reach_what_they_need_and_no_more,
        lambda c: labels(c, "command").pop("orders.tandem/reaches-nats"),
        "cannot reach nats:4222",
    ),
    (
        network.pods_reach_what_they_need_and_no_more,
        lambda c: policy(c, "reach-nats")["egress"][0].pop("to"),
        "may reach anything",
    ),
    (
        network.pods_reach_what_they_need_and_no_more,
        lambda c: policy(c, "reach-nats")["egress"][0].update(to=[{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
        "may reach anything",
    ),
    (
        network.pods_reach_what_they_need_and_no_more,
        lambda c: policy(c, "resolve-names")["egress"][0].pop("ports"),
        "may reach anything",
    ),
    (network.doors_are_narrow, lambda c: policy(c, "call-command")["ingress"][0].pop("from"), "from whom"),
    (network.doors_are_narrow, lambda c: policy(c, "call-command")["ingress"][0].pop("ports"), "to which port"),
    (
        network.doors_are_narrow,
        lambda c: policy(c, "call-command")["ingress"][0].update({"from": [{"namespaceSelector": {}}]}),
        "every namespace",
    ),
    (
        network.doors_are_narrow,
        lambda c: policy(c, "call-command")["ingress"][0]["ports"].append({"protocol": "TCP", "port": 9052}),
        "[9052]",
    ),
    (network.doors_are_narrow, lambda c: without(c, "NetworkPolicy", "call-query-serve"), "nobody can call it"),
]


@pytest.mark.parametrize(("rule", "edit", "complaint"), MUTANTS, ids=lambda part: getattr(part, "__name__", None))
def test_a_broken_manifest_is_refused(broken: Cluster, rule: Policy, edit: Edit, complaint: str) -> None:
    edit(broken)
    found = list(rule(broken))
    assert any(complaint in fault for fault in found), found


def test_every_policy_has_a_mutant() -> None:
    assert {rule for rule, _, _ in MUTANTS} == set(POLICIES)
