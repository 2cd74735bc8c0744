"""Values as storefronts write them: text that is a number, ids that are text, blanks that mean nothing.

Wrong types are outcomes here and not exceptions: what cannot be read is ``None``, and the mapping says where.
"""

import re
from decimal import Decimal

import msgspec

from relay.core.sale import LINES_MAX, Reason
from relay.core.sources import Headers

LINES = msgspec.Meta(max_length=LINES_MAX)
"""A list of an order's lines: mapping them is done while others wait."""
ENTRIES = msgspec.Meta(max_length=500)
"""A list of what else there is several of: shipping lines, addresses, discounts of a line."""

_INT64_MAX = 2**63 - 1
_HEADER_MAX_CHARACTERS = 200
_REFERENCE_MAX_CHARACTERS = 255
_STEPS = re.compile(r"[A-Za-z0-9_]+")
_TOO_LONG = re.compile(r"Expected `(?:array|object)` of length <= ([0-9]+)")
_json = msgspec.json.Encoder(decimal_format="number")


def text(value: object) -> str | None:
    """Text worth sending: numbers become text, blanks nothing."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    return None


def written(value: object) -> str:
    """Any JSON value as an item property's text: text as it is, nothing as nothing, the rest as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else _json.encode(value).decode()


def whole_id(value: object) -> str | None:
    """A positive 64-bit id, a number or its digits as text; one text per id. ``None`` for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if type(value) is int and 0 < value <= _INT64_MAX:
        return str(value)
    return None


def reference(*candidates: object) -> str | None:
    """The first that says what the customer calls the order: short, and fit to be shown."""
    for value in candidates:
        if isinstance(value, str | int) and not isinstance(value, bool) and (found := str(value).strip()):
            return found[:_REFERENCE_MAX_CHARACTERS] if found.isprintable() else None
    return None


def header(headers: Headers, *names: str) -> str:
    """The first of these headers that is there; nothing if it is too long or holds what no identifier does.

    Headers are not signed and will be stored.
    """
    found = next(filter(None, (headers.get(name) for name in names)), "")
    return found if is_plain(found) else ""


def is_plain(value: str) -> bool:
    """Whether a stranger's text can be stored and shown as an identifier."""
    return len(value) <= _HEADER_MAX_CHARACTERS and value.isascii() and value.isprintable()


def undecoded(error: ValueError) -> Reason:
    """Why a decoder of msgspec did not take a body, with the JSON pointer to what was wrong."""
    if not isinstance(error, msgspec.ValidationError):
        return Reason("", f"not JSON: {error}")
    message, _, path = str(error).partition(" - at `$")
    if too_long := _TOO_LONG.fullmatch(message):
        message = f"more than {too_long[1]} entries: split the order"
    return Reason("".join("/" + step for step in _STEPS.findall(path)), message)
