"""Forgetting what is finished and old enough.

A reader steps through the tables by their primary keys and finds what may go; the writer deletes just that, with the
rule in every statement once more, because something may have come alive in between. So no index is kept for it that
every order would have to pay for, and the writer is never held while something is searched.

Events come first, attempts after them, orders last: when it is an order's turn, next to nothing else is left of it.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.store import Cutoffs, SweepPlace, Swept
from relay.store.sqlite.rows import FINISHED, LOST, Row

_SPAN = 4096
"""Ids that the reader looks through in each table in one step: some milliseconds of its time, none of the writer's."""

_OLD_EVENT = f"""e.received_at < :finished AND NOT ({LOST})
    AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = e.order_id AND o.state NOT IN {FINISHED}
                    AND (o.event_id IS e.id OR o.revision IS e.revision))"""  # noqa: S608 - our own names, here and below
_OLD_BODY = f"""e.received_at < :bodies AND NOT ({LOST})
    AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = e.order_id AND o.state NOT IN {FINISHED}
                    AND o.event_id IS e.id)"""  # noqa: S608
_OLD_ATTEMPT = f"""a.started_at < :finished
    AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = a.order_id AND o.state NOT IN {FINISHED})"""  # noqa: S608
_OLD_ORDER = f"""o.state IN {FINISHED} AND o.since < :finished
    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.order_id = o.id AND e.received_at >= :finished)"""  # noqa: S608
_OLD_SALE = f"o.state IN {FINISHED} AND o.since < :bodies"

_FIND_EVENTS = f"""SELECT e.id, {_OLD_EVENT} FROM events e WHERE e.id > :after AND e.id <= :last
    AND e.received_at < max(:finished, :bodies)
    AND (({_OLD_EVENT}) OR ({_OLD_BODY} AND EXISTS (SELECT 1 FROM bodies b WHERE b.event_id = e.id)))
    ORDER BY e.id LIMIT :limit"""  # noqa: S608
_FIND_ATTEMPTS = f"""SELECT a.id FROM attempts a WHERE a.id > :after AND a.id <= :last AND {_OLD_ATTEMPT}
    ORDER BY a.id LIMIT :limit"""  # noqa: S608
_FIND_ORDERS = f"""SELECT o.id, {_OLD_ORDER} FROM orders o WHERE o.id > :after AND o.id <= :last
    AND o.state IN {FINISHED} AND o.since < max(:finished, :bodies)
    AND (({_OLD_ORDER}) OR ({_OLD_SALE} AND EXISTS (SELECT 1 FROM sales s WHERE s.order_id = o.id)))
    ORDER BY o.id LIMIT :limit"""  # noqa: S608

_IDS = "(SELECT value FROM json_each(:ids))"
_DELETE_EVENTS = f"DELETE FROM events AS e WHERE e.id IN {_IDS} AND {_OLD_EVENT} RETURNING id"  # noqa: S608
_DELETE_OLD_BODIES = f"""DELETE FROM bodies WHERE event_id IN (SELECT e.id FROM events e WHERE e.id IN {_IDS}
    AND {_OLD_BODY}) RETURNING event_id"""  # noqa: S608
_DELETE_ATTEMPTS = f"DELETE FROM attempts AS a WHERE a.id IN {_IDS} AND {_OLD_ATTEMPT} RETURNING id"  # noqa: S608
_DELETE_OLD_SALES = f"""DELETE FROM sales WHERE order_id IN (SELECT o.id FROM orders o WHERE o.id IN {_IDS}
    AND {_OLD_SALE}) RETURNING order_id"""  # noqa: S608
