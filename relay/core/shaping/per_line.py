"""What a line of the order says for itself, by item properties that the configuration names.

A shop's theme, an app or a checkout can write properties; so a line can say who fulfils it, and whether it is split,
whatever kind of storefront it comes from. What the sale itself says of a line's routing goes before it, and it goes
before the routing rules but for those that overrule. A property that cannot be read decides nothing, and a note says
so. Where its key begins with an underscore, the property itself is left out like any hidden one.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from relay.core import exact
from relay.core import sale as sales
from relay.core.recipe import Fault
from relay.core.sale import LineItem, Reason
from relay.core.shaping.routing import is_routed, manual, with_routing
from relay.core.shaping.tables import Table

_YES: Final = frozenset({"yes", "true", "1"})
_NO: Final = frozenset({"no", "false", "0"})
_ROUTES: Final = ("ignore", "automated")
_NAMES: Final = ("warehouse_id", "dropship_provider_id", "route", "split")


@dataclass(frozen=True, slots=True)
class PerLine:
    """Keys of the item properties that decide. Made by :func:`per_line`."""

    warehouse_id: str | None = None
    """The warehouse that fulfils the line, in-house."""
    dropship_provider_id: str | None = None
    """The dropshipper that fulfils it."""
    route: str | None = None
    """``ignore``: nobody fulfils it; ``automated``: Jetti decides, whatever rules there are."""
    split: str | None = None
    """``yes`` or ``no``: whether it becomes one line per unit."""

    def routed(self, i: int, line: LineItem, notes: list[Reason]) -> LineItem:
        """The line with the routing that it asks for."""
        if is_routed(line):
            return line
        asked = [
            (name, value)
            for name in ("warehouse_id", "dropship_provider_id", "route")
            if (value := _said(line, getattr(self, name))) is not None
        ]
        if not asked:
            return line
        (name, value), *others = asked
        if others:
            return self._unclear(i, line, f"more than one of {', '.join(name for name, _ in asked)}", notes)
        if name == "route" and value.casefold() in _ROUTES:
            return with_routing(line, {"order_routing": value.casefold()})
        if name == "route" or sales.identifier(value) is None:
            wanted = "ignore or automated" if name == "route" else "an id"
            return self._unclear(i, line, f"{exact.shown(value)}, and not {wanted}", notes)
        return with_routing(line, manual("fulfill" if name == "warehouse_id" else "dropship", name, value))

    def splits(self, i: int, line: LineItem, notes: list[Reason]) -> bool | None:
        """Whether the line asks to be split, or not to be; ``None`` where it says nothing."""
        said = _said(line, self.split)
        if said is None:
            return None
        if said.casefold() in _YES | _NO:
            return said.casefold() in _YES
        message = f"its property {exact.shown(self.split or '')} is {exact.shown(said)}, and not yes or no"
        notes.append(Reason(f"/lineItems/{i}/properties", f"{message}; it is split or not like any other line"))
        return None

    @staticmethod
    def _unclear(i: int, line: LineItem, found: str, notes: list[Reason]) -> LineItem:
        message = f"the line asks for its routing by {found}; it is routed like any other line"
        notes.append(Reason(f"/lineItems/{i}/properties", message))
        return line


def per_line(given: object, key: str, faults: list[Fault]) -> PerLine | None:
    """The settings of a table; ``None`` where nothing is named."""
    if given is None:
        return None
    table = Table(given, key, faults)
    made = PerLine(**{name: table.text(name, characters_max=255) for name in _NAMES})
    table.finish()
    return None if made == PerLine() else made


def _said(line: LineItem, key: str | None) -> str | None:
    """What a property says, the last one of that key, as text; ``None`` where it is not there or blank."""
    found = None
    for item in line.properties or () if key is not None else ():
        if item.key == key:
            found = item.value
    if isinstance(found, bool):
        return "true" if found else "false"
    said = str(found).strip() if isinstance(found, str | int | Decimal) else ""
    return said or None
