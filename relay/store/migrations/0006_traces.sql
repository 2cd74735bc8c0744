-- Where a delivery goes on with its event's trace: W3C traceparent, and after a space tracestate. Only where traces are
-- made, and only of events that became revisions.
ALTER TABLE events ADD COLUMN trace TEXT;
