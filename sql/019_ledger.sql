-- SPDX-License-Identifier: MIT
--
-- ledger: what is free is counted once for a batch, and not again for every row of the answer.

-- As in 004; the OFFSET keeps the count from being made part of each row.
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
        SELECT chunk, json_build_object('eventId', p_event, 'buyers', json_agg(
            CASE WHEN reservation IS NULL THEN plain
                 ELSE (rtrim(plain::text, '}') || ', "reservation" : ' || reservation::text
                       || '}')::json END ORDER BY o)) AS body
        FROM arrived GROUP BY chunk
    )
    SELECT 'consumed', c.body, p_new, v_admitted, f.free, v_held
    FROM (SELECT seats_room(p_event) AS free OFFSET 0) AS f LEFT JOIN chunks c ON true ORDER BY c.chunk;
END $$;
