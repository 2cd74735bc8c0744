"""Rows and values: what the tables' columns are, and how a value is read from them and written to them."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import zstandard

from relay.core import delivery, trace
from relay.core.backlog import Waiting
from relay.core.delivery import Lane, State
from relay.core.order import Disposition, Lease, Order
from relay.core.outcome import Cause
from relay.core.sale import Reason
from relay.store import Attempt, Deed, Event, Replay, Selection

T = TypeVar("T")
Row = tuple[Any, ...]

ORDER_COLUMNS = (
    "id", "storefront", "external_id", "channel", "reference", "version", "revision", "event_id", "cancelled_at",
    "delivered_revision", "delivered_digest", "state", "lane", "due_at", "urgency", "accepted_at", "since", "attempts",
    "failing_us", "may_be_there", "held_since", "released_at", "cause_code", "cause_message", "cause_status", "run",
)  # fmt: skip
_STATE, _LANE, _CAUSE = (ORDER_COLUMNS.index(column) for column in ("state", "lane", "cause_code"))
EVENT_COLUMNS = (
    "id", "storefront", "topic", "received_at", "disposition", "order_id", "version", "revision", "duplicate_of",
    "reasons", "trace",
)  # fmt: skip
ORDERS = ", ".join(ORDER_COLUMNS)
EVENTS = ", ".join(EVENT_COLUMNS)
ATTEMPTS = "revision, started_at, duration_s, outcome, status, code, message, excerpt"
DEEDS = 'at, "by", what, about, why, token'
REPLAYS = """id, code, channel, storefront, since, until, begun_at, "by", why, total, revived, "left", order_id,
    event_id, ended_at, deed_id"""

LOST = "disposition = 'quarantined' AND order_id IS NULL"
"""Events from which no order could be read; the indexes ``events_lost…`` hold exactly these."""
FINISHED = "(" + ", ".join(f"'{state}'" for state in sorted(delivery.FINISHED)) + ")"
"""The states in which an order needs nothing more, for SQL."""


def order_row(order: Order, run: int) -> Row:
    cause = order.cause
    return (
        order.id, order.storefront, order.external_id, order.channel, order.reference, order.version, order.revision,
        order.event_id, order.cancelled_at, order.delivered_revision, order.delivered_digest, order.state, order.lane,
        order.due_at, order.urgency, order.accepted_at, order.since, order.attempts, order.failing_us,
        order.may_be_there, order.held_since, order.released_at,
        *((None, None, None) if cause is None else (cause.code, cause.message, cause.status)), run,
    )  # fmt: skip


def order_of(row: Row, lease: Lease | None) -> Order:
    values: dict[str, Any] = dict(zip(ORDER_COLUMNS[:_CAUSE], row, strict=False))
    values["state"], values["lane"] = State(row[_STATE]), Lane(row[_LANE])
    values["may_be_there"] = bool(values["may_be_there"])
    code, message, status, _ = row[_CAUSE:]
    return Order(**values, cause=None if code is None else Cause(code, message, status), lease=lease)


def event_row(event: Event, digest: bytes | None) -> Row:
    return (
        event.id, event.storefront, event.topic, event.received_at, event.disposition, event.order_id, event.version,
        event.revision, event.duplicate_of, reasons_text(event.reasons), trace.kept(event.trace), digest,
    )  # fmt: skip


def event_of(row: Row) -> Event:
    values: dict[str, Any] = dict(zip(EVENT_COLUMNS, row, strict=True))
    values["disposition"] = Disposition(values["disposition"])
    values["reasons"] = reasons_of(values["reasons"])
    values["trace"] = trace.again(values["trace"] or "")
    return Event(**values)


def reasons_text(reasons: Iterable[Reason]) -> str | None:
    return json.dumps([{"pointer": r.pointer, "message": r.message} for r in reasons]) if reasons else None


def reasons_of(text: str | None) -> tuple[Reason, ...]:
    return tuple(Reason(**reason) for reason in json.loads(text or "[]"))


def headers_text(headers: Mapping[str, str] | None) -> str | None:
    return json.dumps(dict(headers)) if headers else None


def headers_of(text: str | None) -> dict[str, str]:
    headers: dict[str, str] = json.loads(text or "{}")
    return headers


def attempt_row(attempt: Attempt) -> Row:
    return (
        attempt.revision, attempt.started_at, attempt.duration_s, attempt.outcome, attempt.status, attempt.code,
        attempt.message, attempt.excerpt,
    )  # fmt: skip


def deed_row(deed: Deed) -> Row:
    return deed.at, deed.by, deed.what, deed.about, deed.why, deed.token


def replay_of(row: Row) -> Replay:
    replay_id, *selection = row[:6]
    return Replay(replay_id, Selection(*selection), *row[6:])


def waiting_of(row: Row) -> Waiting:
    return Waiting(*row)


def bodies(connection: sqlite3.Connection, event_ids: Sequence[int]) -> dict[int, tuple[str, bytes]]:
    """Topic and body of each event whose body is kept and whole."""
    if not event_ids:
        return {}
    query = f"""SELECT id, topic, body FROM events JOIN bodies ON event_id = id
                WHERE id IN ({marks(event_ids)})"""  # noqa: S608 - our own names
    unpack = zstandard.ZstdDecompressor().decompress
    found: dict[int, tuple[str, bytes]] = {}
    for event_id, topic, body in connection.execute(query, event_ids):
        try:
            found[event_id] = (topic, unpack(body))
        except zstandard.ZstdError:  # the disk lied: as good as gone, and no reason to fail for ever
            continue
    return found


def unpacked(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(body)


def marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def padded(values: Sequence[T]) -> Sequence[T]:
    """Repeated at the end up to a power of two, so that few different statements are prepared."""
    return [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))]


def chunks(rows: Sequence[T], most: int) -> Iterable[Sequence[T]]:
    """In sizes that are powers of two, so that few different statements are prepared, and those again and again."""
    at = 0
    while at < len(rows):
        size = min(most, 1 << ((len(rows) - at).bit_length() - 1))
        yield rows[at : at + size]
        at += size
