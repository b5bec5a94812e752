-- SPDX-License-Identifier: MIT
--
-- people: one buyer of an event, for staff: who it is, and what happened to them, from the copy of the admission log, their
-- reservations and payments.

-- Whose is this reservation number (or id), or this place? One of the three is given; a buyer is answered as they are.
-- found: {"buyer", "place"} | not-found
CREATE OR REPLACE FUNCTION people_find(p_event text, p_buyer text, p_number text, p_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_buyer text := p_buyer;
    v_place bigint := p_place;
BEGIN
    IF p_number IS NOT NULL THEN
        SELECT buyer, place INTO v_buyer, v_place FROM reservations
        WHERE event_id = p_event AND (number = upper(p_number) OR id = as_uuid(p_number));
    ELSIF p_buyer IS NULL THEN
        SELECT buyer INTO v_buyer FROM admissions WHERE event_id = p_event AND place = p_place LIMIT 1;
    END IF;
    IF v_buyer IS NULL THEN
        RETURN QUERY SELECT 'not-found', refusal('Nobody is known by this.');
    ELSE
        RETURN QUERY SELECT 'found', json_build_object('buyer', v_buyer, 'place', coalesce(v_place, 0)::text);
    END IF;
END $$;

-- A time as people say it: "12 min", "40 s".
CREATE OR REPLACE FUNCTION people_span(p_span interval) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN s < 100 THEN s || ' s' WHEN s < 6000 THEN round(s / 60.0) || ' min'
                ELSE floor(s / 3600.0) || ' h ' || round(s % 3600 / 60.0) || ' min' END
    FROM (SELECT greatest(0, extract(epoch FROM p_span))::bigint) AS e (s)
$$;

-- An entry of the log, in words.
CREATE OR REPLACE FUNCTION people_words(p_kind text, p_waited interval) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_kind
        WHEN 'joined' THEN 'joined'
        WHEN 'direct' THEN 'entered at once, without waiting'
        WHEN 'offered' THEN 'was offered a turn, ' || people_span(p_waited) || ' after joining'
        WHEN 'claimed' THEN 'took the turn'
        WHEN 'unclaimed' THEN 'did not take the turn: it ended, and the place is kept'
        WHEN 'restored' THEN 'was inside again, after Redis had lost its data'
        WHEN 'idle_kept' THEN 'was idle: the turn ended, and the place is kept'
        WHEN 'idle' THEN 'was idle again: the turn ended'
        WHEN 'timeout' THEN 'reached the session limit: the turn ended'
        WHEN 'left' THEN 'left: the turn ended'
        WHEN 'completed' THEN 'was done: the turn ended'
        WHEN 'withdrawn' THEN 'left the queue'
        WHEN 'parked' THEN 'was silent when the turn came: set aside, and the place is kept'
        WHEN 'banned' THEN 'was banned: the turn ended, and the place is kept'
        WHEN 'barred' THEN 'was banned while waiting: the place is kept'
        WHEN 'returned' THEN 'came back, and waits at the old place'
        WHEN 'promote' THEN 'entered, ' || people_span(p_waited) || ' after joining'
        WHEN 'cleared' THEN 'lost the place: the queue was cleared'
        ELSE p_kind END
$$;

-- What happened to a buyer, oldest first, at most the newest 500 entries: {"buyer", "entries": [{at, what, text, …}],
-- "ban": {reason, by, at} or null, "reservations": [reservation_json]}. `what` and the other members say the same as `text`, for programs. p_place: a place that they have now; 0: none, or not known.
-- found | not-found (nothing is known of them, and p_place is 0)
CREATE OR REPLACE FUNCTION people_story(p_event text, p_buyer text, p_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_entries json;
BEGIN
    WITH log AS (
        SELECT a.at, a.kind, a.place, a.stream_ms, a.stream_seq FROM admissions a
        WHERE a.event_id = p_event AND a.buyer = p_buyer
          AND a.epoch = ANY (ARRAY(SELECT generate_series(greatest(1, e.epoch - 100), e.epoch)
                                   FROM events e WHERE e.id = p_event))),
    booked AS (SELECT * FROM reservations r WHERE r.event_id = p_event AND r.buyer = p_buyer),
    story AS (
        SELECT timestamptz 'epoch' + place * interval '1 microsecond' AS at, 0 AS rank, 0::bigint AS seq, 'joined' AS what,
               people_words('joined', NULL) AS text, NULL::json AS more, place
        FROM (SELECT place FROM log UNION SELECT place FROM booked UNION SELECT p_place) AS p WHERE place > 0
        UNION ALL
        SELECT at, 1, stream_seq, kind, people_words(kind, at - (timestamptz 'epoch' + place * interval '1 microsecond')),
               CASE WHEN kind IN ('offered', 'promote') THEN json_build_object('waited', round(greatest(0,
                   extract(epoch FROM at) - place / 1000000.0))) END, place FROM log
        UNION ALL
        SELECT created_at, 2, 0, CASE WHEN auto THEN 'auto_held' ELSE 'held' END,
               CASE WHEN auto THEN 'got a hold of ' ELSE 'held ' END || seat_count || CASE seat_count WHEN 1 THEN ' seat' ELSE ' seats' END
                   || ', ' || number, json_build_object('reservationNumber', number, 'seats', seat_count), place FROM booked
        UNION ALL
        SELECT coalesce(ended_at, expires_at), 5, 0,
               CASE status WHEN 'confirmed' THEN 'bought' WHEN 'held' THEN 'expired' ELSE status END,
               CASE status WHEN 'confirmed' THEN 'bought ' WHEN 'cancelled' THEN 'gave up the hold '
                           WHEN 'refunded' THEN 'was refunded ' ELSE 'the hold ran out: ' END || number,
               json_build_object('reservationNumber', number), place
        FROM booked WHERE status <> 'held' OR expires_at <= clock_timestamp()
        UNION ALL
        SELECT p.created_at, 3, p.id, 'paying', 'began to pay ' || r.number,
               json_build_object('reservationNumber', r.number, 'amount', p.amount, 'currency', p.currency), r.place
        FROM booked r JOIN payments p ON p.reservation_id = r.id
        UNION ALL
        SELECT p.settled_at, 4, p.id, CASE p.status WHEN 'failed' THEN 'payment_failed' WHEN 'refunded' THEN 'repaid' ELSE p.status END,
               CASE p.status WHEN 'paid' THEN 'the payment arrived: ' WHEN 'failed' THEN 'the payment failed: '
                             WHEN 'refund_due' THEN 'a refund is due: ' ELSE 'the money was returned: ' END || r.number,
               json_build_object('reservationNumber', r.number, 'amount', p.amount, 'currency', p.currency), r.place
        FROM booked r JOIN payments p ON p.reservation_id = r.id WHERE p.settled_at IS NOT NULL
        UNION ALL
        SELECT c.scanned_at, 6, 0, CASE WHEN c.accepted THEN 'scanned' ELSE 'scanned_again' END,
               'the ticket was ' || CASE WHEN c.accepted THEN 'used' ELSE 'shown again' END || ' at ' || c.device || ': ' || r.number,
               json_build_object('reservationNumber', r.number, 'device', c.device), r.place
        FROM booked r JOIN checkins c ON c.reservation_id = r.id),
    newest AS (SELECT * FROM story ORDER BY date_trunc('milliseconds', at) DESC, rank DESC, seq DESC LIMIT 500)
    SELECT json_agg(CASE WHEN n.more IS NULL THEN e.entry ELSE json_join(e.entry, n.more) END ORDER BY date_trunc('milliseconds', n.at), n.rank, n.seq)
    INTO v_entries
    FROM newest n CROSS JOIN LATERAL (
        SELECT json_build_object('at', rfc3339(n.at), 'what', n.what, 'text', n.text) AS entry) AS e;
    IF v_entries IS NULL AND NOT is_banned(p_event, p_buyer) THEN
        RETURN QUERY SELECT 'not-found', refusal('Nothing is known of this buyer.');
        RETURN;
    END IF;
    RETURN QUERY SELECT 'found', json_build_object('buyer', p_buyer, 'entries', coalesce(v_entries, '[]'),
        'ban', (SELECT json_build_object('reason', b.reason, 'by', b.who, 'at', rfc3339(b.at)) FROM bans b
                WHERE b.event_id = p_event AND b.buyer = p_buyer),
        'reservations', coalesce((
            SELECT json_agg(reservation_json(r) ORDER BY r.created_at DESC)
            FROM (SELECT * FROM reservations WHERE event_id = p_event AND buyer = p_buyer
                  ORDER BY created_at DESC LIMIT 20) AS r), '[]'));
END $$;

-- What stats tells of the sale besides the numbers of Redis: {"mail", "refundsDue": payments, "holds": {"made", "abandoned"}, "visit": mean seconds
-- of the last 200 claimed turns that ended, or null}.
CREATE OR REPLACE FUNCTION sale_now(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT 'found', json_build_object(
        'mail', (SELECT c.body FROM outbox_count(p_event) AS c),
        'refundsDue', (SELECT count(*) FROM payments WHERE event_id = p_event AND due_amount > 0),
        'holds', (SELECT json_build_object('made', count(*),
                      'abandoned', count(*) FILTER (WHERE status IN ('cancelled', 'expired')))
                  FROM reservations WHERE event_id = p_event),
        'visit', (SELECT round(avg(extract(epoch FROM d.at - c.at)), 1)
            FROM (SELECT a.* FROM (
                      SELECT * FROM admissions WHERE event_id = p_event
                      ORDER BY stream_ms DESC, stream_seq DESC LIMIT 2000) AS a
                  WHERE a.departed AND a.kind NOT IN ('withdrawn', 'cleared', 'unclaimed')
                  ORDER BY a.stream_ms DESC, a.stream_seq DESC LIMIT 200) AS d
            CROSS JOIN LATERAL (
                SELECT b.at FROM admissions b
                WHERE b.event_id = p_event AND b.epoch = d.epoch AND b.buyer = d.buyer AND b.place = d.place AND b.n = d.n
                  AND b.kind IN ('claimed', 'direct', 'restored') LIMIT 1) AS c
            WHERE d.at >= c.at));
END $$;

-- What has become of the seats, for the metrics: {"free", "held", "sold", "blocked", "revenue", "currency"}. revenue is the
-- price of the sold ones, in minor units. A hold that has lapsed counts as free.
CREATE OR REPLACE FUNCTION sale_stock(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', json_build_object(
        'free', count(*) FILTER (WHERE s.status = 'available'
                                 OR s.status = 'held' AND s.held_until <= clock_timestamp()),
        'held', count(*) FILTER (WHERE s.status = 'held' AND s.held_until > clock_timestamp()),
        'sold', count(*) FILTER (WHERE s.sold),
        'blocked', count(*) FILTER (WHERE s.status = 'blocked'),
        'revenue', (SELECT coalesce(sum(price), 0) FROM seats_sold(p_event)),
        'currency', (SELECT currency FROM events WHERE id = p_event))
    FROM seats s WHERE s.event_id = p_event
$$;
