"""Look-ups: each is given a connection that sees one snapshot."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from heapq import merge, nlargest
from itertools import islice

import zstandard

from relay.core.backlog import Waiting
from relay.core.condition import Condition, decode
from relay.core.delivery import Lane, State
from relay.core.instant import Instant
from relay.core.order import Order
from relay.core.trace import Trace, again
from relay.store import (
    NO_ORDER,
    Attempt,
    DeadGroup,
    DeadPlace,
    DeadTally,
    Deed,
    Event,
    HeldGroup,
    HeldPlace,
    LostEvent,
    Replay,
    Selection,
    Sender,
    Tally,
    Timeline,
    dead_place,
)
from relay.store.sqlite.rows import (
    ATTEMPTS,
    DEEDS,
    EVENTS,
    LOST,
    ORDERS,
    REPLAYS,
    Row,
    event_of,
    headers_of,
    marks,
    reasons_of,
    replay_of,
    unpacked,
    waiting_of,
)

Reader = sqlite3.Connection
AsOrder = Callable[[Row], Order]

_HEAD = """SELECT urgency, id FROM orders WHERE state = 'waiting' AND channel = ? AND lane = ?
           ORDER BY urgency, id LIMIT ?"""
_AHEAD = """SELECT count(*) FROM (SELECT 1 FROM orders INDEXED BY orders_backlog
            WHERE state = 'waiting' AND channel = ? AND lane = ? AND (urgency, id) < (?, ?) LIMIT ?)"""
_OLDEST_DUE = """SELECT due_at FROM orders WHERE state = 'waiting' AND channel = ? AND lane = ?
                 ORDER BY urgency, id LIMIT 1"""
_SLEEPERS_DUE = """SELECT (SELECT min(due_at) FROM orders WHERE state = 'sleeping' AND channel = :channel),
                          (SELECT max(due_at) FROM orders WHERE state = 'sleeping' AND channel = :channel)"""
_ORDER = f"SELECT {ORDERS} FROM orders WHERE id = ?"  # noqa: S608 - our own names, here and below
_FIND = f"SELECT {ORDERS} FROM orders WHERE reference = ? OR external_id = ? ORDER BY id DESC LIMIT ?"  # noqa: S608
_TIMELINE_EVENTS = f"SELECT {EVENTS} FROM events WHERE order_id = ? ORDER BY id DESC LIMIT ?"  # noqa: S608
_TRACES = """SELECT trace FROM (SELECT revision, trace FROM events WHERE order_id = ? ORDER BY id DESC LIMIT ?)
             WHERE trace IS NOT NULL AND revision >= ?"""
_TIMELINE_ATTEMPTS = f"SELECT {ATTEMPTS} FROM attempts WHERE order_id = ? ORDER BY id DESC LIMIT ?"  # noqa: S608
_COUNT_LOST = f"SELECT 1 FROM events INDEXED BY events_lost_since WHERE {LOST} LIMIT ?"  # noqa: S608
_DEAD_GROUPS = """
    SELECT coalesce(cause_code, ''), channel, storefront, count(*), min(since), max(since),
        coalesce((SELECT cause_message FROM orders newest WHERE newest.state = 'dead'
            AND newest.cause_code IS dead.cause_code AND newest.channel = dead.channel
            AND newest.storefront = dead.storefront
            ORDER BY newest.since DESC, newest.id DESC LIMIT 1), '')
    FROM orders dead INDEXED BY orders_dead_cause WHERE state = 'dead' GROUP BY cause_code, channel, storefront"""
_LOST_GROUPS = f"""
    SELECT storefront, count(*), min(received_at), max(received_at),
        (SELECT reasons FROM events newest INDEXED BY events_lost_since
            WHERE {LOST} AND newest.storefront = lost.storefront
            ORDER BY newest.received_at DESC, newest.id DESC LIMIT 1)
    FROM events lost INDEXED BY events_lost_since WHERE {LOST} GROUP BY storefront"""  # noqa: S608

EVER: Instant = (1 << 63) - 1
_HELD = f"""SELECT {ORDERS} FROM orders INDEXED BY orders_held WHERE state = 'held' AND storefront = ?
    AND held_since <= ? AND (held_since, id) > (?, ?) ORDER BY held_since, id LIMIT ?"""  # noqa: S608
_HELD_GROUPS = """
    SELECT storefront, orders, (SELECT held_since FROM orders INDEXED BY orders_held
        WHERE state = 'held' AND orders.storefront = held.storefront ORDER BY held_since, id LIMIT 1)
    FROM held WHERE orders > 0 ORDER BY storefront"""


def order(reader: Reader, as_order: AsOrder, order_id: int) -> Order | None:
    row = reader.execute(_ORDER, (order_id,)).fetchone()
    return None if row is None else as_order(row)


def head(reader: Reader, channel: str, limit: int, leased: frozenset[int]) -> Sequence[Waiting]:
    # What is leased still waits in the table: ask for as many more.
    more = limit + len(leased)
    lanes = [map(waiting_of, reader.execute(_HEAD, (channel, lane, more)).fetchall()) for lane in Lane]
    return list(islice((waiting for waiting in merge(*lanes) if waiting.order_id not in leased), limit))


def ahead_of(reader: Reader, place: Waiting, channel: str, limit: int, leased: frozenset[int]) -> int:
    # What is leased still waits in the table: count as many more, and take off those that are among them.
    among = f"""SELECT count(*) FROM orders WHERE id IN ({marks(list(leased))})
                AND state = 'waiting' AND channel = ? AND (urgency, id) < (?, ?)"""  # noqa: S608
    (in_flight,) = reader.execute(among, (*leased, channel, place.urgency, place.order_id)).fetchone()
    ahead, most = 0, limit + in_flight
    for lane in Lane:
        asked = (channel, lane, place.urgency, place.order_id, most - ahead)
        ahead += reader.execute(_AHEAD, asked).fetchone()[0]
    return int(ahead - in_flight)


def sleepers_due(reader: Reader, channel: str) -> tuple[Instant, Instant] | None:
    first, last = reader.execute(_SLEEPERS_DUE, {"channel": channel}).fetchone()
    return None if first is None else (first, last)


def conditions(reader: Reader) -> Mapping[str, Condition]:
    return {name: decode(condition) for name, condition in reader.execute("SELECT name, condition FROM channels")}


def tally(reader: Reader) -> Tally:
    rows = reader.execute("SELECT channel, state, lane, orders FROM tally WHERE orders > 0")
    return {(channel, State(state), Lane(lane)): orders for channel, state, lane, orders in rows}


def dead_tally(reader: Reader) -> DeadTally:
    rows = reader.execute("SELECT channel, code, letters FROM dead")
    return {(channel or None, code): letters for channel, code, letters in rows}


def storefronts(reader: Reader) -> Mapping[str, Sender]:
    rows = reader.execute("SELECT name, accepted, last_at FROM storefronts")
    return {name: Sender(accepted, last_at) for name, accepted, last_at in rows}


def oldest_due(reader: Reader) -> Mapping[tuple[str, Lane], Instant]:
    channels = [channel for (channel,) in reader.execute("SELECT DISTINCT channel FROM tally")]
    asked = [(channel, lane) for channel in channels for lane in Lane]
    found = [(at, reader.execute(_OLDEST_DUE, at).fetchone()) for at in asked]
    return {at: row[0] for at, row in found if row is not None}


def find(reader: Reader, as_order: AsOrder, reference: str, limit: int) -> Sequence[Order]:
    return [as_order(row) for row in reader.execute(_FIND, (reference, reference, limit))]


def timeline(reader: Reader, as_order: AsOrder, order_id: int, limit: int) -> Timeline | None:
    known = order(reader, as_order, order_id)
    if known is None:
        return None
    events = reader.execute(_TIMELINE_EVENTS, (order_id, limit)).fetchall()
    attempts = reader.execute(_TIMELINE_ATTEMPTS, (order_id, limit)).fetchall()
    return Timeline(known, [event_of(e) for e in reversed(events)], [Attempt(*a) for a in reversed(attempts)])


def traces(reader: Reader, order: Order, limit: int) -> Sequence[Trace]:
    since = min(order.delivered_revision + 1, order.revision)
    found = (again(text) for (text,) in reader.execute(_TRACES, (order.id, limit, since)))
    return [trace for trace in found if trace is not None]


# -- dead letters ----------------------------------------------------------------------------------------------------
#
# Told by which index: the planner does not know that next to nothing is dead.


def dead_letters(
    reader: Reader, as_order: AsOrder, limit: int, selection: Selection, after: DeadPlace | None
) -> Sequence[Order | Event]:
    since, was_event, last_id = (EVER, True, EVER) if after is None else after
    letters: list[Order | Event] = []
    if selection.orders:  # at one instant, events come before orders
        behind = (since, EVER if was_event else last_id)
        letters += map(as_order, _newest_first(reader, ORDERS, "orders", "since", limit, selection, behind))
    if selection.events:
        behind = (since, last_id if was_event else 0)
        letters += map(event_of, _newest_first(reader, EVENTS, "events", "received_at", limit, selection, behind))
    return nlargest(limit, letters, key=dead_place)


def _newest_first(
    reader: Reader, columns: str, table: str, when: str, limit: int, selection: Selection, behind: tuple[Instant, int]
) -> sqlite3.Cursor:
    """The newest ones are found in the index alone, and only they are read."""
    index, where, asked = _orders_where(selection) if table == "orders" else _events_where(selection)
    query = f"""SELECT {columns} FROM {table} WHERE id IN (
                    SELECT id FROM {table} INDEXED BY {index} WHERE {where} AND ({when}, id) < (?, ?)
                    ORDER BY {when} DESC, id DESC LIMIT ?)
                ORDER BY {when} DESC, id DESC"""  # noqa: S608
    return reader.execute(query, (*asked, *behind, limit))


def dead_groups(reader: Reader) -> Sequence[DeadGroup]:
    groups = [DeadGroup(*row) for row in reader.execute(_DEAD_GROUPS)]
    for storefront, count, first_at, last_at, reasons in reader.execute(_LOST_GROUPS):
        said = "; ".join(reason.message for reason in reasons_of(reasons))
        groups.append(DeadGroup(NO_ORDER, None, storefront, count, first_at, last_at, said))
    return sorted(groups, key=lambda group: (-group.count, group.code, group.channel or "", group.storefront))


def count_dead(reader: Reader, selection: Selection) -> int:
    """How many dead letters are selected."""
    total = 0
    for wanted, table, (index, where, asked) in (
        (selection.orders, "orders", _orders_where(selection)),
        (selection.events, "events", _events_where(selection)),
    ):
        if wanted:
            query = f"SELECT count(*) FROM {table} INDEXED BY {index} WHERE {where}"  # noqa: S608
            (counted,) = reader.execute(query, asked).fetchone()
            total += counted
    return total


def dead_above(reader: Reader, order_id: int, selection: Selection, limit: int) -> Sequence[int]:
    """Ids of the next dead orders that are selected, in the order of their ids."""
    if not selection.orders:
        return []
    _, where, asked = _orders_where(selection)
    query = f"SELECT id FROM orders INDEXED BY orders_dead WHERE {where} AND id > ? ORDER BY id LIMIT ?"  # noqa: S608
    return [row[0] for row in reader.execute(query, (*asked, order_id, limit))]


def held_groups(reader: Reader) -> Sequence[HeldGroup]:
    return [HeldGroup(*row) for row in reader.execute(_HELD_GROUPS)]


def held(
    reader: Reader,
    as_order: AsOrder,
    limit: int,
    storefront: str | None,
    after: HeldPlace | None,
    until: Instant | None,
) -> Sequence[Order]:
    """Each storefront's are found in the index in this order; so all of them are, one storefront beside the other."""
    names = [storefront] if storefront is not None else [group.storefront for group in held_groups(reader)]
    asked = (EVER if until is None else until, *((-EVER, 0) if after is None else after), limit)
    found = [map(as_order, reader.execute(_HELD, (name, *asked)).fetchall()) for name in names]
    return list(islice(merge(*found, key=_held_place), limit))


