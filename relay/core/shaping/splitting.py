"""One line per unit, as Jetti documents it: quantity 1 each, and an id with the unit's number, ``<line id>_<1…n>``.

Units keep their ids over an order's updates. What they were is told by the sale that was sent last
(:func:`relay.core.shaping.memory.units_in`): how many a line ever had; what their ids begin with, so that a setting
that is changed later, or a second line with the same SKU, does not rename what Jetti has; and which lines were sent
whole before splitting was turned on, which they then stay.

Fewer units than before: nothing documents that Jetti removes a line because a sale leaves it out, and a quantity of 0
says it, so units beyond the quantity are sent with 0 (``removed_units``). Which of several equal units was removed,
storefronts do not say; it is taken to be the last. A line that is left out altogether is the source's to decide about.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from relay.core import exact
from relay.core import sale as sales
from relay.core.recipe import Criterion, Fault
from relay.core.sale import LineItem, Property, Reason
from relay.core.shaping.conditions import condition
from relay.core.shaping.memory import UNIT, WHOLE
from relay.core.shaping.tables import Table
from relay.core.sources import Unmappable

Ids = Literal["line", "sku"]
RemovedUnits = Literal["zero", "omit"]
UNITS_MAX = 1000
"""Units of one line."""
LINES_MAX = 2000
"""Lines of one sale, once it is split."""
_NAMES_SHOWN = 3
_OFF = "turn split_lines off for this storefront"


@dataclass(frozen=True, slots=True)
class Splitting:
    """How lines are split. Made by :func:`splitting`."""

    ids: Ids = "line"
    """What a unit's id begins with. ``sku``: of lines that share a SKU only the first has it, the others have the line
    id, so that a second one that is put in front of it later takes its ids over; and a SKU that is changed in the shop
    changes the ids of orders that were sent."""
    removed_units: RemovedUnits = "zero"
    """Units that are no more: sent with quantity 0, or left out."""
    per_unit_properties: bool = False
    """Deal out a property whose value is a list with exactly one entry per unit: the first to unit 1, and so on."""
    when: Criterion | None = None
    """Which lines are split, by a condition like those of routing rules; the others stay whole."""
    by_default: bool = True
    """Whether lines that do not ask for it themselves are split."""


ONLY_WHAT_ASKS = Splitting(by_default=False)


@dataclass(frozen=True, slots=True)
class Split:
    """The lines, one per unit."""

    lines: tuple[LineItem, ...]


def splitting(given: object, key: str, faults: list[Fault]) -> Splitting | None:
    """``true``, ``false``, or a table with the settings; ``None``: lines are not split."""
    if given is None or isinstance(given, bool):
        return Splitting() if given else None
    table = Table(given, key, faults)
    made = Splitting(
        ids="sku" if table.choice("ids", get_args(Ids)) == "sku" else "line",
        removed_units="omit" if table.choice("removed_units", get_args(RemovedUnits)) == "omit" else "zero",
        per_unit_properties=table.flag("per_unit_properties") or False,
        when=condition(table, "when"),
    )
    table.finish()
    return made


def split(
    lines: Sequence[LineItem], by: Splitting, units: Mapping[str, int], chosen: Container[int], *, prefix: str = "",
    notes: list[Reason],
) -> Split | Unmappable:  # fmt: skip
    """The ``chosen`` lines (by their positions), one per unit; the others whole.

    ``prefix``: what the lines' ids were given in front, and SKUs then are too.
    """
    names = _Names(by, units, prefix, lines, notes)
    names.chosen = chosen
    plans = [_plan(i, line, names) for i, line in enumerate(lines)]
    reasons = [reason for plan in plans for reason in plan.reasons()]
    if reasons:
        return Unmappable(tuple(reasons))
    # A sale must have lines: an order of which nothing is left says so with quantities of 0.
    omit = by.removed_units == "omit" and any(plan.count(omit=True) for plan in plans)
    total = sum(plan.count(omit=omit) for plan in plans)
    if total > LINES_MAX:
        message = f"{total} lines, one per unit; a sale may have {LINES_MAX}: {_OFF}"
        return Unmappable((Reason("/lineItems", message),))
    made = tuple(unit for plan in plans for unit in _units(plan, by, omit=omit, notes=notes))
    twice = _twice(made)
    if twice is not None:
        message = f"two lines have the id {exact.shown(twice)} once they are split: give them other ids, or {_OFF}"
        return Unmappable((Reason("/lineItems", message),))
    return Split(made)


class _Names:
    """Decides what the ids of each line's units begin with."""

    def __init__(
        self, by: Splitting, units: Mapping[str, int], prefix: str, lines: Sequence[LineItem], notes: list[Reason]
    ) -> None:
        self.units = units
        self._by = by
        self._prefix = prefix
        self._notes = notes
        self._ids = {line.external_id for line in lines}
        self._bases = self._ids | {prefix + line.variant.sku for line in lines if line.variant and line.variant.sku}
        self._taken: set[str] = set()
        self.chosen: Container[int] = range(len(lines))

    def base(self, i: int, line: LineItem) -> str | None:
        """What it was before, else as the setting says; ``None``: the line stays whole."""
        if i not in self.chosen and not self._was_split(line):
            return None
        if i not in self.chosen:
            message = "its units were sent one by one before, so they stay apart"
            self._notes.append(Reason(f"/lineItems/{i}", message))
        elif self._is_whole(line):
            self._notes.append(Reason(f"/lineItems/{i}", "was sent as one line before lines were split, and stays one"))
            return None
        base = self._base(i, line)
        self._taken.add(base)
        return base

    def _was_split(self, line: LineItem) -> bool:
        sku = None if line.variant is None else line.variant.sku
        base = f"{self._prefix}{sku}"
        own = self.units.get(line.external_id, WHOLE) > WHOLE
        return own or (bool(sku) and base not in self._taken and self.units.get(base, WHOLE) > WHOLE)

    def _is_whole(self, line: LineItem) -> bool:
        if self.units.get(line.external_id) != WHOLE:
            return False
        unit = UNIT.fullmatch(line.external_id)
        was_a_unit = unit is not None and unit[1] in self._bases and self.units.get(unit[1], WHOLE) >= int(unit[2])
        return not was_a_unit

    def _base(self, i: int, line: LineItem) -> str:
        own = line.external_id
        if self.units.get(own, WHOLE) > WHOLE:
            return own
        sku = None if line.variant is None else line.variant.sku
        base = f"{self._prefix}{sku}"
        why = None
        if not sku or not sku.strip():
            why = "has no SKU"
        elif not _fits(base, UNITS_MAX):
            why = "has a SKU that is no id"
        elif base in self._taken or (base != own and base in self._ids):
            why = "shares its SKU with another line"
        if why is None and (self._by.ids == "sku" or self.units.get(base, WHOLE) > WHOLE):
            return base
        if self._by.ids == "sku":
            message = f"the line {why}: its units' ids begin with the line's id instead"
            self._notes.append(Reason(f"/lineItems/{i}/variant/sku", message))
        return own


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is made of one line."""

    pointer: str
    line: LineItem
    base: str | None
    """What its units' ids begin with; ``None``: it stays whole."""
    highest: int
    """The number of the last unit that was ever known; 1 at least, so that a line of which nothing is left says so."""

    def count(self, *, omit: bool) -> int:
        """How many lines it becomes. ``omit``: without those for units that are gone."""
        if self.base is None:
            return 1
        return min(self.highest, self.line.quantity) if omit else self.highest

    def reasons(self) -> Iterator[Reason]:
        """Why it cannot be."""
        if self.base is not None and self.highest > UNITS_MAX:
            message = f"{self.highest} units; a line that is split may have {UNITS_MAX}: {_OFF}"
            yield Reason(f"{self.pointer}/quantity", message)
        elif self.base is not None and not _fits(self.base, self.highest):
            message = f"an id of {len(self.base)} characters leaves no room for a unit's number: {_OFF}"
            yield Reason(f"{self.pointer}/externalId", message)


