"""Generates the stubs beside their .proto files, and verifies that the committed stubs are up to date.

`--write` regenerates in place, and writes the wire lock if there is none. `--verify` regenerates into a temporary
directory and compares byte for byte. Then buf lints the contract and compares it with the wire lock. Nothing is
downloaded: Google's files come from the wheel googleapis-common-protos, the generator from its own locked environment.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
PROJECT = PROTOS.parent
PACKAGE = Path("tandem/orders/v1")
WIRE_LOCK = PROTOS / "tandem" / "orders" / "v1.lock.binpb"
GENERATOR = PROJECT / ".venv" / "generate" / "bin"
BUF = Path(sys.executable).parent / "buf"
BUF_CONFIG = """{"version":"v2",
 "lint":{"use":["STANDARD","COMMENT_ENUM","COMMENT_MESSAGE","COMMENT_RPC","COMMENT_SERVICE"],"ignore":["google"]},
 "breaking":{"use":["WIRE_JSON"],"ignore":["google"]}}"""
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def proto_files() -> list[str]:
    """Lists our .proto files, sorted, relative to `protos/`."""
    return sorted(path.relative_to(PROTOS).as_posix() for path in (PROTOS / PACKAGE).glob("*.proto"))


def protoc(*options: str) -> None:
    """Runs the pinned protoc over all our files; raises CalledProcessError, with protoc's message, on a bad proto."""
    google = subprocess.run(
        [
            GENERATOR / "python",
            "-c",
            "import google.type, pathlib; print(pathlib.Path(google.type.__path__[0]).parents[1])",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    subprocess.run(
        [GENERATOR / "python", "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{google}", *options, *proto_files()],
        check=True, stderr=subprocess.PIPE, env={"PATH": f"{GENERATOR}:/usr/bin:/bin"},
    )  # fmt: skip


def generate(target: Path) -> None:
    """Writes all stubs into the directory `target`."""
    protoc(f"--python_out={target}", f"--grpc_python_out={target}", f"--mypy_out={target}", f"--mypy_grpc_out={target}")


def descriptor_set(target: Path, *options: str) -> None:
    """Writes the contract, imports included, to the file `target` as one FileDescriptorSet."""
    protoc("--include_imports", f"--descriptor_set_out={target}", *options)


def stale_stubs(fresh: Path) -> list[str]:
    """Lists stubs, by file name, that differ between the checkout and `fresh`, or exist in only one of them."""
    committed = {path.name for pattern in GENERATED for path in (PROTOS / PACKAGE).glob(pattern)}
    made = {path.name for path in (fresh / PACKAGE).iterdir()}
    same, _, _ = filecmp.cmpfiles(PROTOS / PACKAGE, fresh / PACKAGE, committed & made, shallow=False)
    return sorted((committed | made) - set(same))


def buf(*arguments: str) -> bool:
    """Runs buf, which prints what it finds; returns whether it found nothing."""
    return subprocess.run([BUF, *arguments], check=False).returncode == 0


def verify() -> list[str]:
    """Verifies stubs, style and wire lock; returns one line per problem."""
    problems = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        generate(directory)
        if stale := stale_stubs(directory):
            problems.append(f"stubs are out of date, run `make generate`: {', '.join(stale)}")
        image = directory / "contract.binpb"
        descriptor_set(image, "--include_source_info")
        if not buf("lint", str(image), "--config", BUF_CONFIG):
            problems.append("buf lint found faults in the contract, named above")
        if not WIRE_LOCK.exists():
            problems.append(f"{WIRE_LOCK.name} is missing, run `make generate`")
        elif not buf("breaking", str(image), "--against", str(WIRE_LOCK), "--config", BUF_CONFIG):
            problems.append("the contract breaks its callers: inside v1 only wire-compatible changes are allowed")
    return problems


def write(*, extend_lock: bool) -> None:
    """Regenerates the stubs in place. Writes the wire lock when `extend_lock` is set or there is none."""
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name))
        for path in (Path(name) / PACKAGE).iterdir():
            shutil.copyfile(path, PROTOS / PACKAGE / path.name)
    if extend_lock or not WIRE_LOCK.exists():
        descriptor_set(WIRE_LOCK)


def main() -> int:
    """Runs the action that the options name; returns 1 when verification found problems, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="regenerate the stubs in place")
    action.add_argument("--verify", action="store_true", help="compare, lint, and check against the wire lock")
    action.add_argument("--extend-lock", action="store_true", help="add compatible additions to the wire lock")
    arguments = parser.parse_args()
    problems = [] if arguments.write else verify()
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    if problems:
        return 1
    if not arguments.verify:
        write(extend_lock=arguments.extend_lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
