"""All that is shipped passes its checks, and Kustomize and our YAML reader refuse what the checks rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.manifests import RenderError, render
from deploy.validate import KUBERNETES_VERSIONS, OVERLAYS, key_faults, main

THING = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: thing}\nspec:\n  replicas: 1\n"


def test_all_that_is_shipped_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().out
    checked = capsys.readouterr().out
    assert [checked.count(f", Kubernetes {version}\n") for version in KUBERNETES_VERSIONS] == [len(OVERLAYS) + 1] * 2
    for what in (
        *OVERLAYS,
        "deploy/k8s/witness",
        "each key once",
        "command_service/Dockerfile",
        "relay/Dockerfile",
        "query_service/Dockerfile",
    ):
        assert what in checked
    assert "ok   docker-compose.yml\n" in checked


@pytest.mark.parametrize(
    ("kustomization", "thing", "complaint"),
    [
        ("resources: [thing.yaml]\nnamePrefx: x-", THING, 'unknown field "namePrefx"'),
        ("resources: [thing.yaml, other.yaml]", THING, "already registered id"),
        ("resources: [thing.yaml]\npatches: [{path: other.yaml}]", THING.replace("thing", "x"), "no matches for Id"),
        ("resources: [thing.yaml]", f"{THING}  replicas: 2\n", 'key "replicas" already defined'),
    ],
    ids=["unknown field", "name twice", "patch of nothing", "key twice"],
)
def test_kustomize_refuses(kustomization: str, thing: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(kustomization)
    (tmp_path / "thing.yaml").write_text(thing)
    (tmp_path / "other.yaml").write_text(THING)
    with pytest.raises(RenderError, match=complaint):
        render(tmp_path)


def test_a_key_that_stands_twice_in_a_patch_is_found(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [thing.yaml]\npatches: [{path: patch.yaml}]")
    (tmp_path / "thing.yaml").write_text(THING)
    assert list(key_faults(tmp_path)) == []
    (tmp_path / "patch.yaml").write_text(f"{THING}  paused: true\n  replicas: 2\n")
    render(tmp_path)  # which is why it is looked for
    (fault,) = key_faults(tmp_path)
    assert 'patch.yaml: found duplicate key "replicas"' in fault
    assert "line 7" in fault
