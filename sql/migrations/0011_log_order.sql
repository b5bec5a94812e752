-- SPDX-License-Identifier: MIT
--
-- The copy of the admission log in the order of the log: what a report replays.

ALTER TABLE admissions
    ADD COLUMN stream_ms  bigint NOT NULL
        GENERATED ALWAYS AS (coalesce(nullif(split_part(stream_id, '-', 1), ''), '0')::bigint) STORED,
    ADD COLUMN stream_seq bigint NOT NULL
        GENERATED ALWAYS AS (coalesce(nullif(split_part(stream_id, '-', 2), ''), '0')::bigint) STORED;
CREATE INDEX admissions_order ON admissions (event_id, stream_ms, stream_seq);
DROP INDEX admissions_stream;

-- A report and a buyer's story read the holds of an event.
CREATE INDEX reservations_event ON reservations (event_id, status);
