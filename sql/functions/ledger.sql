-- SPDX-License-Identifier: MIT
--
-- ledger: consumes the admission log. For a batch of entries, one transaction copies them to table
-- admissions, gives back the auto-holds of admissions that ended, holds seats for buyers who were admitted,
-- starts the time of the auto-holds of those who claimed their turn, writes calls to the browsers of those whose
-- turn came (push.sql), and moves the cursor. So each entry takes effect exactly once.
--
-- An admission is (epoch, buyer, place, n): a place enters again after an offer that was not claimed and
-- after a first idle eviction. Its number n is that of its first entry in the log; its later entries name it.
--
-- A batch of 500 entries often reads tables that have just grown, and of which the planner has no
-- statistics yet. So each entry looks up its rows in a subquery that cannot become a join (LATERAL with
-- OFFSET 0, or a scalar one), and enable_seqscan is off, so that no plan scans a table which it believes
-- to be small.

-- ---- the cursor ----

-- A stream id as two numbers. As text, 999-0 would come after 1000-0.
CREATE OR REPLACE FUNCTION stream_order(p_id text) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[coalesce(nullif(split_part(p_id, '-', 1), ''), '0')::bigint,
                 coalesce(nullif(split_part(p_id, '-', 2), ''), '0')::bigint]
$$;

-- The id of the last entry that was copied; 0-0: none yet.
CREATE OR REPLACE FUNCTION ledger_cursor(p_event text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT consumed FROM ledger_cursors WHERE event_id = p_event), '0-0')
$$;

-- The cursor and seats_capacity, in one snapshot. p_first: the first id of the stream; NULL: it is empty.
--   known
--   restarted   p_first is at or below the cursor, but was never copied. Redis has lost the stream, and its
--               clock went back, so the entries of the new stream would be skipped
CREATE OR REPLACE FUNCTION ledger_state(p_event text, p_first text)
RETURNS TABLE (outcome text, body json, consumed text, admitted bigint, free bigint)
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_first IS NOT NULL AND c.event_id IS NOT NULL
                 AND stream_order(p_first) <= stream_order(c.consumed)
                 AND NOT EXISTS (SELECT FROM admissions a
                                 WHERE a.event_id = p_event AND a.stream_ms = (stream_order(p_first))[1]
                                   AND a.stream_seq = (stream_order(p_first))[2])
                THEN 'restarted' ELSE 'known' END,
           NULL::json, coalesce(c.consumed, '0-0'), coalesce(c.admitted, 0), seats_capacity(p_event)
    FROM (VALUES (p_event)) AS e (id) LEFT JOIN ledger_cursors c ON c.event_id = e.id
$$;

