-- SPDX-License-Identifier: MIT
--
-- hold: takes seats for a buyer who is inside: at the buyer's request, or on admission (auto-hold). A
-- buyer has at most one hold of an event.
--
-- A seat cannot be sold twice, because every step from free to sold runs under the lock of its row in
-- table seats, in this order:
--   1. hold_chosen locks the rows of chosen seats, in the order of their ids, and looks again under the
--      locks whether they are free. Where the buyer has not chosen, seats_pick and seats_pick_many
--      (pick.sql) lock rows and check them in the same statement.
--   2. seats_take (seat.sql) gives locked rows to a reservation. Nothing else does.
--   3. reservation_sell (reservation.sql) locks the rows again when the money has come, and sells only
--      if each is still the reservation's own, or free.
-- The backstop is the unique index reservation_seats_live (0001_initial.sql): a seat has at most one
-- live row in reservation_seats. If two transactions took a seat at once, the second INSERT would fail.

-- ---- a request for seats ----

-- Why a buyer may not hold p_n seats of this event now. outcome NULL: the buyer may. The opening is judged by its
-- time: the status follows it only within seconds. A second of leeway, because buyers are admitted by the clock of
-- Redis, which may be ahead of this server's. Whether a closed event still has buyers inside is decided in Redis alone
-- (lua/shared.lua), which the caller has asked.
CREATE OR REPLACE FUNCTION hold_refusal(p_event events, p_buyer text, p_place bigint,
                                        p_seats bigint[], p_n integer,
                                        OUT outcome text, OUT body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_max integer := event_setting(p_event.settings, 'maxSeats');
    v_owned integer;
BEGIN
    IF p_event.id IS NULL OR p_event.status = 'draft' THEN
        outcome := 'not-found';
        body := refusal('There is no such event.');
        RETURN;
    ELSIF p_event.status = 'scheduled'
       AND coalesce(p_event.opens_at > v_now + interval '1 second', true) THEN
        outcome := 'event-not-open';
        body := refusal('The event is not on sale yet.');
        RETURN;
    ELSIF coalesce(p_n, 0) < 1 THEN
        outcome := 'invalid';
        body := refusal('At least one seat is needed.', 'quantity');
        RETURN;
    ELSIF p_n <> (SELECT count(DISTINCT i) FROM unnest(p_seats) AS i) AND p_seats IS NOT NULL THEN
        outcome := 'invalid';
        body := refusal('A seat is named twice.', 'seatIds');
        RETURN;
    END IF;
    -- The caller has asked Redis, but the buyer may have been banned, or may have left since, and the ledger may have copied that.
    IF is_banned(p_event.id, p_buyer) THEN
        outcome := 'banned';
        body := refusal('You are shut out of this event: ask the organizer.');
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM admissions WHERE event_id = p_event.id AND epoch = p_event.epoch
                  AND buyer = p_buyer AND place = p_place AND departed
                  AND place_consumed(kind)) THEN
        outcome := 'not-admitted';
        body := refusal('Your admission has ended.');
        RETURN;
    END IF;
    SELECT coalesce(sum(seat_count), 0) INTO v_owned FROM reservations
    WHERE buyer = p_buyer AND event_id = p_event.id AND status = 'confirmed';
    IF v_owned + p_n > v_max THEN
        outcome := 'limit';
        body := refusal(
            CASE WHEN v_owned > 0
                 THEN format('At most %s seats for each buyer; you have bought %s.', v_max, v_owned)
                 ELSE format('At most %s seats for each buyer.', v_max) END);
    END IF;
END $$;

