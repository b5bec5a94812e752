-- SPDX-License-Identifier: MIT
--
-- A place may enter more than once: an offer that was not claimed, and a first idle eviction, keep it. So an
-- admission is (epoch, buyer, place, n), n being its number in the log; its later entries name it as well.

-- Before this migration, n of a departure was the number of admissions so far. Nothing reads it: a place had one
-- admission.
ALTER TABLE admissions DROP CONSTRAINT admissions_pkey;
ALTER TABLE admissions ADD PRIMARY KEY (event_id, epoch, buyer, place, n, kind);

-- The number (n of the log) of the admission that the reservation belongs to; 0: any of its place.
ALTER TABLE reservations ADD COLUMN admission bigint NOT NULL DEFAULT 0;
-- When the offer with which seats were held runs out. The hold lasts beyond it for the event's holdMs, which begins
-- when the offer is claimed; NULL: the time of the hold runs.
ALTER TABLE reservations ADD COLUMN claim_by timestamptz;
DROP INDEX reservations_one_auto;
CREATE UNIQUE INDEX reservations_one_auto ON reservations (buyer, event_id, epoch, place, admission) WHERE auto;

-- The function of before names the old key. This is its text of then with the new key, until sql/functions is applied.
CREATE OR REPLACE FUNCTION ledger_copy(p_event text, p_entries jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO admissions AS a (event_id, epoch, buyer, place, kind, departed, at, inside,
                                 threshold, n, stream_id)
    SELECT DISTINCT ON (e.epoch, e.buyer, e.place, e.n, e.kind)
           p_event, e.epoch, e.buyer, e.place, e.kind, e.departed, to_timestamp(e.at / 1000.0),
           e.inside, e.threshold, e.n, e.id
    FROM jsonb_to_recordset(p_entries) AS e (id text, kind text, departed boolean, buyer text,
        place bigint, epoch bigint, at bigint, inside bigint, threshold bigint, n bigint)
    ORDER BY e.epoch, e.buyer, e.place, e.n, e.kind, stream_order(e.id) DESC
    ON CONFLICT (event_id, epoch, buyer, place, n, kind) DO UPDATE SET stream_id = excluded.stream_id;
END $$;
