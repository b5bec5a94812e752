-- SPDX-License-Identifier: MIT
--
-- reservations: hold -> confirm, or cancel, or lapse. A seat is sold once.
--
-- Locks are taken in one order, so that no two transactions can wait for each other:
--   1. the row of the event    2. advisory: the idempotency key or payment reference
--   3. advisory: the buyer at the event (several: by number)
--   4. rows of reservations (several: by id)    5. rows of seats, by id
-- Whoever already has a seat's lock touches another buyer's reservation, and picks further seats,
-- only by SKIP LOCKED. Rows of reservation_seats are written only under the lock of their seat.
-- (reservation_hold tries again after a deadlock all the same.)
--
-- enable_seqscan is off where buyers wait: a plan made while a table was nearly empty would scan it
-- until the next ANALYZE, in the very minute when thousands of rows come.
--
-- event_id is no foreign key here: every insert would lock the one row of its event, and
-- reservation_seats refers to (event, seat) anyway.

CREATE TABLE reservations (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number     text NOT NULL UNIQUE,
    event_id   text COLLATE "C" NOT NULL,
    buyer      text COLLATE "C" NOT NULL,
    status     text NOT NULL DEFAULT 'held'
               CHECK (status IN ('held', 'confirmed', 'cancelled', 'expired')),
    auto       boolean NOT NULL DEFAULT false, -- made for him on admission, never chosen
    place      bigint NOT NULL DEFAULT 0,      -- the admission it belongs to
    epoch      bigint NOT NULL,
    seat_count integer NOT NULL CHECK (seat_count > 0),
    total      bigint NOT NULL,
    currency   text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz, -- confirmed or cancelled
    entered    boolean NOT NULL DEFAULT true,  -- the log of his admission has been copied
    swept      boolean NOT NULL DEFAULT false, -- nothing left for the sweeper
    slot_freed boolean NOT NULL DEFAULT false  -- of a confirmed one: the buyer's slot is free again
);
-- The buyer first: before the first ANALYZE all indexes that fit look alike to the planner, and so
-- whichever it takes finds a buyer's few rows. `place > 0` keeps the one in order of events, for
-- spent_page, out of the choice.
CREATE UNIQUE INDEX reservations_one_held ON reservations (buyer, event_id) WHERE status = 'held';
CREATE UNIQUE INDEX reservations_one_auto ON reservations (buyer, event_id, epoch, place) WHERE auto;
CREATE INDEX reservations_confirmed ON reservations (buyer, event_id) WHERE status = 'confirmed';
CREATE INDEX reservations_buyer ON reservations (buyer, created_at);
CREATE INDEX reservations_spent ON reservations (event_id, epoch, buyer, place)
    WHERE status = 'confirmed' AND place > 0;
CREATE INDEX reservations_unswept ON reservations (expires_at) WHERE NOT swept;
CREATE INDEX reservations_unentered ON reservations (event_id, buyer) WHERE NOT entered;
CREATE INDEX reservations_unfreed ON reservations (ended_at)
    WHERE status = 'confirmed' AND NOT slot_freed;
CREATE SEQUENCE reservation_number;

CREATE TABLE reservation_seats (
    reservation_id uuid NOT NULL REFERENCES reservations (id),
    event_id       text COLLATE "C" NOT NULL,
    seat_id        bigint NOT NULL,
    live           boolean NOT NULL DEFAULT true, -- holds or has bought the seat
    PRIMARY KEY (reservation_id, seat_id),
    FOREIGN KEY (event_id, seat_id) REFERENCES seats (event_id, id)
);
CREATE UNIQUE INDEX reservation_seats_live ON reservation_seats (event_id, seat_id) WHERE live;

-- The answer given to the first order under a key: the same order again gets it again.
CREATE TABLE idempotency_keys (
    buyer      text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    wanted     text NOT NULL, -- the order, in one spelling
    answer     json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (buyer, key)
);

