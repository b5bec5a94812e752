-- SPDX-License-Identifier: MIT
--
-- feed: what happened at an event, told to programs outside: by GET …/feed, and by webhooks. docs/integrate/events.md lists
-- the types.
--
-- The triggers below write a row into feed_new in the transaction of what it tells, whichever function it is. Numbers are
-- given afterwards: feed_number takes what is committed, in the order in which it was written, moves it to feed and counts on.
-- It has the row of feed_heads locked, so one at a time gives numbers, and each number is visible before the next is
-- given. So a reader who has read up to a number never misses one below it: a transaction that commits late gets a later
-- number. Two rows of which one follows from the other have the right order, because the second was written after the first
-- was committed. The price of a sale is one narrow row; the seats are looked up when the number is given.

-- ---- writing ----

-- The id of something that happened. It follows from what happened, so a row that is written again, after a database was
-- restored from a backup, has the id that receivers know.
CREATE OR REPLACE FUNCTION feed_id(p_text text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT md5(p_text)::uuid
$$;

-- Does an entry of this kind say that a buyer is inside by a turn of their own? An offer does not, before it is claimed.
CREATE OR REPLACE FUNCTION feed_admits(p_kind text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p_kind IN ('direct', 'claimed', 'restored', 'promote')
$$;

-- Why an admission ended, for programs outside, by the kind of its entry.
CREATE OR REPLACE FUNCTION feed_reason(p_kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_kind WHEN 'timeout' THEN 'session' WHEN 'idle_kept' THEN 'idle' ELSE p_kind END
$$;

-- Of a batch of the admission log: the turns that began, and those that ended. An offer that nobody claimed is neither.
-- `cleared` is no type of the feed: feed_cleared makes it a buyer.left for each who was inside.
CREATE OR REPLACE FUNCTION feed_admissions() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO feed_new (event_id, type, buyer, place, id, at, data)
    SELECT a.event_id, CASE WHEN a.kind = 'cleared' THEN 'cleared' WHEN a.departed THEN 'buyer.left' ELSE 'buyer.admitted' END,
           nullif(a.buyer, ''), a.place, feed_id(concat_ws(' ', a.event_id, a.epoch, a.place, a.n, a.kind)), a.at,
           jsonb_build_object('epoch', a.epoch, 'admission', a.n, 'inside', a.inside)
               || CASE WHEN a.departed THEN jsonb_build_object('reason', feed_reason(a.kind), 'placeKept', NOT place_consumed(a.kind))
                       ELSE jsonb_build_object('how', a.kind, 'threshold', a.threshold) END
    FROM added a
    WHERE CASE WHEN NOT a.departed THEN feed_admits(a.kind)
               WHEN a.kind IN ('cleared', 'withdrawn', 'unclaimed') THEN a.kind = 'cleared'
               ELSE (SELECT true FROM admissions b
                     WHERE b.event_id = a.event_id AND b.epoch = a.epoch AND b.buyer = a.buyer AND b.place = a.place
                       AND b.n = a.n AND feed_admits(b.kind) LIMIT 1) IS NOT NULL END
    ORDER BY a.stream_ms, a.stream_seq;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER feed_admissions AFTER INSERT ON admissions REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION feed_admissions();

-- What a row of reservations says, for all types alike.
CREATE OR REPLACE FUNCTION feed_reservation_data(p_status text, p_number text, p_auto boolean, p_currency text, p_total bigint,
                                                 p_returned bigint, p_seats integer, p_expires timestamptz)
RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'reservationNumber', p_number, 'automatic', p_auto, 'currency', p_currency, 'totalAmount', p_total,
        'returnedAmount', CASE p_status WHEN 'refunded' THEN p_total ELSE p_returned END,
        'seatCount', CASE p_status WHEN 'refunded' THEN 0 ELSE p_seats END)
        || CASE p_status WHEN 'held' THEN jsonb_build_object('expiresAt', rfc3339(p_expires)) ELSE '{}' END
$$;

-- Tells what has become of a reservation. p_why: why a hold ended; NULL: it did not. p_amount: what is returned by this
-- refund; NULL: it is none.
CREATE OR REPLACE FUNCTION feed_of_reservation(r reservations, p_type text, p_at timestamptz, p_why text, p_amount bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feed_new (event_id, type, buyer, place, ref, id, at, data)
    VALUES (r.event_id, p_type, r.buyer, r.place, r.id,
            feed_id(concat_ws(' ', r.id, p_type, CASE WHEN p_amount IS NOT NULL THEN r.status || r.seat_count END)), p_at,
            feed_reservation_data(r.status, r.number, r.auto, r.currency, r.total, r.returned, r.seat_count, r.expires_at)
                || CASE WHEN p_why IS NOT NULL THEN jsonb_build_object('reason', p_why)
                        WHEN p_amount IS NOT NULL THEN jsonb_build_object('amount', p_amount) ELSE '{}' END);
END $$;

-- A new row is a hold, or a sale that is put back (sale.sql). One statement may make hundreds: holds on admission.
CREATE OR REPLACE FUNCTION feed_reservations_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feed_new (event_id, type, buyer, place, ref, id, at, data)
    SELECT r.event_id, 'reservation.' || r.status, r.buyer, r.place, r.id,
           feed_id(concat_ws(' ', r.id, 'reservation.' || r.status, CASE r.status WHEN 'refunded' THEN r.status || r.seat_count END)),
           CASE r.status WHEN 'held' THEN r.created_at ELSE coalesce(r.ended_at, r.created_at) END,
           feed_reservation_data(r.status, r.number, r.auto, r.currency, r.total, r.returned, r.seat_count, r.expires_at)
               || CASE r.status WHEN 'refunded' THEN jsonb_build_object('amount', r.total - r.returned) ELSE '{}' END
    FROM added r WHERE r.status IN ('held', 'confirmed', 'refunded') ORDER BY r.created_at, r.number;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER feed_reservations_made AFTER INSERT ON reservations REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION feed_reservations_made();

CREATE OR REPLACE FUNCTION feed_reservation_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    IF NEW.status = 'confirmed' AND OLD.status <> 'confirmed' THEN
        PERFORM feed_of_reservation(NEW, 'reservation.confirmed', v_now, NULL, NULL);
    END IF;
    IF NEW.status IN ('expired', 'cancelled') THEN
        PERFORM feed_of_reservation(NEW, 'reservation.expired', v_now, NEW.status, NULL);
    ELSIF NEW.status = 'refunded' AND OLD.status <> 'refunded' THEN
        PERFORM feed_of_reservation(NEW, 'reservation.refunded', v_now, NULL, NEW.total - OLD.returned);
    ELSIF NEW.returned > OLD.returned THEN
        PERFORM feed_of_reservation(NEW, 'reservation.refunded', v_now, NULL, NEW.returned - OLD.returned);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER feed_reservation_changed AFTER UPDATE OF status, returned ON reservations FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.returned > OLD.returned) EXECUTE FUNCTION feed_reservation_changed();

CREATE OR REPLACE FUNCTION feed_event_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_from bigint := event_setting(OLD.settings, 'threshold');
    v_to bigint := event_setting(NEW.settings, 'threshold');
BEGIN
    INSERT INTO feed_new (event_id, type, id, at, data)
    SELECT NEW.id, t.type, feed_id(concat_ws(' ', NEW.id, NEW.epoch, NEW.version, t.type)), v_now, t.data
    FROM (VALUES
        (1, NEW.status <> OLD.status AND NEW.status IN ('open', 'paused', 'sold_out', 'closed'),
         'event.' || CASE NEW.status WHEN 'open' THEN 'opened' ELSE NEW.status END,
         jsonb_build_object('title', NEW.title, 'status', NEW.status, 'from', OLD.status)),
        (2, v_from <> v_to, 'threshold.changed', jsonb_build_object('title', NEW.title, 'from', v_from, 'to', v_to))
    ) AS t (o, happened, type, data)
    WHERE t.happened ORDER BY t.o;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER feed_event_changed AFTER UPDATE OF status, settings ON events FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.settings <> OLD.settings) EXECUTE FUNCTION feed_event_changed();

-- ---- giving numbers ----

-- The seats of a reservation as it was when it had p_left of them: a refund of a part takes seats away one refund after
-- the other. {"seats", "refundedSeats"}
CREATE OR REPLACE FUNCTION feed_seats(p_reservation uuid, p_left integer) RETURNS jsonb LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
DECLARE
    v_seats jsonb;
    v_refunded jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(l.seat ORDER BY l.section_rank, l.row_rank, l.number) FILTER (WHERE l.o > l.n - p_left), '[]'),
           coalesce(jsonb_agg(l.seat ORDER BY l.section_rank, l.row_rank, l.number) FILTER (WHERE l.o <= l.n - p_left), '[]')
    INTO v_seats, v_refunded
    FROM (SELECT jsonb_build_object('id', s.id::text, 'section', s.section, 'row', s.row, 'number', s.number,
                                    'price', coalesce(rs.price, s.price)) AS seat,
                 s.section_rank, s.row_rank, s.number, count(*) OVER () AS n,
                 row_number() OVER (ORDER BY rs.refunded_at NULLS LAST, rs.seat_id) AS o
          FROM reservation_seats rs CROSS JOIN LATERAL (
              SELECT n.id, n.section, n.row, n.number, n.section_rank, n.row_rank, n.price
              FROM seats n WHERE n.id = rs.seat_id
              UNION ALL
              SELECT d.id, d.section, d.row, d.number, d.section_rank, d.row_rank, NULL
              FROM removed_seats d WHERE d.id = rs.seat_id) AS s
          WHERE rs.reservation_id = p_reservation) AS l;
    RETURN jsonb_build_object('seats', v_seats, 'refundedSeats', v_refunded);
