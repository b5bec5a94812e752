-- SPDX-License-Identifier: MIT
--
-- payment: the buyer begins it, the provider reports what became of it, and the organizer may refund it.
--
--   pending --paid--> paid (seats sold) or refund_due (not sold)    refund_due --refunded--> refunded
--   pending --failed--> failed, which may still be paid             paid --refunded--> refunded
--   paid --refund by the organizer--> refund_due
--
-- The provider's reports may come late, more than once, or in the wrong order: the final status of a
-- reference is the same. If `refunded` comes before `paid`, the later `paid` sells nothing. A refund
-- frees the seats, and a sold-out event becomes open again.

-- ---- answers ----

-- The body of the answer to a report: the reservation, the buyer's admission and the payment's status.
CREATE OR REPLACE FUNCTION payment_json(r reservations, p_status text) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_join(reservation_json(r), json_build_object(
        'buyer', r.buyer, 'place', r.place::text, 'epoch', r.epoch, 'payment', p_status))
$$;

-- The fields of an order, which the program signs for the payment page. p NULL: nothing is to be paid.
CREATE OR REPLACE FUNCTION payment_page(r reservations, p payments) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'reservationId', r.id, 'reservationNumber', r.number, 'eventId', r.event_id,
        'buyer', r.buyer, 'place', r.place::text, 'epoch', r.epoch,
        'status', CASE r.status WHEN 'confirmed' THEN 'confirmed' ELSE 'pending' END,
        'provider', p.provider, 'reference', p.reference, 'amount', r.total,
        'currency', r.currency,
        'expiresAt', CASE WHEN r.status = 'held' THEN rfc3339(r.expires_at) END)
$$;

-- ---- the buyer pays ----

