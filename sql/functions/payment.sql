-- SPDX-License-Identifier: MIT
--
-- payment

CREATE OR REPLACE FUNCTION payment_json(r reservations, p_status text) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (reservation_json(r)::jsonb || jsonb_build_object(
        'buyer', r.buyer, 'place', r.place::text, 'epoch', r.epoch, 'payment', p_status))::json
$$;

CREATE OR REPLACE FUNCTION payment_page(r reservations, p payments) RETURNS json LANGUAGE sql STABLE AS $$
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
CREATE OR REPLACE FUNCTION payment_begin(p_buyer text, p_id text, p_provider text)
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
        INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency,
                              status)
        VALUES (v_r.event_id, v_r.id, p_provider, gen_random_uuid()::text, v_r.total, v_r.currency, 'pending')
        RETURNING * INTO v_payment;
    END IF;
    RETURN QUERY SELECT 'pending', payment_page(v_r, v_payment);
END $$;

-- Money came. The payment is not known, pending or failed.
CREATE OR REPLACE FUNCTION payment_paid(v_r reservations, p_provider text, p_reference text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_sale record;
    v_status text;
BEGIN
    SELECT * INTO v_sale FROM reservation_sell(v_r);
    v_status := CASE WHEN v_sale.sold THEN 'paid' ELSE 'refund_due' END;
    INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency, status,
                          settled_at)
    VALUES (v_r.event_id, v_r.id, p_provider, p_reference, v_r.total, v_r.currency, v_status, clock_timestamp())
    ON CONFLICT (provider, reference) DO UPDATE
        SET status = excluded.status, settled_at = excluded.settled_at;
    RETURN QUERY SELECT CASE WHEN v_sale.sold THEN 'confirmed' ELSE 'refund-due' END,
                        payment_json(v_sale.r, v_status);
END $$;

-- It did not come. A hold is kept until it lapses: the buyer may try again.
CREATE OR REPLACE FUNCTION payment_failed(v_r reservations, p_provider text, p_reference text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency, status,
                          settled_at)
    VALUES (v_r.event_id, v_r.id, p_provider, p_reference, v_r.total, v_r.currency, 'failed', clock_timestamp())
    ON CONFLICT (provider, reference) DO UPDATE
        SET status = excluded.status, settled_at = excluded.settled_at;
    RETURN QUERY SELECT 'failed', payment_json(v_r, 'failed');
END $$;

-- It went back, all of it. p_was: the payment's status, NULL when it is not known.
CREATE OR REPLACE FUNCTION payment_refunded(v_r reservations, p_provider text, p_reference text, p_was text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency, status,
                          settled_at)
    VALUES (v_r.event_id, v_r.id, p_provider, p_reference, v_r.total, v_r.currency, 'refunded', clock_timestamp())
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
CREATE OR REPLACE FUNCTION payment_report(p_id text, p_provider text, p_reference text, p_amount bigint,
                               p_currency text, p_status text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
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

-- Takes a sale back: the seats are free at once, the money is due back. Again: the same.
-- refunded | not-refundable (not bought) | not-found
CREATE OR REPLACE FUNCTION payment_refund(p_event text, p_id text, p_who text)
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
CREATE OR REPLACE FUNCTION payment_list(p_event text, p_status text, p_before bigint,
                                        p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_incremental_sort = off AS $$
DECLARE
    v_before bigint := coalesce(p_before, 9223372036854775807);
    v_found payments[];
BEGIN
    IF p_status IS NULL THEN
        v_found := ARRAY(
            SELECT p FROM payments p
            WHERE (p.event_id, p.id) >= (p_event, 0) AND (p.event_id, p.id) < (p_event, v_before)
            ORDER BY p.event_id DESC, p.id DESC LIMIT p_limit + 1);
    ELSE
        v_found := ARRAY(
            SELECT p FROM payments p
            WHERE (p.event_id, p.status, p.id) >= (p_event, p_status, 0)
              AND (p.event_id, p.status, p.id) < (p_event, p_status, v_before)
            ORDER BY p.event_id DESC, p.status DESC, p.id DESC LIMIT p_limit + 1);
    END IF;
    RETURN QUERY SELECT 'listed', json_build_object(
        'payments', coalesce((SELECT json_agg(json_build_object(
            'id', p.id::text, 'reservationId', r.id, 'reservationNumber', r.number,
            'buyer', r.buyer, 'provider', p.provider, 'reference', p.reference,
            'amount', p.amount, 'currency', p.currency, 'status', p.status,
            'createdAt', rfc3339(p.created_at), 'settledAt', rfc3339(p.settled_at))
            ORDER BY p.id DESC)
            FROM unnest(v_found[:p_limit]) AS p JOIN reservations r ON r.id = p.reservation_id),
            '[]'),
        'next', CASE WHEN cardinality(v_found) > p_limit THEN v_found[p_limit].id::text END);
END $$;
