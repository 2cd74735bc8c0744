"""What of a storefront's JSON makes no difference: it could say something else, and the same would be sent.

This is found by trying, and so holds for every kind of storefront, also those of other packages: values are changed,
and what comes of the changed document is compared. A value that only decides (whether an order is wanted, which state
of it is newer) is looked at, and so not lost, unless nothing but certain other words would decide otherwise. Nulls and
empty values are not told, because nothing is lost with them.

Trying costs, so it is bounded: values in the same place of different list elements are changed together, and then
halved where they make a difference, as far as the bounds go. Places that are beyond them as a whole are judged by
comparison alone (:func:`relay.core.recipe.left_out`), which can miss something.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from relay.core.recipe import document, left_out
from relay.core.recipe.expression import escaped
from relay.core.sale import Sale

LEAVES_MAX = 100_000
_TRIES_MAX = 2_000
_TRIED_MAX_BYTES = 20 * 1024 * 1024
_POSITION = re.compile(r"(?<=/)[0-9]+(?=/|$)")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,20})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_json = msgspec.json.Encoder(decimal_format="number")

Leaf = str | int | bool | Decimal


@dataclass(frozen=True, slots=True)
class Lost:
    """A value that makes no difference, with all that differ from it only in list positions."""

    pointer: str
    """JSON pointer; with ``*`` for the positions where there are several."""
    count: int
    of: int
    """How many there are in such a place; the others make a difference."""
    value: Leaf = field(repr=False)
    """The first one."""
    within: str = ""
    """The outermost object or list in which nothing makes a difference; empty where that is the value itself."""


@dataclass(frozen=True, slots=True)
class Losses:
    """All there are, in the order of the document."""

    lost: tuple[Lost, ...]
    values: int
    """How many values the document has."""
    tried: bool = True
    """Whether every one was tried by itself, as far as that matters; if not, something may be missing."""

    @property
    def count(self) -> int:
        """How many values make no difference."""
        return sum(each.count for each in self.lost)


@dataclass(slots=True)
class _Place:
    """Where a leaf is, so that it can be changed."""

    pointer: str
    container: Any
    key: Any
    value: Leaf


def losses(body: bytes, sale: Sale, outcome: Callable[[bytes], object]) -> Losses | None:
    """What of a body makes no difference to its outcome; ``None`` for a body that is no JSON. Never raises.

    ``outcome`` is what comes of a body, to be compared; ``sale`` is what the values are compared with where there are
    too many to be tried.
    """
    root = document.decoded(body)
    if not isinstance(root, dict | list):
        return None
    groups: dict[str, list[_Place]] = {}
    for place in _places(root):
        groups.setdefault(_pattern(place.pointer), []).append(place)
    trial = _Trial(root, outcome, body)
    together = {pattern: trial.matters(places) for pattern, places in groups.items()}
    untried = [pattern for pattern, matters in together.items() if matters is None]
    left = {pattern: [] if matters else groups[pattern] for pattern, matters in together.items()}
    left |= {pattern: trial.without_effect(groups[pattern]) for pattern, matters in together.items() if matters}
    if untried:
        told = {_pattern(each.pointer) for each in left_out(body, sale, LEAVES_MAX)}
        left |= {pattern: groups[pattern] if pattern in told else [] for pattern in untried}
    found = [
        Lost(places[0].pointer if len(places) == 1 else pattern, len(places), len(groups[pattern]), places[0].value)
        for pattern, places in left.items()
        if places
    ]
    return Losses(tuple(_gathered(found, groups)), sum(map(len, groups.values())), trial.is_whole)


def _gathered(found: Sequence[Lost], groups: Iterable[str]) -> Iterator[Lost]:
    """With the outermost container in which everything is lost."""
    wholly = {_pattern(each.pointer) for each in found if each.count == each.of}
    kept = {above for pattern in groups if pattern not in wholly for above in _above(pattern)}
    for each in found:
        pattern = _pattern(each.pointer)
        within = next((above for above in _above(pattern) if above not in kept), "") if pattern in wholly else ""
        yield Lost(each.pointer, each.count, each.of, each.value, within)


def _above(pattern: str) -> Iterator[str]:
    """The containers of a place, the outermost first, without the document itself."""
    parts = pattern.split("/")
    return ("/".join(parts[:length]) for length in range(2, len(parts)))


def _pattern(pointer: str) -> str:
    return _POSITION.sub("*", pointer)


def _places(root: Any) -> Iterator[_Place]:
    """The values of a document that say something, in its order."""
    pending: list[_Place] = [_Place("", None, None, root)]
    count = 0
    while pending and count < LEAVES_MAX:
        place = pending.pop()
        node: Any = place.value
        if isinstance(node, dict):
            pending.extend(_Place(f"{place.pointer}/{escaped(key)}", node, key, node[key]) for key in reversed(node))
        elif isinstance(node, list):
            pending.extend(_Place(f"{place.pointer}/{i}", node, i, node[i]) for i in range(len(node) - 1, -1, -1))
        elif node is not None and node != "":
            count += 1
            yield place


class _Trial:
    """Changes values, and sees whether that makes a difference; within bounds."""

    def __init__(self, root: object, outcome: Callable[[bytes], object], body: bytes) -> None:
        self._root = root
        self._outcome = outcome
        self._left = _TRIES_MAX
        self._bytes_left = _TRIED_MAX_BYTES
        self._refused = False
        self._usual = self._tried()
        if self._usual != outcome(body):  # written anew it is another document: a number beyond 64 bits, a double key
            self._left = 0

    @property
    def is_whole(self) -> bool:
        """Whether there was room for everything that was asked."""
        return not self._refused

    def matters(self, places: Sequence[_Place]) -> bool | None:
        """Whether any of these values makes a difference; ``None`` if there is no room to try."""
        if self._left <= 0 or self._bytes_left <= 0:
            self._refused = True
            return None
        return any(self._makes_a_difference(places, which) for which in (0, 1))

    def without_effect(self, places: list[_Place]) -> list[_Place]:
        """Those of places, of which some make a difference, that make none, as far as there is room to try."""
        found: set[str] = set()
        pending = [places]
        while pending:
            some = pending.pop()
            half = len(some) // 2
            for part in (some[:half], some[half:]) if half else ():
                matters = self.matters(part)
                if matters:
                    pending.append(part)
                elif matters is False:
                    found.update(place.pointer for place in part)
        return [place for place in places if place.pointer in found]

    def _makes_a_difference(self, places: Sequence[_Place], which: int) -> bool:
        changed = [_other(place.value, which) for place in places]
        for place, value in zip(places, changed, strict=True):
            place.container[place.key] = value
        try:
            return self._tried() != self._usual
        finally:
            for place in places:
                place.container[place.key] = place.value

    def _tried(self) -> object:
        try:
            body = _json.encode(self._root)
            self._left -= 1
            self._bytes_left -= len(body)
            return self._outcome(body)
        except Exception as error:  # noqa: BLE001 - what a source raises for a strange value is a difference, too
            return type(error)


def _other(value: Leaf, which: int) -> Leaf:
    """Another value of the same kind, one of two: what looks only at the beginning of a text, or takes the smaller of
    two numbers, sees at least one of them."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | Decimal):
        return value + 1 if which == 0 else 0 if value else 2
    if _NUMBER.fullmatch(value):
        at = len(value) - 1 if which == 0 else value.startswith("-")
        return value[:at] + ("1" if value[at] == "0" else str(int(value[at]) - 1 or 2)) + value[at + 1 :]
    if _DATE.match(value):
        return f"{int(value[:4]) - 1 - which:04}{value[4:]}"
    return value + "x" if which == 0 else "x" + value
