-- Since when an order is in its state; and for how long it has been failing, on its channel's stopwatch. Of the orders
-- that are there already the first is told from their latest attempt, and of the second nothing is known.
ALTER TABLE orders ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders RENAME COLUMN first_attempt_at TO failing_us;
UPDATE orders SET failing_us = NULL, since = max(accepted_at, coalesce(
    (SELECT started_at FROM attempts WHERE order_id = orders.id ORDER BY attempts.id DESC LIMIT 1), 0));

-- Dead letters by time and by cause, with everything that they are selected and grouped by: SQLite needs even the
-- columns that are the same throughout, or it looks into the table for each. Only what is dead is in these indexes, so
-- what is delivered does not pay for them.
CREATE INDEX orders_dead_since ON orders (since, id, state) WHERE state = 'dead';
CREATE INDEX orders_dead_cause ON orders (cause_code, channel, storefront, since, id, state) WHERE state = 'dead';
CREATE INDEX events_lost_since ON events (received_at, id, storefront, disposition, order_id)
    WHERE disposition = 'quarantined' AND order_id IS NULL;

-- JSON; only of an event from which no order could be read: what its source reads besides the body.
ALTER TABLE bodies ADD COLUMN headers TEXT;

CREATE TABLE channels (
    name       TEXT PRIMARY KEY,
    condition  TEXT NOT NULL       -- JSON
) STRICT, WITHOUT ROWID;

-- What persons did. Nothing deletes from it.
CREATE TABLE deeds (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    "by"   TEXT    NOT NULL,
    what   TEXT    NOT NULL,
    about  TEXT    NOT NULL,
    why    TEXT    NOT NULL
) STRICT;

CREATE TABLE replays (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    code        TEXT,              -- what is selected; NULL: anything
    channel     TEXT,
    storefront  TEXT,
    since       INTEGER,
    until       INTEGER,
    begun_at    INTEGER NOT NULL,
    "by"        TEXT    NOT NULL,
    why         TEXT    NOT NULL,
    total       INTEGER NOT NULL,
    revived     INTEGER NOT NULL,
    "left"      INTEGER NOT NULL,
    order_id    INTEGER NOT NULL,  -- how far it is
    event_id    INTEGER NOT NULL,
    ended_at    INTEGER
) STRICT;
CREATE INDEX replays_running ON replays (id) WHERE ended_at IS NULL;