def _held_place(order: Order) -> HeldPlace:
    return order.held_since or 0, order.id


def lost(reader: Reader, after: int, limit: int, selection: Selection) -> Sequence[LostEvent]:
    if not selection.events:
        return []
    _, where, asked = _events_where(selection)
    query = f"""SELECT {EVENTS}, body, headers FROM events INDEXED BY events_lost LEFT JOIN bodies ON event_id = id
                WHERE {where} AND id > ? ORDER BY id LIMIT ?"""  # noqa: S608
    return [
        LostEvent(event_of(row), _readable(body), headers_of(headers))
        for *row, body, headers in reader.execute(query, (*asked, after, limit))
    ]


def _readable(body: bytes | None) -> bytes:
    """Nothing, where a body is damaged: one must not keep the others from being read."""
    try:
        return b"" if body is None else unpacked(body)
    except zstandard.ZstdError:
        return b""


def count_lost(reader: Reader, limit: int) -> int:
    return len(reader.execute(_COUNT_LOST, (limit,)).fetchall())


def _orders_where(selection: Selection) -> tuple[str, str, list[object]]:
    """The index that has all of it, the condition, and its values."""
    by_time = (selection.code, selection.channel, selection.storefront) == (None, None, None)
    where, asked = _where(
        "state = 'dead'",
        {
            "cause_code = ?": selection.code,
            "channel = ?": selection.channel,
            "storefront = ?": selection.storefront,
            "since >= ?": selection.since,
            "since <= ?": selection.until,
        },
    )
    return "orders_dead_since" if by_time else "orders_dead_cause", where, asked


