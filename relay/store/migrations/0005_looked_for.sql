-- How many dead letters there are, by channel and cause: kept, as the tally is. Events from which no order could be read
-- have no channel: ''.
CREATE TABLE dead (
    channel  TEXT    NOT NULL,
    code     TEXT    NOT NULL,
    letters  INTEGER NOT NULL,
    PRIMARY KEY (channel, code)
) STRICT, WITHOUT ROWID;
INSERT INTO dead SELECT channel, coalesce(cause_code, '') AS code, count(*) FROM orders INDEXED BY orders_dead_cause
    WHERE state = 'dead' GROUP BY channel, code;
INSERT INTO dead SELECT '', 'no_order', count(*) FROM events INDEXED BY events_lost
    WHERE disposition = 'quarantined' AND order_id IS NULL HAVING count(*) > 0;

-- What each storefront has sent, whatever housekeeping deleted of it since. Of what was deleted before, nothing is known;
-- and what was fetched from a storefront's API was not sent.
CREATE TABLE storefronts (
    name      TEXT PRIMARY KEY,
    accepted  INTEGER NOT NULL,
    last_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO storefronts SELECT storefront, count(*), max(received_at) FROM events
    WHERE dedupe_key IS NOT NULL OR disposition = 'duplicate' GROUP BY storefront;

-- Who bought, as a pseudonym: see relay/core/search.py. It is kept, replaced and deleted with the sale.
ALTER TABLE sales ADD COLUMN email BLOB;
UPDATE sales SET email = email_hash_of_sale(sale);
CREATE INDEX sales_email ON sales (email) WHERE email IS NOT NULL;

-- The name of the API token that was used for it; NULL: none, or it was done before these were kept.
ALTER TABLE deeds ADD COLUMN token TEXT;
CREATE INDEX deeds_about ON deeds (about);
