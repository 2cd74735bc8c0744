"""Manual sales as they are: the drop-in paths of a shop that already speaks to Jetti, and ``/orders``.

The caller is known by its token or hash and waits for the answer, so a body is validated inside the request
(:meth:`Native.parse`), with one reason per wrong field. What is a duplicate is decided with care: a body alone cannot
tell. A client that sends A, B and A again means A, and taking the second A for a copy of the first would leave B at
Jetti. So two events are the same only if the client says so, with an ``Idempotency-Key`` (or ``webhook-id``) and the
same body; any other repetition is a new event, and costs nothing where the sale is unchanged.
"""

import hashlib
from dataclasses import dataclass

import msgspec

from relay.core import manual_sale
from relay.core.instant import Instant
from relay.core.manual_sale import Malformed, malformed
from relay.core.sale import LINES_MAX, Reason
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
)

__all__ = ["LINES_MAX", "Malformed", "Native", "split"]

_HEADER_MAX_CHARACTERS = 200
_TOPIC = "manual-sale"
_LINES_OF_JSON = frozenset("application/" + name for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonlines"))
_raw = msgspec.json.Decoder(msgspec.Raw)
_many = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Native:
    """A client that sends Jetti's own payload."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The client's own id of the request."""
        return ("Idempotency-Key", "webhook-id")

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic:
        """Nothing in the body proves who sent it: the listener has checked the bearer token or the hash before."""
        return Unauthentic("a manual sale is not signed; the token or hash of its path is what authenticates it")

    def identify(self, headers: Headers, body: bytes, *, now: Instant, position: int = 0) -> Identified:
        """Which order. ``position`` is the body's place in its request, so that repetitions in one stay apart.

        The version is the body's ``updatedAt`` (its own, else that of ``saleDefaults``) where the client gives one;
        else there is none, and what arrives later is newer.
        """
        key = _dedupe_key(headers, body, now, position)
        head = manual_sale.head(body)
        if isinstance(head, Reason):
            return NotUnderstood((head,), key, _TOPIC)
        event = Cancel if head.cancelled else Upsert
        return event(head.external_id, head.version, key, _TOPIC, head.reference, head.created_at)

    def strip(self, body: bytes) -> bytes:
        """Nothing: a manual sale has no place for a secret."""
        return body

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The body, validated. What :meth:`parse` calls malformed is a reason here."""
        parsed = self.parse(body)
        if isinstance(parsed, Malformed):
            return Unmappable((Reason("", f"not JSON, at byte {parsed.position}: {parsed.message}"),))
        return parsed

    def parse(self, body: bytes) -> Mapped | Unmappable | Malformed:
        """The body as a sale, or one reason per wrong field, each with its JSON pointer. Never raises."""
        return manual_sale.parse(body)


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
        return malformed(error, body)


def _lines(body: bytes) -> "list[bytes | Malformed]":
    found: list[bytes | Malformed] = []
    start = 0
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip(b" \t\r"):
            try:
                _check_text(line)
                found.append(bytes(_raw.decode(line)))
            except (ValueError, RecursionError) as error:
                found.append(malformed(error, line, start, number))
        start += len(line) + 1
    return found


def _check_text(body: bytes) -> None:
    """Cut out as it is, text is not looked at. Raises :class:`UnicodeDecodeError` for what is no UTF-8."""
    if not body.isascii():
        body.decode()


def _dedupe_key(headers: Headers, body: bytes, now: Instant, position: int) -> str:
    digest = hashlib.sha256(body).hexdigest()[:32]
    given = headers.get("Idempotency-Key") or headers.get("webhook-id") or ""
    if given and len(given) <= _HEADER_MAX_CHARACTERS and given.isascii() and given.isprintable():
        return f"{given}:{digest}:{position}"
    return f"at:{now}:{digest}:{position}"
