"""Says what a check has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: So many findings are told one by one; the others are counted.
MOST_TOLD = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be. `order_id` and `version` say where, if it is about an event."""

    what: str
    order_id: str = ""
    version: int = 0
    leaf_index: int | None = None
    #: The copy that differs, if several were compared.
    copy: str = ""

    def sentence(self) -> str:
        """One line for people."""
        where = f"order {self.order_id} version {self.version}: " if self.order_id and self.version else ""
        where = where or (f"order {self.order_id}: " if self.order_id else "")
        leaf = f" (leaf {self.leaf_index})" if self.leaf_index is not None else ""
        copy = f"{self.copy}: " if self.copy else ""
        return f"{where}{copy}{self.what}{leaf}"

    def document(self) -> dict[str, Any]:
        """The fields that are known."""
        known = {
            "what": self.what,
            "order_id": self.order_id,
            "version": self.version,
            "leaf_index": self.leaf_index,
            "copy": self.copy,
        }
        return {name: value for name, value in known.items() if value not in ("", 0, None) or name == "what"}


@dataclass(slots=True)
class Report:
    """The result of a check: what was checked, in sentences, and what is wrong."""

    checked: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    untold: int = 0
    #: How many things of a kind were compared, by kind.
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def wrong(self, what: str, order_id: object = "", version: int = 0, leaf_index: int | None = None) -> None:
        """Adds a finding."""
        self.add(Finding(what, str(order_id), version, leaf_index))

    def add(self, finding: Finding) -> None:
        """Adds a finding."""
        if len(self.findings) < MOST_TOLD:
            self.findings.append(finding)
        else:
            self.untold += 1

    def document(self) -> dict[str, Any]:
        """The report as a document."""
        return {
            "holds": self.holds,
            "checked": self.checked,
            "remarks": self.remarks,
            "findings": [finding.document() for finding in self.findings],
            "findings_not_told": self.untold,
        }
