-- SPDX-License-Identifier: MIT
--
-- ledger

-- A stream id as two numbers: texts would put 999-0 after 1000-0.
CREATE OR REPLACE FUNCTION stream_order(p_id text) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[coalesce(nullif(split_part(p_id, '-', 1), ''), '0')::bigint,
                 coalesce(nullif(split_part(p_id, '-', 2), ''), '0')::bigint]
$$;

-- Cursor and free seats (seats_room) in one snapshot. p_first: the first id of the stream, or NULL. `restarted`:
-- that entry is at or below the cursor and yet was never copied: Redis lost the stream, its clock
-- went back, and what stands in the new one would be passed over. known otherwise.
CREATE OR REPLACE FUNCTION ledger_state(p_event text, p_first text)
RETURNS TABLE (outcome text, body json, consumed text, admitted bigint, free bigint)
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_first IS NOT NULL AND c.event_id IS NOT NULL
                 AND stream_order(p_first) <= stream_order(c.consumed)
                 AND NOT EXISTS (SELECT FROM admissions a
                                 WHERE a.event_id = p_event AND a.stream_id = p_first)
                THEN 'restarted' ELSE 'known' END,
           NULL::json, coalesce(c.consumed, '0-0'), coalesce(c.admitted, 0), seats_room(p_event)
    FROM (VALUES (p_event)) AS e (id) LEFT JOIN ledger_cursors c ON c.event_id = e.id
$$;

