-- SPDX-License-Identifier: MIT
--
-- ledger: what the consumer of the admission log does: copies the log to admissions, gives back
-- the auto-holds of those who went, holds seats for those who came, moves the cursor: all of it or
-- nothing, exactly once. Locks: the cursor, then as 003_reservations.sql says.
--
-- Here five hundred entries meet tables that grew a moment ago, of which the planner knows nothing
-- yet. So each entry looks its rows up in a subquery that cannot be turned into a join (LATERAL
-- with OFFSET 0, or a scalar one), and no plan scans a table it takes for small.

CREATE TABLE ledger_cursors (
    event_id text COLLATE "C" PRIMARY KEY,
    consumed text NOT NULL DEFAULT '0-0', -- stream id of the last entry copied
    admitted bigint NOT NULL DEFAULT 0    -- its count of admissions
);

-- A stream id as two numbers: texts would put 999-0 after 1000-0.
CREATE FUNCTION stream_order(p_id text) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[coalesce(nullif(split_part(p_id, '-', 1), ''), '0')::bigint,
                 coalesce(nullif(split_part(p_id, '-', 2), ''), '0')::bigint]
$$;

-- The seats there are for admissions after the cursor. A buyer who holds seats before the log of
-- his admission has been copied is one of those, so what he was to be given is still theirs: else
-- he would be counted twice, and others kept waiting before seats that are free. (Only for ten
-- seconds: an entry that is still not copied then was lost with Redis.)
CREATE FUNCTION seats_room(p_event text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT seats_free(p_event) + coalesce((
        SELECT sum(least(r.seat_count, coalesce((e.settings ->> 'autoHold')::integer, 1)))
        FROM reservations r JOIN events e ON e.id = r.event_id
        WHERE r.event_id = p_event AND NOT r.entered
          AND r.created_at > clock_timestamp() - interval '10 seconds'
          AND (r.status = 'confirmed'
               OR (r.status = 'held' AND r.expires_at > clock_timestamp()))), 0)
$$;

-- Cursor and free seats (seats_room) in one snapshot. p_first: the first id of the stream, or NULL. `restarted`:
-- that entry is at or below the cursor and yet was never copied: Redis lost the stream, its clock
-- went back, and what stands in the new one would be passed over. known otherwise.
CREATE FUNCTION ledger_state(p_event text, p_first text)
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
CREATE FUNCTION ledger_reset(p_event text, p_expected text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_cursors SET consumed = '0-0', admitted = 0
    WHERE event_id = p_event AND consumed = p_expected;
    RETURN QUERY SELECT CASE WHEN FOUND THEN 'reset' ELSE 'stale' END, NULL::json;
END $$;

-- Picks and locks up to p_groups groups of p_n adjacent seats, best first, and fills up with
-- scattered ones: a buyer who was let in gets seats while there are any. (grp, seat_id); the last
-- group may be smaller. Never waits.
CREATE FUNCTION seats_pick_many(p_event text, p_n integer, p_groups integer)
RETURNS TABLE (grp integer, seat_id bigint) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_all bigint[] := '{}';  -- group after group
    v_try bigint[];
    v_got bigint[];
BEGIN
    FOR v_round IN 1..3 LOOP
        EXIT WHEN p_n = 1 OR cardinality(v_all) >= p_groups * p_n;
        SELECT array_agg(b.id ORDER BY b.section_rank, b.row_rank, b.number) INTO v_try FROM (
            SELECT r.*, row_number() OVER (ORDER BY section_rank, row_rank, number) AS o FROM (
                SELECT i.*,
                       row_number() OVER (PARTITION BY section_rank, row_rank, island
                                          ORDER BY number) AS nth,
                       count(*) OVER (PARTITION BY section_rank, row_rank, island) AS size
                FROM (SELECT s.id, s.section_rank, s.row_rank, s.number,
                             s.number - row_number() OVER (PARTITION BY s.section_rank, s.row_rank
                                                           ORDER BY s.number) AS island
                      FROM seats s
                      WHERE s.event_id = p_event AND NOT s.sold
                        AND (s.status = 'available' OR s.held_until <= v_now)
                        AND s.id <> ALL (v_all)) AS i) AS r
            WHERE nth <= size - size % p_n) AS b
        WHERE b.o <= p_groups * p_n - cardinality(v_all);
        EXIT WHEN v_try IS NULL;
        v_got := ARRAY(SELECT s.id FROM seats s WHERE s.id = ANY (v_try)
                         AND (s.status = 'available' OR s.held_until <= v_now)
                       ORDER BY s.id FOR UPDATE SKIP LOCKED);
        -- Whole groups only; the seats of broken ones stay locked and may be of use below.
        SELECT v_all || coalesce(array_agg(t.id ORDER BY t.o), '{}') INTO v_all
        FROM unnest(v_try) WITH ORDINALITY AS t (id, o)
        WHERE (t.o - 1) / p_n IN (
            SELECT (u.o - 1) / p_n FROM unnest(v_try) WITH ORDINALITY AS u (id, o)
            WHERE u.id = ANY (v_got) GROUP BY 1 HAVING count(*) = p_n);
        EXIT WHEN v_got = v_try;
    END LOOP;
    v_got := ARRAY(SELECT s.id FROM seats s
                   WHERE s.event_id = p_event AND NOT s.sold
                     AND (s.status = 'available' OR s.held_until <= v_now)
                     AND s.id <> ALL (v_all)
                   ORDER BY s.section_rank, s.row_rank, s.number
                   LIMIT p_groups * p_n - cardinality(v_all) FOR UPDATE SKIP LOCKED);
    RETURN QUERY SELECT ((t.o - 1) / p_n)::integer + 1, t.id
                 FROM unnest(v_all || v_got) WITH ORDINALITY AS t (id, o);
END $$;

-- Holds up to p_n seats for each of these admissions, in order of preference in their order. The
-- advisory locks are held; none of the buyers has a live hold. Returns how many got any.
CREATE FUNCTION reservation_auto_hold(p_event events, p_n integer, p_buyers text[],
                                      p_places bigint[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_until timestamptz := v_now + coalesce((p_event.settings ->> 'holdMs')::bigint, 300000)
                                   * interval '1 millisecond';
    v_ids uuid[] := ARRAY(SELECT gen_random_uuid() FROM generate_series(1, cardinality(p_buyers)));
    v_groups integer[];
    v_seats bigint[];
    v_made bigint;
BEGIN
    SELECT array_agg(p.grp), array_agg(p.seat_id) INTO v_groups, v_seats
    FROM seats_pick_many(p_event.id, p_n, cardinality(p_buyers)) AS p;
    IF v_seats IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO reservations (id, number, event_id, buyer, auto, place, epoch, seat_count, total,
                              currency, created_at, expires_at)
    SELECT v_ids[p.grp], reservation_code(nextval('reservation_number')), p_event.id,
           p_buyers[p.grp], true, p_places[p.grp], p_event.epoch, count(*), sum(s.price),
           min(s.currency), v_now, v_until
    FROM unnest(v_groups, v_seats) AS p (grp, seat_id) JOIN seats s ON s.id = p.seat_id
    GROUP BY p.grp;
    GET DIAGNOSTICS v_made = ROW_COUNT;
    PERFORM seats_take(p_event.id, v_seats,
                       ARRAY(SELECT v_ids[t.grp] FROM unnest(v_groups) WITH ORDINALITY AS t (grp, o)
                             ORDER BY t.o), v_until, v_now);
    RETURN v_made;
END $$;

-- p_entries: [{id, kind, departed, buyer, place, epoch, at, inside, threshold, n, active}] of the
-- log after p_expected and up to p_new, in its order; at most 500. `active`: still inside when the
-- log was read.
--   consumed    consumed, admitted and free are as of p_new; held: how many auto-holds were made.
--               The buyers who came and are inside, fifty to a row (fewer with many seats each:
--               a message stays below 64 KiB): {eventId, buyers: [{buyer, place, since, epoch,
--               reservation}]}; one row without a body when there are none, or without auto-hold
--   stale       another consumer has moved the cursor: nothing changed; consumed says where it is
--   not-newer   p_new is not above p_expected: nothing changed
--   not-found
CREATE FUNCTION ledger_consume(p_event text, p_expected text, p_new text, p_entries jsonb)
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
        SELECT chunk, json_build_object('eventId', p_event, 'buyers', json_agg(
            CASE WHEN reservation IS NULL THEN plain
                 ELSE (rtrim(plain::text, '}') || ', "reservation" : ' || reservation::text
                       || '}')::json END ORDER BY o)) AS body
        FROM arrived GROUP BY chunk
    )
    SELECT 'consumed', c.body, p_new, v_admitted, f.free, v_held
    FROM (SELECT seats_room(p_event) AS free) AS f LEFT JOIN chunks c ON true ORDER BY c.chunk;
END $$;

-- The admissions among these entries that are not over: still inside when the log was read, of
-- this epoch, and no departure is known. In order of the log.
CREATE FUNCTION ledger_arrivals(p_event text, p_epoch bigint, p_entries jsonb)
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

-- One page of spent places, in order of buyer ids above p_after: the highest place each has used
-- up, by a departure or by having bought.
CREATE FUNCTION spent_page(p_event text, p_epoch bigint, p_after text, p_limit integer)
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
