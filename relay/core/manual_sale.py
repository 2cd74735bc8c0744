"""A manual sale as a client sends it: which order it is, and whether it is right.

Shared by the ways in that take Jetti's own payload: the drop-in paths and ``/orders``
(:mod:`relay.core.sources.native`), and signed webhooks that carry it.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from relay.core import exact
from relay.core import sale as sales
from relay.core.instant import Instant
from relay.core.sale import Reason
from relay.core.sources import Mapped, Unmappable, moment

_AT_BYTE = re.compile(r" ?\(byte ([0-9]+)\)")


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not JSON: refused with 400."""

    message: str
    """Without the position."""
    position: int
    """Of the first byte that is wrong in the whole body, from 0."""
    line: int | None = None
    """Of NDJSON: the line that it is in, from 1."""


@dataclass(frozen=True, slots=True)
class Head:
    """Which order, and which state of it."""

    external_id: str
    version: Instant | None
    """The body's ``updatedAt`` (its own, else that of ``saleDefaults``) where the client gives one."""
    reference: str | None
    created_at: Instant | None
    cancelled: bool


class _Defaults(msgspec.Struct, gc=False, rename="camel"):
    reference: Any = None
    updated_at: Any = None
    date_ordered: Any = None
    cancelled: Any = None
    cancelled_at: Any = None
    channel_cancelled_at: Any = None


class _Body(msgspec.Struct, gc=False, rename="camel"):
    external_id: Any = None
    updated_at: Any = None
    sale_defaults: _Defaults | None = None


_bodies = msgspec.json.Decoder(_Body, float_hook=exact.number)
_values = msgspec.json.Decoder(float_hook=exact.number)


def head(body: bytes) -> Head | Reason:
    """Which order a body is about, by a partial decoding of a few microseconds. Never raises."""
    try:
        return _head(_bodies.decode(body))
    except (ValueError, RecursionError) as error:
        return Reason("", f"not a manual sale: {error}")


def head_of(payload: object) -> Head | Reason:
    """The same of a body that is decoded already."""
    try:
        return _head(msgspec.convert(payload, _Body))
    except (ValueError, RecursionError) as error:
        return Reason("", f"not a manual sale: {error}")


def _head(body: _Body) -> Head | Reason:
    external_id = sales.identifier(body.external_id)
    if external_id is None:
        return Reason("/externalId", "expected an identifier of 1 to 255 printable characters")
    defaults = body.sale_defaults or _Defaults()
    version = moment(body.updated_at) or moment(defaults.updated_at)
    reference, created_at = _reference(defaults.reference), moment(defaults.date_ordered)
    return Head(external_id, version, reference, created_at, _is_cancelled(defaults))


def parse(body: bytes) -> Mapped | Unmappable | Malformed:
    """The body as a sale, or one reason per wrong field, each with its JSON pointer. Never raises."""
    if (too_many := sales.has_too_many_parts(body)) is not None:
        return Unmappable((too_many,))
    try:
        payload = _values.decode(body)
    except msgspec.ValidationError as error:  # JSON, but with a number that is none we could keep exactly
        return Unmappable((Reason("", str(error)),))
    except (ValueError, RecursionError) as error:
        return malformed(error, body)
    return parse_payload(payload)


def parse_payload(payload: object) -> Mapped | Unmappable:
    """The same of a body that is decoded already."""
    if (lines := _line_count(payload)) > sales.LINES_MAX:
        return Unmappable((Reason("/lineItems", f"{lines} lines; an order may have {sales.LINES_MAX}: split it"),))
    if sales.nests_deeper(payload):
        return Unmappable((Reason("", f"nested deeper than {sales.MAX_NESTING} levels"),))
    parsed = sales.parse(payload)
    return Unmappable(sales.bounded(parsed)) if isinstance(parsed, tuple) else Mapped(parsed)


def malformed(error: Exception, body: bytes, start: int = 0, line: int | None = None) -> Malformed:
    """What decoding raised, with its place in the whole request, in which the body begins at ``start``."""
    if isinstance(error, RecursionError):
        return Malformed("nested too deeply", start, line)
    if isinstance(error, UnicodeDecodeError):
        return Malformed("not UTF-8", start + max(0, body.find(error.object)) + error.start, line)
    said = str(error)
    at = _AT_BYTE.search(said)
    message = _AT_BYTE.sub("", said).removeprefix("JSON is malformed: ")
    return Malformed(message[:1].lower() + message[1:], start + (int(at[1]) if at else len(body)), line)


def _line_count(payload: object) -> int:
    lines = payload.get("lineItems") if isinstance(payload, dict) else None
    return len(lines) if isinstance(lines, list) else 0


def _reference(value: object) -> str | None:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text[:255] if text.strip() and text.isprintable() else None


def _is_cancelled(defaults: _Defaults) -> bool:
    """Jetti's sale columns: the flag where it is given, else the date."""
    if defaults.cancelled is not None:
        return defaults.cancelled in (True, "true")
    return bool(defaults.cancelled_at or defaults.channel_cancelled_at)