def _events_where(selection: Selection) -> tuple[str, str, list[object]]:
    """The same, of events from which no order could be read."""
    where, asked = _where(
        LOST,
        {
            "storefront = ?": selection.storefront,
            "received_at >= ?": selection.since,
            "received_at <= ?": selection.until,
        },
    )
    return "events_lost_since", where, asked


def _where(always: str, terms: Mapping[str, object]) -> tuple[str, list[object]]:
    given = {term: value for term, value in terms.items() if value is not None}
    return " AND ".join([always, *given]), list(given.values())


# -- what persons did, and what goes on ------------------------------------------------------------------------------


_ABOUT = "AND id IN (SELECT id FROM deeds WHERE about = ? UNION ALL SELECT deed_id FROM deed_subjects WHERE about = ?)"


def deeds(reader: Reader, limit: int, after: int | None, about: str | None) -> Sequence[Deed]:
    which, asked = ("", ()) if about is None else (_ABOUT, (about, about))
    query = f"SELECT {DEEDS}, id FROM deeds WHERE id < ? {which} ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [Deed(*row) for row in reader.execute(query, (EVER if after is None else after, *asked, limit))]


def replay(reader: Reader, replay_id: int) -> Replay | None:
    row = reader.execute(f"SELECT {REPLAYS} FROM replays WHERE id = ?", (replay_id,)).fetchone()  # noqa: S608
    return None if row is None else replay_of(row)


def replays(reader: Reader, limit: int, *, running: bool, after: int | None) -> Sequence[Replay]:
    which = "ended_at IS NULL AND" if running else ""
    query = f"SELECT {REPLAYS} FROM replays WHERE {which} id < ? ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [replay_of(row) for row in reader.execute(query, (EVER if after is None else after, limit))]
