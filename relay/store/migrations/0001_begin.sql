-- Instants are microseconds since 1970-01-01 UTC. Words as in the documentation: event, order, attempt, sale.

CREATE TABLE events (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    storefront    TEXT    NOT NULL,
    topic         TEXT    NOT NULL,
    received_at   INTEGER NOT NULL,
    disposition   TEXT    NOT NULL,
    dedupe_key    BLOB,             -- 16 bytes over storefront and key; NULL for a duplicate
    order_id      INTEGER,          -- NULL: not about an order
    version       INTEGER,
    revision      INTEGER,          -- of its order; NULL: became none
    duplicate_of  INTEGER,
    reasons       TEXT              -- JSON, where there are any
) STRICT;
CREATE UNIQUE INDEX events_dedupe ON events (dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX events_order ON events (order_id, id) WHERE order_id IS NOT NULL;
CREATE INDEX events_lost ON events (id) WHERE disposition = 'quarantined' AND order_id IS NULL;

-- Apart from their events, because personal data is kept for a shorter time.
CREATE TABLE bodies (
    event_id  INTEGER PRIMARY KEY,
    body      BLOB NOT NULL        -- zstd
) STRICT;

CREATE TABLE orders (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    storefront          TEXT    NOT NULL,
    external_id         TEXT    NOT NULL,
    channel             TEXT    NOT NULL,
    reference           TEXT,
    version             INTEGER,
    revision            INTEGER NOT NULL,
    event_id            INTEGER,
    cancelled_at        INTEGER,
    delivered_revision  INTEGER NOT NULL,
    delivered_digest    BLOB,
    state               TEXT    NOT NULL,
    lane                TEXT    NOT NULL,
    due_at              INTEGER NOT NULL,
    urgency             INTEGER NOT NULL,
    accepted_at         INTEGER NOT NULL,
    attempts            INTEGER NOT NULL,
    first_attempt_at    INTEGER,
    cause_code          TEXT,
    cause_message       TEXT,
    cause_status        INTEGER,
    run                 INTEGER NOT NULL  -- which opening of the store wrote the row last
) STRICT;
CREATE UNIQUE INDEX orders_key ON orders (storefront, external_id);
CREATE INDEX orders_external_id ON orders (external_id);
CREATE INDEX orders_reference ON orders (reference) WHERE reference IS NOT NULL;
-- The head of the backlog, lane by lane; and apart from it what is not due yet, so that nothing scans past sleepers.
CREATE INDEX orders_backlog ON orders (channel, lane, urgency, id) WHERE state = 'waiting';
CREATE INDEX orders_sleeping ON orders (channel, due_at, id) WHERE state = 'sleeping';
CREATE INDEX orders_dead ON orders (id) WHERE state = 'dead';

CREATE TABLE sales (
    order_id  INTEGER PRIMARY KEY,
    revision  INTEGER NOT NULL,
    sale      BLOB NOT NULL        -- zstd
) STRICT;

CREATE TABLE attempts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id    INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    duration_s  REAL    NOT NULL,
    outcome     TEXT    NOT NULL,
    status      INTEGER,
    code        TEXT    NOT NULL,
    message     TEXT    NOT NULL,
    excerpt     TEXT    NOT NULL
) STRICT;
CREATE INDEX attempts_order ON attempts (order_id, id);

-- How many orders are in which state: kept in the same transactions, so that nobody ever has to count.
CREATE TABLE tally (
    channel  TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    lane     TEXT    NOT NULL,
    orders   INTEGER NOT NULL,
    PRIMARY KEY (channel, state, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key    TEXT PRIMARY KEY,
    value  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('run', 0);
