"""What differs between JSON as it is expected and as it is found, in words for a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

import msgspec

from relay.core.recipe.expression import escaped

DIFFERENCES_MAX = 50
_SHOWN_MAX_CHARACTERS = 200
_NOTHING = "(nothing)"
_json = msgspec.json.Encoder(decimal_format="number", order="sorted")


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where they differ."""

    pointer: str
    """JSON pointer, or a word for what is no part of a document, such as ``disposition``."""
    expected: str
    """As JSON, cut where it is long; ``(nothing)`` for a member that is not there."""
    found: str

    def __str__(self) -> str:
        return f"{self.pointer or 'the whole'}: expected {self.expected}, got {self.found}"


def differences(expected: object, found: object, *, subset: bool = False) -> tuple[Difference, ...]:
    """Where two decoded values differ, in the order of what is expected; the first :data:`DIFFERENCES_MAX`.

    ``subset``: members that are found and not expected are no difference. Lists are always compared as wholes. A
    number is equal to another however it is written (``20`` and ``20.00``).
    """
    return tuple(islice(_compared("", expected, found, subset), DIFFERENCES_MAX))


def shown(value: object) -> str:
    """A value as JSON, cut where it is long."""
    text = _json.encode(value).decode()
    return text if len(text) <= _SHOWN_MAX_CHARACTERS else f"{text[:_SHOWN_MAX_CHARACTERS]}…"


def _compared(pointer: str, expected: object, found: object, subset: bool) -> Iterator[Difference]:
    if isinstance(expected, dict) and isinstance(found, dict):
        more = () if subset else (key for key in found if key not in expected)
        for key in (*expected, *more):
            below = f"{pointer}/{escaped(key)}"
            if key not in found:
                yield Difference(below, shown(expected[key]), _NOTHING)
            elif key not in expected:
                yield Difference(below, _NOTHING, shown(found[key]))
            else:
                yield from _compared(below, expected[key], found[key], subset)
    elif isinstance(expected, list) and isinstance(found, list):
        for i, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from _compared(f"{pointer}/{i}", one, other, subset)
        for i in range(len(found), len(expected)):
            yield Difference(f"{pointer}/{i}", shown(expected[i]), _NOTHING)
        for i in range(len(expected), len(found)):
            yield Difference(f"{pointer}/{i}", _NOTHING, shown(found[i]))
    elif not _equal(expected, found):
        yield Difference(pointer, shown(expected), shown(found))


def _equal(one: object, other: object) -> bool:
    numbers = [isinstance(each, int | Decimal) and not isinstance(each, bool) for each in (one, other)]
    return one == other and (all(numbers) or type(one) is type(other))