CREATE TABLE payments (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reservation_id uuid NOT NULL REFERENCES reservations (id),
    provider       text NOT NULL,
    reference      text NOT NULL,
    amount         bigint NOT NULL,
    currency       text NOT NULL,
    status         text NOT NULL CHECK (status IN ('pending', 'paid', 'refund_due', 'refunded')),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (provider, reference)
);
CREATE INDEX payments_reservation ON payments (reservation_id);

CREATE TABLE admissions (
    event_id  text COLLATE "C" NOT NULL,
    epoch     bigint NOT NULL,
    buyer     text COLLATE "C" NOT NULL,
    place     bigint NOT NULL,
    kind      text NOT NULL,    -- straight, promote, restored; left, idle, timeout, completed
    departed  boolean NOT NULL, -- the admission ended: the place is spent
    at        timestamptz NOT NULL,
    inside    bigint NOT NULL,  -- after it
    threshold bigint NOT NULL,  -- in force at it
    n         bigint NOT NULL,  -- admissions so far
    stream_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (event_id, epoch, buyer, place, kind)
);
CREATE INDEX admissions_stream ON admissions (stream_id, event_id);

-- ---- helpers ----

CREATE FUNCTION buyer_lock(p_event text, p_buyer text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_event || ' ' || p_buyer, 1)
$$;

CREATE FUNCTION as_uuid(p_text text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p_text::uuid END
$$;

-- A number to read out on the telephone: eight letters and digits, unique because the product with
-- an odd number is a permutation modulo 2^40, and not telling how many were sold.
CREATE FUNCTION reservation_code(p_n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ',
                             ((v.v >> (5 * i)) & 31)::integer + 1, 1), '' ORDER BY i DESC)
    FROM (SELECT mod(p_n::numeric * 679525324989 + 302127157, 1099511627776)::bigint AS v) AS v,
         generate_series(0, 7) AS i
$$;

CREATE FUNCTION reservation_json(r reservations) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'id', r.id, 'reservationNumber', r.number, 'eventId', r.event_id,
        'status', CASE WHEN r.status = 'held' AND r.expires_at <= clock_timestamp()
                       THEN 'expired' ELSE r.status END,
        'totalAmount', r.total, 'currency', r.currency,
        'expiresAt', CASE WHEN r.status = 'held' THEN rfc3339(r.expires_at) END,
        'seats', (SELECT json_agg(json_build_object(
                      'id', s.id::text, 'section', s.section, 'row', s.row, 'number', s.number,
                      'price', s.price, 'currency', s.currency)
                      ORDER BY s.section_rank, s.row_rank, s.number)
                  FROM reservation_seats rs JOIN seats s ON s.id = rs.seat_id
                  WHERE rs.reservation_id = r.id))
$$;

