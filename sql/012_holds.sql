-- SPDX-License-Identifier: MIT
--
-- holds: the way of a hold made short. A thousand buyers at once make a sale, and each hold is
-- paid for with the time of all behind it.
--
--   * Functions in PL/pgSQL where SQL cannot be inlined: those are planned anew at every call. And
--     generic plans, since with an array among the parameters PostgreSQL never settles for one.
--   * Best available begins where the free seats begin, as of a second ago at most, instead of
--     reading past everything that is held. (An index on what is free would make every hold and
--     every release write to every index of the seat.)

CREATE OR REPLACE FUNCTION rfc3339(p_time timestamptz) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
END $$;

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

CREATE OR REPLACE FUNCTION reservation_json(r reservations) RETURNS json LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_live boolean := r.status = 'held' AND r.expires_at > clock_timestamp();
    v_seats json;
BEGIN
    SELECT json_agg(json_build_object(
               'id', s.id::text, 'section', s.section, 'row', s.row, 'number', s.number,
               'price', s.price, 'currency', s.currency)
               ORDER BY s.section_rank, s.row_rank, s.number)
    INTO v_seats FROM reservation_seats rs JOIN seats s ON s.id = rs.seat_id
    WHERE rs.reservation_id = r.id;
    RETURN json_build_object(
        'id', r.id, 'reservationNumber', r.number, 'eventId', r.event_id,
        'status', CASE WHEN r.status = 'held' AND NOT v_live THEN 'expired' ELSE r.status END,
        'totalAmount', r.total, 'currency', r.currency,
        'expiresAt', CASE WHEN r.status = 'held' THEN rfc3339(r.expires_at) END,
        'seats', v_seats);
END $$;

-- ---- where the free seats begin ----

-- Unlogged: what it says holds for a second. All zero: at the first seat.
CREATE UNLOGGED TABLE seats_first (
    event_id     text COLLATE "C" PRIMARY KEY,
    section_rank integer NOT NULL,
    row_rank     integer NOT NULL,
    number       integer NOT NULL,
    at           timestamptz NOT NULL
) WITH (fillfactor = 50);

-- No seat before this one was free at some moment of the last second; so best available is judged as of
-- then, in a hall whose first 256 seats are gone. Never later than p_own, which count as free.
-- Waits for nobody: one caller looks anew each second, the others read past everything meanwhile.
CREATE FUNCTION seats_from(p_event text, p_own bigint[], OUT section_rank integer,
                           OUT row_rank integer, OUT number integer) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_first record;
    v_own record;
BEGIN
    SELECT f.section_rank, f.row_rank, f.number INTO v_first FROM seats_first f
    WHERE f.event_id = p_event AND f.at > v_now - interval '1 second';
    IF NOT FOUND THEN
        SELECT 0 AS section_rank, 0 AS row_rank, 0 AS number INTO v_first;
        IF pg_try_advisory_xact_lock(hashtextextended(p_event, 4)) THEN
            IF EXISTS (SELECT FROM (
                    SELECT s.status, s.held_until FROM seats s
                    WHERE s.event_id = p_event AND NOT s.sold
                    ORDER BY s.section_rank, s.row_rank, s.number LIMIT 256) AS h
                WHERE h.status = 'available' OR h.held_until <= v_now) THEN
                NULL;
            ELSE
                SELECT s.section_rank, s.row_rank, s.number INTO v_first FROM seats s
                WHERE s.event_id = p_event AND NOT s.sold
                  AND (s.status = 'available' OR s.held_until <= v_now)
                ORDER BY s.section_rank, s.row_rank, s.number LIMIT 1;
                IF NOT FOUND THEN
                    SELECT 0 AS section_rank, 0 AS row_rank, 0 AS number INTO v_first;
                END IF;
            END IF;
            INSERT INTO seats_first AS f (event_id, section_rank, row_rank, number, at)
            VALUES (p_event, v_first.section_rank, v_first.row_rank, v_first.number, v_now)
            ON CONFLICT (event_id) DO UPDATE
                SET section_rank = excluded.section_rank, row_rank = excluded.row_rank,
                    number = excluded.number, at = excluded.at;
        END IF;
    END IF;
    IF p_own <> '{}' AND v_first.section_rank > 0 THEN
        SELECT s.section_rank, s.row_rank, s.number INTO v_own FROM seats s
        WHERE s.id = ANY (p_own)
          AND (s.section_rank, s.row_rank, s.number)
              < (v_first.section_rank, v_first.row_rank, v_first.number)
        ORDER BY s.section_rank, s.row_rank, s.number LIMIT 1;
        IF FOUND THEN
            v_first := v_own;
        END IF;
    END IF;
    section_rank := v_first.section_rank;
    row_rank := v_first.row_rank;
    number := v_first.number;
END $$;

