"""Describes the labels of an order: the caller's own keys and values, for example its id in another system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Labels(Mapping[str, str]):
    """An immutable mapping of keys to values, sorted by key. Both are personal data."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._values = dict(sorted(dict(values).items()))

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"Labels({self._values!r})"

    def changed(self, added: Mapping[str, str], removed: Iterable[str]) -> Labels:
        """Returns the labels without the keys in `removed`, and with those in `added`, which replace earlier values."""
        gone = set(removed)
        return Labels({key: value for key, value in self.items() if key not in gone} | dict(added))

    def replaced_by(self, later: Labels) -> Labels:
        """Returns those of these labels that `later` lacks or has with another value."""
        return Labels((key, value) for key, value in self.items() if later.get(key) != value)


NO_LABELS = Labels()
