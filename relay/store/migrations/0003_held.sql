-- Since when an order is held (also while a newer event of it has yet to be asked about), and when a named person said
-- that it is to be sent whatever the storefront's rule says.
ALTER TABLE orders ADD COLUMN held_since INTEGER;
ALTER TABLE orders ADD COLUMN released_at INTEGER;
UPDATE orders SET held_since = since WHERE state = 'held';
-- Only what is held is in it.
CREATE INDEX orders_held ON orders (storefront, held_since, id) WHERE state = 'held';

-- How many orders of each storefront are held: kept, as the tally is.
CREATE TABLE held (
    storefront  TEXT PRIMARY KEY,
    orders      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO held SELECT storefront, count(*) FROM orders WHERE state = 'held' GROUP BY storefront;