-- Puts the cursor back to the beginning, for a stream that was restarted: entries copied before
-- have no effect again. reset | stale
CREATE OR REPLACE FUNCTION ledger_reset(p_event text, p_expected text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_cursors SET consumed = '0-0', admitted = 0
    WHERE event_id = p_event AND consumed = p_expected;
    RETURN QUERY SELECT CASE WHEN FOUND THEN 'reset' ELSE 'stale' END, NULL::json;
END $$;

-- Puts the cursor at p_to, which is below p_expected: entries after it are read, those copied before
-- have no effect again. rewound | stale
CREATE OR REPLACE FUNCTION ledger_rewind(p_event text, p_expected text, p_to text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_cursors c SET consumed = p_to
    WHERE c.event_id = p_event AND c.consumed = p_expected
      AND stream_order(p_to) < stream_order(c.consumed);
    RETURN QUERY SELECT CASE WHEN FOUND THEN 'rewound' ELSE 'stale' END, NULL::json;
END $$;

-- The admissions among these entries that are not over: still inside when the log was read, of
-- this epoch, and no departure is known. In order of the log.
CREATE OR REPLACE FUNCTION ledger_arrivals(p_event text, p_epoch bigint, p_entries jsonb)
RETURNS TABLE (o bigint, buyer text, place bigint, epoch bigint, at bigint)
LANGUAGE sql STABLE AS $$
    SELECT e.o, e.buyer, e.place, e.epoch, e.at
    FROM ROWS FROM (jsonb_to_recordset(p_entries) AS (departed boolean, buyer text, place bigint,
             epoch bigint, at bigint, active boolean))
         WITH ORDINALITY AS e (departed, buyer, place, epoch, at, active, o)
    WHERE NOT e.departed AND e.active AND e.epoch = p_epoch
      AND (SELECT true FROM admissions a
           WHERE a.event_id = p_event AND a.epoch = e.epoch AND a.buyer = e.buyer
             AND a.place = e.place AND a.departed LIMIT 1) IS NULL
    ORDER BY e.o
$$;

-- p_entries: [{id, kind, departed, buyer, place, epoch, at, inside, threshold, n, active}] of the
-- log after p_expected and up to p_new, in its order; at most 500. `active`: still inside when the
-- log was read.
--   consumed    consumed, admitted and free are as of p_new; held: how many auto-holds were made.
--               The buyers who came and are inside, fifty to a row (fewer with many seats each:
--               a message stays below 64 KiB): {buyers: [{buyer, place, since, epoch,
--               reservation}]}; one row without a body when there are none, or without auto-hold
--   stale       another consumer has moved the cursor: nothing changed; consumed says where it is
--   not-newer   p_new is not above p_expected: nothing changed
--   not-found
CREATE OR REPLACE FUNCTION ledger_consume(p_event text, p_expected text, p_new text, p_entries jsonb)
RETURNS TABLE (outcome text, body json, consumed text, admitted bigint, free bigint, held bigint)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_event events;
    v_n integer;
    v_max integer;
    v_admitted bigint;
    v_now timestamptz;
    v_buyers text[];
    v_places bigint[];
    v_wants integer[];
    v_ids uuid[];
    v_made bigint;
    v_held bigint := 0;
BEGIN
    IF stream_order(p_new) <= stream_order(p_expected) THEN
        RETURN QUERY SELECT 'not-newer', NULL::json, s.consumed, s.admitted, s.free, 0::bigint
                     FROM ledger_state(p_event, NULL) AS s;
        RETURN;
    END IF;
    v_admitted := (p_entries -> -1 ->> 'n')::bigint;
    INSERT INTO ledger_cursors (event_id) VALUES (p_event) ON CONFLICT DO NOTHING;
    UPDATE ledger_cursors c SET consumed = p_new, admitted = v_admitted
    WHERE c.event_id = p_event AND stream_order(c.consumed) = stream_order(p_expected);
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'stale', NULL::json, s.consumed, s.admitted, s.free, 0::bigint
                     FROM ledger_state(p_event, NULL) AS s;
        RETURN;
    END IF;

    SELECT * INTO v_event FROM events WHERE id = p_event;
    IF NOT FOUND THEN
        DELETE FROM ledger_cursors WHERE event_id = p_event;
        RETURN QUERY SELECT 'not-found', NULL::json, '0-0', 0::bigint, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    IF v_event.last_place = 0 THEN -- from now on a missing live copy is a lost one
        UPDATE events SET last_place = greatest(last_place,
            (SELECT max((e ->> 'place')::bigint) FROM jsonb_array_elements(p_entries) AS e))
        WHERE id = p_event;
    END IF;
    INSERT INTO admissions AS a (event_id, epoch, buyer, place, kind, departed, at, inside,
                                 threshold, n, stream_id)
    SELECT DISTINCT ON (e.epoch, e.buyer, e.place, e.kind)
           p_event, e.epoch, e.buyer, e.place, e.kind, e.departed, to_timestamp(e.at / 1000.0),
           e.inside, e.threshold, e.n, e.id
    FROM jsonb_to_recordset(p_entries) AS e (id text, kind text, departed boolean, buyer text,
        place bigint, epoch bigint, at bigint, inside bigint, threshold bigint, n bigint)
    ORDER BY e.epoch, e.buyer, e.place, e.kind, stream_order(e.id) DESC
    ON CONFLICT (event_id, epoch, buyer, place, kind) DO UPDATE SET stream_id = excluded.stream_id;

    PERFORM pg_advisory_xact_lock(l.k) FROM (
        SELECT DISTINCT buyer_lock(p_event, e.buyer) AS k
        FROM jsonb_to_recordset(p_entries) AS e (buyer text) ORDER BY 1) AS l;
    v_ids := ARRAY(SELECT h.id
        FROM jsonb_to_recordset(p_entries) AS e (buyer text)
        CROSS JOIN LATERAL (SELECT r.id FROM reservations r
                            WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.status = 'held'
                            OFFSET 0) AS h);
    PERFORM FROM reservations r WHERE r.id = ANY (v_ids) ORDER BY r.id FOR UPDATE;
    v_now := clock_timestamp();

    v_ids := ARRAY(SELECT h.id
        FROM jsonb_to_recordset(p_entries)
             AS e (departed boolean, buyer text, place bigint, epoch bigint)
        CROSS JOIN LATERAL (
            SELECT r.id FROM reservations r
            WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.place = e.place
              AND r.epoch = e.epoch AND NOT r.entered
            OFFSET 0) AS h
        WHERE NOT e.departed);
    UPDATE reservations SET entered = true WHERE id = ANY (v_ids);

    -- Those who went: what was held for them is given back; who has bought is known to be out.
    v_ids := ARRAY(SELECT h.id
        FROM jsonb_to_recordset(p_entries)
             AS e (departed boolean, buyer text, place bigint, epoch bigint)
        CROSS JOIN LATERAL (
            SELECT r.id FROM reservations r
            WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.status = 'held' AND r.auto
              AND r.place = e.place AND r.epoch = e.epoch
              AND (SELECT true FROM payments p
                   WHERE p.reservation_id = r.id AND p.status = 'pending' LIMIT 1) IS NULL
            OFFSET 0) AS h
        WHERE e.departed);
    IF v_ids <> '{}' THEN
        UPDATE reservations SET status = 'cancelled', ended_at = v_now, swept = true
        WHERE id = ANY (v_ids);
        PERFORM seats_release(v_ids);
    END IF;
    v_ids := ARRAY(SELECT c.id
        FROM jsonb_to_recordset(p_entries)
             AS e (departed boolean, buyer text, place bigint, epoch bigint)
        CROSS JOIN LATERAL (
            SELECT r.id FROM reservations r
            WHERE r.event_id = p_event AND r.epoch = e.epoch AND r.buyer = e.buyer
              AND r.place = e.place AND r.status = 'confirmed' AND NOT r.slot_freed
            OFFSET 0) AS c
        WHERE e.departed);
    UPDATE reservations SET slot_freed = true WHERE id = ANY (v_ids);

    v_n := coalesce((v_event.settings ->> 'autoHold')::integer, 1);
    IF v_n = 0 OR v_event.seats = 0 THEN
        RETURN QUERY SELECT 'consumed', NULL::json, p_new, v_admitted, seats_room(p_event), 0::bigint;
        RETURN;
    END IF;

    -- Those who came and are inside: once for each admission, and only without a hold of theirs.
    v_max := coalesce((v_event.settings ->> 'maxSeats')::integer, 4);
    SELECT array_agg(c.buyer ORDER BY c.o), array_agg(c.place ORDER BY c.o),
           array_agg(c.want ORDER BY c.o)
    INTO v_buyers, v_places, v_wants
    FROM (SELECT DISTINCT ON (e.buyer) e.buyer, e.place, e.o, least(v_n, v_max - (
              SELECT coalesce(sum(r.seat_count), 0) FROM reservations r
              WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.status = 'confirmed')) AS want
          FROM ledger_arrivals(p_event, v_event.epoch, p_entries) AS e
          WHERE (SELECT true FROM reservations r
                 WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.status = 'held'
                   AND r.expires_at > v_now) IS NULL
            AND (SELECT true FROM reservations r
                 WHERE r.event_id = p_event AND r.epoch = v_event.epoch AND r.buyer = e.buyer
                   AND r.place = e.place AND r.auto) IS NULL
            AND (SELECT true FROM reservations r -- he has bought, and is on his way out
                 WHERE r.event_id = p_event AND r.epoch = v_event.epoch AND r.buyer = e.buyer
                   AND r.place = e.place AND r.status = 'confirmed' LIMIT 1) IS NULL
          ORDER BY e.buyer, e.o DESC) AS c
    WHERE c.want > 0;
    IF v_buyers IS NOT NULL THEN
        v_ids := ARRAY(SELECT h.id FROM unnest(v_buyers) AS b (buyer)
            CROSS JOIN LATERAL (SELECT r.id FROM reservations r
                                WHERE r.event_id = p_event AND r.buyer = b.buyer
                                  AND r.status = 'held' OFFSET 0) AS h);
        UPDATE reservations SET status = 'expired' WHERE id = ANY (v_ids);
        -- Nearly always one number is wanted by all; who has bought before may get fewer.
        FOR v_want IN REVERSE v_n..1 LOOP
            SELECT reservation_auto_hold(v_event, v_want, array_agg(w.buyer ORDER BY w.o),
                                         array_agg(w.place ORDER BY w.o)) INTO v_made
            FROM unnest(v_buyers, v_places, v_wants) WITH ORDINALITY AS w (buyer, place, want, o)
            WHERE w.want = v_want HAVING count(*) > 0;
            v_held := v_held + coalesce(v_made, 0);
        END LOOP;
    END IF;

    RETURN QUERY
    WITH arrived AS (
        SELECT e.o, (row_number() OVER (ORDER BY e.o) - 1) / greatest(1, 200 / (v_n + 3)) AS chunk,
               json_build_object('buyer', e.buyer, 'place', e.place::text, 'since', e.at,
                                 'epoch', e.epoch) AS plain,
               (SELECT reservation_json(r) FROM reservations r
                WHERE r.event_id = p_event AND r.buyer = e.buyer AND r.status = 'held'
                  AND r.expires_at > v_now) AS reservation
        FROM ledger_arrivals(p_event, v_event.epoch, p_entries) AS e
    ), chunks AS (
        SELECT chunk, json_build_object('buyers', json_agg(
            CASE WHEN reservation IS NULL THEN plain
                 ELSE (rtrim(plain::text, '}') || ', "reservation" : ' || reservation::text
                       || '}')::json END ORDER BY o)) AS body
        FROM arrived GROUP BY chunk
    )
    SELECT 'consumed', c.body, p_new, v_admitted, f.free, v_held
    FROM (SELECT seats_room(p_event) AS free OFFSET 0) AS f LEFT JOIN chunks c ON true ORDER BY c.chunk;
END $$;

-- One page of spent places, in order of buyer ids above p_after: the highest place each has used
-- up, by a departure or by having bought.
CREATE OR REPLACE FUNCTION spent_page(p_event text, p_epoch bigint, p_after text, p_limit integer)
RETURNS TABLE (buyer text, place bigint) LANGUAGE sql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashagg = off AS $$
    -- Each half by itself in the order of its index, and no further than the page.
    SELECT s.buyer, max(s.place) FROM (
        (SELECT a.buyer, max(a.place) AS place FROM admissions a
         WHERE a.event_id = p_event AND a.epoch = p_epoch AND a.departed AND a.buyer > p_after
         GROUP BY a.buyer ORDER BY a.buyer LIMIT p_limit)
        UNION ALL
        (SELECT r.buyer, max(r.place) FROM reservations r
         WHERE r.event_id = p_event AND r.epoch = p_epoch AND r.status = 'confirmed'
           AND r.place > 0 AND r.buyer > p_after
         GROUP BY r.buyer ORDER BY r.buyer LIMIT p_limit)
    ) AS s
    GROUP BY s.buyer ORDER BY s.buyer LIMIT p_limit
$$;
