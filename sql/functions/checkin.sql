-- SPDX-License-Identifier: MIT
--
-- checkin: tickets at the door. The program has verified the signatures; here is decided whether a seat's ticket is used
-- for the first time.

-- A seat as the door sees it: {"seatId", "section", "row", "number", "used": {"at", "device"} or null}.
CREATE OR REPLACE FUNCTION checkin_seat(p_reservation uuid, s seats) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('seatId', s.id::text, 'section', s.section, 'row', s.row, 'number', s.number,
        'used', (SELECT json_build_object('at', rfc3339(c.scanned_at), 'device', c.device) FROM checkins c
                 WHERE c.reservation_id = p_reservation AND c.seat_id = s.id AND c.accepted))
$$;

-- One scan: {"outcome", "reservationNumber", "seat", "letInTwice"}. p_seat NULL: only the reservation's number was typed.
--   accepted      the first scan of this ticket, or that scan again
--   used          seat.used says when and where; letInTwice: this door had let its bearer in, too
--   choose        the reservation has several seats: `seats` lists them
--   refunded      the purchase, or this seat of it
--   other_event
--   not_valid     no purchase has this number, or it has no such seat
CREATE OR REPLACE FUNCTION checkin_one(p_event text, p_who text, p_number text, p_seat bigint, p_scanned timestamptz,
                                       p_device text, p_let_in boolean)
RETURNS json LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_r reservations;
    v_seat seats;
    v_ids bigint[];
    v_first checkins;
    v_outcome text;
BEGIN
    SELECT * INTO v_r FROM reservations WHERE number = upper(p_number);
    IF NOT FOUND OR v_r.status NOT IN ('confirmed', 'refunded') THEN
        RETURN json_build_object('outcome', 'not_valid');
    ELSIF v_r.event_id <> p_event THEN
        RETURN json_build_object('outcome', 'other_event');
    ELSIF v_r.status = 'refunded' THEN
        RETURN json_build_object('outcome', 'refunded', 'reservationNumber', v_r.number);
    END IF;
    IF p_seat IS NULL THEN
        v_ids := ARRAY(SELECT seat_id FROM reservation_seats WHERE reservation_id = v_r.id AND live ORDER BY seat_id);
        IF cardinality(v_ids) > 1 THEN
            RETURN json_build_object('outcome', 'choose', 'reservationNumber', v_r.number, 'seats', (
                SELECT json_agg(checkin_seat(v_r.id, s) ORDER BY s.section_rank, s.row_rank, s.number)
                FROM seats s WHERE s.event_id = p_event AND s.id = ANY (v_ids)));
        END IF;
        p_seat := v_ids[1];
    END IF;
    SELECT s.* INTO v_seat FROM reservation_seats rs JOIN seats s ON s.event_id = rs.event_id AND s.id = rs.seat_id
    WHERE rs.reservation_id = v_r.id AND rs.seat_id = p_seat AND rs.live;
    IF NOT FOUND THEN
        RETURN json_build_object('outcome', CASE WHEN EXISTS (
            SELECT FROM reservation_seats WHERE reservation_id = v_r.id AND seat_id = p_seat)
            THEN 'refunded' ELSE 'not_valid' END, 'reservationNumber', v_r.number);
    END IF;
    INSERT INTO checkins (event_id, reservation_id, seat_id, device, scanned_at, who, accepted, let_in)
    VALUES (p_event, v_r.id, v_seat.id, p_device, p_scanned, p_who, true, p_let_in) ON CONFLICT DO NOTHING;
    SELECT * INTO v_first FROM checkins WHERE reservation_id = v_r.id AND seat_id = v_seat.id AND accepted;
    v_outcome := CASE WHEN v_first.device = p_device AND v_first.scanned_at = p_scanned THEN 'accepted' ELSE 'used' END;
    IF v_outcome = 'used' THEN
        INSERT INTO checkins (event_id, reservation_id, seat_id, device, scanned_at, who, accepted, let_in)
        VALUES (p_event, v_r.id, v_seat.id, p_device, p_scanned, p_who, false, p_let_in) ON CONFLICT DO NOTHING;
    END IF;
    RETURN json_build_object('outcome', v_outcome, 'reservationNumber', v_r.number,
        'seat', checkin_seat(v_r.id, v_seat), 'letInTwice', v_outcome = 'used' AND p_let_in AND v_first.device <> p_device);
END $$;

-- A batch of scans: [{number, seat, at, device, letIn}], or {outcome} of those that the program has judged. The answer is in
-- their order; they are taken in the order of their tickets, so that two batches do not wait for each other.
-- found: {"results": [checkin_one]}
CREATE OR REPLACE FUNCTION checkin_batch(p_event text, p_who text, p_scans jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_scan record;
    v_results json[] := array_fill(NULL::json, ARRAY[jsonb_array_length(p_scans)]);
BEGIN
    FOR v_scan IN SELECT s.value AS scan, s.o FROM jsonb_array_elements(p_scans) WITH ORDINALITY AS s (value, o)
                  ORDER BY s.value ->> 'number', (s.value ->> 'seat')::bigint, s.o LOOP
        v_results[v_scan.o] := CASE WHEN v_scan.scan ? 'outcome'
            THEN json_build_object('outcome', v_scan.scan ->> 'outcome')
            ELSE checkin_one(p_event, p_who, v_scan.scan ->> 'number', (v_scan.scan ->> 'seat')::bigint,
                (v_scan.scan ->> 'at')::timestamptz, v_scan.scan ->> 'device', (v_scan.scan ->> 'letIn')::boolean) END;
    END LOOP;
    RETURN QUERY SELECT 'found', json_build_object('results', to_json(v_results));
END $$;

-- The tickets of an event for doors without a network, p_limit a page in the order of their seats' ids: those that are
-- valid now, and where they were used. Those that were refunded are not among them.
-- found: {"sold", "in", "tickets": [{"reservationNumber", …checkin_seat}], "next": seat id or null}
CREATE OR REPLACE FUNCTION checkin_list(p_event text, p_after bigint, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE
    v_tickets json;
    v_last bigint;
    v_n integer;
BEGIN
    SELECT json_agg(json_join(json_build_object('reservationNumber', t.number), checkin_seat(t.rid, t.s)) ORDER BY t.sid),
           max(t.sid), count(*)
    INTO v_tickets, v_last, v_n
    FROM (SELECT r.number, r.id AS rid, s, s.id AS sid
          FROM reservation_seats rs JOIN reservations r ON r.id = rs.reservation_id
          JOIN seats s ON s.event_id = rs.event_id AND s.id = rs.seat_id
          WHERE rs.event_id = p_event AND rs.live AND rs.seat_id > p_after AND r.status = 'confirmed'
          ORDER BY rs.seat_id LIMIT p_limit) AS t;
    RETURN QUERY SELECT 'found', json_build_object(
        'sold', (SELECT count(*) FROM seats WHERE event_id = p_event AND sold),
        'in', (SELECT count(*) FROM checkins WHERE event_id = p_event AND accepted),
        'at', rfc3339(clock_timestamp()), 'tickets', coalesce(v_tickets, '[]'),
        'next', CASE WHEN v_n = p_limit THEN v_last::text END);
END $$;
