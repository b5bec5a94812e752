-- SPDX-License-Identifier: MIT
--
-- payment: begun by the buyer, judged by what the provider says about a reference.
--
--   pending --paid--> paid (seats sold) | refund_due (not sold)     refund_due --refunded--> refunded
--   pending --failed--> failed, which may still be paid             paid --refunded--> refunded
--   paid --refund by the organizer--> refund_due
--
-- The provider's calls may be late, repeated, lost and repeated, or in the wrong order: each reference
-- comes to the same end. Who is told `refunded` before `paid` sells nothing any more. A refund frees
-- the seats, and a sold out event settles back to open.

ALTER TABLE reservations DROP CONSTRAINT reservations_status_check;
ALTER TABLE reservations ADD CONSTRAINT reservations_status_check
    CHECK (status IN ('held', 'confirmed', 'cancelled', 'expired', 'refunded'));
ALTER TABLE payments DROP CONSTRAINT payments_status_check;
ALTER TABLE payments ADD CONSTRAINT payments_status_check
    CHECK (status IN ('pending', 'paid', 'failed', 'refund_due', 'refunded'));
ALTER TABLE payments ADD COLUMN settled_at timestamptz; -- when it left pending, last
CREATE UNIQUE INDEX payments_one_pending ON payments (reservation_id) WHERE status = 'pending';

-- ---- sale and refund ----

-- Takes sold seats back. The reservation's row is locked.
CREATE FUNCTION seats_unsell(p_reservation uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_seats bigint[];
BEGIN
    v_seats := ARRAY(SELECT s.id FROM seats s
                     WHERE s.id IN (SELECT seat_id FROM reservation_seats
                                    WHERE reservation_id = p_reservation AND live)
                       AND s.holder = p_reservation AND s.status = 'sold'
                     ORDER BY s.id FOR UPDATE);
    UPDATE reservation_seats SET live = false
    WHERE reservation_id = p_reservation AND seat_id = ANY (v_seats);
    UPDATE seats SET status = 'available', holder = NULL, version = version + 1
    WHERE id = ANY (v_seats);
END $$;

-- Sells the seats of a reservation whose row and buyer are locked, if that is still possible: of a
-- live hold; or of a lapsed one whose seats are all free and which leaves the buyer within maxSeats.
CREATE FUNCTION reservation_sell(INOUT r reservations, OUT sold boolean) LANGUAGE plpgsql AS $$
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
               <= coalesce((SELECT (settings ->> 'maxSeats')::integer FROM events
                            WHERE id = r.event_id), 4)
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
                               AND a.buyer = r.buyer AND a.place = r.place AND a.departed)
    WHERE id = r.id RETURNING * INTO r;
    PERFORM seats_take(r.event_id, v_seats, array_fill(r.id, ARRAY[r.seat_count]), NULL, v_now);
END $$;

-- ---- the buyer pays ----

CREATE FUNCTION payment_page(r reservations, p payments) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'reservationId', r.id, 'reservationNumber', r.number, 'eventId', r.event_id,
        'buyer', r.buyer, 'place', r.place::text, 'epoch', r.epoch,
        'status', CASE r.status WHEN 'confirmed' THEN 'confirmed' ELSE 'pending' END,
        'provider', p.provider, 'reference', p.reference, 'amount', r.total,
        'currency', r.currency,
        'expiresAt', CASE WHEN r.status = 'held' THEN rfc3339(r.expires_at) END)
$$;

