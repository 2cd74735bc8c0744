-- The deed that began a bulk replay, so that each order that is revived by it says who had it replayed, and why. NULL of
-- those that began before this was kept.
ALTER TABLE replays ADD COLUMN deed_id INTEGER;
