"""Writes the function that decodes the rows of one table, as straight-line Python without a loop over columns.

Decoding takes most of a relay's time when it reads the log. A loop that looks up kind, length and reader of each column
costs as much as the decoding itself. So the function is written from the table's description: it unpacks adjacent
columns of fixed size together, and the others one by one. Its text contains no name or value from outside. It passes a
row that does not fit (such as one with a null in a column of fixed size) to the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812 - named as the exception it is
from typing import Any

from relay.events.event import OutboxEvent
from relay.wal.column_values import (
    EPOCH,
    INFINITE,
    Convert,
    binary_text,
    integer,
    integer_text,
    text,
    time,
    transaction_id,
    uuid,
)
from relay.wal.pgoutput import BINARY, INSERT_HEAD, NULL

Read = Callable[[bytes, int], OutboxEvent]

#: Type oid → struct code, for types of fixed size: int8, int2, int4, uuid, timestamptz, timestamp, xid8. A uuid
#: is unpacked into the three pieces from which its text is made at the least cost.
_FIXED: Mapping[int, str] = {20: "q", 21: "h", 23: "i", 2950: "4s6s6s", 1184: "q", 1114: "q", 5069: "Q"}
_PIECES: Mapping[int, Sequence[str]] = {2950: ("{v}", "{v}_middle", "{v}_end")}
#: Function for a column's bytes → an expression that does the same. In the first table `{v}` is the unpacked value, in
#: the second the bytes.
_UNPACKED: Mapping[Convert, str] = {
    integer: "{v}",
    integer_text: "str({v})",
    transaction_id: "str({v})",
    uuid: "f'{{{v}.hex()}}-{{{v}_middle.hex(DASH, 2)}}-{{{v}_end.hex()}}'",
    time: "None if {v} in INFINITE else {v} + EPOCH",
}
_SLICED: Mapping[Convert, str] = {text: "{v}.decode()", binary_text: "{v}.hex()", bytes: "{v}"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table. `read` turns its bytes into a value.

    `field` is the number of the event's field that gets the value; None if no field uses the column.
    """

    type_oid: int
    field: int | None
    read: Convert


def write_reader(columns: Sequence[Column], slow: Read) -> Read:
    """Returns the function (data, offset of an insert message) → event. It calls `slow` for rows that do not fit."""
    names: dict[str, Any] = {
        "EPOCH": EPOCH,
        "INFINITE": INFINITE,
        "DASH": "-",
        "slow": slow,
        "begin": Struct(">BI").unpack_from,
        "new": tuple.__new__,
        "StructError": StructError,
        "Event": OutboxEvent,
    }
    # A row that is shorter than its columns of fixed size has nulls among them.
    lines = ["def read(data, at):", f" end = at + {INSERT_HEAD}", " try:"]
    fields = ["None"] * len(OutboxEvent._fields)
    number = 0
    while number < len(columns):
        run = _run(columns, number)
        lines += _read_run(columns, run, names, fields) if run else _read_one(columns[number], number, names, fields)
        number += max(1, len(run))
    lines += [f"  return new(Event, ({', '.join(fields)}))", " except StructError: return slow(data, at)"]
    exec("\n".join(lines), names)  # noqa: S102 - our own text: numbers and the expressions above
    read: Read = names["read"]
    return read


def _run(columns: Sequence[Column], start: int) -> range:
    """Returns the numbers of the adjacent columns of fixed size from `start` on; empty if there are none."""
    end = start
    while end < len(columns) and columns[end].type_oid in _FIXED and columns[end].read in _UNPACKED:
        end += 1
    return range(start, end)


def _read_run(columns: Sequence[Column], run: range, names: dict[str, Any], fields: list[str]) -> list[str]:
    """Returns the lines that unpack a run of columns at once. Kind and length before each value must be as expected."""
    first = run[0]
    codes = [_FIXED[columns[i].type_oid] for i in run]
    unpack = Struct(">" + "".join(f"5s{code}" for code in codes))
    names[f"unpack{first}"] = unpack.unpack_from
    names[f"kinds{first}"] = tuple(bytes([BINARY]) + Struct(f">{code}").size.to_bytes(4) for code in codes)
    for i in run:
        if (field := columns[i].field) is not None:
            fields[field] = _UNPACKED[columns[i].read].format(v=f"v{i}")
    return [
        f"  {', '.join(f'k{i}, {_names(columns[i], i)}' for i in run)} = unpack{first}(data, end)",
        f"  if ({', '.join(f'k{i}' for i in run)},) != kinds{first}: return slow(data, at)",
        f"  end += {unpack.size}",
    ]


def _names(column: Column, number: int) -> str:
    """Returns the names of the variables into which the value of a column of fixed size is unpacked."""
    return ", ".join(piece.format(v=f"v{number}") for piece in _PIECES.get(column.type_oid, ("{v}",)))


def _read_one(column: Column, number: int, names: dict[str, Any], fields: list[str]) -> list[str]:
    """Returns the lines that read one column, of any size or null."""
    names[f"read{number}"] = column.read
    value = _SLICED.get(column.read, f"read{number}({{v}})").format(v="data[start:end]")
    wanted = column.field is not None
    if column.field is not None:
        fields[column.field] = f"c{number}"
    return [
        "  kind, length = begin(data, end)",
        f"  if kind == {BINARY}:",
        "   start = end + 5",
        "   end = start + length",
        *([f"   c{number} = {value}"] if wanted else []),
        f"  elif kind == {NULL}:",
        "   end += 1",
        *([f"   c{number} = None"] if wanted else []),
        "  else: return slow(data, at)",
    ]
