"""Our rendering of kustomizations is Kustomize's own, for what our manifests use; anything else is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.kustomize import KustomizationError, render
from deploy.validate import OVERLAYS
from deploy.yaml_files import DuplicateKeyError, load

#: Written by `kubectl kustomize overlay` (Kustomize v5.5.0).
EXAMPLE = Path(__file__).parent / "kustomize"


def by_name(manifests: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in manifests}


def test_the_example_renders_as_kustomize_rendered_it() -> None:
    assert by_name(render(EXAMPLE / "overlay")) == by_name(load(EXAMPLE / "rendered.yaml"))


@pytest.mark.parametrize("directory", [EXAMPLE / "overlay", OVERLAYS / "local", OVERLAYS / "production"], ids=str)
def test_the_real_tool_agrees_where_it_is(directory: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return  # the example above was written by it
    real = subprocess.run([kubectl, "kustomize", directory], check=True, capture_output=True, text=True).stdout
    assert by_name(render(directory)) == by_name(list(yaml.safe_load_all(real)))


def kustomization(directory: Path, **fields: Any) -> Path:
    (directory / "thing.yaml").write_text(
        "{kind: Deployment, metadata: {name: thing}, spec: {template: {spec: {tolerations: [{key: y}]}}}}"
    )
    (directory / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["thing.yaml"], **fields}))
    return directory


def patched(directory: Path, spec: dict[str, Any], name: str = "thing") -> Path:
    patch = {"kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    (directory / "patch.yaml").write_text(yaml.safe_dump(patch))
    return kustomization(directory, patches=[{"path": "patch.yaml"}])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"namePrefix": "x-"}, "namePrefix"),
        ({"nameSuffix": "-x"}, "may only rename Jobs"),
        ({"configMapGenerator": []}, "configMapGenerator"),
        ({"patches": [{"patch": "[]", "target": {}}]}, "patch"),
        ({"images": [{"name": "a", "digest": "sha256:0"}]}, "images"),
    ],
)
def test_what_is_not_known_is_refused(fields: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(KustomizationError, match=named):
        render(kustomization(tmp_path, **fields))


def test_a_patch_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KustomizationError, match="0 manifests are Deployment other"):
        render(patched(tmp_path, {"replicas": 1}, name="other"))


def test_a_list_that_might_be_merged_otherwise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KustomizationError, match="tolerations"):
        render(patched(tmp_path, {"template": {"spec": {"tolerations": [{"key": "x"}]}}}))


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("spec:\n  replicas: 1\n  paused: true\n  replicas: 2\n")
    with pytest.raises(DuplicateKeyError, match=r"line 4: replicas stands twice"):
        load(path)