-- Begins the payment of a reservation.
--   pending        a payment with a new reference; if one is pending already, that one
--   payment-off    p_provider is NULL, and there is something to pay
--   confirmed      nothing is to be paid, and the seats are now sold
--   repeated       nothing was to be paid, and the seats were sold before
--   expired
--   already-paid
--   not-payable    the reservation was cancelled or refunded
--   not-found
--   not-yours
CREATE OR REPLACE FUNCTION payment_begin(p_buyer text, p_id text, p_provider text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_r reservations;
    v_payment payments;
    v_purchase record;
BEGIN
    SELECT * INTO v_r FROM reservations WHERE id = as_uuid(p_id);
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such reservation.');
        RETURN;
    ELSIF v_r.buyer <> p_buyer THEN
        RETURN QUERY SELECT 'not-yours', refusal('This is not your reservation.');
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(lock_key_buyer(v_r.event_id, p_buyer));
    SELECT * INTO v_r FROM reservations WHERE id = v_r.id FOR UPDATE;
    IF v_r.status = 'confirmed' AND v_r.total = 0 THEN
        RETURN QUERY SELECT 'repeated', payment_page(v_r, NULL);
        RETURN;
    ELSIF v_r.status = 'confirmed' THEN
        RETURN QUERY SELECT 'already-paid', refusal('The reservation has been paid for.');
        RETURN;
    ELSIF v_r.status IN ('cancelled', 'refunded') THEN
        RETURN QUERY SELECT 'not-payable', refusal(format('The reservation was %s.', v_r.status));
        RETURN;
    ELSIF v_r.status = 'expired' OR v_r.expires_at <= clock_timestamp() THEN
        RETURN QUERY SELECT 'expired', refusal('The hold has expired.');
        RETURN;
    ELSIF v_r.total = 0 THEN
        SELECT * INTO v_purchase FROM reservation_sell(v_r);
        IF v_purchase.sold THEN
            RETURN QUERY SELECT 'confirmed', payment_page(v_purchase.r, NULL);
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
        VALUES (v_r.event_id, v_r.id, p_provider, gen_random_uuid()::text, v_r.total, v_r.currency,
                'pending')
        RETURNING * INTO v_payment;
    END IF;
    RETURN QUERY SELECT 'pending', payment_page(v_r, v_payment);
END $$;

-- ---- the provider reports ----

-- Stores the status of a payment; adds the payment if its reference is not known.
CREATE OR REPLACE FUNCTION payment_set_status(v_r reservations, p_provider text, p_reference text,
                                          p_status text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency, status,
                          settled_at)
    VALUES (v_r.event_id, v_r.id, p_provider, p_reference, v_r.total, v_r.currency, p_status,
            clock_timestamp())
    ON CONFLICT (provider, reference) DO UPDATE
        SET status = excluded.status, settled_at = excluded.settled_at;
END $$;

-- The provider has the money. The payment was unknown, pending or failed before. Sells the seats; if that
-- is impossible, records that the money is due back. confirmed | refund-due
CREATE OR REPLACE FUNCTION payment_paid(v_r reservations, p_provider text, p_reference text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_purchase record;
    v_status text;
BEGIN
    SELECT * INTO v_purchase FROM reservation_sell(v_r);
    v_status := CASE WHEN v_purchase.sold THEN 'paid' ELSE 'refund_due' END;
    PERFORM payment_set_status(v_r, p_provider, p_reference, v_status);
    RETURN QUERY SELECT CASE WHEN v_purchase.sold THEN 'confirmed' ELSE 'refund-due' END,
                        payment_json(v_purchase.r, v_status);
END $$;

-- The provider has returned the whole amount. p_was: the payment's status before; NULL: it was unknown.
-- refunded
CREATE OR REPLACE FUNCTION payment_refunded(v_r reservations, p_provider text, p_reference text,
                                            p_was text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM payment_set_status(v_r, p_provider, p_reference, 'refunded');
    IF p_was = 'paid' AND v_r.status = 'confirmed' THEN
        UPDATE reservations SET status = 'refunded', ended_at = clock_timestamp()
        WHERE id = v_r.id RETURNING * INTO v_r;
        PERFORM seats_unsell(v_r.id);
    END IF;
    RETURN QUERY SELECT 'refunded', payment_json(v_r, 'refunded');
END $$;

-- A report of the provider. What it does depends only on the reservation and on the payment with this
-- reference. p_status: paid, failed or refunded. After `failed` the hold stays, so that the buyer may try
-- again.
--   confirmed        paid, and the seats are sold
--   refund-due       paid, but the seats cannot be sold (also: cancelled, or paid twice): the money is due
--                    back
--   failed
--   refunded
--   repeated         the report changes nothing
--   wrong-amount     refused
--   reference-used   refused: the reference belongs to another reservation
--   not-found        refused: there is no such reservation
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
    PERFORM pg_advisory_xact_lock(lock_key_payment(p_provider, p_reference));
    PERFORM pg_advisory_xact_lock(lock_key_buyer(v_r.event_id, v_r.buyer));
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
        PERFORM payment_set_status(v_r, p_provider, p_reference, 'failed');
        RETURN QUERY SELECT 'failed', payment_json(v_r, 'failed');
    ELSIF p_status = 'refunded' AND v_payment.status IS DISTINCT FROM 'refunded' THEN
        RETURN QUERY SELECT * FROM payment_refunded(v_r, p_provider, p_reference, v_payment.status);
    ELSE
        RETURN QUERY SELECT 'repeated', payment_json(v_r, v_payment.status);
    END IF;
END $$;

-- ---- the organizer ----

-- Refunds a purchase: its seats are free at once, and the money is due back.
--   refunded
--   repeated         it was refunded before
--   not-refundable   the reservation is no purchase
--   not-found
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
    PERFORM pg_advisory_xact_lock(lock_key_buyer(p_event, v_before.buyer));
    SELECT * INTO v_before FROM reservations WHERE id = v_before.id FOR UPDATE;
    IF v_before.status = 'refunded' THEN
        SELECT status INTO v_payment FROM payments
        WHERE reservation_id = v_before.id AND status IN ('refund_due', 'refunded')
        ORDER BY id LIMIT 1;
        RETURN QUERY SELECT 'repeated', payment_json(v_before, coalesce(v_payment, 'refunded'));
        RETURN;
    ELSIF v_before.status <> 'confirmed' THEN
        RETURN QUERY SELECT 'not-refundable',
                            refusal('The reservation has not been bought.', 'reservationId');
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

-- listed: {"payments": [...], "next": id or null}: newest first; only ids below p_before if that is given.
-- The query compares rows instead of columns, and sorting and bitmap scans are off, so that the planner has
-- to use the index that begins with the event: by the primary key it would read all newer payments of
-- other events.
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
