-- SPDX-License-Identifier: MIT
--
-- holds: an event is open from its opening time on, and a clear leaves no auto-hold behind.

-- Why there are no p_n seats for him: invalid | no-adjacent | no-seats
CREATE FUNCTION seats_refusal(p_event events, p_section text, p_n integer, p_holder uuid)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    IF p_event.seats > 0 AND NOT EXISTS (SELECT FROM seats WHERE event_id = p_event.id
            AND (p_section IS NULL OR section = p_section)) THEN
        RETURN QUERY SELECT 'invalid', refusal('There is no such section.', 'section');
    ELSIF p_n > 1 AND p_n <= (SELECT count(*) FROM (
            SELECT FROM seats WHERE event_id = p_event.id AND NOT sold
               AND (status = 'available' OR held_until <= v_now OR holder = p_holder)
               AND (p_section IS NULL OR section = p_section) LIMIT p_n) AS f) THEN
        RETURN QUERY SELECT 'no-adjacent', refusal(
            format('No %s seats side by side are free: choose single seats.', p_n));
    ELSE
        RETURN QUERY SELECT 'no-seats', refusal(
            CASE WHEN p_n > 1 THEN format('Fewer than %s seats are free at the moment.', p_n)
                 ELSE 'No seat is free at the moment.' END);
    END IF;
END $$;

-- As in 003, but that the opening and closing times count, not when the record follows them: the doors
-- open by Redis' clock, which may be a second ahead of ours.
CREATE OR REPLACE FUNCTION reservation_hold_locked(p_event text, p_buyer text, p_seats bigint[],
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
    ELSIF v_event.status = 'closed' OR v_event.closes_at <= v_now THEN
        RETURN QUERY SELECT 'event-closed', refusal('The event is closed.');
        RETURN;
    ELSIF v_event.status = 'scheduled'
       AND coalesce(v_event.opens_at > v_now + interval '1 second', true) THEN
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
            RETURN QUERY SELECT * FROM seats_refusal(v_event, p_section, v_n, v_old.id);
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

-- As in 003, but that a batch of the log under way is waited for: it reads the epoch at its beginning, and
-- would hold seats for those of the old one after their auto-holds were given back. Locks: the cursor, as
-- the log's consumer takes it, then as 003 says.
CREATE OR REPLACE FUNCTION event_clear(p_event text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_before events;
    v_after events;
    v_ids uuid[];
BEGIN
    INSERT INTO ledger_cursors (event_id) SELECT id FROM events WHERE id = p_event
    ON CONFLICT DO NOTHING;
    PERFORM FROM ledger_cursors WHERE event_id = p_event FOR UPDATE;
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
