"""The committed stubs are current, the contract lints, and a change that would break callers is caught."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (PROJECT / ".venv/generate/.installed").exists() and not os.environ.get("TANDEM_TEST_REQUIRE"),
    reason="the generator's environment is missing: run `make verify` once",
)


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """A copy of the contract that a test may change."""
    copy = tmp_path / "protos"
    shutil.copytree(PROJECT / "protos", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".venv").symlink_to(PROJECT / ".venv")
    return copy


def verify(contract: Path) -> tuple[int, str]:
    """Exit code and all output of the verify step."""
    done = subprocess.run(
        [sys.executable, contract / "generate.py", "--verify"], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def change(contract: Path, name: str, old: str, new: str) -> None:
    """Edits one proto file and regenerates its stubs, as a developer would."""
    path = contract / "tandem/orders/v1" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    subprocess.run([sys.executable, contract / "generate.py", "--write"], check=True, capture_output=True)


def test_the_committed_contract_holds(contract: Path) -> None:
    assert verify(contract) == (0, "")


def test_a_stub_that_was_not_regenerated_is_caught(contract: Path) -> None:
    path = contract / "tandem/orders/v1/order_types.proto"
    path.write_text(path.read_text().replace("string sku = 2;", "string sku = 2;\n  string shelf = 99;"))
    code, output = verify(contract)
    assert code == 1
    assert "make generate" in output
    assert "order_types_pb2.py" in output


def test_a_changed_type_is_caught(contract: Path) -> None:
    change(contract, "order_types.proto", "int32 quantity = 5;", "string quantity = 5;")
    code, output = verify(contract)
    assert code == 1
    assert "breaks its callers" in output


def test_a_renumbered_field_is_caught(contract: Path) -> None:
    change(contract, "order_types.proto", "string sku = 2;", "string sku = 77;")
    code, output = verify(contract)
    assert code == 1
    assert "breaks its callers" in output


def test_an_added_field_is_allowed(contract: Path) -> None:
    change(contract, "order_types.proto", "string sku = 2;", "string sku = 2;\n  string shelf = 99;")
    assert verify(contract) == (0, "")


def test_a_name_against_the_style_is_caught(contract: Path) -> None:
    change(contract, "order_types.proto", "string sku = 2;", "string sku = 2;\n  string ShelfName = 99;")
    code, output = verify(contract)
    assert code == 1
    assert "lint" in output


def test_an_undocumented_message_is_caught(contract: Path) -> None:
    change(contract, "order_types.proto", "// A shipment: goods that left.\n", "")
    code, output = verify(contract)
    assert code == 1
    assert "lint" in output