-- As in 003, from the seat p_from on; when nothing is left there, from the first.
CREATE FUNCTION seats_adjacent_from(p_event text, p_section text, p_n integer, p_holder uuid,
                                    p_ahead integer, p_from record)
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
          AND (s.section_rank, s.row_rank, s.number)
              >= (p_from.section_rank, p_from.row_rank, p_from.number)
          AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
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
    IF v_found IS NULL AND p_from.section_rank > 0 THEN
        RETURN seats_adjacent(p_event, p_section, p_n, p_holder, p_ahead);
    END IF;
    RETURN v_found;
END $$;

-- A single seat, which needs no neighbours: the best that nobody has locked. It comes with the locks of
-- p_own, as in seats_pick. NULL: everything is taken, or being taken by others at this moment (and
-- rows may stay locked all the same: those that turned out to be taken only under their lock).
-- '{}': p_own are being taken from the caller, whose hold has just lapsed. Waits for nobody.
CREATE FUNCTION seats_pick_one(p_event text, p_section text, p_holder uuid, p_own bigint[],
                               p_from record)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_seat bigint;
    v_locked bigint[];
BEGIN
    SELECT s.id INTO v_seat FROM seats s
    WHERE s.event_id = p_event AND NOT s.sold
      AND (s.section_rank, s.row_rank, s.number)
          >= (p_from.section_rank, p_from.row_rank, p_from.number)
      AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
      AND (p_section IS NULL OR s.section = p_section)
    ORDER BY s.section_rank, s.row_rank, s.number LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF v_seat IS NULL THEN
        RETURN NULL;
    ELSIF p_own <> '{}' THEN
        v_locked := ARRAY(SELECT s.id FROM seats s WHERE s.id = ANY (p_own) AND s.holder = p_holder
                          ORDER BY s.id FOR UPDATE SKIP LOCKED);
        IF NOT v_locked @> p_own THEN
            RETURN '{}';
        END IF;
    END IF;
    RETURN ARRAY[v_seat];
END $$;

-- As in 003, but that the search begins where the free seats do. Each go is a block of its own, so that
-- the locks of one that failed are given back before anything is waited for.
CREATE OR REPLACE FUNCTION seats_pick(p_event text, p_section text, p_n integer, p_holder uuid,
                                      p_own bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz;
    v_from record := seats_from(p_event, p_own);
    v_group bigint[];
    v_locked bigint[];
BEGIN
    IF p_n = 1 THEN
        BEGIN
            v_group := seats_pick_one(p_event, p_section, p_holder, p_own, v_from);
            IF v_group IS NOT NULL THEN
                RETURN v_group;
            END IF;
            RAISE SQLSTATE 'TK001';
        EXCEPTION WHEN SQLSTATE 'TK001' THEN
            NULL;
        END;
    END IF;
    FOR v_attempt IN 0..24 LOOP
        v_now := clock_timestamp();
        v_group := seats_adjacent_from(p_event, p_section, p_n, p_holder,
            CASE WHEN v_attempt BETWEEN 1 AND 7
                 THEN floor(random() * 4 ^ least(v_attempt, 4))::integer ELSE 0 END, v_from);
        IF v_group IS NULL THEN
            RETURN NULL;
        END IF;
        BEGIN
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

-- As in 003. A deadlock, which the order of the locks rules out, would end the transaction; the caller
-- calls again.
CREATE OR REPLACE FUNCTION reservation_hold(p_event text, p_buyer text, p_seats bigint[],
                                            p_quantity integer, p_section text, p_key text,
                                            p_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_wanted text;
    v_first idempotency_keys;
    v_outcome text;
    v_body json;
BEGIN
    IF p_key IS NOT NULL THEN
        v_wanted := format('%s %s', p_event, coalesce(
            (SELECT string_agg(i::text, ',' ORDER BY i) FROM unnest(p_seats) AS i),
            format('%s of %s', p_quantity, coalesce(p_section, '*'))));
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
    SELECT h.outcome, h.body INTO v_outcome, v_body
    FROM reservation_hold_locked(p_event, p_buyer, p_seats, p_quantity, p_section, p_place) AS h;
    IF v_outcome = 'created' AND p_key IS NOT NULL THEN
        INSERT INTO idempotency_keys (buyer, key, wanted, answer)
        VALUES (p_buyer, p_key, v_wanted, v_body);
    END IF;
    outcome := v_outcome;
    body := v_body;
    RETURN NEXT;
END $$;

ALTER FUNCTION reservation_cancel(text, text) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION payment_report(text, text, text, bigint, text, text)
    SET plan_cache_mode = force_generic_plan;

-- ---- keys of orders ----

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- An order's key is remembered for a day; then the same key is a new order. pruned: {"keys": n}
CREATE FUNCTION idempotency_prune(p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_n integer;
BEGIN
    DELETE FROM idempotency_keys WHERE (buyer, key) IN (
        SELECT buyer, key FROM idempotency_keys
        WHERE created_at < clock_timestamp() - interval '24 hours'
        ORDER BY created_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_n = ROW_COUNT;
    RETURN QUERY SELECT 'pruned', json_build_object('keys', v_n);
END $$;
