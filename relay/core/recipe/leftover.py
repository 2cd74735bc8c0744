"""What of an order a sale does not carry: for ``order-relay preview``.

:func:`left_out` only compares, so it works for every source: a leaf is carried over if its value is in the sale, as
text inside a text, as an equal number, or as the same instant. That can miss something (a quantity that happens to be
another line's, too), but never names what is in the sale. Null, empty and boolean leaves are not told: nothing is lost
with the first two, and the last are in every sale. Leaves that differ only in list positions are told once, with
their number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from relay.core import exact, instant
from relay.core import sale as sales
from relay.core.recipe import document
from relay.core.recipe.expression import escaped
from relay.core.sale import Reason, Sale

LEAVES_MAX = 200
"""Leaves that are told, by default."""
_LEAVES_LOOKED_AT = 100_000
_SHORT = 3
"""A text of fewer characters must be a whole text of the sale, not only a part of one."""
_POSITION = re.compile(r"(?<=/)[0-9]+(?=/|$)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A leaf that is not carried over."""

    pointer: str
    """JSON pointer of the first one."""
    count: int = 1
    """How many there are that differ from it only in list positions."""


def left_out(body: bytes, sale: Sale, limit: int = LEAVES_MAX) -> tuple[LeftOut, ...]:
    """The leaves whose value is not in the sale, in the order of the document. Never raises."""
    value = document.decoded(body)
    if isinstance(value, Reason):
        return ()
    carried = _Carried(document.decoded(sales.encode(sale)))
    return _counted((pointer for pointer, leaf in _leaves(value) if leaf not in carried), limit)


def _leaves(root: object) -> Iterator[tuple[str, Any]]:
    """The texts and numbers of a document, each with its pointer, in its order."""
    pending: list[tuple[str, object]] = [("", root)]
    looked_at = 0
    while pending and looked_at < _LEAVES_LOOKED_AT:
        pointer, node = pending.pop()
        if isinstance(node, dict):
            pending.extend((f"{pointer}/{escaped(key)}", child) for key, child in reversed(node.items()))
        elif isinstance(node, list):
            pending.extend((f"{pointer}/{place}", node[place]) for place in range(len(node) - 1, -1, -1))
        elif isinstance(node, str | int | Decimal) and not isinstance(node, bool) and node != "":
            looked_at += 1
            yield pointer, node


def _counted(pointers: Iterator[str], limit: int) -> tuple[LeftOut, ...]:
    found: dict[str, LeftOut] = {}
    for pointer in pointers:
        pattern = _POSITION.sub("*", pointer)
        if pattern in found:
            found[pattern] = replace(found[pattern], count=found[pattern].count + 1)
        elif len(found) < limit:
            found[pattern] = LeftOut(pointer)
    return tuple(found.values())


class _Carried:
    """The values of a sale, to be asked whether a leaf is one of them."""

    def __init__(self, payload: object) -> None:
        self._texts: set[str] = set()
        self._numbers: set[Decimal] = set()
        self._instants: set[int] = set()
        for _, leaf in _leaves(payload):
            if isinstance(leaf, str):
                self._texts.add(leaf.strip())
            if (number := _number(leaf)) is not None:
                self._numbers.add(number)
            if (moment := _moment(leaf)) is not None:
                self._instants.add(moment)
        self._all = "\n".join(self._texts)

    def __contains__(self, leaf: object) -> bool:
        number = _number(leaf)
        if number is not None and number in self._numbers:
            return True
        text = str(leaf).strip() if isinstance(leaf, str) or number is not None else ""
        if not text or text in self._texts or (len(text) >= _SHORT and text in self._all):
            return True
        moment = _moment(leaf)
        return moment is not None and moment in self._instants


def _number(leaf: object) -> Decimal | None:
    try:
        return exact.decimal(leaf)
    except ValueError:
        return None


def _moment(leaf: object) -> int | None:
    if not isinstance(leaf, str) or not _DATE.match(leaf):
        return None
    found = instant.parse(leaf)
    return None if found is None else found // 1000  # a sale's dates are written to the millisecond
