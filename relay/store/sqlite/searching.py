"""Looking for orders and events among however many there are, newest first.

What an index tells apart well enough (:data:`FOUND_MAX`) is found by it; everything else by walking down the ids from
the last place, past at most :data:`LOOKED_AT` rows for each page, which then says where to go on. So no search holds a
reader for more than some milliseconds, and no order or event has to be in an index just to be found.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from relay.core import instant
from relay.core.delivery import State
from relay.core.instant import Instant
from relay.core.search import beyond, spellings
from relay.store import EventSearch, EventsPage, KeptEvent, OrdersPage, Search
from relay.store import SearchPlace as Place
from relay.store.sqlite.reading import EVER, AsOrder, Reader
from relay.store.sqlite.rows import EVENTS, ORDERS, Row, event_of, marks

FOUND_MAX = 4_000
"""Entries that are looked up in an index: to sort those costs more than to walk past more rows."""
LOOKED_AT = 50_000
"""Rows that are walked past for one page: some milliseconds."""
_CLOCK_US = 3600 * instant.SECOND
"""By how much the clock that events are received by may have been set back without any being missed."""

_IN_STATE = {
    State.WAITING: "INDEXED BY orders_backlog WHERE state = 'waiting'",
    State.SLEEPING: "INDEXED BY orders_sleeping WHERE state = 'sleeping'",
    State.HELD: "INDEXED BY orders_held WHERE state = 'held'",
    State.DEAD: "INDEXED BY orders_dead WHERE state = 'dead'",
}
"""Where the orders in a state are found that nothing else is in."""
_NAMES = (("reference", "orders_reference"), ("external_id", "orders_external_id"))


@dataclass(slots=True)
class _Terms:
    """Conditions, all of which must hold, and their values."""

    texts: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)

    def add(self, text: str, *values: object) -> None:
        self.texts.append(text)
        self.values += values

    def given(self, text: str, value: object) -> None:
        """The same with one value, if there is one."""
        if value is not None:
            self.add(text, value)

    @property
    def text(self) -> str:
        """To follow a condition."""
        return "".join(f" AND ({text})" for text in self.texts)


@dataclass(frozen=True, slots=True)
class _Ids:
    """What an index found: all that may be wanted down to ``end``, in any order."""

    ids: Sequence[int]
    end: int | None = None
    """Below this it was not looked for; ``None``: there is nothing below."""


Query = tuple[str, Sequence[object]]
"""A query for ids, without its end, and its values."""


# -- orders ------------------------------------------------------------------------------------------------------------


def search(reader: Reader, as_order: AsOrder, wanted: Search, limit: int, after: Place | None) -> OrdersPage:
    names = spellings(wanted.text or "")
    if not all(map(_may_be_stored, names)) or _none_there(reader, wanted):
        return OrdersPage([], None)
    rows: list[Row] = []
    exactly, below = (bool(names), EVER) if after is None else after
    if exactly and names:
        rows, end = _exact(reader, wanted, names, below, limit)
        if end is not None:
            return OrdersPage([as_order(row) for row in rows], (True, end))
        below = EVER
    further, end = _inexact(reader, wanted, names, below, limit - len(rows))
    return OrdersPage([as_order(row) for row in (*rows, *further)], None if end is None else (False, end))


def _may_be_stored(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _none_there(reader: Reader, wanted: Search) -> bool:
    """Whether the tally says that there can be none."""
    terms = _Terms()
    if wanted.states:
        terms.add(f"state IN ({marks([*wanted.states])})", *wanted.states)
    terms.given("channel = ?", wanted.channel)
    if not terms.texts:
        return False
    query = f"SELECT coalesce(sum(orders), 0) FROM tally WHERE orders > 0{terms.text}"  # noqa: S608 - our own names, here and below
    (orders,) = reader.execute(query, terms.values).fetchone()
    return bool(orders == 0)


def _exact(
    reader: Reader, wanted: Search, names: Sequence[str], below: int, limit: int
) -> tuple[list[Row], int | None]:
    """Orders whose reference or external id is one of the names."""
    found = _newest(reader, [
        (f"SELECT id FROM orders INDEXED BY {index} WHERE {column} = ? AND id < ? ORDER BY id DESC", (name, below))  # noqa: S608
        for column, index in _NAMES
        for name in names
    ])  # fmt: skip
    return _page(reader, "orders", ORDERS, found, _terms(wanted), below, limit)


def _inexact(
    reader: Reader, wanted: Search, names: Sequence[str], below: int, limit: int
) -> tuple[list[Row], int | None]:
    """The others."""
    terms = _terms(wanted)
    if names:
        ranges = [_range(column, name) for column, _ in _NAMES for name in names]
        terms.add(" OR ".join(f"({text})" for text, _ in ranges), *(value for _, values in ranges for value in values))
        some = marks(names)
        terms.add(f"(reference IN ({some}) OR external_id IN ({some})) IS NOT TRUE", *names, *names)
    found = _found(reader, wanted, names, below)
    if found is None:
        return _walk(reader, "orders", ORDERS, terms, below, limit)
    return _page(reader, "orders", ORDERS, found, terms, below, limit)


def _terms(wanted: Search) -> _Terms:
    """All but the text."""
    terms = _Terms()
    if wanted.states:
        terms.add(f"state IN ({marks([*wanted.states])})", *wanted.states)
    terms.given("storefront = ?", wanted.storefront)
    terms.given("channel = ?", wanted.channel)
    terms.given("EXISTS (SELECT 1 FROM sales WHERE order_id = orders.id AND email = ?)", wanted.email)
    return terms


def _range(column: str, prefix: str) -> tuple[str, list[str]]:
    """What begins with a prefix, as an index finds it."""
    end = beyond(prefix)
    return (f"{column} >= ?", [prefix]) if end is None else (f"{column} >= ? AND {column} < ?", [prefix, end])


def _found(reader: Reader, wanted: Search, names: Sequence[str], below: int) -> _Ids | None:
    """By the first index that tells the wanted apart well enough."""
    if wanted.email is not None:
        by_email = "SELECT order_id FROM sales INDEXED BY sales_email WHERE email = ? AND order_id < ?"
        return _newest(reader, [(f"{by_email} ORDER BY order_id DESC", (wanted.email, below))])
    if names and (found := _all(reader, _beginning(names))) is not None:
        return found
    if wanted.states and wanted.states <= _IN_STATE.keys():
        found = _all(reader, [_in_state(state, wanted.channel) for state in wanted.states])
        if found is not None:
            return found
        if wanted.states == {State.DEAD}:
            dead, _ = _in_state(State.DEAD, None)
            return _newest(reader, [(f"{dead} AND id < ? ORDER BY id DESC", (below,))])
    if wanted.storefront is not None:
        by_key = "SELECT id FROM orders INDEXED BY orders_key WHERE storefront = ?"
        return _all(reader, [(by_key, (wanted.storefront,))])
    return None


def _beginning(names: Sequence[str]) -> Iterable[Query]:
    for column, index in _NAMES:
        for name in names:
            where, values = _range(column, name)
            yield f"SELECT id FROM orders INDEXED BY {index} WHERE {where}", values  # noqa: S608


def _in_state(state: State, channel: str | None) -> Query:
    query = f"SELECT id FROM orders {_IN_STATE[state]}"  # noqa: S608
    return (query, ()) if channel is None else (f"{query} AND channel = ?", (channel,))


# -- events ------------------------------------------------------------------------------------------------------------


def event(reader: Reader, event_id: int) -> KeptEvent | None:
    query = f"SELECT {EVENTS}, EXISTS (SELECT 1 FROM bodies WHERE event_id = id) FROM events WHERE id = ?"  # noqa: S608
    row = reader.execute(query, (event_id,)).fetchone()
    return None if row is None else KeptEvent(event_of(row[:-1]), bool(row[-1]))


def events(reader: Reader, wanted: EventSearch, limit: int, after: int | None) -> EventsPage:
    terms = _Terms()
    terms.given("storefront = ?", wanted.storefront)
    if wanted.dispositions:
        terms.add(f"disposition IN ({marks([*wanted.dispositions])})", *wanted.dispositions)
    terms.given("order_id = ?", wanted.order_id)
    terms.given("received_at >= ?", wanted.since)
    terms.given("received_at <= ?", wanted.until)
    below = EVER if after is None else after
    if wanted.order_id is not None:
        by_order = "SELECT id FROM events INDEXED BY events_order WHERE order_id = ? AND id < ? ORDER BY id DESC"
        found = _newest(reader, [(by_order, (wanted.order_id, below))])
        rows, end = _page(reader, "events", EVENTS, found, terms, below, limit)
    else:
        if wanted.until is not None:
            below = min(below, _first_since(reader, wanted.until + _CLOCK_US + 1) or below)
        first = 0 if wanted.since is None else _first_since(reader, wanted.since - _CLOCK_US)
        rows, end = ([], None) if first is None else _walk(reader, "events", EVENTS, terms, below, limit, first)
    return EventsPage([event_of(row) for row in rows], end)


def _first_since(reader: Reader, moment: Instant) -> int | None:
    """About the first event that was received at a moment or later: nothing was before it that was received more than
    :data:`_CLOCK_US` later, and the other way round. ``None``: all were before.

    Ids are given as events come, so that halving what is left finds it without an index; but they are a little out of
    step with the time a request began, and more where the clock was set back.
    """
    low, high = reader.execute("SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)").fetchone()
    if low is None:
        return None
    found: int | None = None
    while low <= high:
        middle = (low + high) // 2
        event_id, received_at = reader.execute(
            "SELECT id, received_at FROM events WHERE id >= ? ORDER BY id LIMIT 1", (middle,)
        ).fetchone()
        if received_at >= moment:
            found, high = event_id, middle - 1
        else:
            low = event_id + 1
    return found


# -- how ---------------------------------------------------------------------------------------------------------------


def _newest(reader: Reader, queries: Iterable[Query]) -> _Ids:
    """What each of the queries finds in the order of ids, greatest first."""
    ids: set[int] = set()
    end: int | None = None
    for query, values in queries:
        found = [row[0] for row in reader.execute(f"{query} LIMIT {FOUND_MAX}", values)]
        ids.update(found)
        if len(found) == FOUND_MAX:
            end = found[-1] if end is None else max(end, found[-1])
    return _Ids([row_id for row_id in ids if end is None or row_id >= end], end)


def _all(reader: Reader, queries: Iterable[Query]) -> _Ids | None:
    """All that the queries find, if it is little enough; else ``None``."""
    ids: set[int] = set()
    for query, values in queries:
        ids.update(row[0] for row in reader.execute(f"{query} LIMIT {FOUND_MAX + 1}", values))
        if len(ids) > FOUND_MAX:
            return None
    return _Ids([*ids])


def _page(
    reader: Reader, table: str, columns: str, found: _Ids, terms: _Terms, below: int, limit: int
) -> tuple[list[Row], int | None]:
    """Those of what was found for which the terms hold; and where to go on."""
    ids = json.dumps(sorted(row_id for row_id in found.ids if row_id < below))
    query = f"""SELECT {columns} FROM {table} NOT INDEXED WHERE id IN (SELECT value FROM json_each(?)){terms.text}
                ORDER BY id DESC LIMIT ?"""  # noqa: S608
    rows = reader.execute(query, (ids, *terms.values, limit + 1)).fetchall()
    return _cut(rows, limit, below, found.end)


def _walk(
    reader: Reader, table: str, columns: str, terms: _Terms, below: int, limit: int, first: int = 0
) -> tuple[list[Row], int | None]:
    """The same among the next ids; never those before ``first``."""
    (top,) = reader.execute(f"SELECT max(id) FROM {table} WHERE id < ?", (below,)).fetchone()  # noqa: S608
    if top is None or top < first:
        return [], None
    lowest = max(first, top - LOOKED_AT + 1)
    query = f"""SELECT {columns} FROM {table} NOT INDEXED WHERE id BETWEEN ? AND ?{terms.text}
                ORDER BY id DESC LIMIT ?"""  # noqa: S608
    rows = reader.execute(query, (lowest, top, *terms.values, limit + 1)).fetchall()
    beneath = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE id BETWEEN ? AND ?)"  # noqa: S608
    (more,) = reader.execute(beneath, (first, lowest - 1)).fetchone()
    return _cut(rows, limit, below, lowest if more else None)


def _cut(rows: list[Row], limit: int, below: int, end: int | None) -> tuple[list[Row], int | None]:
    """A page, of one more than may be on it; and where to go on."""
    if len(rows) <= limit:
        return rows, end
    return rows[:limit], rows[limit - 1][0] if limit else below
