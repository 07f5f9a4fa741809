"""The page on deploying says what the manifests say."""

import re

from deploy.images import IMAGES
from deploy.outside_secrets import OUTSIDE_SECRETS
from deploy.policies import network
from deploy.validate import KUBERNETES_VERSIONS, PROJECT, cluster

PAGE = (PROJECT / "docs" / "operations" / "deploy.md").read_text()


def test_it_names_the_secrets_a_cluster_must_have() -> None:
    rows = re.findall(r"(?m)^\| `([a-z-]+-secrets)` \| (.*) \|$", PAGE)
    assert {name: frozenset(re.findall(r"`([a-z_]+)`", keys)) for name, keys in rows} == OUTSIDE_SECRETS


def test_these_are_the_secrets_the_manifests_mount() -> None:
    assert set().union(*(pod.secrets for pod in cluster("production").pods)) == OUTSIDE_SECRETS.keys()


def test_it_names_workloads_versions_and_images() -> None:
    assert all(f"`{app.replace('-migrate', '-migrate-<tag>')}`" in PAGE for app in network.REACHES)
    assert " and ".join(KUBERNETES_VERSIONS) in PAGE
    assert all(f"docker build -f {package}/Dockerfile -t tandem-{extra}:" in PAGE for package, extra in IMAGES.items())
