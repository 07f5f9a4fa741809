"""Which Java runs Elasticsearch: every candidate is really run and asked; unfit ones are passed over."""

import os
from pathlib import Path

import pytest

from devstack.servers import NoJdk
from devstack.servers.account import server_account
from devstack.servers.jdk import MODULES, OLDEST, Jdk, find_jdk

FIT = [*sorted(MODULES), "java.base"]


def java(home: Path, version: str, modules: list[str] = FIT, *, named_home: Path | None = None) -> Path:
    """A program that answers as a Java of this version and these modules does."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    lines = "".join(f"{module}@{version}\n" for module in modules)
    program.write_text(
        "#!/bin/sh\n"
        f"cat >&2 <<'END'\nProperty settings:\n    java.home = {named_home or home}\n"
        f"    java.specification.version = {version}\n    java.version = {version}.0.1\n\nEND\n"
        f"cat <<'END'\n{lines}END\n"
    )
    program.chmod(0o755)
    return home


async def choose(jvms: Path, **environment: str) -> Jdk:
    """What is chosen for this environment and directory of JVMs."""
    return await find_jdk(None, {"PATH": "", **environment}, jvms)


async def test_the_order_is_es_java_home_java_home_path_jvms(tmp_path: Path) -> None:
    homes = {name: java(tmp_path / name, "25") for name in ("es", "java", "path")}
    in_jvms = java(tmp_path / "jvms" / "jdk-24", "24")
    jvms = tmp_path / "jvms"
    settings = {"ES_JAVA_HOME": str(homes["es"]), "JAVA_HOME": str(homes["java"]), "PATH": str(homes["path"] / "bin")}
    for chosen in (homes["es"], homes["java"], homes["path"]):
        assert (await choose(jvms, **settings)).home == chosen
        settings.pop(next(iter(settings)))
    assert await choose(jvms) == Jdk(in_jvms, 24)


async def test_unfit_ones_are_passed_over_and_all_are_told(tmp_path: Path) -> None:
    jvms = tmp_path / "jvms"
    broken = jvms / "broken-99" / "bin" / "java"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho 'Unrecognized option: --list-modules' >&2\nexit 1\n")
    broken.chmod(0o755)
    (jvms / "unrunnable-98" / "bin").mkdir(parents=True)
    (jvms / "unrunnable-98" / "bin" / "java").write_text("not a program")
    java(jvms / "old-17", "17")
    java(jvms / "eight", "1.8")
    java(jvms / "jre-25", "25", [module for module in FIT if module not in {"jdk.jdi", "jdk.jlink"}])
    with pytest.raises(NoJdk) as refused:
        await choose(jvms, JAVA_HOME=str(tmp_path / "absent"))
    message = str(refused.value)
    assert "\n" not in message
    for told in (
        "did not say its version",
        "cannot be run (Permission denied)",
        f"Java 17 in {jvms / 'old-17'}, too old",
        f"Java 8 in {jvms / 'eight'}, too old",
        f"Java 25 in {jvms / 'jre-25'}, without jdk.jdi, jdk.jlink",
        "cannot be run (No such file or directory)",
        f"openjdk-{OLDEST}-jdk-headless",
        "set ES_JAVA_HOME",
    ):
        assert told in message
    fit = java(jvms / "fit-21", "21")
    assert await choose(jvms) == Jdk(fit, 21)


async def test_a_machine_without_java_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NoJdk, match="no Java at all"):
        await choose(tmp_path / "none")


async def test_a_link_to_java_leads_to_its_home(tmp_path: Path) -> None:
    home = java(tmp_path / "real", "23")
    (tmp_path / "shims").mkdir()
    (tmp_path / "shims" / "java").symlink_to(home / "bin" / "java")
    assert await choose(tmp_path / "none", PATH=str(tmp_path / "shims")) == Jdk(home, 23)


@pytest.fixture
def closed_directory(tmp_path: Path) -> Path:
    """A directory that nobody but its owner may enter."""
    tmp_path.chmod(0o700)
    return tmp_path


async def test_a_jdk_that_only_we_may_enter_is_passed_over(closed_directory: Path) -> None:
    account = await server_account()
    if account is None:
        pytest.skip("servers run as the user of the tests: there is no other account to keep out")
    home = java(closed_directory / "jdk", "25")
    with pytest.raises(NoJdk, match="Permission denied"):
        await find_jdk(account, {"PATH": "", "JAVA_HOME": str(home)}, closed_directory / "none")


async def test_the_jdks_of_this_machine_are_asked_truthfully() -> None:
    try:
        jdk = await find_jdk(await server_account())
    except NoJdk as reason:
        pytest.skip(str(reason))
    release = (jdk.home / "release").read_text()
    assert f'JAVA_VERSION="{jdk.version}' in release
    assert jdk.version >= OLDEST
    assert os.access(jdk.home / "bin" / "java", os.X_OK)
