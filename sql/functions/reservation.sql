-- SPDX-License-Identifier: MIT
--
-- reservation: a buyer's reservations: read, cancelled, and turned from a hold into a purchase. Holds are
-- made in hold.sql.
--
--   held -> confirmed | cancelled | expired        confirmed -> refunded

-- A reservation number that can be read out on the telephone: eight letters and digits. It is unique,
-- because multiplying by an odd number is a permutation modulo 2^40, and it does not reveal how many
-- reservations there are.
-- It is PL/pgSQL because PostgreSQL could not inline it as an SQL function, and would plan it at every call.
CREATE OR REPLACE FUNCTION reservation_code(p_n bigint) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_n bigint := mod(p_n::numeric * 679525324989 + 302127157, 1099511627776)::bigint;
    v_code text := '';
BEGIN
    FOR i IN 0..7 LOOP
        v_code := substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (v_n & 31)::integer + 1, 1) || v_code;
        v_n := v_n >> 5;
    END LOOP;
    RETURN v_code;
END $$;

-- The number that a text is, as people write it: small letters, blanks and dashes, O for 0, I and L for 1. NULL: none.
CREATE OR REPLACE FUNCTION reservation_code_of(p_text text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_code text := translate(upper(p_text), 'OIL -', '011');
BEGIN
    RETURN CASE WHEN v_code ~ '^[0-9A-HJKMNP-TV-Z]{8}$' THEN v_code END;
END $$;

-- The body of every answer about a reservation. A lapsed hold is shown as expired. The hold of an offer is shown with
-- the time that it has if the offer is claimed now. A purchase shows the seats that were not refunded, and in
-- refundedSeats those that were. The prices are those of the hold. It is PL/pgSQL for the
-- reason given at reservation_code.
CREATE OR REPLACE FUNCTION reservation_json(r reservations) RETURNS json LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_live boolean := r.status = 'held' AND r.expires_at > clock_timestamp();
    v_seats json;
    v_refunded json;
BEGIN
    SELECT json_agg(l.seat ORDER BY l.section_rank, l.row_rank, l.number) FILTER (WHERE NOT l.refunded),
           json_agg(l.seat ORDER BY l.section_rank, l.row_rank, l.number) FILTER (WHERE l.refunded)
    INTO v_seats, v_refunded
    FROM (SELECT json_build_object('id', s.id::text, 'section', s.section, 'row', s.row, 'number', s.number,
                                   'price', coalesce(rs.price, s.price), 'currency', s.currency) AS seat,
                 s.section_rank, s.row_rank, s.number,
                 r.status = 'confirmed' AND rs.refunded_at IS NOT NULL AS refunded
          FROM reservation_seats rs CROSS JOIN LATERAL (
              SELECT n.id, n.section, n.row, n.number, n.section_rank, n.row_rank, n.price, n.currency
              FROM seats n WHERE n.id = rs.seat_id
              UNION ALL
              SELECT d.id, d.section, d.row, d.number, d.section_rank, d.row_rank, NULL, d.currency
              FROM removed_seats d WHERE d.id = rs.seat_id) AS s
          WHERE rs.reservation_id = r.id) AS l;
    IF v_refunded IS NOT NULL THEN
        RETURN json_build_object(
            'id', r.id, 'reservationNumber', r.number, 'eventId', r.event_id, 'status', r.status,
            'totalAmount', r.total - r.returned, 'currency', r.currency, 'expiresAt', NULL, 'seats', v_seats,
            'refundedSeats', v_refunded, 'refundedSeatsAmount', r.returned);
    END IF;
    RETURN json_build_object(
        'id', r.id, 'reservationNumber', r.number, 'eventId', r.event_id,
        'status', CASE WHEN r.status = 'held' AND NOT v_live THEN 'expired' ELSE r.status END,
        'totalAmount', r.total, 'currency', r.currency,
        'expiresAt', CASE WHEN r.status = 'held' THEN
            rfc3339(least(r.expires_at, clock_timestamp() + (r.expires_at - r.claim_by))) END,
        'seats', v_seats);
END $$;

-- ---- the buyer's own ----

-- found | not-found | not-yours
CREATE OR REPLACE FUNCTION reservation_get(p_buyer text, p_id text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_reservation reservations;
BEGIN
    SELECT * INTO v_reservation FROM reservations WHERE id = as_uuid(p_id);
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such reservation.');
    ELSIF v_reservation.buyer <> p_buyer THEN
        RETURN QUERY SELECT 'not-yours', refusal('This is not your reservation.');
    ELSE
        RETURN QUERY SELECT 'found', reservation_json(v_reservation);
    END IF;
END $$;

-- A page of a buyer's reservations, newest first. p_event NULL: of all events. p_current: only live holds and
-- purchases. p_before: `next` of the page before. p_named: this one is in the first page in any case; NULL: none.
-- listed: {"reservations": [...], "next": cursor or null}
CREATE OR REPLACE FUNCTION reservations_page(p_buyer text, p_event text, p_current boolean, p_named text,
                                             p_before text, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
DECLARE
    v_found reservations[] := ARRAY(
        SELECT r FROM reservations r
        WHERE r.buyer = p_buyer AND (p_event IS NULL OR r.event_id = p_event)
          AND (NOT p_current OR r.status = 'confirmed'
               OR (r.status = 'held' AND r.expires_at > clock_timestamp()))
          AND (p_before IS NULL
               OR (r.created_at, r.id) < (cursor_time(p_before), as_uuid(cursor_id(p_before))))
        ORDER BY r.created_at DESC, r.id DESC LIMIT p_limit + 1);
    v_page reservations[] := v_found[:p_limit];
BEGIN
    IF p_named IS NOT NULL THEN
        v_page := v_page || ARRAY(
            SELECT r FROM reservations r
            WHERE r.id = as_uuid(p_named) AND r.buyer = p_buyer AND r.event_id = p_event
              AND r.id NOT IN (SELECT shown.id FROM unnest(v_page) AS shown));
    END IF;
    RETURN QUERY SELECT 'listed', json_build_object(
        'reservations', coalesce((SELECT json_agg(reservation_json(r) ORDER BY r.created_at DESC, r.id DESC)
                                  FROM unnest(v_page) AS r), '[]'),
        'next', CASE WHEN cardinality(v_found) > p_limit
                     THEN cursor_of(v_found[p_limit].created_at, v_found[p_limit].id::text) END);
END $$;

--   cancelled         now or before
--   expired
--   not-cancellable   it has been paid for
--   not-found
--   not-yours
CREATE OR REPLACE FUNCTION reservation_cancel(p_buyer text, p_id text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_reservation reservations;
    v_now timestamptz;
BEGIN
    SELECT * INTO v_reservation FROM reservations WHERE id = as_uuid(p_id);
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such reservation.');
        RETURN;
    ELSIF v_reservation.buyer <> p_buyer THEN
        RETURN QUERY SELECT 'not-yours', refusal('This is not your reservation.');
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(lock_key_buyer(v_reservation.event_id, p_buyer));
    SELECT * INTO v_reservation FROM reservations WHERE id = v_reservation.id FOR UPDATE;
    v_now := clock_timestamp();
    IF v_reservation.status = 'confirmed' THEN
        RETURN QUERY SELECT 'not-cancellable', refusal('The reservation has been paid for.');
        RETURN;
    ELSIF v_reservation.status = 'expired'
       OR (v_reservation.status = 'held' AND v_reservation.expires_at <= v_now) THEN
        RETURN QUERY SELECT 'expired', refusal('The hold has expired.');
        RETURN;
    ELSIF v_reservation.status = 'held' THEN
        UPDATE reservations SET status = 'cancelled', ended_at = v_now, swept = true
        WHERE id = v_reservation.id RETURNING * INTO v_reservation;
        PERFORM seats_release(ARRAY[v_reservation.id]);
    END IF;
    RETURN QUERY SELECT 'cancelled', reservation_json(v_reservation);
END $$;

-- ---- from hold to purchase ----

-- Sells the seats of a reservation, if that is still possible: its hold is live, or it has lapsed but all
-- its seats are still free and the buyer stays within maxSeats. The caller has locked the reservation's
-- row and has the buyer's advisory lock; the rows of the seats are locked here.
CREATE OR REPLACE FUNCTION reservation_sell(INOUT r reservations, OUT sold boolean) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_seats bigint[];
    v_free integer;
BEGIN
    sold := false;
    IF r.status NOT IN ('held', 'expired') THEN
        RETURN;
    END IF;
    v_seats := ARRAY(SELECT seat_id FROM reservation_seats WHERE reservation_id = r.id);
    SELECT count(*) INTO v_free FROM (
        SELECT FROM seats WHERE id = ANY (v_seats)
           AND (status = 'available' OR holder = r.id OR held_until <= v_now)
        ORDER BY id FOR UPDATE) AS s;
    sold := v_free = r.seat_count;
    IF sold AND (r.status = 'expired' OR r.expires_at <= v_now) THEN
        SELECT r.seat_count + coalesce(sum(o.seat_count), 0)
               <= (SELECT event_setting(settings, 'maxSeats') FROM events WHERE id = r.event_id)
        INTO sold FROM reservations o
        WHERE o.event_id = r.event_id AND o.buyer = r.buyer AND o.id <> r.id
          AND (o.status = 'confirmed' OR (o.status = 'held' AND o.expires_at > v_now));
    END IF;
    IF NOT sold THEN
        RETURN;
    END IF;
    UPDATE reservations SET
        status = 'confirmed', ended_at = v_now, swept = true,
        slot_freed = EXISTS (SELECT FROM admissions a
                             WHERE a.event_id = r.event_id AND a.epoch = r.epoch
                               AND a.buyer = r.buyer AND a.place = r.place AND a.departed
                               AND place_consumed(a.kind))
    WHERE id = r.id RETURNING * INTO r;
    PERFORM seats_take(r.event_id, v_seats, array_fill(r.id, ARRAY[r.seat_count]), NULL, v_now);
    PERFORM outbox_add_confirmation(r);
END $$;