-- Gives locked seats (p_seats[i] to reservation p_owners[i]) until p_until; NULL: for good. What
-- other, lapsed holds had of them is ended.
CREATE FUNCTION seats_take(p_event text, p_seats bigint[], p_owners uuid[], p_until timestamptz,
                           p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH ended AS (
        UPDATE reservation_seats SET live = false
        WHERE event_id = p_event AND seat_id = ANY (p_seats) AND live
          AND reservation_id <> ALL (p_owners)
        RETURNING reservation_id
    )
    -- His own payment or the sweeper may be at that row and waiting for our seat: then it is they
    -- who end it.
    UPDATE reservations SET status = 'expired'
    WHERE id IN (SELECT id FROM reservations
                 WHERE id IN (SELECT reservation_id FROM ended) AND status = 'held'
                   AND expires_at <= p_now
                 FOR UPDATE SKIP LOCKED);
    UPDATE seats SET status = CASE WHEN p_until IS NULL THEN 'sold' ELSE 'held' END,
                     holder = t.owner, held_until = p_until,
                     version = version + CASE status WHEN 'held' THEN 2 ELSE 1 END
    FROM unnest(p_seats, p_owners) AS t (seat, owner)
    WHERE id = t.seat;
    INSERT INTO reservation_seats (reservation_id, event_id, seat_id)
    SELECT t.owner, p_event, t.seat FROM unnest(p_seats, p_owners) AS t (seat, owner)
    ON CONFLICT (reservation_id, seat_id) DO UPDATE SET live = true;
END $$;

-- Locks and gives back what these reservations still hold, but p_keep. Their rows are locked.
CREATE FUNCTION seats_release(p_reservations uuid[], p_keep bigint[] DEFAULT '{}')
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_seats bigint[];
BEGIN
    SELECT array_agg(s.id) INTO v_seats FROM (
        SELECT id FROM seats
        WHERE id IN (SELECT seat_id FROM reservation_seats
                     WHERE reservation_id = ANY (p_reservations) AND live)
          AND holder = ANY (p_reservations) AND status = 'held'
        ORDER BY id FOR UPDATE) AS s;
    UPDATE reservation_seats SET live = false
    WHERE reservation_id = ANY (p_reservations) AND seat_id = ANY (v_seats) AND live;
    UPDATE seats SET status = 'available', holder = NULL, held_until = NULL, version = version + 1
    WHERE id = ANY (v_seats) AND id <> ALL (p_keep);
END $$;

-- The (p_ahead + 1)-th group, in order of preference, of p_n free seats side by side; the last one
-- when there are fewer; NULL when there is none. Locks nothing. p_own counts as free.
CREATE FUNCTION seats_adjacent(p_event text, p_section text, p_n integer, p_own uuid,
                               p_ahead integer)
RETURNS bigint[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_seat record;
    v_section integer := -1;
    v_row integer := -1;
    v_number integer := -1;
    v_run bigint[] := '{}';
    v_found bigint[];
BEGIN
    FOR v_seat IN
        SELECT s.id, s.section_rank, s.row_rank, s.number FROM seats s
        WHERE s.event_id = p_event AND NOT s.sold
          AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_own)
          AND (p_section IS NULL OR s.section = p_section)
        ORDER BY s.section_rank, s.row_rank, s.number
    LOOP
        IF v_seat.section_rank <> v_section OR v_seat.row_rank <> v_row
            OR v_seat.number <> v_number + 1 THEN
            v_run := '{}';
        END IF;
        v_section := v_seat.section_rank;
        v_row := v_seat.row_rank;
        v_number := v_seat.number;
        v_run := v_run || v_seat.id;
        IF cardinality(v_run) = p_n THEN
            v_found := v_run;
            v_run := '{}';
            EXIT WHEN p_ahead <= 0;
            p_ahead := p_ahead - 1;
        END IF;
    END LOOP;
    RETURN v_found;
END $$;

-- Picks and locks the p_n best available adjacent seats: same section and row, consecutive
-- numbers; by order of sections, then rows, then numbers. With them it locks p_own, the seats of
-- the caller's live hold p_holder, which count as free. NULL: there are none; '{}': every attempt
-- was lost to others (as good as never). One caller alone always gets the best; callers in each
-- other's way spread out after the first collision, and wait for one another at last, so that a
-- group is never refused to all of them.
CREATE FUNCTION seats_pick(p_event text, p_section text, p_n integer, p_holder uuid,
                           p_own bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz;
    v_group bigint[];
    v_locked bigint[];
BEGIN
    FOR v_attempt IN 0..24 LOOP
        v_now := clock_timestamp();
        IF v_attempt > 0 OR p_n > 1 THEN
            v_group := seats_adjacent(p_event, p_section, p_n, p_holder,
                CASE WHEN v_attempt BETWEEN 1 AND 7
                     THEN floor(random() * 4 ^ least(v_attempt, 4))::integer ELSE 0 END);
            IF v_group IS NULL THEN
                RETURN NULL;
            END IF;
        END IF;
        BEGIN
            IF v_group IS NULL THEN -- a single seat needs no neighbours: the first nobody locks
                SELECT ARRAY[s.id] INTO v_group FROM seats s
                WHERE s.event_id = p_event AND NOT s.sold
                  AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
                  AND (p_section IS NULL OR s.section = p_section)
                ORDER BY s.section_rank, s.row_rank, s.number LIMIT 1 FOR UPDATE SKIP LOCKED;
            END IF;
            IF v_attempt < 8 THEN
                v_locked := ARRAY(SELECT s.id FROM seats s WHERE s.id = ANY (v_group || p_own)
                    AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
                    ORDER BY s.id FOR UPDATE SKIP LOCKED);
            ELSE
                v_locked := ARRAY(SELECT s.id FROM seats s WHERE s.id = ANY (v_group || p_own)
                    AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
                    ORDER BY s.id FOR UPDATE);
            END IF;
            IF v_locked @> v_group AND v_locked @> p_own THEN
                RETURN v_group;
            END IF;
            RAISE SQLSTATE 'TK001'; -- back to before the block: gives the locks back
        EXCEPTION WHEN SQLSTATE 'TK001' THEN
            NULL;
        END;
    END LOOP;
    RETURN '{}';
END $$;

-- ---- hold ----

-- The part of reservation_hold that holds the advisory locks and may be run again.
CREATE FUNCTION reservation_hold_locked(p_event text, p_buyer text, p_seats bigint[],
                                        p_quantity integer, p_section text, p_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_event events;
    v_old reservations;
    v_own bigint[] := '{}';
    v_new reservations;
    v_n integer := coalesce(cardinality(p_seats), p_quantity);
    v_max integer;
    v_owned integer;
    v_bad bigint[];
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event;
    IF NOT FOUND OR v_event.status = 'draft' THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    ELSIF v_event.status = 'closed' THEN
        RETURN QUERY SELECT 'event-closed', refusal('The event is closed.');
        RETURN;
    ELSIF v_event.status = 'scheduled' THEN
        RETURN QUERY SELECT 'event-not-open', refusal('The sale has not begun.');
        RETURN;
    ELSIF coalesce(v_n, 0) < 1 THEN
        RETURN QUERY SELECT 'invalid', refusal('At least one seat is needed.', 'quantity');
        RETURN;
    ELSIF v_n <> (SELECT count(DISTINCT i) FROM unnest(p_seats) AS i) AND p_seats IS NOT NULL THEN
        RETURN QUERY SELECT 'invalid', refusal('A seat is named twice.', 'seatIds');
        RETURN;
    END IF;
    -- The caller asked Redis; but the departure may have been logged and copied since.
    IF EXISTS (SELECT FROM admissions WHERE event_id = p_event AND epoch = v_event.epoch
                  AND buyer = p_buyer AND place = p_place AND departed) THEN
        RETURN QUERY SELECT 'not-admitted', refusal('Your admission has ended.');
        RETURN;
    END IF;
    v_max := coalesce((v_event.settings ->> 'maxSeats')::integer, 4);
    SELECT coalesce(sum(seat_count), 0) INTO v_owned FROM reservations
    WHERE buyer = p_buyer AND event_id = p_event AND status = 'confirmed';
    IF v_owned + v_n > v_max THEN
        RETURN QUERY SELECT 'limit', refusal(
            CASE WHEN v_owned > 0
                 THEN format('At most %s seats for each buyer; you have bought %s.', v_max, v_owned)
                 ELSE format('At most %s seats for each buyer.', v_max) END);
        RETURN;
    END IF;

    SELECT * INTO v_old FROM reservations
    WHERE event_id = p_event AND buyer = p_buyer AND status = 'held' FOR UPDATE;
    IF FOUND AND v_old.expires_at <= v_now THEN
        UPDATE reservations SET status = 'expired' WHERE id = v_old.id;
        v_old := NULL;
    ELSIF FOUND THEN
        v_own := ARRAY(SELECT seat_id FROM reservation_seats
                       WHERE reservation_id = v_old.id AND live ORDER BY seat_id);
    END IF;

    IF p_seats IS NOT NULL THEN
        SELECT array_agg(i ORDER BY i) INTO v_bad FROM unnest(p_seats) AS i
        WHERE NOT EXISTS (SELECT FROM seats WHERE event_id = p_event AND id = i);
        IF v_bad IS NOT NULL THEN
            RETURN QUERY SELECT 'unknown-seat',
                                refusal('The event has no such seat.', 'seatIds', v_bad);
            RETURN;
        END IF;
        -- Twice: at first without waiting in line for a seat that is gone, then under the locks.
        FOR v_pass IN 1..2 LOOP
            SELECT array_agg(id ORDER BY id) INTO v_bad FROM seats
            WHERE id = ANY (p_seats) AND status <> 'available' AND holder IS DISTINCT FROM v_old.id
              AND (sold OR held_until > v_now);
            IF v_bad IS NOT NULL THEN
                RETURN QUERY SELECT 'seat-taken',
                    refusal('Somebody else was faster with these seats.', NULL, v_bad);
                RETURN;
            END IF;
            IF v_pass = 1 THEN
                PERFORM FROM seats WHERE id = ANY (p_seats || v_own) ORDER BY id FOR UPDATE;
            END IF;
        END LOOP;
    ELSE
        p_seats := seats_pick(p_event, p_section, v_n, v_old.id, v_own);
        IF p_seats IS NULL THEN
            IF v_event.seats > 0 AND NOT EXISTS (SELECT FROM seats WHERE event_id = p_event
                    AND (p_section IS NULL OR section = p_section)) THEN
                RETURN QUERY SELECT 'invalid', refusal('There is no such section.', 'section');
            ELSIF v_n > 1 AND v_n <= (SELECT count(*) FROM (
                    SELECT FROM seats WHERE event_id = p_event AND NOT sold
                       AND (status = 'available' OR held_until <= v_now OR holder = v_old.id)
                       AND (p_section IS NULL OR section = p_section) LIMIT v_n) AS f) THEN
                RETURN QUERY SELECT 'no-adjacent', refusal(
                    format('No %s seats side by side are free: choose single seats.', v_n));
            ELSE
                RETURN QUERY SELECT 'no-seats', refusal(
                    CASE WHEN v_n > 1 THEN format('Fewer than %s seats are free at the moment.', v_n)
                         ELSE 'No seat is free at the moment.' END);
            END IF;
            RETURN;
        ELSIF p_seats = '{}' THEN
            RETURN QUERY SELECT 'seat-taken', refusal('Others were faster: try again.', NULL, '{}');
            RETURN;
        END IF;
    END IF;

    IF v_old.id IS NOT NULL THEN
        UPDATE reservations SET status = 'cancelled', ended_at = v_now, swept = true
        WHERE id = v_old.id;
        PERFORM seats_release(ARRAY[v_old.id], p_seats);
    END IF;
    INSERT INTO reservations (number, event_id, buyer, place, epoch, entered, seat_count, total,
                              currency, created_at, expires_at)
    SELECT reservation_code(nextval('reservation_number')), p_event, p_buyer, coalesce(p_place, 0),
           v_event.epoch, coalesce(p_place, 0) = 0 OR EXISTS (
               SELECT FROM admissions a WHERE a.event_id = p_event AND a.epoch = v_event.epoch
                  AND a.buyer = p_buyer AND a.place = p_place),
           v_n, sum(price), min(s.currency), v_now,
           v_now + coalesce((v_event.settings ->> 'holdMs')::bigint, 300000)
                   * interval '1 millisecond'
    FROM seats s WHERE id = ANY (p_seats)
    RETURNING * INTO v_new;
    PERFORM seats_take(p_event, p_seats, array_fill(v_new.id, ARRAY[v_n]), v_new.expires_at, v_now);
    RETURN QUERY SELECT 'created', reservation_json(v_new);
END $$;

-- Holds p_seats, or (p_seats NULL) the p_quantity best available adjacent seats of p_section or of
-- all. Replaces the buyer's live hold in the same transaction, or changes nothing.
--   created   repeated (this key and order were answered before: the same answer)
--   seat-taken (with the seats)   no-adjacent   no-seats   limit   idempotency-conflict
--   unknown-seat (with the seats)   invalid   not-found   event-closed   event-not-open
--   not-admitted (the admission p_place has ended)
CREATE FUNCTION reservation_hold(p_event text, p_buyer text, p_seats bigint[], p_quantity integer,
                                 p_section text, p_key text, p_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_wanted text := format('%s %s', p_event, coalesce(
        (SELECT string_agg(i::text, ',' ORDER BY i) FROM unnest(p_seats) AS i),
        format('%s of %s', p_quantity, coalesce(p_section, '*'))));
    v_first idempotency_keys;
    v_outcome text;
    v_body json;
BEGIN
    IF p_key IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(p_buyer || ' ' || p_key, 2));
        SELECT * INTO v_first FROM idempotency_keys WHERE buyer = p_buyer AND key = p_key;
        IF FOUND AND v_first.wanted = v_wanted THEN
            RETURN QUERY SELECT 'repeated', v_first.answer;
            RETURN;
        ELSIF FOUND THEN
            RETURN QUERY SELECT 'idempotency-conflict',
                refusal('This Idempotency-Key was used for another order.', 'Idempotency-Key');
            RETURN;
        END IF;
    END IF;
    PERFORM pg_advisory_xact_lock(buyer_lock(p_event, p_buyer));
    FOR v_attempt IN 1..4 LOOP
        BEGIN
            SELECT h.outcome, h.body INTO v_outcome, v_body
            FROM reservation_hold_locked(p_event, p_buyer, p_seats, p_quantity, p_section,
                                         p_place) AS h;
            EXIT;
        EXCEPTION WHEN deadlock_detected THEN
            v_outcome := 'seat-taken';
            v_body := refusal('Others were faster: try again.', NULL, coalesce(p_seats, '{}'));
        END;
    END LOOP;
    IF v_outcome = 'created' AND p_key IS NOT NULL THEN
        INSERT INTO idempotency_keys (buyer, key, wanted, answer)
        VALUES (p_buyer, p_key, v_wanted, v_body);
    END IF;
    RETURN QUERY SELECT v_outcome, v_body;
END $$;

-- ---- the buyer's own ----

-- found | not-found | not-yours
CREATE FUNCTION reservation_get(p_buyer text, p_id text)
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

-- listed: {"reservations": [...]}, newest first, the last fifty.
CREATE FUNCTION reservation_list(p_buyer text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', json_build_object('reservations', coalesce(json_agg(reservation_json(r)), '[]'))
    FROM (SELECT * FROM reservations WHERE buyer = p_buyer
          ORDER BY created_at DESC, id LIMIT 50) AS r
$$;

-- cancelled (again: the same) | expired | not-cancellable (bought) | not-found | not-yours
CREATE FUNCTION reservation_cancel(p_buyer text, p_id text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
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
    PERFORM pg_advisory_xact_lock(buyer_lock(v_reservation.event_id, p_buyer));
    SELECT * INTO v_reservation FROM reservations WHERE id = v_reservation.id FOR UPDATE;
    v_now := clock_timestamp();
    IF v_reservation.status = 'confirmed' THEN
        RETURN QUERY SELECT 'not-cancellable', refusal('It has been paid for.');
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

-- ---- payment ----

-- Judged by the reservation alone. The body adds buyer and payment to the reservation's.
--   confirmed   the seats are sold; also of a lapsed hold whose seats are all still free and which
--               leaves the buyer within maxSeats
--   refund-due  they are not: the money is recorded as due back (also: cancelled, paid twice)
--   repeated    this reference was answered before
--   wrong-amount   reference-used (for another reservation or amount)   not-found
CREATE FUNCTION reservation_confirm(p_id text, p_provider text, p_reference text, p_amount bigint,
                                    p_currency text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_r reservations;
    v_payment payments;
    v_now timestamptz;
    v_seats bigint[];
    v_free integer := 0;
    v_sell boolean := false;
BEGIN
    SELECT * INTO v_r FROM reservations WHERE id = as_uuid(p_id);
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such reservation.', 'reservationId');
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(p_provider || ' ' || p_reference, 3));
    PERFORM pg_advisory_xact_lock(buyer_lock(v_r.event_id, v_r.buyer));
    SELECT * INTO v_r FROM reservations WHERE id = v_r.id FOR UPDATE;
    v_now := clock_timestamp();
    SELECT * INTO v_payment FROM payments
    WHERE provider = p_provider AND reference = p_reference;
    IF v_payment.status <> 'pending'
        AND (v_payment.reservation_id, v_payment.amount, v_payment.currency)
            = (v_r.id, p_amount, p_currency) THEN
        RETURN QUERY SELECT 'repeated', payment_json(v_r, v_payment.status);
        RETURN;
    ELSIF v_payment.status <> 'pending' OR v_payment.reservation_id <> v_r.id THEN
        RETURN QUERY SELECT 'reference-used',
                            refusal('This reference belongs to another payment.', 'reference');
        RETURN;
    ELSIF p_amount <> v_r.total THEN
        RETURN QUERY SELECT 'wrong-amount', refusal(
            format('The reservation costs %s %s.', v_r.total, v_r.currency), 'amount');
        RETURN;
    ELSIF p_currency <> v_r.currency THEN
        RETURN QUERY SELECT 'wrong-amount', refusal(
            format('The reservation costs %s %s.', v_r.total, v_r.currency), 'currency');
        RETURN;
    END IF;

    IF v_r.status IN ('held', 'expired') THEN
        v_seats := ARRAY(SELECT seat_id FROM reservation_seats WHERE reservation_id = v_r.id);
        SELECT count(*) INTO v_free FROM (
            SELECT FROM seats WHERE id = ANY (v_seats)
               AND (status = 'available' OR holder = v_r.id OR held_until <= v_now)
            ORDER BY id FOR UPDATE) AS s;
        v_sell := v_free = v_r.seat_count;
    END IF;
    IF v_sell AND (v_r.status = 'expired' OR v_r.expires_at <= v_now) THEN
        SELECT v_r.seat_count + coalesce(sum(o.seat_count), 0)
               <= coalesce((SELECT (settings ->> 'maxSeats')::integer FROM events
                            WHERE id = v_r.event_id), 4)
        INTO v_sell FROM reservations o
        WHERE o.event_id = v_r.event_id AND o.buyer = v_r.buyer AND o.id <> v_r.id
          AND (o.status = 'confirmed' OR (o.status = 'held' AND o.expires_at > v_now));
    END IF;
    INSERT INTO payments (reservation_id, provider, reference, amount, currency, status)
    VALUES (v_r.id, p_provider, p_reference, p_amount, p_currency,
            CASE WHEN v_sell THEN 'paid' ELSE 'refund_due' END)
    ON CONFLICT (provider, reference) DO UPDATE
        SET status = excluded.status, amount = excluded.amount, currency = excluded.currency;
    IF NOT v_sell THEN
        RETURN QUERY SELECT 'refund-due', payment_json(v_r, 'refund_due');
        RETURN;
    END IF;
    UPDATE reservations SET
        status = 'confirmed', ended_at = v_now, swept = true,
        slot_freed = EXISTS (SELECT FROM admissions a
                             WHERE a.event_id = v_r.event_id AND a.epoch = v_r.epoch
                               AND a.buyer = v_r.buyer AND a.place = v_r.place AND a.departed)
    WHERE id = v_r.id RETURNING * INTO v_r;
    PERFORM seats_take(v_r.event_id, v_seats, array_fill(v_r.id, ARRAY[v_r.seat_count]), NULL, v_now);
    RETURN QUERY SELECT 'confirmed', payment_json(v_r, 'paid');
END $$;

CREATE FUNCTION payment_json(r reservations, p_status text) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (reservation_json(r)::jsonb || jsonb_build_object(
        'buyer', r.buyer, 'place', r.place::text, 'epoch', r.epoch, 'payment', p_status))::json
$$;

-- ---- upkeep ----

-- swept: {"expired": n, "events": [ids]}. Only tidies: nothing depends on it.
CREATE FUNCTION reservation_sweep(p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_ids uuid[];
    v_events text[];
    v_seats bigint[];
BEGIN
    SELECT array_agg(r.id), array_agg(DISTINCT r.event_id) INTO v_ids, v_events FROM (
        SELECT id, event_id FROM reservations WHERE NOT swept AND expires_at <= v_now
        ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED) AS r;
    IF v_ids IS NOT NULL THEN
        PERFORM seats_release(v_ids);
        UPDATE reservations SET swept = true,
               status = CASE status WHEN 'held' THEN 'expired' ELSE status END
        WHERE id = ANY (v_ids);
    END IF;
    RETURN QUERY SELECT 'swept', json_build_object('expired', coalesce(cardinality(v_ids), 0),
                                                   'events', to_json(coalesce(v_events, '{}')));
END $$;

-- The admission p_place of this buyer has ended: gives back an auto-hold he neither swapped nor
-- began to pay. released | nothing
CREATE FUNCTION reservation_release(p_event text, p_buyer text, p_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_id uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(buyer_lock(p_event, p_buyer));
    SELECT r.id INTO v_id FROM reservations r
    WHERE r.event_id = p_event AND r.buyer = p_buyer AND r.status = 'held' AND r.auto
      AND r.place = p_place
      AND NOT EXISTS (SELECT FROM payments p WHERE p.reservation_id = r.id AND p.status = 'pending')
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'nothing', json_build_object('eventId', p_event);
        RETURN;
    END IF;
    UPDATE reservations SET status = 'cancelled', ended_at = clock_timestamp(), swept = true
    WHERE id = v_id;
    PERFORM seats_release(ARRAY[v_id]);
    RETURN QUERY SELECT 'released', json_build_object('eventId', p_event, 'id', v_id);
END $$;

-- listed: {"reservations": [{id, eventId, buyer, place, epoch}]} bought two seconds ago or longer
-- whose buyer's slot is not known to be free. A departure in the admission log tells as well.
CREATE FUNCTION reservation_unfreed(p_event text, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', json_build_object('reservations', coalesce(json_agg(json_build_object(
        'id', r.id, 'eventId', r.event_id, 'buyer', r.buyer, 'place', r.place::text,
        'epoch', r.epoch)), '[]'))
    FROM (SELECT * FROM reservations
          WHERE status = 'confirmed' AND NOT slot_freed
            AND ended_at < clock_timestamp() - interval '2 seconds'
            AND (p_event IS NULL OR event_id = p_event)
          ORDER BY ended_at LIMIT p_limit) AS r
$$;

-- freed | not-found
CREATE FUNCTION reservation_mark_freed(p_id text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE reservations SET slot_freed = true WHERE id = as_uuid(p_id) AND status = 'confirmed';
    IF FOUND THEN
        RETURN QUERY SELECT 'freed', json_build_object('id', p_id);
    ELSE
        RETURN QUERY SELECT 'not-found', refusal('There is no such sale.');
    END IF;
END $$;

-- Begins a new epoch, before Redis is cleared: everybody's place and admission end, and with them
-- the auto-holds. updated | not-found
CREATE FUNCTION event_clear(p_event text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_before events;
    v_after events;
    v_ids uuid[];
BEGIN
    SELECT * INTO v_before FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    UPDATE events SET epoch = epoch + 1, version = version + 1 WHERE id = p_event
    RETURNING * INTO v_after;
    -- Those being bought or swapped at this moment are left to their buyers.
    SELECT array_agg(h.id) INTO v_ids FROM (
        SELECT r.id FROM reservations r
        WHERE r.event_id = p_event AND r.status = 'held' AND r.auto AND NOT EXISTS (
            SELECT FROM payments p WHERE p.reservation_id = r.id AND p.status = 'pending')
        FOR UPDATE SKIP LOCKED) AS h;
    IF v_ids IS NOT NULL THEN
        UPDATE reservations SET status = 'cancelled', ended_at = clock_timestamp(), swept = true
        WHERE id = ANY (v_ids);
        PERFORM seats_release(v_ids);
    END IF;
    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (p_event, p_who, 'clear', event_row(v_before), event_row(v_after));
    RETURN QUERY SELECT 'updated', event_row(v_after);
END $$;
