"""Jobs that operators start by hand are held to the same rules as what is rolled out, and ask for what exists."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deploy.cluster import Cluster
from deploy.images import IMAGES
from deploy.outside_secrets import OUTSIDE_SECRETS
from deploy.policies import lifecycle, pod_security, references
from deploy.validate import KUBERNETES_VERSIONS, PROJECT, cluster, schema_faults
from relay.__main__ import parser
from relay.config import RelaySettings

JOBS = sorted((PROJECT / "deploy" / "k8s" / "jobs").glob("*.yaml"))
POLICIES = [
    pod_security.pods_are_restricted,
    pod_security.containers_are_restricted,
    pod_security.pods_have_no_token,
    pod_security.secrets_are_mounted_files,
    pod_security.images_are_pinned,
    lifecycle.containers_state_what_they_need,
    references.accounts_and_secrets_exist,
]


def read(path: Any) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load(path.read_text())
    return manifest


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_holds_the_rules_of_the_cluster(path: Any) -> None:
    job = read(path)
    for version in KUBERNETES_VERSIONS:
        assert list(schema_faults([job], version)) == []
    job["metadata"] |= {"namespace": "tandem", "name": path.stem}
    whole = Cluster([*cluster("production").manifests, job], OUTSIDE_SECRETS)
    assert [fault for policy in POLICIES for fault in policy(whole)] == []


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_asks_for_commands_settings_and_secrets_that_exist(path: Any) -> None:
    spec = read(path)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    released = {one.image for pod in cluster("production").pods for one in pod.containers}
    name, _, tag = container["image"].partition(":")
    assert (name, tag) in {(image.rpartition("/")[2], of) for image, of in released}
    assert name == f"tandem-{IMAGES['relay']}"
    assert parser().parse_args(container["args"]).command == container["args"][0]
    files = {}
    for source in spec["volumes"][0]["projected"]["sources"]:
        for item in source["secret"]["items"]:
            assert item["key"] in OUTSIDE_SECRETS[source["secret"]["name"]]
            files[item["path"].removeprefix("relay_")] = item["key"]
    required = {name for name, field in RelaySettings.model_fields.items() if field.is_required()}
    assert files.keys() == required
    for store, labelled in (("postgres", "database_url"), ("nats", "nats_url")):
        label = read(path)["spec"]["template"]["metadata"]["labels"][f"orders.tandem/reaches-{store}"]
        assert (label == "yes") == (labelled in files)


def test_there_are_some() -> None:
    assert [path.stem for path in JOBS] == ["relay-adopt"]