-- What the payment page needs; a repeat gets the same reference as long as it is pending.
--   pending     a payment under a new reference, or the one begun before
--   payment-off (p_provider is NULL, and there is something to pay)
--   confirmed   nothing costs nothing: the seats are sold
--   expired   already-paid   not-payable (cancelled, refunded)   not-found   not-yours
CREATE FUNCTION payment_begin(p_buyer text, p_id text, p_provider text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_r reservations;
    v_payment payments;
    v_sale record;
BEGIN
    SELECT * INTO v_r FROM reservations WHERE id = as_uuid(p_id);
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such reservation.');
        RETURN;
    ELSIF v_r.buyer <> p_buyer THEN
        RETURN QUERY SELECT 'not-yours', refusal('This is not your reservation.');
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(buyer_lock(v_r.event_id, p_buyer));
    SELECT * INTO v_r FROM reservations WHERE id = v_r.id FOR UPDATE;
    IF v_r.status = 'confirmed' AND v_r.total = 0 THEN
        RETURN QUERY SELECT 'repeated', payment_page(v_r, NULL);
        RETURN;
    ELSIF v_r.status = 'confirmed' THEN
        RETURN QUERY SELECT 'already-paid', refusal('It has been paid for.');
        RETURN;
    ELSIF v_r.status IN ('cancelled', 'refunded') THEN
        RETURN QUERY SELECT 'not-payable', refusal('The reservation was given up.');
        RETURN;
    ELSIF v_r.status = 'expired' OR v_r.expires_at <= clock_timestamp() THEN
        RETURN QUERY SELECT 'expired', refusal('The hold has expired.');
        RETURN;
    ELSIF v_r.total = 0 THEN
        SELECT * INTO v_sale FROM reservation_sell(v_r);
        IF v_sale.sold THEN
            RETURN QUERY SELECT 'confirmed', payment_page(v_sale.r, NULL);
        ELSE
            RETURN QUERY SELECT 'expired', refusal('The hold has expired.');
        END IF;
        RETURN;
    END IF;
    IF p_provider IS NULL THEN
        RETURN QUERY SELECT 'payment-off', refusal('Payment is not set up.');
        RETURN;
    END IF;
    SELECT * INTO v_payment FROM payments WHERE reservation_id = v_r.id AND status = 'pending';
    IF NOT FOUND THEN
        INSERT INTO payments (reservation_id, provider, reference, amount, currency, status)
        VALUES (v_r.id, p_provider, gen_random_uuid()::text, v_r.total, v_r.currency, 'pending')
        RETURNING * INTO v_payment;
    END IF;
    RETURN QUERY SELECT 'pending', payment_page(v_r, v_payment);
END $$;

-- ---- what the provider says ----

-- Money came. The payment is not known, pending or failed.
CREATE FUNCTION payment_paid(v_r reservations, p_provider text, p_reference text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_sale record;
    v_status text;
BEGIN
    SELECT * INTO v_sale FROM reservation_sell(v_r);
    v_status := CASE WHEN v_sale.sold THEN 'paid' ELSE 'refund_due' END;
    INSERT INTO payments (reservation_id, provider, reference, amount, currency, status, settled_at)
    VALUES (v_r.id, p_provider, p_reference, v_r.total, v_r.currency, v_status, clock_timestamp())
    ON CONFLICT (provider, reference) DO UPDATE
        SET status = excluded.status, settled_at = excluded.settled_at;
    RETURN QUERY SELECT CASE WHEN v_sale.sold THEN 'confirmed' ELSE 'refund-due' END,
                        payment_json(v_sale.r, v_status);
END $$;

-- It did not come. A hold is kept until it lapses: the buyer may try again.
CREATE FUNCTION payment_failed(v_r reservations, p_provider text, p_reference text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO payments (reservation_id, provider, reference, amount, currency, status, settled_at)
    VALUES (v_r.id, p_provider, p_reference, v_r.total, v_r.currency, 'failed', clock_timestamp())
    ON CONFLICT (provider, reference) DO UPDATE
        SET status = excluded.status, settled_at = excluded.settled_at;
    RETURN QUERY SELECT 'failed', payment_json(v_r, 'failed');
END $$;

-- It went back, all of it. p_was: the payment's status, NULL when it is not known.
CREATE FUNCTION payment_refunded(v_r reservations, p_provider text, p_reference text, p_was text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO payments (reservation_id, provider, reference, amount, currency, status, settled_at)
    VALUES (v_r.id, p_provider, p_reference, v_r.total, v_r.currency, 'refunded', clock_timestamp())
    ON CONFLICT (provider, reference) DO UPDATE
        SET status = excluded.status, settled_at = excluded.settled_at;
    IF p_was = 'paid' AND v_r.status = 'confirmed' THEN
        UPDATE reservations SET status = 'refunded', ended_at = clock_timestamp()
        WHERE id = v_r.id RETURNING * INTO v_r;
        PERFORM seats_unsell(v_r.id);
    END IF;
    RETURN QUERY SELECT 'refunded', payment_json(v_r, 'refunded');
END $$;

-- Judged by the reservation alone; p_status: paid, failed or refunded. The body adds buyer and payment
-- to the reservation's.
--   confirmed    the seats are sold
--   refund-due   paid, but they are not: the money is recorded as due back (also: cancelled, paid twice)
--   failed   refunded
--   repeated     nothing new about this reference
--   wrong-amount   reference-used (for another reservation)   not-found: refused, nothing changed
CREATE FUNCTION payment_report(p_id text, p_provider text, p_reference text, p_amount bigint,
                               p_currency text, p_status text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_r reservations;
    v_payment payments;
BEGIN
    SELECT * INTO v_r FROM reservations WHERE id = as_uuid(p_id);
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such reservation.', 'reservationId');
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(p_provider || ' ' || p_reference, 3));
    PERFORM pg_advisory_xact_lock(buyer_lock(v_r.event_id, v_r.buyer));
    SELECT * INTO v_r FROM reservations WHERE id = v_r.id FOR UPDATE;
    SELECT * INTO v_payment FROM payments
    WHERE provider = p_provider AND reference = p_reference;
    IF v_payment.reservation_id <> v_r.id THEN
        RETURN QUERY SELECT 'reference-used',
                            refusal('This reference belongs to another payment.', 'reference');
    ELSIF p_amount <> v_r.total OR p_currency <> v_r.currency THEN
        RETURN QUERY SELECT 'wrong-amount', refusal(
            format('The reservation costs %s %s.', v_r.total, v_r.currency),
            CASE WHEN p_amount <> v_r.total THEN 'amount' ELSE 'currency' END);
    ELSIF p_status = 'paid' AND coalesce(v_payment.status, 'pending') IN ('pending', 'failed') THEN
        RETURN QUERY SELECT * FROM payment_paid(v_r, p_provider, p_reference);
    ELSIF p_status = 'failed' AND coalesce(v_payment.status, 'pending') = 'pending' THEN
        RETURN QUERY SELECT * FROM payment_failed(v_r, p_provider, p_reference);
    ELSIF p_status = 'refunded' AND v_payment.status IS DISTINCT FROM 'refunded' THEN
        RETURN QUERY SELECT * FROM payment_refunded(v_r, p_provider, p_reference, v_payment.status);
    ELSE
        RETURN QUERY SELECT 'repeated', payment_json(v_r, v_payment.status);
    END IF;
END $$;
DROP FUNCTION reservation_confirm (text, text, text, bigint, text);

-- ---- the organizer ----

-- Takes a sale back: the seats are free at once, the money is due back. Again: the same.
-- refunded | not-refundable (not bought) | not-found
CREATE FUNCTION payment_refund(p_event text, p_id text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_before reservations;
    v_after reservations;
    v_payment text;
BEGIN
    SELECT * INTO v_before FROM reservations WHERE id = as_uuid(p_id) AND event_id = p_event;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such reservation.', 'reservationId');
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(buyer_lock(p_event, v_before.buyer));
    SELECT * INTO v_before FROM reservations WHERE id = v_before.id FOR UPDATE;
    IF v_before.status = 'refunded' THEN
        SELECT status INTO v_payment FROM payments
        WHERE reservation_id = v_before.id AND status IN ('refund_due', 'refunded')
        ORDER BY id LIMIT 1;
        RETURN QUERY SELECT 'repeated', payment_json(v_before, coalesce(v_payment, 'refunded'));
        RETURN;
    ELSIF v_before.status <> 'confirmed' THEN
        RETURN QUERY SELECT 'not-refundable', refusal('It has not been bought.', 'reservationId');
        RETURN;
    END IF;
    UPDATE reservations SET status = 'refunded', ended_at = clock_timestamp()
    WHERE id = v_before.id RETURNING * INTO v_after;
    UPDATE payments SET status = 'refund_due', settled_at = clock_timestamp()
    WHERE reservation_id = v_before.id AND status = 'paid' RETURNING status INTO v_payment;
    PERFORM seats_unsell(v_before.id);
    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (p_event, p_who, 'refund', reservation_json(v_before), reservation_json(v_after));
    RETURN QUERY SELECT 'refunded', payment_json(v_after, coalesce(v_payment, 'refunded'));
END $$;

-- listed: {"payments": [...], "next": id or null}: newest first, below p_before where given.
CREATE FUNCTION payment_list(p_event text, p_status text, p_before bigint, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    WITH found AS (
        SELECT p.*, r.number, r.buyer FROM payments p JOIN reservations r ON r.id = p.reservation_id
        WHERE r.event_id = p_event AND (p_status IS NULL OR p.status = p_status)
          AND (p_before IS NULL OR p.id < p_before)
        ORDER BY p.id DESC LIMIT p_limit + 1),
    page AS (SELECT * FROM found ORDER BY id DESC LIMIT p_limit)
    SELECT 'listed', json_build_object(
        'payments', coalesce((SELECT json_agg(json_build_object(
            'id', id::text, 'reservationId', reservation_id, 'reservationNumber', number,
            'buyer', buyer, 'provider', provider, 'reference', reference, 'amount', amount,
            'currency', currency, 'status', status, 'createdAt', rfc3339(created_at),
            'settledAt', rfc3339(settled_at)) ORDER BY id DESC) FROM page), '[]'),
        'next', (SELECT min(id)::text FROM page WHERE (SELECT count(*) FROM found) > p_limit))
$$;
