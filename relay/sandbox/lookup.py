"""The query language of Jetti's read side, as far as it is known.

Documented: ``where[externalId]=X``, ``where[channelId]``, ``where[reference]``, ``from``. In the vendor's published
code: ``$in``, ``limit``, ``attributes[0]``, ``order[attribute]``. Inferred: ``from`` counts rows, and the limits.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from relay.sandbox.problems import Problem, problem

DEFAULT_LIMIT = 100
MAX_LIMIT = 250
MAX_DIGITS = 18

_WHERE = re.compile(r"where\[(\w+)\](?:\[\$in\]\[\d*\])?")
_ATTRIBUTE = re.compile(r"attributes\[\d*\]")

Row = TypeVar("Row")
Fields = Mapping[str, Callable[[Row], Any]]
"""How the attributes that can be asked for are read from a row."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question. ``where`` names the values each attribute may have, as text."""

    where: Mapping[str, frozenset[str]]
    limit: int = DEFAULT_LIMIT
    skip: int = 0
    attributes: frozenset[str] | None = None
    order: str | None = None
    descending: bool = False

    def select(self, rows: Iterable[Row], fields: Fields[Row]) -> list[Row]:
        """The rows that answer it."""
        found: Iterator[Row] = (
            row for row in rows if all(str(fields[name](row)) in given for name, given in self.where.items())
        )
        if self.order is not None:
            found = iter(sorted(found, key=fields[self.order], reverse=self.descending))
        return list(islice(found, self.skip, self.skip + self.limit))

    def show(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Only the attributes asked for."""
        if self.attributes is None:
            return row
        return {name: value for name, value in row.items() if name in self.attributes}


def parse(query: Iterable[tuple[str, str]], known: Iterable[str]) -> Lookup | Problem:
    """The question in a query string, for rows with the ``known`` attributes; other parameters are a problem."""
    where: dict[str, set[str]] = {}
    attributes: set[str] = set()
    other: dict[str, str] = {}
    for name, value in query:
        if match := _WHERE.fullmatch(name):
            where.setdefault(match[1], set()).add(value)
        elif _ATTRIBUTE.fullmatch(name):
            attributes.add(value)
        else:
            other[name] = value
    limit, skip = other.pop("limit", str(DEFAULT_LIMIT)), other.pop("from", "0")
    order = other.pop("order[attribute]", None)
    descending = other.pop("order[descending]", "false") == "true"
    strange = [*other, *(set(where) | ({order} if order else set())) - set(known)]
    if strange:
        return _bad(f"Cannot look up by {', '.join(sorted(strange))}.")
    limit_rows, skip_rows = whole(limit), whole(skip)
    if limit_rows is None or skip_rows is None:
        return _bad("limit and from are whole numbers.")
    given = {name: frozenset(values) for name, values in where.items()}
    narrowed = frozenset(attributes) or None
    return Lookup(given, min(limit_rows, MAX_LIMIT), skip_rows, narrowed, order, descending)


def whole(text: str) -> int | None:
    """The number, when the text is nothing but a sensible one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def _bad(detail: str) -> Problem:
    return problem("api.resources.find.invalid", 422, detail)