-- Locks the seats that a buyer has chosen and, with them, p_own, the seats of the buyer's present hold
-- p_holder. outcome NULL: they are locked, and the chosen ones are free or the buyer's own. Otherwise the
-- outcome says why the buyer cannot have them. Waits for no lock: where another transaction has one of the rows, the
-- statement fails with lock_not_available, and the program repeats the request a moment later. A transaction that
-- waited would keep its connection, and forty buyers of one locked seat would keep the whole pool.
CREATE OR REPLACE FUNCTION hold_chosen(p_event text, p_seats bigint[], p_holder uuid, p_own bigint[],
                                       OUT outcome text, OUT body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_bad bigint[];
BEGIN
    -- Checked twice: before the locks, so that a taken seat is refused at once; then under them. Staff may have removed
    -- a seat meanwhile.
    FOR v_pass IN 1..2 LOOP
        SELECT array_agg(i ORDER BY i) INTO v_bad FROM unnest(p_seats) AS i
        WHERE NOT EXISTS (SELECT FROM seats WHERE event_id = p_event AND id = i);
        IF v_bad IS NOT NULL THEN
            outcome := 'unknown-seat';
            body := refusal('The event has no such seat.', 'seatIds', v_bad);
            RETURN;
        END IF;
        SELECT array_agg(id ORDER BY id) INTO v_bad FROM seats
        WHERE id = ANY (p_seats) AND (status = 'blocked' OR
            (status <> 'available' AND holder IS DISTINCT FROM p_holder AND (sold OR held_until > v_now)));
        IF v_bad IS NOT NULL THEN
            outcome := 'seat-taken';
            body := refusal('These seats are taken.', NULL, v_bad);
            RETURN;
        END IF;
        IF v_pass = 1 THEN
            PERFORM FROM seats WHERE id = ANY (p_seats || p_own) ORDER BY id FOR UPDATE NOWAIT;
        END IF;
    END LOOP;
END $$;

-- Why best available has found no p_n seats for a buyer. Also writes: if no seat at all is free, it notes
-- that (seats_group_note), so that callers of the next second need not search.
--   invalid       there is no such section
--   no-adjacent   p_n seats are free, but not side by side
--   no-seats
CREATE OR REPLACE FUNCTION seats_note_and_refuse(p_event events, p_section text, p_n integer, p_holder uuid,
                                         OUT outcome text, OUT body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_free bigint := 0;
    v_where text := coalesce(' in section ' || p_section, '');
BEGIN
    IF p_event.seats > 0 AND NOT EXISTS (SELECT FROM seats s WHERE s.event_id = p_event.id
            AND (p_section IS NULL OR s.section = p_section)) THEN
        outcome := 'invalid';
        body := refusal('There is no such section.', 'section');
        RETURN;
    END IF;
    IF p_n > 1 AND (p_holder IS NOT NULL OR
       (seats_group_known(p_event.id, p_section, 1)).section_rank IS DISTINCT FROM rank_end()) THEN
        SELECT count(*) INTO v_free FROM (
            SELECT FROM seats s WHERE s.event_id = p_event.id AND NOT s.sold
               AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
               AND (p_section IS NULL OR s.section = p_section) LIMIT p_n) AS f;
        IF v_free = 0 THEN
            PERFORM seats_group_note(p_event.id, p_section, 1, NULL, v_now);
        END IF;
    END IF;
    IF p_n > 1 AND v_free >= p_n THEN
        outcome := 'no-adjacent';
        body := refusal(format('No %s seats side by side are free%s: choose single seats.', p_n, v_where));
    ELSE
        outcome := 'no-seats';
        body := refusal(
            CASE WHEN p_n > 1 THEN format('Fewer than %s seats are free%s at the moment.', p_n, v_where)
                 ELSE format('No seat is free%s at the moment.', v_where) END);
    END IF;
END $$;

-- For how long seats must have been on offer before their last holder may hold them anew. A map is a second old, and
-- a person needs some to see a seat and choose it.
CREATE OR REPLACE FUNCTION hold_renewal_gap() RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT interval '10 seconds' $$;

-- The latest moment to which a hold of these seats, made now, may last. A buyer who orders again renews the hold,
-- and so could keep seats from others for a whole session. So a hold that renews an earlier one ends with the first
-- one's time and one more holdMs: enough to swap a seat in the last second and still pay. A hold renews p_replaced,
-- the buyer's present hold (NULL: none), and any of this admission that had one of these seats and ended less than
-- hold_renewal_gap() ago: cancelling first, or waiting until it lapses, changes nothing.
CREATE OR REPLACE FUNCTION hold_renewable_until(p_event events, p_buyer text, p_place bigint, p_seats bigint[],
                                                p_replaced uuid, p_now timestamptz, p_until timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN least(
        p_until + (p_until - p_now),
        (SELECT min(r.renewable_until) FROM reservations r
         WHERE r.buyer = p_buyer AND r.event_id = p_event.id
           AND (r.id = p_replaced OR (
               coalesce(r.ended_at, r.expires_at) > p_now - hold_renewal_gap()
               AND r.place = coalesce(p_place, 0) AND r.epoch = p_event.epoch AND EXISTS (
                   SELECT FROM reservation_seats rs
                   WHERE rs.reservation_id = r.id AND rs.seat_id = ANY (p_seats))))));
END $$;

-- Makes a new hold of seats whose rows are locked. p_place: of the buyer's admission; 0: none. `entered`
-- is false, and `admission` 0, as long as the log entry of that admission has not been copied:
-- seats_capacity counts the seats of such a hold as free.
CREATE OR REPLACE FUNCTION hold_create(p_event events, p_buyer text, p_place bigint, p_seats bigint[],
                                       p_now timestamptz, p_until timestamptz, p_renewable_until timestamptz)
RETURNS reservations LANGUAGE plpgsql AS $$
DECLARE
    v_n integer := cardinality(p_seats);
    v_admission bigint := (SELECT max(a.n) FROM admissions a
        WHERE a.event_id = p_event.id AND a.epoch = p_event.epoch AND a.buyer = p_buyer
          AND a.place = p_place AND admission_begins(a.kind) AND NOT EXISTS (
              SELECT FROM admissions d WHERE d.event_id = a.event_id AND d.epoch = a.epoch
                 AND d.buyer = a.buyer AND d.place = a.place AND d.n = a.n AND d.departed));
    v_new reservations;
BEGIN
    INSERT INTO reservations (number, event_id, buyer, place, admission, epoch, entered, seat_count,
                              total, currency, created_at, expires_at, renewable_until)
    SELECT reservation_code(nextval('reservation_number')), p_event.id, p_buyer,
           coalesce(p_place, 0), coalesce(v_admission, 0), p_event.epoch,
           coalesce(p_place, 0) = 0 OR v_admission IS NOT NULL, v_n, sum(price), min(s.currency), p_now,
           least(p_until, p_renewable_until), p_renewable_until
    FROM seats s WHERE id = ANY (p_seats)
    RETURNING * INTO v_new;
    PERFORM seats_take(p_event.id, p_seats, array_fill(v_new.id, ARRAY[v_n]), v_new.expires_at,
                       p_now);
    RETURN v_new;
END $$;

-- The work of reservation_hold. The caller has the advisory locks of the request and of the buyer.
CREATE OR REPLACE FUNCTION reservation_hold_locked(p_event text, p_buyer text, p_seats bigint[],
                                        p_quantity integer, p_section text, p_place bigint,
                                        OUT outcome text, OUT body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_event events;
    v_old reservations;
    v_own bigint[] := '{}';
    v_new reservations;
    v_n integer := coalesce(cardinality(p_seats), p_quantity);
    v_refused record;
    v_until timestamptz;
    v_renewable_until timestamptz;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event;
    v_refused := hold_refusal(v_event, p_buyer, p_place, p_seats, v_n);
    IF v_refused.outcome IS NOT NULL THEN
        outcome := v_refused.outcome;
        body := v_refused.body;
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
        v_refused := hold_chosen(p_event, p_seats, v_old.id, v_own);
    ELSE
        p_seats := seats_pick(p_event, p_section, v_n, v_old.id, v_own);
        IF p_seats IS NULL THEN
            v_refused := seats_note_and_refuse(v_event, p_section, v_n, v_old.id);
        ELSIF p_seats = '{}' THEN
            outcome := 'seat-taken';
            body := refusal('Other buyers were faster: try again.', NULL, '{}');
            RETURN;
        END IF;
    END IF;
    IF v_refused.outcome IS NOT NULL THEN
        outcome := v_refused.outcome;
        body := v_refused.body;
        RETURN;
    END IF;

    v_until := v_now + event_setting(v_event.settings, 'holdMs') * interval '1 millisecond';
    v_renewable_until := hold_renewable_until(v_event, p_buyer, p_place, p_seats, v_old.id, v_now, v_until);
    IF v_renewable_until <= v_now THEN
        outcome := 'held-too-long';
        body := refusal('You have held these seats for as long as is allowed: choose others, or leave these to others for ten seconds.');
        RETURN;
    END IF;

    IF v_old.id IS NOT NULL THEN
        UPDATE reservations SET status = 'cancelled', ended_at = v_now, swept = true
        WHERE id = v_old.id;
        PERFORM seats_release(ARRAY[v_old.id], p_seats);
    END IF;
    outcome := 'created';
    v_new := hold_create(v_event, p_buyer, p_place, p_seats, v_now, v_until, v_renewable_until);
    body := reservation_json(v_new); -- a statement of its own: only the next one sees what hold_create wrote
END $$;

-- A request for seats as text. Two requests are the same if and only if their texts are equal.
CREATE OR REPLACE FUNCTION hold_request_text(p_event text, p_seats bigint[], p_quantity integer, p_section text)
RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN format('%s %s', p_event, coalesce(
        (SELECT string_agg(i::text, ',' ORDER BY i) FROM unnest(p_seats) AS i),
        format('%s of %s', p_quantity, coalesce(p_section, '*'))));
END $$;

-- Holds p_seats or, if that is NULL, the p_quantity best available adjacent seats of p_section (NULL: of
-- the whole event). They replace the buyer's live hold in the same transaction; a refusal changes
-- nothing. p_key: the idempotency key, or NULL. Locks are taken in the order of common.sql, which rules
-- out deadlocks.
--   created
--   repeated               this request was answered under this key before: the same answer again
--   seat-taken             another buyer has them (the body names the seats)
--   no-adjacent
--   no-seats
--   limit                  above maxSeats
--   held-too-long          the buyer has held and renewed these seats for as long as is allowed
--   idempotency-conflict   the key was used for another request
--   unknown-seat           the event has no such seats (the body names them)
--   invalid
--   not-found              there is no such event
--   banned
--   event-not-open
--   not-admitted           the admission p_place has ended
CREATE OR REPLACE FUNCTION reservation_hold(p_event text, p_buyer text, p_seats bigint[],
                                            p_quantity integer, p_section text, p_key text,
                                            p_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_wanted text;
    v_first idempotency_keys;
    v_done record;
BEGIN
    IF p_key IS NOT NULL THEN
        v_wanted := hold_request_text(p_event, p_seats, p_quantity, p_section);
        PERFORM pg_advisory_xact_lock(lock_key_request(p_buyer, p_key));
        SELECT * INTO v_first FROM idempotency_keys WHERE buyer = p_buyer AND key = p_key;
        IF FOUND AND v_first.wanted = v_wanted THEN
            RETURN QUERY SELECT 'repeated', v_first.answer;
            RETURN;
        ELSIF FOUND THEN
            RETURN QUERY SELECT 'idempotency-conflict',
                refusal('This Idempotency-Key was used for another request.', 'Idempotency-Key');
            RETURN;
        END IF;
    END IF;
    PERFORM pg_advisory_xact_lock(lock_key_buyer(p_event, p_buyer));
    v_done := reservation_hold_locked(p_event, p_buyer, p_seats, p_quantity, p_section, p_place);
    outcome := v_done.outcome;
    body := v_done.body;
    IF outcome = 'created' AND p_key IS NOT NULL THEN
        INSERT INTO idempotency_keys (buyer, key, wanted, answer)
        VALUES (p_buyer, p_key, v_wanted, body);
    END IF;
    RETURN NEXT;
END $$;

-- The answer that reservation_hold gave to this request under this key. For a buyer whose admission has
-- ended, and who may not have received the answer. Changes nothing. Takes the lock of the key, so it
-- waits for a reservation_hold that is under way.
--   repeated
--   idempotency-conflict   the key was used for another request
--   not-admitted           nothing was held under this key
CREATE OR REPLACE FUNCTION reservation_repeat(p_event text, p_buyer text, p_seats bigint[], p_quantity integer,
                                   p_section text, p_key text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_first idempotency_keys;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key_request(p_buyer, p_key));
    SELECT * INTO v_first FROM idempotency_keys WHERE buyer = p_buyer AND key = p_key;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-admitted', refusal('You are not inside: wait for your turn.');
    ELSIF v_first.wanted = hold_request_text(p_event, p_seats, p_quantity, p_section) THEN
        RETURN QUERY SELECT 'repeated', v_first.answer;
    ELSE
        RETURN QUERY SELECT 'idempotency-conflict',
            refusal('This Idempotency-Key was used for another request.', 'Idempotency-Key');
    END IF;
END $$;

-- ---- holds made on admission ----

-- Holds up to p_n seats for each of these admissions; earlier ones get the better seats. They last for holdMs and
-- p_more: the time that the buyer has to claim an offer. The caller has the advisory locks of the buyers, and no
-- buyer has a live hold. Returns how many buyers got seats.
CREATE OR REPLACE FUNCTION admission_hold(p_event events, p_n integer, p_buyers text[], p_places bigint[],
                                          p_numbers bigint[], p_more interval)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_time interval := event_setting(p_event.settings, 'holdMs') * interval '1 millisecond';
    v_until timestamptz := v_now + p_more + v_time;
    v_ids uuid[] := ARRAY(SELECT gen_random_uuid() FROM generate_series(1, cardinality(p_buyers)));
    v_groups integer[];
    v_seats bigint[];
    v_made bigint;
BEGIN
    SELECT array_agg(p.grp), array_agg(p.seat_id) INTO v_groups, v_seats
    FROM seats_pick_many(p_event.id, p_n, cardinality(p_buyers)) AS p;
    IF v_seats IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO reservations (id, number, event_id, buyer, auto, place, admission, epoch, seat_count, total,
                              currency, created_at, expires_at, renewable_until, claim_by)
    SELECT v_ids[p.grp], reservation_code(nextval('reservation_number')), p_event.id,
           p_buyers[p.grp], true, p_places[p.grp], p_numbers[p.grp], p_event.epoch, count(*), sum(s.price),
           min(s.currency), v_now, v_until, v_until + v_time,
           CASE WHEN p_more > interval '0' THEN v_now + p_more END
    FROM unnest(v_groups, v_seats) AS p (grp, seat_id) JOIN seats s ON s.id = p.seat_id
    GROUP BY p.grp;
    GET DIAGNOSTICS v_made = ROW_COUNT;
    PERFORM seats_take(p_event.id, v_seats,
                       ARRAY(SELECT v_ids[t.grp] FROM unnest(v_groups) WITH ORDINALITY AS t (grp, o)
                             ORDER BY t.o), v_until, v_now);
    RETURN v_made;
END $$;
-- contracts: generation 48: it knew no numbers
DROP FUNCTION IF EXISTS reservation_auto_hold (events, integer, text[], bigint[]);

-- The offers with which these reservations were made are claimed: the time of their holds begins now. A hold that
-- has lapsed stays lapsed. Their rows are locked.
CREATE OR REPLACE FUNCTION hold_start(p_reservations uuid[], p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_seats bigint[];
BEGIN
    UPDATE reservations SET expires_at = p_now + (expires_at - claim_by),
                            renewable_until = p_now + 2 * (expires_at - claim_by), claim_by = NULL
    WHERE id = ANY (p_reservations) AND claim_by IS NOT NULL AND expires_at > p_now;
    v_seats := ARRAY(SELECT id FROM seats
                     WHERE id IN (SELECT seat_id FROM reservation_seats
                                  WHERE reservation_id = ANY (p_reservations) AND live)
                       AND holder = ANY (p_reservations) AND status = 'held'
                     ORDER BY id FOR UPDATE);
    UPDATE seats s SET held_until = r.expires_at FROM reservations r
    WHERE s.id = ANY (v_seats) AND r.id = s.holder;
END $$;

-- Gives back the auto-hold of an admission with the place p_place, which has ended.
--   released
--   nothing    the admission has no auto-hold, or the buyer has replaced it or begun to pay
CREATE OR REPLACE FUNCTION reservation_release(p_event text, p_buyer text, p_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_id uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key_buyer(p_event, p_buyer));
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
