-- Whether a request was sent for the order that may have left something at Jetti: an order that is fetched between two
-- deliveries begins its attempts anew, and what was tried before must not be forgotten.
ALTER TABLE orders ADD COLUMN may_be_there INTEGER NOT NULL DEFAULT 0;
UPDATE orders SET may_be_there = 1 WHERE delivered_revision > 0 OR attempts > 0;