def _plan(i: int, line: LineItem, names: _Names) -> _Plan:
    base = names.base(i, line)
    known = WHOLE if base is None else names.units.get(base, WHOLE)
    return _Plan(f"/lineItems/{i}", line, base, max(known, line.quantity, 1))


def _fits(base: str, number: int) -> bool:
    return sales.identifier(f"{base}_{number}") is not None


def _units(plan: _Plan, by: Splitting, *, omit: bool, notes: list[Reason]) -> Iterator[LineItem]:
    line = plan.line
    if plan.base is None:
        yield line
        return
    count = plan.count(omit=omit)
    _note_gone(plan, count, notes)
    if count > 1:
        _note_sums(plan, notes)
    dealt = _dealt(plan, notes) if by.per_unit_properties else {}
    for number in range(1, count + 1):
        changes: dict[str, object] = {
            "external_id": f"{plan.base}_{number}",
            "quantity": 1 if number <= line.quantity else 0,
        }
        if dealt:
            changes["properties"] = tuple(_properties_of(line, dealt, number))
        yield line.model_copy(update=changes)


def _note_gone(plan: _Plan, count: int, notes: list[Reason]) -> None:
    gone = plan.highest - plan.line.quantity
    how = "sent with quantity 0" if count == plan.highest else "left out"
    if gone and (plan.line.quantity or how == "left out"):  # of a line that is gone as a whole, 0 says it all
        message = f"{gone} of {plan.highest} units, taken to be the last ones, are gone and are {how}"
        notes.append(Reason(f"{plan.pointer}/quantity", message))


def _note_sums(plan: _Plan, notes: list[Reason]) -> None:
    """What only the storefront knows the meaning of is on every unit; a sum for the line would be multiplied."""
    names = [name for name, value in (plan.line.model_extra or {}).items() if _is_number(value)]
    if names:
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        shown = ", ".join(exact.shown(name) for name in names[:_NAMES_SHOWN])
        notes.append(Reason(plan.pointer, f"{shown}{more}: repeated on every unit, wrong if it is a sum for the line"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _dealt(plan: _Plan, notes: list[Reason]) -> dict[int, Sequence[object]]:
    """The properties, by position, that have one value per unit: of those there are, or of those there ever were."""
    dealt: dict[int, Sequence[object]] = {}
    for j, item in enumerate(plan.line.properties or ()):
        if not isinstance(item.value, list | tuple):
            continue
        if len(item.value) in (plan.line.quantity, plan.highest):
            dealt[j] = item.value
        else:
            message = f"a list of {len(item.value)} for {plan.line.quantity} units is not dealt out: every unit has it"
            notes.append(Reason(f"{plan.pointer}/properties/{j}", message))
    return dealt


def _properties_of(line: LineItem, dealt: Mapping[int, Sequence[object]], number: int) -> Iterator[Property]:
    for j, item in enumerate(line.properties or ()):
        if j not in dealt:
            yield item
        elif number <= len(dealt[j]):
            yield item.model_copy(update={"value": dealt[j][number - 1]})


def _twice(lines: Sequence[LineItem]) -> str | None:
    """An id that two lines have."""
    seen: set[str] = set()
    for line in lines:
        if line.external_id in seen:
            return line.external_id
        seen.add(line.external_id)
    return None
