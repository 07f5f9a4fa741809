"""What a caller installs: the wheel of `tandem-protos`."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
import tandem

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from the working tree, by the backend that pip would use."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=PROJECT / "protos", check=True, capture_output=True)
    (path,) = directory.iterdir()
    return zipfile.ZipFile(path)


def test_it_has_every_module_and_stub_and_no_lock(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    sources = {path for path in (PROJECT / "protos" / "tandem").rglob("*") if path.is_file()}
    wanted = {path for path in sources if path.suffix in (".py", ".pyi", ".proto", ".typed")}
    wanted |= {path for path in sources if path.name == "py.typed"}
    assert {path.relative_to(PROJECT / "protos").as_posix() for path in wanted} <= names
    assert [name for name in names if name.endswith(".binpb")] == []


def test_it_has_the_licence_and_one_version(wheel: zipfile.ZipFile) -> None:
    (licence,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert wheel.read(licence) == (PROJECT / "LICENSE").read_bytes(), "protos/LICENSE is a copy of LICENSE"
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    told = HeaderParser().parsestr(wheel.read(metadata).decode())
    assert told["Version"] == tandem.__version__
    assert told.get_all("Provides-Extra") == ["typing"]
