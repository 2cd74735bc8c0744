"""Manual sales as they are: the drop-in paths of a shop that already speaks to Jetti, and ``/orders``.

The caller is known by its token or hash and waits for the answer, so a body is validated inside the request
(:meth:`Native.parse`), with one reason per wrong field. What is a duplicate is decided with care: a body alone cannot
tell. A client that sends A, B and A again means A, and taking the second A for a copy of the first would leave B at
Jetti. So two events are the same only if the client says so, with an ``Idempotency-Key`` (or ``webhook-id``) and the
same body; any other repetition is a new event, and costs nothing where the sale is unchanged.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from relay.core import exact
from relay.core import sale as sales
from relay.core.instant import Instant
from relay.core.sale import Reason
from relay.core.sources import (
    Authentic,
    Cancel,
    Headers,
    Identified,
    Mapped,
    NotUnderstood,
    Unauthentic,
    Unmappable,
    Upsert,
    moment,
)

LINES_MAX = 2000
"""Lines of one sale at the most: validating is done while others wait. (Shopify's own limit is 500.)"""
_HEADER_MAX_CHARACTERS = 200
_TOPIC = "manual-sale"
_LINES_OF_JSON = frozenset("application/" + name for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonlines"))
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


class _Defaults(msgspec.Struct, gc=False, rename="camel"):
    reference: Any = None
    updated_at: Any = None
    date_ordered: Any = None
    cancelled: Any = None
    cancelled_at: Any = None
    channel_cancelled_at: Any = None


class _Head(msgspec.Struct, gc=False, rename="camel"):
    external_id: Any = None
    updated_at: Any = None
    sale_defaults: _Defaults | None = None


_heads = msgspec.json.Decoder(_Head, float_hook=exact.number)
_values = msgspec.json.Decoder(float_hook=exact.number)
_raw = msgspec.json.Decoder(msgspec.Raw)
_many = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Native:
    """A client that sends Jetti's own payload."""

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic:
        """Nothing in the body proves who sent it: the listener has checked the bearer token or the hash before."""
        return Unauthentic("a manual sale is not signed; the token or hash of its path is what authenticates it")

    def identify(self, headers: Headers, body: bytes, *, now: Instant, position: int = 0) -> Identified:
        """Which order. ``position`` is the body's place in its request, so that repetitions in one stay apart.

        The version is the body's ``updatedAt`` (its own, else that of ``saleDefaults``) where the client gives one;
        else there is none, and what arrives later is newer.
        """
        key = _dedupe_key(headers, body, now, position)
        try:
            head = _heads.decode(body)
        except (ValueError, RecursionError) as error:
            return NotUnderstood((Reason("", f"not a manual sale: {error}"),), key, _TOPIC)
        external_id = sales.identifier(head.external_id)
        if external_id is None:
            reason = Reason("/externalId", "expected an identifier of 1 to 255 printable characters")
            return NotUnderstood((reason,), key, _TOPIC)
        defaults = head.sale_defaults or _Defaults()
        version = moment(head.updated_at) or moment(defaults.updated_at)
        reference, created_at = _reference(defaults.reference), moment(defaults.date_ordered)
        if _is_cancelled(defaults):
            return Cancel(external_id, version, key, _TOPIC, reference, created_at)
        return Upsert(external_id, version, key, _TOPIC, reference, created_at)

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The body, validated. What :meth:`parse` calls malformed is a reason here."""
        parsed = self.parse(body)
        if isinstance(parsed, Malformed):
            return Unmappable((Reason("", f"not JSON, at byte {parsed.position}: {parsed.message}"),))
        return parsed

    def parse(self, body: bytes) -> Mapped | Unmappable | Malformed:
        """The body as a sale, or one reason per wrong field, each with its JSON pointer. Never raises."""
        try:
            payload = _values.decode(body)
        except msgspec.ValidationError as error:  # JSON, but with a number that is none we could keep exactly
            return Unmappable((Reason("", str(error)),))
        except (ValueError, RecursionError) as error:
            return _malformed(error, body)
        if (lines := _line_count(payload)) > LINES_MAX:
            return Unmappable((Reason("/lineItems", f"{lines} lines; an order may have {LINES_MAX}: split it"),))
        if sales.nests_deeper(payload):
            return Unmappable((Reason("", f"nested deeper than {sales.MAX_NESTING} levels"),))
        parsed = sales.parse(payload)
        return Unmappable(parsed) if isinstance(parsed, tuple) else Mapped(parsed)


def split(body: bytes, content_type: str = "application/json") -> tuple[bytes | Malformed, ...] | Malformed:
    """The sales in a request to ``/orders``, each byte for byte as it was sent.

    One JSON value is one sale and an array has one per element; malformed, either is malformed as a whole. NDJSON
    has one per line that is not blank; a malformed line spoils only itself, and its position is the one in the body.
    """
    if content_type.partition(";")[0].strip().lower() in _LINES_OF_JSON:
        return tuple(_lines(body))
    try:
        _check_text(body)
        if body.lstrip(b" \t\r\n")[:1] == b"[":
            return tuple(bytes(element) for element in _many.decode(body))
        return (bytes(_raw.decode(body)),)
    except (ValueError, RecursionError) as error:
        return _malformed(error, body)


def _lines(body: bytes) -> "list[bytes | Malformed]":
    found: list[bytes | Malformed] = []
    start = 0
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip(b" \t\r"):
            try:
                _check_text(line)
                found.append(bytes(_raw.decode(line)))
            except (ValueError, RecursionError) as error:
                found.append(_malformed(error, line, start, number))
        start += len(line) + 1
    return found


def _check_text(body: bytes) -> None:
    """Cut out as it is, text is not looked at. Raises :class:`UnicodeDecodeError` for what is no UTF-8."""
    if not body.isascii():
        body.decode()


def _malformed(error: Exception, body: bytes, start: int = 0, line: int | None = None) -> Malformed:
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


def _dedupe_key(headers: Headers, body: bytes, now: Instant, position: int) -> str:
    digest = hashlib.sha256(body).hexdigest()[:32]
    given = headers.get("Idempotency-Key") or headers.get("webhook-id") or ""
    if given and len(given) <= _HEADER_MAX_CHARACTERS and given.isascii() and given.isprintable():
        return f"{given}:{digest}:{position}"
    return f"at:{now}:{digest}:{position}"


def _reference(value: object) -> str | None:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text[:255] if text.strip() and text.isprintable() else None


def _is_cancelled(defaults: _Defaults) -> bool:
    """Jetti's sale columns: the flag where it is given, else the date."""
    if defaults.cancelled is not None:
        return defaults.cancelled in (True, "true")
    return bool(defaults.cancelled_at or defaults.channel_cancelled_at)
