"""Finds a Java that can run Elasticsearch. Each candidate is asked for version and modules; unfit ones are skipped."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.servers.account import Account
from devstack.servers.errors import NoJdk
from devstack.servers.one_shot import run

OLDEST = 21
MODULES = frozenset(
    {
        "java.instrument", "java.management", "java.net.http", "jdk.attach", "jdk.incubator.vector", "jdk.jdi",
        "jdk.jlink", "jdk.management.agent", "jdk.net", "jdk.unsupported", "jdk.zipfs",
    }
)  # fmt: skip
"""What the server's own modules and start options require; small JREs lack some of them."""

JVM_DIRECTORY = Path("/usr/lib/jvm")
#: A virtual machine that finds no memory or threads ends at once; a moment later it may find them.
_ASKED_AT_MOST = 3
_ANSWER_WITHIN = 20.0
_HOME = re.compile(r"^\s*java\.home = (.+)$", re.MULTILINE)
_VERSION = re.compile(r"^\s*java\.specification\.version = (?:1\.)?(\d+)", re.MULTILINE)
_MODULE = re.compile(r"^([a-z][\w.]*)(?:@\S*)?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Jdk:
    """A Java that can run Elasticsearch: its home and its feature version, such as 25."""

    home: Path
    version: int


async def find_jdk(
    account: Account | None, environment: Mapping[str, str] = os.environ, jvm_directory: Path = JVM_DIRECTORY
) -> Jdk:
    """Finds the first fit Java among ES_JAVA_HOME, JAVA_HOME, PATH and /usr/lib/jvm, run as `account`.

    Raises NoJdk with one sentence that says what was found and which package to install.
    """
    refused: list[str] = []
    for origin, java in _candidates(environment, jvm_directory):
        answer = await _ask(java, account)
        if isinstance(answer, Jdk):
            return answer
        refused.append(f"{origin}: {answer}")
    seen = "; ".join(refused) if refused else "no Java at all"
    raise NoJdk(
        f"Elasticsearch needs a full JDK, version {OLDEST} or newer, and this machine has {seen}."
        f" Install one (Debian, Ubuntu: openjdk-{OLDEST}-jdk-headless; Fedora: java-{OLDEST}-openjdk-devel;"
        f" any system: temurin-25-jdk) or set ES_JAVA_HOME to the directory of one."
    )


def _candidates(environment: Mapping[str, str], jvm_directory: Path) -> Iterator[tuple[str, Path]]:
    """Yields each Java once, the most explicitly chosen first."""
    named: list[tuple[str, Path]] = [
        (setting, Path(environment[setting]) / "bin" / "java")
        for setting in ("ES_JAVA_HOME", "JAVA_HOME")
        if environment.get(setting)
    ]
    if on_path := shutil.which("java", path=environment.get("PATH", os.defpath)):
        named.append(("PATH", Path(on_path)))
    if jvm_directory.is_dir():
        # newest name first: the version itself is asked, this only saves asking the old ones
        homes = sorted(jvm_directory.iterdir(), key=lambda home: [int(n) for n in re.findall(r"\d+", home.name)][-1:])
        named += [(str(home), home / "bin" / "java") for home in reversed(homes) if (home / "bin" / "java").exists()]
    seen: set[Path] = set()
    for origin, java in named:
        if java.resolve() not in seen:
            seen.add(java.resolve())
            yield origin, java


async def _ask(java: Path, account: Account | None) -> Jdk | str:
    """Runs one candidate; returns the Jdk, or why it is unfit as a fragment of a sentence."""
    try:
        for _ in range(_ASKED_AT_MOST):
            status, output = await run(
                java, "-XshowSettings:properties", "--list-modules",
                account=account, directory=Path("/"), within=_ANSWER_WITHIN,
            )  # fmt: skip
            if status == 0:
                break
    except OSError as error:
        return f"{java} cannot be run ({error.strerror})"
    except TimeoutError:
        return f"{java} gave no answer in {_ANSWER_WITHIN:.0f} s"
    return judge(java, output, status)


def judge(java: Path, output: str, status: int = 0) -> Jdk | str:
    """Reads the output of `java -XshowSettings:properties --list-modules`; returns the Jdk, or why it is unfit."""
    home, version = _HOME.search(output), _VERSION.search(output)
    if home is None or version is None:
        last = output.strip().rpartition("\n")[2][:200]
        return f"{java} did not say its version (status {status}{f': {last}' if last else ''})"
    number = int(version[1])
    if number < OLDEST:
        return f"Java {number} in {home[1]}, too old"
    missing = sorted(MODULES - set(_MODULE.findall(output)))
    if missing:
        return f"Java {number} in {home[1]}, without {', '.join(missing)}"
    return Jdk(Path(home[1].strip()), number)
