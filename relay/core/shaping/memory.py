"""What the sale that was sent last says of how an order's lines were split then."""

import re
from typing import Any

import msgspec

WHOLE = 0
"""In the units of an earlier sale: the line was sent as one line, not split."""
UNIT = re.compile(r"(.+)_([1-9][0-9]{0,3})", re.DOTALL)
"""A unit's id: what it begins with, and its number."""
_OF_A_UNIT = (0, 1)


class _Line(msgspec.Struct, rename="camel"):
    external_id: Any = None
    quantity: Any = None


class _Sale(msgspec.Struct, rename="camel"):
    line_items: list[_Line] = []


_sales = msgspec.json.Decoder(_Sale)


def units_in(sale: bytes | None) -> dict[str, int]:
    """How many units each line of an earlier sale had, by what their ids begin with; 0 for a line sent whole.

    Takes the bytes that were sent. Whatever else it is given, it remembers nothing. Never raises.
    """
    try:
        lines = _sales.decode(sale or b"{}").line_items
    except (ValueError, RecursionError):
        return {}
    units: dict[str, int] = {}
    for line in lines:
        if not isinstance(line.external_id, str):
            continue
        # Also what looks like a unit may be a whole line: whoever splits knows its own lines.
        units.setdefault(line.external_id, WHOLE)
        found = UNIT.fullmatch(line.external_id)
        if found is not None and line.quantity in _OF_A_UNIT:
            units[found[1]] = max(units.get(found[1], WHOLE), int(found[2]))
    return units
