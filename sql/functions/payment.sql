-- SPDX-License-Identifier: MIT
--
-- payment: the buyer begins it, the provider reports what became of it, and the organizer may refund it.
--
--   pending --paid--> paid (seats sold) or refund_due (not sold)    refund_due --refunded--> refunded
--   pending --failed--> failed, which may still be paid             paid --refunded--> refunded
--   paid --refund by the organizer--> refund_due
--
-- A payment of which parts were returned keeps its status, and refunded_amount says how much; when the parts make up
-- the whole, it is refunded. due_amount is what must still be returned: the whole of one that is refund_due, or the
-- prices of single seats that the organizer has refunded. refunded_amount + due_amount is never above amount.
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
--   invalid        the event requires an e-mail address, and none was ever given
--   not-found
--   not-yours
-- p_email: where the mail about the purchase goes, and p_language its language; NULL: as given before. An event that
-- asks for no address stores none.
CREATE OR REPLACE FUNCTION payment_begin(p_buyer text, p_id text, p_provider text, p_email text,
                                         p_language text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_r reservations;
    v_payment payments;
    v_purchase record;
    v_ask text;
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
    END IF;
    SELECT settings ->> 'askEmail' INTO v_ask FROM events WHERE id = v_r.event_id;
    IF v_ask = 'required' AND coalesce(p_email, v_r.email) IS NULL THEN
        RETURN QUERY SELECT 'invalid', refusal('An e-mail address is needed: the tickets are sent to it.', 'email');
        RETURN;
    ELSIF v_ask IN ('optional', 'required') AND p_email IS NOT NULL THEN
        UPDATE reservations SET email = p_email, language = p_language
        WHERE id = v_r.id RETURNING * INTO v_r;
    END IF;
    IF v_r.total = 0 THEN
        SELECT * INTO v_purchase FROM reservation_sell(v_r);
        IF v_purchase.sold THEN
            RETURN QUERY SELECT 'confirmed', payment_page(v_purchase.r, NULL);
        ELSE
            RETURN QUERY SELECT 'expired', refusal('The hold has expired.');
        END IF;
        RETURN;
    END IF;
    IF v_r.claim_by IS NOT NULL THEN -- to pay is to claim, and the deadline of the payment must not change later
        PERFORM hold_start(ARRAY[v_r.id], clock_timestamp());
        SELECT * INTO v_r FROM reservations WHERE id = v_r.id;
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
    INSERT INTO payments AS p (event_id, reservation_id, provider, reference, amount, currency, status,
                               settled_at, refunded_amount, due_amount)
    VALUES (v_r.event_id, v_r.id, p_provider, p_reference, v_r.total, v_r.currency, p_status,
            clock_timestamp(), CASE WHEN p_status = 'refunded' THEN v_r.total ELSE 0 END,
            CASE WHEN p_status = 'refund_due' THEN v_r.total ELSE 0 END)
    ON CONFLICT (provider, reference) DO UPDATE
        SET status = excluded.status, settled_at = excluded.settled_at,
            refunded_amount = greatest(p.refunded_amount, excluded.refunded_amount),
            due_amount = CASE excluded.status WHEN 'refund_due' THEN p.amount - p.refunded_amount ELSE 0 END;
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
        PERFORM seats_unsell(v_r.id, NULL, NULL);
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

-- The provider reports that it has returned a part of a payment, under an id of its own for this refund. Reports may be
-- repeated and come before `paid`: a payment that is unknown until then is stored as failed, which may still be paid.
--   partly-refunded   the status of the payment is as it was
--   refunded          the parts make up the whole: as payment_report does for `refunded`
--   repeated          this refund was recorded before, or everything has been returned
--   wrong-amount      refused: more than is left, or another amount than this refund had
--   reference-used    refused: the reference belongs to another reservation
--   not-found         refused: there is no such reservation
CREATE OR REPLACE FUNCTION payment_report_part(p_id text, p_provider text, p_reference text, p_amount bigint,
                                               p_currency text, p_refund text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_r reservations;
    v_payment payments;
    v_known bigint;
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
    WHERE provider = p_provider AND reference = p_reference FOR UPDATE;
    SELECT amount INTO v_known FROM payment_refunds
    WHERE payment_id = v_payment.id AND refund_id = p_refund;
    IF v_payment.reservation_id <> v_r.id THEN
        RETURN QUERY SELECT 'reference-used',
                            refusal('This reference belongs to another payment.', 'reference');
        RETURN;
    ELSIF p_currency <> v_r.currency THEN
        RETURN QUERY SELECT 'wrong-amount',
                            refusal(format('The reservation costs %s %s.', v_r.total, v_r.currency), 'currency');
        RETURN;
    ELSIF v_known <> p_amount THEN
        RETURN QUERY SELECT 'wrong-amount',
                            refusal(format('This refund was reported with %s before.', v_known), 'amount');
        RETURN;
    ELSIF v_known IS NOT NULL OR v_payment.status = 'refunded' THEN
        RETURN QUERY SELECT 'repeated', json_join(payment_json(v_r, v_payment.status),
            json_build_object('refundedAmount', v_payment.refunded_amount));
        RETURN;
    ELSIF p_amount < 1 OR coalesce(v_payment.refunded_amount, 0) + p_amount > v_r.total THEN
        RETURN QUERY SELECT 'wrong-amount', refusal(
            format('Of this payment %s can still be returned.',
                   v_r.total - coalesce(v_payment.refunded_amount, 0)), 'amount');
        RETURN;
    END IF;
    IF v_payment.id IS NULL THEN
        PERFORM payment_set_status(v_r, p_provider, p_reference, 'failed');
    END IF;
    UPDATE payments SET refunded_amount = refunded_amount + p_amount,
                        due_amount = greatest(due_amount - p_amount, 0)
    WHERE provider = p_provider AND reference = p_reference RETURNING * INTO v_payment;
    INSERT INTO payment_refunds (payment_id, refund_id, amount) VALUES (v_payment.id, p_refund, p_amount);
    IF v_payment.refunded_amount < v_payment.amount THEN
        RETURN QUERY SELECT 'partly-refunded', json_join(payment_json(v_r, v_payment.status),
            json_build_object('refundedAmount', v_payment.refunded_amount));
        RETURN;
    END IF;
    RETURN QUERY SELECT d.outcome, json_join(d.body,
        json_build_object('refundedAmount', v_payment.refunded_amount))
    FROM payment_refunded(v_r, p_provider, p_reference, v_payment.status) AS d;
END $$;

-- ---- the organizer ----

-- The reservation of this event that staff name by its id, or by its number as people write it; NULL: there is none.
CREATE OR REPLACE FUNCTION reservation_named(p_event text, p_text text) RETURNS uuid LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
BEGIN
    RETURN coalesce(
        (SELECT id FROM reservations WHERE id = as_uuid(p_text) AND event_id = p_event),
        (SELECT id FROM reservations WHERE number = reservation_code_of(p_text) AND event_id = p_event));
END $$;

-- Refunds a purchase, or (p_seats) only these seats of it, which are named again without effect. The seats are free at
-- once or, unless p_resell, blocked; the money is due back. p_named: the reservation's id or number.
--   refunded         the whole, or the last seats of it
--   seats-refunded   the purchase goes on without these seats
--   repeated         it, or they, were refunded before
--   invalid          one of the seats is none of this purchase
--   not-refundable   the reservation is no purchase
--   not-found
CREATE OR REPLACE FUNCTION payment_refund(p_event text, p_named text, p_who text, p_seats bigint[] DEFAULT NULL,
                                          p_resell boolean DEFAULT true)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_before reservations;
    v_after reservations;
    v_payment payments;
    v_seats bigint[];
    v_amount bigint;
    v_block text;
BEGIN
    SELECT * INTO v_before FROM reservations WHERE id = reservation_named(p_event, p_named);
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such reservation in this event.', 'reservationId', p_reason => 'unknown-reservation');
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(lock_key_buyer(p_event, v_before.buyer));
    SELECT * INTO v_before FROM reservations WHERE id = v_before.id FOR UPDATE;
    IF v_before.status = 'refunded' THEN
        SELECT * INTO v_payment FROM payments
        WHERE reservation_id = v_before.id AND status IN ('refund_due', 'refunded')
        ORDER BY id LIMIT 1;
        RETURN QUERY SELECT 'repeated', payment_json(v_before, coalesce(v_payment.status, 'refunded'));
        RETURN;
    ELSIF v_before.status <> 'confirmed' THEN
        RETURN QUERY SELECT 'not-refundable',
                            refusal('The reservation has not been bought.', 'reservationId');
        RETURN;
    ELSIF EXISTS (SELECT FROM unnest(p_seats) AS i WHERE i NOT IN (
            SELECT seat_id FROM reservation_seats WHERE reservation_id = v_before.id)) THEN
        RETURN QUERY SELECT 'invalid', refusal('One of these seats is none of this purchase.', 'seatIds', p_reason => 'other-seats');
        RETURN;
    END IF;
    SELECT array_agg(rs.seat_id), sum(coalesce(rs.price, s.price)) INTO v_seats, v_amount
    FROM reservation_seats rs JOIN seats s ON s.id = rs.seat_id
    WHERE rs.reservation_id = v_before.id AND rs.live AND (p_seats IS NULL OR rs.seat_id = ANY (p_seats));
    SELECT * INTO v_payment FROM payments WHERE reservation_id = v_before.id AND status = 'paid' FOR UPDATE;
    v_block := CASE WHEN NOT p_resell THEN 'refund of ' || v_before.number END;
    IF v_seats IS NULL THEN
        RETURN QUERY SELECT 'repeated', payment_json(v_before, coalesce(v_payment.status, 'refunded'));
        RETURN;
    ELSIF cardinality(v_seats) = v_before.seat_count THEN
        outcome := 'refunded';
        UPDATE reservations SET status = 'refunded', ended_at = clock_timestamp()
        WHERE id = v_before.id RETURNING * INTO v_after;
        UPDATE payments SET status = 'refund_due', settled_at = clock_timestamp(),
                            due_amount = amount - refunded_amount
        WHERE id = v_payment.id RETURNING * INTO v_payment;
    ELSE
        outcome := 'seats-refunded';
        UPDATE reservations SET seat_count = seat_count - cardinality(v_seats), returned = returned + v_amount
        WHERE id = v_before.id RETURNING * INTO v_after;
        UPDATE reservation_seats SET refunded_at = clock_timestamp()
        WHERE reservation_id = v_before.id AND seat_id = ANY (v_seats);
        -- The provider may have returned a part on its own: no more than the rest is due.
        UPDATE payments SET due_amount = least(due_amount + v_amount, amount - refunded_amount)
        WHERE id = v_payment.id RETURNING * INTO v_payment;
    END IF;
    PERFORM seats_unsell(v_before.id, v_seats, v_block);
    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (p_event, p_who, 'refund', reservation_json(v_before), reservation_json(v_after));
    body := payment_json(v_after, coalesce(v_payment.status, 'refunded'));
    RETURN NEXT;
END $$;
-- contracts: generation 48: it refunded the whole
DROP FUNCTION IF EXISTS payment_refund (text, text, text);

-- A payment as lists show it.
CREATE OR REPLACE FUNCTION payment_item(p payments, r reservations) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'id', p.id::text, 'reservationId', r.id, 'reservationNumber', r.number,
        'buyer', r.buyer, 'provider', p.provider, 'reference', p.reference,
        'amount', p.amount, 'refundedAmount', p.refunded_amount, 'refundDueAmount', p.due_amount,
        'currency', p.currency, 'status', p.status,
        'createdAt', rfc3339(p.created_at), 'settledAt', rfc3339(p.settled_at))
$$;

-- listed: {"payments": [...], "next": id or null}: newest first; only ids below p_before if that is given.
-- The query compares rows instead of columns, and sorting and bitmap scans are off, so that the planner has
-- to use the index that begins with the event: by the primary key it would read all newer payments of
-- other events. p_due: only those of which money must still be returned.
CREATE OR REPLACE FUNCTION payment_list(p_event text, p_status text, p_due boolean, p_before bigint,
                                        p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_incremental_sort = off AS $$
DECLARE
    v_before bigint := coalesce(p_before, 9223372036854775807);
    v_found payments[];
BEGIN
    IF p_due THEN
        v_found := ARRAY(
            SELECT p FROM payments p
            WHERE (p.event_id, p.id) >= (p_event, 0) AND (p.event_id, p.id) < (p_event, v_before)
              AND p.due_amount > 0 AND (p_status IS NULL OR p.status = p_status)
            ORDER BY p.event_id DESC, p.id DESC LIMIT p_limit + 1);
    ELSIF p_status IS NULL THEN
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
        'payments', coalesce((SELECT json_agg(payment_item(p, r) ORDER BY p.id DESC)
            FROM unnest(v_found[:p_limit]) AS p JOIN reservations r ON r.id = p.reservation_id),
            '[]'),
        'next', CASE WHEN cardinality(v_found) > p_limit THEN v_found[p_limit].id::text END);
END $$;
-- contracts: generation 48: it did not look for what is due
DROP FUNCTION IF EXISTS payment_list (text, text, bigint, integer);

-- The reservations of an event that staff look for, newest first; p_text NULL: all. Else those of a number, an id, a buyer (with or without the "u:"
-- of a shop's user), or a place (that of a support reference; NULL: the text is none). Held, lapsed and refunded ones
-- too. Neither the place nor the event has an index: this reads all reservations, which staff may wait for.
-- listed: {"reservations": [{..., "buyer", "createdAt", "endedAt", "payments": [...]}], "next": cursor or null}
CREATE OR REPLACE FUNCTION reservations_find(p_event text, p_text text, p_place bigint, p_before text, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_named uuid := reservation_named(p_event, p_text);
    v_found reservations[] := ARRAY(
        SELECT r FROM reservations r
        WHERE r.event_id = p_event AND (p_text IS NULL OR r.id IN (
                       SELECT v_named
                       UNION SELECT id FROM reservations
                       WHERE buyer IN (p_text, 'u:' || p_text) AND event_id = p_event
                       UNION SELECT id FROM reservations
                       WHERE p_place IS NOT NULL AND place = p_place AND event_id = p_event))
          AND (p_before IS NULL
               OR (r.created_at, r.id) < (cursor_time(p_before), as_uuid(cursor_id(p_before))))
        ORDER BY r.created_at DESC, r.id DESC LIMIT p_limit + 1);
BEGIN
    RETURN QUERY SELECT 'listed', json_build_object(
        'reservations', coalesce((SELECT json_agg(json_join(reservation_json(r), json_build_object(
            'buyer', r.buyer, 'createdAt', rfc3339(r.created_at), 'endedAt', rfc3339(r.ended_at),
            'payments', coalesce((SELECT json_agg(payment_item(p, r) ORDER BY p.id DESC)
                                  FROM payments p WHERE p.reservation_id = r.id), '[]')))
            ORDER BY r.created_at DESC, r.id DESC) FROM unnest(v_found[:p_limit]) AS r), '[]'),
        'next', CASE WHEN cardinality(v_found) > p_limit
                     THEN cursor_of(v_found[p_limit].created_at, v_found[p_limit].id::text) END);
END $$;