-- Moves the cursor to the beginning, for a stream that was restarted. An entry that was copied before has
-- no effect when it is consumed again.
--   reset
--   stale   the cursor is not at p_expected
CREATE OR REPLACE FUNCTION ledger_reset(p_event text, p_expected text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_cursors SET consumed = '0-0', admitted = 0
    WHERE event_id = p_event AND consumed = p_expected;
    RETURN QUERY SELECT CASE WHEN FOUND THEN 'reset' ELSE 'stale' END, NULL::json;
END $$;

-- Moves the cursor back to p_to: after a failover, Redis may have written entries below the cursor. An
-- entry that was copied before has no effect when it is consumed again.
--   rewound
--   stale     the cursor is not at p_expected, or p_to is not below it
CREATE OR REPLACE FUNCTION ledger_rewind(p_event text, p_expected text, p_to text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_cursors c SET consumed = p_to
    WHERE c.event_id = p_event AND c.consumed = p_expected
      AND stream_order(p_to) < stream_order(c.consumed);
    RETURN QUERY SELECT CASE WHEN FOUND THEN 'rewound' ELSE 'stale' END, NULL::json;
END $$;

-- ---- a batch, step by step ----

-- In all functions below, p_entries is an array of at most 500 entries in the order of the log:
-- [{id, kind, departed, buyer, place, epoch, at, inside, threshold, n, active}]. `departed`: the entry ends
-- an admission, or the place of a waiting buyer. `active`: the entry is an admission, and the buyer was still
-- inside by it when the log was read.

-- Does an entry of this kind begin an admission? `promote` is the name of `offered` in logs of earlier releases.
CREATE OR REPLACE FUNCTION admission_begins(p_kind text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p_kind IN ('direct', 'offered', 'restored', 'promote')
$$;

-- Does an entry of this kind, which ends an admission, also consume its place? An offer that was not claimed,
-- a first idle eviction, and a ban keep it.
CREATE OR REPLACE FUNCTION place_consumed(p_kind text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p_kind NOT IN ('unclaimed', 'idle_kept', 'banned')
$$;

-- The admissions among these entries that have not ended: active, of this epoch, and without a copied
-- departure of their own or one that consumed their place. o: the entry's number in p_entries, from 1; the
-- result is in this order.
CREATE OR REPLACE FUNCTION ledger_entered(p_event text, p_epoch bigint, p_entries jsonb)
RETURNS TABLE (o bigint, kind text, buyer text, place bigint, epoch bigint, at bigint, n bigint)
LANGUAGE sql STABLE AS $$
    SELECT e.o, e.kind, e.buyer, e.place, e.epoch, e.at, e.n
    FROM ROWS FROM (jsonb_to_recordset(p_entries) AS (kind text, buyer text, place bigint,
             epoch bigint, at bigint, n bigint, active boolean))
         WITH ORDINALITY AS e (kind, buyer, place, epoch, at, n, active, o)
    WHERE e.active AND e.epoch = p_epoch
      AND (SELECT true FROM admissions a
           WHERE a.event_id = p_event AND a.epoch = e.epoch AND a.buyer = e.buyer
             AND a.place = e.place AND a.departed AND (a.n = e.n OR place_consumed(a.kind)) LIMIT 1) IS NULL
    ORDER BY e.o
$$;
-- contracts: generation 48: the name of ledger_entered before n was compared
DROP FUNCTION IF EXISTS ledger_arrivals (text, bigint, jsonb);

-- Moves the cursor from p_expected to p_new. False: it is not at p_expected. Its row stays locked.
CREATE OR REPLACE FUNCTION ledger_advance(p_event text, p_expected text, p_new text, p_admitted bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_cursors (event_id) VALUES (p_event) ON CONFLICT DO NOTHING;
    UPDATE ledger_cursors c SET consumed = p_new, admitted = greatest(c.admitted, p_admitted)
    WHERE c.event_id = p_event AND stream_order(c.consumed) = stream_order(p_expected);
    RETURN FOUND;
END $$;

-- Copies the entries. One that was copied before, or that differs from another in nothing but when it was written (a buyer
-- who was set aside twice between two admissions), counts as written when it was last.
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
    ON CONFLICT (event_id, epoch, buyer, place, n, kind) DO UPDATE
        SET stream_id = excluded.stream_id, at = excluded.at, inside = excluded.inside, threshold = excluded.threshold;
END $$;

-- Takes the advisory locks of the buyers of these entries, and locks the rows of their holds.
CREATE OR REPLACE FUNCTION ledger_lock(p_event text, p_entries jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(l.k) FROM (
        SELECT DISTINCT lock_key_buyer(p_event, e.buyer) AS k
        FROM jsonb_to_recordset(p_entries) AS e (buyer text) ORDER BY 1) AS l;
    v_ids := ARRAY(SELECT h.id
        FROM jsonb_to_recordset(p_entries) AS e (buyer text)
        CROSS JOIN LATERAL (SELECT r.id FROM reservations r
                            WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.status = 'held'
                            OFFSET 0) AS h);
    PERFORM FROM reservations r WHERE r.id = ANY (v_ids) ORDER BY r.id FOR UPDATE;
END $$;

-- For admissions: sets `entered`, and the number of the admission, on the reservations that these buyers made
-- before their log entry was copied. A restored admission is an earlier one again, under a new number: it takes over
-- the buyer's hold.
CREATE OR REPLACE FUNCTION ledger_enter(p_event text, p_entries jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_numbers bigint[];
BEGIN
    SELECT array_agg(f.id), array_agg(f.n) INTO v_ids, v_numbers FROM (
        SELECT h.id, max(e.n) AS n
        FROM jsonb_to_recordset(p_entries)
             AS e (kind text, buyer text, place bigint, epoch bigint, n bigint)
        CROSS JOIN LATERAL (
            SELECT r.id FROM reservations r
            WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.place = e.place
              AND r.epoch = e.epoch
              AND (NOT r.entered OR (e.kind = 'restored' AND r.status = 'held'))
            OFFSET 0) AS h
        WHERE admission_begins(e.kind) GROUP BY h.id) AS f;
    IF v_ids IS NOT NULL THEN
        UPDATE reservations r SET entered = true, admission = t.n
        FROM unnest(v_ids, v_numbers) AS t (id, n) WHERE r.id = t.id;
    END IF;
END $$;

-- For departures: gives back the auto-holds of these admissions, unless a payment is pending. Where the place
-- is consumed, sets `slot_freed` on their purchases; where it is kept, the slot of a purchase is still to be
-- freed, so that the buyer does not enter again.
CREATE OR REPLACE FUNCTION ledger_depart(p_event text, p_entries jsonb, p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
BEGIN
    v_ids := ARRAY(SELECT h.id
        FROM jsonb_to_recordset(p_entries)
             AS e (departed boolean, buyer text, place bigint, epoch bigint, n bigint)
        CROSS JOIN LATERAL (
            SELECT r.id FROM reservations r
            WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.status = 'held' AND r.auto
              AND r.place = e.place AND r.epoch = e.epoch AND r.admission IN (e.n, 0)
              AND (SELECT true FROM payments p
                   WHERE p.reservation_id = r.id AND p.status = 'pending' LIMIT 1) IS NULL
            OFFSET 0) AS h
        WHERE e.departed);
    IF v_ids <> '{}' THEN
        UPDATE reservations SET status = 'cancelled', ended_at = p_now, swept = true
        WHERE id = ANY (v_ids);
        PERFORM seats_release(v_ids);
    END IF;
    v_ids := ARRAY(SELECT c.id
        FROM jsonb_to_recordset(p_entries)
             AS e (kind text, departed boolean, buyer text, place bigint, epoch bigint)
        CROSS JOIN LATERAL (
            SELECT r.id FROM reservations r
            WHERE r.event_id = p_event AND r.epoch = e.epoch AND r.buyer = e.buyer
              AND r.place = e.place AND r.status = 'confirmed' AND NOT r.slot_freed
            OFFSET 0) AS c
        WHERE e.departed AND place_consumed(e.kind));
    UPDATE reservations SET slot_freed = true WHERE id = ANY (v_ids);
END $$;

-- Holds seats for the admitted buyers that are still inside: once for each admission, only if the buyer
-- has no live hold, and only up to maxSeats. An offer's hold lasts for claimMs more, until ledger_claim starts
-- its time. A restored admission is an earlier one again, so it gets no second hold. Returns how many holds
-- were made.
CREATE OR REPLACE FUNCTION ledger_hold(p_event events, p_entries jsonb, p_now timestamptz)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_n integer := event_setting(p_event.settings, 'autoHold');
    v_max integer := event_setting(p_event.settings, 'maxSeats');
    v_claim interval := event_setting(p_event.settings, 'claimMs') * interval '1 millisecond';
    v_list jsonb; -- [{buyer, place, n, offered, want}] in the order of the log
    v_ids uuid[];
    v_group record;
    v_held bigint := 0;
BEGIN
    SELECT jsonb_agg(to_jsonb(c) ORDER BY c.o) INTO v_list
    FROM (SELECT DISTINCT ON (e.buyer) e.buyer, e.place, e.n, e.o, e.kind = 'offered' AS offered,
              least(v_n, v_max - (
              SELECT coalesce(sum(r.seat_count), 0) FROM reservations r
              WHERE r.event_id = p_event.id AND r.buyer = e.buyer AND r.status = 'confirmed')) AS want
          FROM ledger_entered(p_event.id, p_event.epoch, p_entries) AS e
          WHERE (SELECT true FROM reservations r
                 WHERE r.event_id = p_event.id AND r.buyer = e.buyer AND r.status = 'held'
                   AND r.expires_at > p_now) IS NULL
            AND (SELECT true FROM reservations r
                 WHERE r.event_id = p_event.id AND r.epoch = p_event.epoch AND r.buyer = e.buyer
                   AND r.place = e.place AND r.auto
                   AND (r.admission IN (e.n, 0) OR e.kind = 'restored') LIMIT 1) IS NULL
            AND (SELECT true FROM reservations r -- a buyer who has bought is about to leave
                 WHERE r.event_id = p_event.id AND r.epoch = p_event.epoch AND r.buyer = e.buyer
                   AND r.place = e.place AND r.status = 'confirmed' LIMIT 1) IS NULL
          ORDER BY e.buyer, e.o DESC) AS c
    WHERE c.want > 0;
    IF v_list IS NULL THEN
        RETURN 0;
    END IF;
    v_ids := ARRAY(SELECT h.id FROM jsonb_to_recordset(v_list) AS b (buyer text)
        CROSS JOIN LATERAL (SELECT r.id FROM reservations r
                            WHERE r.event_id = p_event.id AND r.buyer = b.buyer
                              AND r.status = 'held' OFFSET 0) AS h);
    UPDATE reservations SET status = 'expired' WHERE id = ANY (v_ids);
    -- Nearly always one group: a buyer who has bought before may want fewer seats, and direct admissions are
    -- rarely in one batch with offers.
    FOR v_group IN
        SELECT w.want, w.offered, array_agg(w.buyer ORDER BY w.o) AS buyers,
               array_agg(w.place ORDER BY w.o) AS places, array_agg(w.n ORDER BY w.o) AS numbers
        FROM jsonb_to_recordset(v_list)
             AS w (buyer text, place bigint, n bigint, o bigint, offered boolean, want integer)
        GROUP BY w.want, w.offered ORDER BY w.want DESC, min(w.o)
    LOOP
        v_held := v_held + admission_hold(p_event, v_group.want, v_group.buyers, v_group.places,
            v_group.numbers, CASE WHEN v_group.offered THEN v_claim ELSE interval '0' END);
    END LOOP;
    RETURN v_held;
END $$;

-- For turns that were claimed: the time of their auto-holds begins, unless it did when the buyer began to pay.
CREATE OR REPLACE FUNCTION ledger_claim(p_event text, p_entries jsonb, p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
BEGIN
    v_ids := ARRAY(SELECT h.id
        FROM jsonb_to_recordset(p_entries) AS e (kind text, buyer text, place bigint, epoch bigint, n bigint)
        CROSS JOIN LATERAL (
            SELECT r.id FROM reservations r
            WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.status = 'held' AND r.auto
              AND r.place = e.place AND r.epoch = e.epoch AND r.admission = e.n
              AND r.claim_by IS NOT NULL
            OFFSET 0) AS h
        WHERE e.kind = 'claimed');
    IF v_ids <> '{}' THEN
        PERFORM hold_start(v_ids, p_now);
    END IF;
END $$;

-- The messages to the admitted buyers that are still inside, in the order of the log: {buyers: [{buyer,
-- place, since, epoch, claimed, reservation}]}, without reservation if the buyer has none. A row has 50 buyers, or
-- fewer if each gets many seats, so that a message stays below 64 KiB.
CREATE OR REPLACE FUNCTION ledger_messages(p_event events, p_entries jsonb, p_now timestamptz)
RETURNS SETOF json LANGUAGE plpgsql AS $$
DECLARE
    v_size integer := greatest(1, 200 / (event_setting(p_event.settings, 'autoHold') + 3));
BEGIN
    RETURN QUERY
    WITH arrived AS (
        SELECT e.o, (row_number() OVER (ORDER BY e.o) - 1) / v_size AS chunk,
               e.buyer, e.place::text AS place, e.at AS since, e.epoch, e.kind <> 'offered' AS claimed,
               (SELECT reservation_json(r) FROM reservations r
                WHERE r.event_id = p_event.id AND r.buyer = e.buyer AND r.status = 'held'
                  AND r.expires_at > p_now) AS reservation
        FROM ledger_entered(p_event.id, p_event.epoch, p_entries) AS e
    )
    SELECT json_build_object('buyers', json_agg(
        CASE WHEN a.reservation IS NULL
             THEN json_build_object('buyer', a.buyer, 'place', a.place, 'since', a.since,
                                    'epoch', a.epoch, 'claimed', a.claimed)
             ELSE json_build_object('buyer', a.buyer, 'place', a.place, 'since', a.since,
                                    'epoch', a.epoch, 'claimed', a.claimed, 'reservation', a.reservation) END
        ORDER BY a.o))
    FROM arrived a GROUP BY a.chunk ORDER BY a.chunk;
END $$;

-- ---- the batch ----

-- Consumes p_entries, the entries of the log after p_expected and up to p_new.
--   consumed    columns consumed (the cursor), admitted and free (seats_capacity) are as of p_new; held is
--               the number of auto-holds made. There is a row for each message of ledger_messages, or one
--               row without a body if there is no message
--   stale       another consumer has moved the cursor; nothing changed; column consumed has the cursor
--   not-newer   p_new is not above p_expected; nothing changed
--   not-found   there is no such event, or it is a draft: a rehearsal that was reset since the entries were read
CREATE OR REPLACE FUNCTION ledger_consume(p_event text, p_expected text, p_new text, p_entries jsonb)
RETURNS TABLE (outcome text, body json, consumed text, admitted bigint, free bigint, held bigint)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_event events;
    v_now timestamptz;
BEGIN
    outcome := 'consumed';
    consumed := p_new;
    admitted := (SELECT max((e ->> 'n')::bigint) FROM jsonb_array_elements(p_entries) AS e);
    held := 0;
    IF stream_order(p_new) <= stream_order(p_expected) THEN
        outcome := 'not-newer';
    ELSIF NOT ledger_advance(p_event, p_expected, p_new, admitted) THEN
        outcome := 'stale';
    END IF;
    IF outcome <> 'consumed' THEN
        RETURN QUERY SELECT ledger_consume.outcome, NULL::json, s.consumed, s.admitted, s.free, 0::bigint
                     FROM ledger_state(p_event, NULL) AS s;
        RETURN;
    END IF;
    SELECT * INTO v_event FROM events WHERE id = p_event AND status <> 'draft';
    IF NOT FOUND THEN
        DELETE FROM ledger_cursors WHERE event_id = p_event;
        RETURN QUERY SELECT 'not-found', NULL::json, '0-0', 0::bigint, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    IF v_event.last_place = 0 THEN -- from now on, a live copy that is missing was lost (event_row: opened)
        UPDATE events SET last_place = greatest(last_place,
            (SELECT max((e ->> 'place')::bigint) FROM jsonb_array_elements(p_entries) AS e))
        WHERE id = p_event;
    END IF;

    PERFORM push_add(v_event, p_entries, clock_timestamp());
    PERFORM ledger_copy(p_event, p_entries);
    PERFORM ledger_lock(p_event, p_entries);
    v_now := clock_timestamp();
    PERFORM ledger_enter(p_event, p_entries);
    PERFORM ledger_depart(p_event, p_entries, v_now);
    IF event_setting(v_event.settings, 'autoHold') = 0 OR v_event.seats = 0 THEN
        free := seats_capacity(p_event);
        RETURN NEXT;
        RETURN;
    END IF;
    held := ledger_hold(v_event, p_entries, v_now);
    PERFORM ledger_claim(p_event, p_entries, v_now);
    free := seats_capacity(p_event);
    FOR body IN SELECT * FROM ledger_messages(v_event, p_entries, v_now) LOOP
        RETURN NEXT;
    END LOOP;
    IF NOT FOUND THEN
        RETURN NEXT;
    END IF;
END $$;

-- ---- restoring Redis ----

-- A page of consumed places: for up to p_limit buyers with ids above p_after, in the order of their ids.
--   place   the highest place consumed; 0: none. A departure (unless it kept the place) or a purchase consumes a place
--   kept    a later place of which a turn ended for idleness and left it to the buyer, which happens once for each place;
--           0: none
--   used    ms of the session that this turn had used
--   since   when it had begun, ms
-- The two SELECTs below read departures and purchases, each in the order of its index and at most p_limit buyers of it:
-- enough, since the page has no buyer beyond the p_limit-th of either.
-- contracts: generation 48: its columns have changed
DROP FUNCTION IF EXISTS consumed_places (text, bigint, text, integer);
CREATE FUNCTION consumed_places(p_event text, p_epoch bigint, p_after text, p_limit integer)
RETURNS TABLE (buyer text, place bigint, kept bigint, used bigint, since bigint) LANGUAGE sql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashagg = off AS $$
    SELECT p.buyer, p.place, coalesce(k.place, 0), coalesce(k.used, 0), coalesce(k.since, 0) FROM (
        SELECT s.buyer, max(s.place) AS place, max(s.kept) AS kept FROM (
            (SELECT a.buyer, coalesce(max(a.place) FILTER (WHERE place_consumed(a.kind)), 0) AS place,
                    max(a.place) FILTER (WHERE a.kind = 'idle_kept') AS kept
             FROM admissions a
             WHERE a.event_id = p_event AND a.epoch = p_epoch AND a.departed
               AND a.kind <> 'unclaimed' AND a.buyer > p_after
             GROUP BY a.buyer ORDER BY a.buyer LIMIT p_limit)
            UNION ALL
            (SELECT r.buyer, max(r.place), NULL FROM reservations r
             WHERE r.event_id = p_event AND r.epoch = p_epoch AND r.status = 'confirmed'
               AND r.place > 0 AND r.buyer > p_after
             GROUP BY r.buyer ORDER BY r.buyer LIMIT p_limit)
        ) AS s
        GROUP BY s.buyer ORDER BY s.buyer LIMIT p_limit) AS p
    LEFT JOIN LATERAL (
        SELECT a.place, greatest(extract(epoch FROM max(a.at) - min(a.at)) * 1000, 0)::bigint AS used,
               (extract(epoch FROM min(a.at)) * 1000)::bigint AS since
        FROM admissions a
        WHERE a.event_id = p_event AND a.epoch = p_epoch AND a.buyer = p.buyer AND a.place = p.kept
          AND a.n <= (SELECT i.n FROM admissions i
                      WHERE i.event_id = p_event AND i.epoch = p_epoch AND i.buyer = p.buyer AND i.place = p.kept
                        AND i.kind = 'idle_kept' ORDER BY i.n LIMIT 1)
          AND a.kind IN ('direct', 'claimed', 'restored', 'idle_kept')
        GROUP BY a.place) AS k ON p.kept > p.place
    ORDER BY p.buyer
$$;