_DELETE_ORDERS = f"DELETE FROM orders AS o WHERE o.id IN {_IDS} AND {_OLD_ORDER} RETURNING id, channel, state, lane"  # noqa: S608
_DELETE_EVENTS_OF = f"DELETE FROM events WHERE order_id IN {_IDS} RETURNING id"  # noqa: S608
_DELETE_ATTEMPTS_OF = f"DELETE FROM attempts WHERE order_id IN {_IDS} RETURNING id"  # noqa: S608
_DELETE_SALES_OF = f"DELETE FROM sales WHERE order_id IN {_IDS} RETURNING order_id"  # noqa: S608
_DELETE_BODIES_OF = f"DELETE FROM bodies WHERE event_id IN {_IDS} RETURNING event_id"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader found that may go, and where it goes on."""

    place: SweepPlace | None
    """``None``: there is nothing further."""
    events: Sequence[int] = ()
    bodies: Sequence[int] = ()
    """Of events that stay."""
    attempts: Sequence[int] = ()
    orders: Sequence[int] = ()
    sales: Sequence[int] = ()
    """Of orders that stay."""

    @property
    def nothing(self) -> bool:
        """Whether nothing was found."""
        return not (self.events or self.bodies or self.attempts or self.orders or self.sales)


def find(reader: sqlite3.Connection, cutoffs: Cutoffs, place: SweepPlace, limit: int) -> Found:
    """The next of what may go, at most ``limit`` rows in all, not counting what goes with them."""
    events, event_id, more_events = _next(reader, "events", _FIND_EVENTS, cutoffs, place.event_id, limit)
    limit -= len(events)
    place = replace(place, event_id=event_id)
    found = Found(place, [row[0] for row in events if row[1]], [row[0] for row in events if not row[1]])
    if more_events:
        return found
    attempts, attempt_id, more_attempts = _next(reader, "attempts", _FIND_ATTEMPTS, cutoffs, place.attempt_id, limit)
    limit -= len(attempts)
    place = replace(place, attempt_id=attempt_id)
    found = replace(found, place=place, attempts=[attempt_id for (attempt_id,) in attempts])
    if more_attempts:
        return found
    orders, order_id, more_orders = _next(reader, "orders", _FIND_ORDERS, cutoffs, place.order_id, limit)
    return replace(
        found,
        place=replace(place, order_id=order_id) if more_orders else None,
        orders=[row[0] for row in orders if row[1]],
        sales=[row[0] for row in orders if not row[1]],
    )


def _next(
    reader: sqlite3.Connection, table: str, query: str, cutoffs: Cutoffs, after: int, limit: int
) -> tuple[list[Row], int, bool]:
    """What one table has next that may go, up to which id that was looked for, and whether there are rows beyond."""
    edges = f"""SELECT (SELECT min(id) FROM {table} WHERE id > ?), (SELECT max(id) FROM {table})"""  # noqa: S608
    first, end = reader.execute(edges, (after,)).fetchone()
    if first is None:
        return [], after, False
    if limit <= 0:
        return [], after, True
    last = min(first + _SPAN - 1, end)
    asked = {
        "after": after, "last": last, "limit": limit, "finished": cutoffs.finished, "bodies": cutoffs.bodies,
    }  # fmt: skip
    rows = reader.execute(query, asked).fetchall()
    if len(rows) == limit:
        last = rows[-1][0]
    return rows, last, last < end


def delete(writer: sqlite3.Connection, cutoffs: Cutoffs, found: Found) -> tuple[Swept, list[Row]]:
    """Delete what was found and still may go; also returns channel, state and lane of each order that went."""

    def run(query: str, ids: Sequence[int]) -> list[Row]:
        asked = {"ids": json.dumps(ids), "finished": cutoffs.finished, "bodies": cutoffs.bodies}
        return writer.execute(query, asked).fetchall() if ids else []

    events = run(_DELETE_EVENTS, found.events)
    bodies = run(_DELETE_OLD_BODIES, found.bodies)
    attempts = run(_DELETE_ATTEMPTS, found.attempts)
    sales = run(_DELETE_OLD_SALES, found.sales)
    orders = run(_DELETE_ORDERS, found.orders)
    gone = [row[0] for row in orders]
    events += run(_DELETE_EVENTS_OF, gone)
    attempts += run(_DELETE_ATTEMPTS_OF, gone)
    sales += run(_DELETE_SALES_OF, gone)
    bodies += run(_DELETE_BODIES_OF, [event_id for (event_id,) in events])
    swept = Swept(found.place, len(events), len(bodies), len(attempts), len(orders), len(sales))
    return swept, [row[1:] for row in orders]