END $$;

-- What each of an event's data says besides: whether it is of a rehearsal.
CREATE OR REPLACE FUNCTION feed_rehearsal(p_event text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN (SELECT (e.settings ->> 'rehearsal')::boolean FROM events e WHERE e.id = p_event) THEN '{"rehearsal": true}' ELSE '{}' END::jsonb
$$;

-- The queue was cleared: everybody who was inside has left. Takes a page of p_limit buyers, by their ids, of p_new, the row
-- that says so; it goes when none is left. The caller has locked the head. Returns p_limit: there may be more to do.
CREATE OR REPLACE FUNCTION feed_cleared(p_new feed_new, p_head feed_heads, p_limit integer) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_epoch bigint := (SELECT max(a.epoch) FROM admissions a
                       WHERE a.event_id = p_new.event_id AND a.epoch < (p_new.data ->> 'epoch')::bigint);
    v_buyers text[];
    v_n integer;
BEGIN
    IF v_epoch > p_head.cleared THEN
        v_buyers := ARRAY(SELECT DISTINCT a.buyer FROM admissions a
                          WHERE a.event_id = p_new.event_id AND a.epoch = v_epoch AND a.buyer > coalesce(p_new.data ->> 'after', '')
                          ORDER BY a.buyer LIMIT p_limit);
    END IF;
    IF coalesce(cardinality(v_buyers), 0) = 0 THEN
        DELETE FROM feed_new WHERE event_id = p_new.event_id AND o = p_new.o;
        UPDATE feed_heads SET cleared = greatest(cleared, v_epoch) WHERE event_id = p_new.event_id;
        RETURN p_limit;
    END IF;
    INSERT INTO feed (event_id, seq, type, buyer, place, id, at, data)
    SELECT p_new.event_id, p_head.seq + row_number() OVER (ORDER BY l.place), 'buyer.left', l.buyer, l.place,
           feed_id(concat_ws(' ', p_new.event_id, v_epoch, l.place, l.n, 'cleared')), p_new.at,
           jsonb_build_object('epoch', v_epoch, 'admission', l.n, 'inside', 0, 'reason', 'cleared', 'placeKept', false)
               || feed_rehearsal(p_new.event_id)
    FROM (SELECT DISTINCT ON (b.buyer) a.buyer, a.place, a.n
          FROM unnest(v_buyers) AS b (buyer) CROSS JOIN LATERAL (
              SELECT i.buyer, i.place, i.n FROM admissions i
              WHERE i.event_id = p_new.event_id AND i.epoch = v_epoch AND i.buyer = b.buyer AND feed_admits(i.kind)
              ORDER BY i.n DESC LIMIT 1) AS a
          WHERE (SELECT true FROM admissions d
                 WHERE d.event_id = p_new.event_id AND d.epoch = v_epoch AND d.buyer = a.buyer AND d.place = a.place
                   AND d.n = a.n AND d.departed LIMIT 1) IS NULL
          ORDER BY b.buyer) AS l;
    GET DIAGNOSTICS v_n = ROW_COUNT;
    UPDATE feed_heads SET seq = seq + v_n WHERE event_id = p_new.event_id;
    UPDATE feed_new SET data = data || jsonb_build_object('after', v_buyers[cardinality(v_buyers)])
    WHERE event_id = p_new.event_id AND o = p_new.o;
    RETURN p_limit;
END $$;

-- Gives numbers to at most p_limit rows of an event. Returns how many steps it made; 0: nothing waits for a number, or
-- (p_wait false) somebody else is giving them.
CREATE OR REPLACE FUNCTION feed_number(p_event text, p_limit integer, p_wait boolean) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_head feed_heads;
    v_rehearsal jsonb;
    v_first feed_new;
    v_marker bigint;
    v_n integer;
BEGIN
    IF (SELECT true FROM feed_new WHERE event_id = p_event LIMIT 1) IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO feed_heads (event_id) VALUES (p_event) ON CONFLICT DO NOTHING;
    IF p_wait THEN
        SELECT * INTO v_head FROM feed_heads WHERE event_id = p_event FOR NO KEY UPDATE;
    ELSE
        SELECT * INTO v_head FROM feed_heads WHERE event_id = p_event FOR NO KEY UPDATE SKIP LOCKED;
    END IF;
    SELECT * INTO v_first FROM feed_new WHERE event_id = p_event ORDER BY o LIMIT 1;
    IF v_head.event_id IS NULL OR v_first.event_id IS NULL THEN
        RETURN 0;
    ELSIF v_first.type = 'cleared' THEN
        RETURN feed_cleared(v_first, v_head, p_limit);
    END IF;
    v_rehearsal := feed_rehearsal(p_event);
    -- One statement takes the rows and moves them: those of transactions that commit meanwhile are left for the next call.
    WITH waiting AS MATERIALIZED (
        SELECT n.o, n.type FROM feed_new n WHERE n.event_id = p_event ORDER BY n.o LIMIT p_limit
    ), taken AS (
        DELETE FROM feed_new n USING waiting w
        WHERE n.event_id = p_event AND n.o = w.o
          AND n.o < coalesce((SELECT min(c.o) FROM waiting c WHERE c.type = 'cleared'), 9223372036854775807)
        RETURNING n.*
    )
    INSERT INTO feed (event_id, seq, type, buyer, place, ref, id, at, data)
    SELECT t.event_id, v_head.seq + row_number() OVER (ORDER BY t.o), t.type, t.buyer, t.place, t.ref, t.id, t.at,
           t.data || v_rehearsal
               || CASE WHEN t.ref IS NOT NULL THEN feed_seats(t.ref, (t.data ->> 'seatCount')::integer) ELSE '{}' END
    FROM taken t;
    GET DIAGNOSTICS v_n = ROW_COUNT;
    UPDATE feed_heads SET seq = seq + v_n WHERE event_id = p_event;
    RETURN v_n;
END $$;

-- Gives numbers to all rows of an event that are committed by now.
CREATE OR REPLACE FUNCTION feed_number_all(p_event text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE feed_number(p_event, 5000, true) > 0 LOOP
        NULL;
    END LOOP;
END $$;

-- Gives numbers to at most p_limit rows of each event that has some.
-- numbered: {"rows": how many; 0: nothing is left}
CREATE OR REPLACE FUNCTION feed_number_each(p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_event text;
    v_rows integer := 0;
BEGIN
    v_event := (SELECT event_id FROM feed_new ORDER BY event_id LIMIT 1);
    WHILE v_event IS NOT NULL LOOP
        v_rows := v_rows + feed_number(v_event, p_limit, false);
        v_event := (SELECT event_id FROM feed_new WHERE event_id > v_event ORDER BY event_id LIMIT 1);
    END LOOP;
    RETURN QUERY SELECT 'numbered', json_build_object('rows', v_rows);
END $$;

-- ---- reading ----

-- A row as CloudEvents 1.0 has it.
CREATE OR REPLACE FUNCTION feed_json(f feed) RETURNS json LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN json_build_object(
        'specversion', '1.0', 'id', f.id, 'source', '/api/events/' || f.event_id, 'type', f.type,
        'subject', coalesce(f.ref::text, f.buyer, f.event_id), 'time', rfc3339(f.at), 'datacontenttype', 'application/json',
        'sequence', lpad(f.seq::text, 18, '0'),
        'data', jsonb_build_object('eventId', f.event_id)
                || CASE WHEN f.buyer IS NOT NULL THEN jsonb_build_object('buyer', f.buyer, 'place', f.place::text) ELSE '{}' END
                || CASE WHEN f.ref IS NOT NULL THEN jsonb_build_object('reservationId', f.ref) ELSE '{}' END
                || f.data);
END $$;

-- A page of the feed: what comes after number p_after, at most p_limit, which is below what it gives numbers to. p_types: only
-- these; NULL: all.
--   found       a row for each event; one without a body if there is none
--   forgotten   what came after p_after was deleted by now. 0 asks for the oldest that is kept, whichever that is
CREATE OR REPLACE FUNCTION feed_page(p_event text, p_after bigint, p_types text[], p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_pruned bigint;
BEGIN
    PERFORM feed_number(p_event, 2000, true);
    v_pruned := coalesce((SELECT h.pruned FROM feed_heads h WHERE h.event_id = p_event), 0);
    IF p_after > 0 AND p_after < v_pruned THEN
        RETURN QUERY SELECT 'forgotten', NULL::json;
        RETURN;
    END IF;
    RETURN QUERY SELECT 'found', feed_json(f) FROM feed f
    WHERE f.event_id = p_event AND f.seq > p_after AND (p_types IS NULL OR f.type = ANY (p_types))
    ORDER BY f.seq LIMIT p_limit;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'found', NULL::json;
    END IF;
END $$;

-- ---- how long it is kept ----

-- Deletes at most p_limit rows of one event that are older than p_days. Each event is looked at once an hour.
-- kept: {"rows": how many were deleted; more may be due}
CREATE OR REPLACE FUNCTION feed_prune(p_days integer, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_event text;
    v_to bigint;
    v_n integer := 0;
BEGIN
    SELECT h.event_id INTO v_event FROM feed_heads h
    WHERE h.seq > h.pruned AND (h.kept_at IS NULL OR h.kept_at <= v_now - interval '1 hour')
    ORDER BY h.kept_at NULLS FIRST LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        v_to := (SELECT max(o.seq) FROM (
                     SELECT f.seq, bool_and(f.at <= v_now - p_days * interval '1 day') OVER (ORDER BY f.seq) AS old
                     FROM (SELECT seq, at FROM feed WHERE event_id = v_event ORDER BY seq LIMIT p_limit) AS f) AS o
                 WHERE o.old);
        DELETE FROM feed WHERE event_id = v_event AND seq <= v_to;
        GET DIAGNOSTICS v_n = ROW_COUNT;
        UPDATE feed_heads SET pruned = greatest(pruned, v_to), kept_at = CASE WHEN v_n < p_limit THEN v_now ELSE kept_at END
        WHERE event_id = v_event;
    END IF;
    RETURN QUERY SELECT 'kept', json_build_object('rows', v_n);
END $$;

-- Removes all that an event's feed tells. Its numbers go on.
CREATE OR REPLACE FUNCTION feed_forget(p_event text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM feed_heads WHERE event_id = p_event FOR NO KEY UPDATE;
    DELETE FROM feed_new WHERE event_id = p_event;
    DELETE FROM feed WHERE event_id = p_event;
    UPDATE feed_heads SET pruned = seq WHERE event_id = p_event;
    UPDATE webhooks w SET sent = h.seq, claim = NULL FROM feed_heads h WHERE h.event_id = p_event AND w.event_id = p_event;
END $$;

-- The database may have lost numbers that readers have seen: none of them is given again. The lost ones are fewer than the
-- gap. p_event NULL: of all events.
CREATE OR REPLACE FUNCTION feed_skip(p_event text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO feed_heads AS h (event_id, seq)
    SELECT e.id, 10000000 FROM events e WHERE p_event IS NULL OR e.id = p_event
    ON CONFLICT (event_id) DO UPDATE SET seq = h.seq + excluded.seq
$$;
