-- SPDX-License-Identifier: MIT
--
-- pick: best available: which seats a hold gets when the buyer has not chosen them. Sections, rows and
-- numbers are tried in order of preference (section_rank, row_rank, number).
--
-- The hard case is a hall in which nearly everything is held while a thousand buyers try at once. So it
-- is noted for a second where the free seats begin (seats_first) and where groups of n begin
-- (seats_group), and a search reads off the index from there until it has found one. An index on what is
-- free would be shorter to read, but every hold and every release would write to every index of the seat.

-- ---- where free seats begin ----

-- No seat before this one was free at some moment of the last second; (0, 0, 0) where nothing is known, and
-- in a hall whose first 256 unsold seats are not all held. So best available is judged as of that
-- moment. Never later than the seats p_own, which count as free. Waits for nobody: one transaction looks
-- it up each second, and the others read from the beginning meanwhile.
CREATE OR REPLACE FUNCTION seats_from(p_event text, p_own bigint[])
RETURNS seat_place LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_first seat_place;
    v_own seat_place;
BEGIN
    SELECT f.section_rank, f.row_rank, f.number INTO v_first FROM seats_first f
    WHERE f.event_id = p_event AND f.at > v_now - interval '1 second';
    IF NOT FOUND THEN
        v_first := (0, 0, 0);
        IF pg_try_advisory_xact_lock(lock_key_first_seat(p_event)) THEN
            IF NOT EXISTS (SELECT FROM (
                    SELECT s.status, s.held_until FROM seats s
                    WHERE s.event_id = p_event AND NOT s.sold
                    ORDER BY s.section_rank, s.row_rank, s.number LIMIT 256) AS h
                WHERE h.status = 'available' OR h.held_until <= v_now) THEN
                SELECT s.section_rank, s.row_rank, s.number INTO v_first FROM seats s
                WHERE s.event_id = p_event AND NOT s.sold
                  AND (s.status = 'available' OR s.held_until <= v_now)
                ORDER BY s.section_rank, s.row_rank, s.number LIMIT 1;
                IF NOT FOUND THEN
                    v_first := (0, 0, 0);
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
            RETURN v_own;
        END IF;
    END IF;
    RETURN v_first;
END $$;

-- ---- groups of adjacent seats ----

-- Looks from p_from to p_to for groups of p_n free seats side by side: same section and row,
-- consecutive numbers. Takes the (p_ahead + 1)-th, or the last where there are fewer. The seats of the
-- hold p_holder count as free. Locks nothing.
-- seats: the group, NULL: there is none. seen: how many free seats were read. place: where the group begins.
CREATE OR REPLACE FUNCTION seats_search(p_event text, p_section text, p_n integer, p_holder uuid,
                             p_ahead integer, p_from seat_place, p_to seat_place,
                             OUT seats bigint[], OUT seen integer, OUT place seat_place)
LANGUAGE plpgsql STABLE SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_seat record;
    v_section integer := -1;
    v_row integer := -1;
    v_number integer := -1;
    v_run bigint[] := '{}';
BEGIN
    seen := 0;
    FOR v_seat IN
        SELECT s.id, s.section_rank, s.row_rank, s.number FROM seats s
        WHERE s.event_id = p_event AND NOT s.sold
          AND (s.section_rank, s.row_rank, s.number)
              >= (p_from.section_rank, p_from.row_rank, p_from.number)
          AND (s.section_rank, s.row_rank, s.number)
              <= (p_to.section_rank, p_to.row_rank, p_to.number)
          AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
          AND (p_section IS NULL OR s.section = p_section)
        ORDER BY s.section_rank, s.row_rank, s.number
    LOOP
        seen := seen + 1;
        IF v_seat.number = v_number + 1 AND v_seat.row_rank = v_row
            AND v_seat.section_rank = v_section THEN
            v_run := v_run || v_seat.id;
        ELSE
            v_run := ARRAY[v_seat.id];
            v_section := v_seat.section_rank;
            v_row := v_seat.row_rank;
        END IF;
        v_number := v_seat.number;
        IF cardinality(v_run) = p_n THEN
            seats := v_run;
            place := (v_section, v_row, v_number - p_n + 1);
            v_run := '{}';
            EXIT WHEN p_ahead <= 0;
            p_ahead := p_ahead - 1;
        END IF;
    END LOOP;
END $$;

-- Where the groups of p_n begin, as of a second ago at most; NULL: not known.
CREATE OR REPLACE FUNCTION seats_group_known(p_event text, p_section text, p_n integer)
RETURNS seat_place LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_place seat_place;
BEGIN
    SELECT g.section_rank, g.row_rank, g.number INTO v_place FROM seats_group g
    WHERE g.event_id = p_event AND g.section = coalesce(p_section, '') AND g.n = p_n
      AND g.at > clock_timestamp() - interval '1 second';
    RETURN v_place;
END $$;

-- Notes it for the next second, unless another transaction is doing so. p_place NULL: there is no such
-- group. That is noted only in a hall with more than a thousand unsold seats; in others it is found out
-- soon enough.
CREATE OR REPLACE FUNCTION seats_group_note(p_event text, p_section text, p_n integer, p_place seat_place,
                                 p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_place IS NULL THEN
        IF NOT EXISTS (SELECT FROM seats s WHERE s.event_id = p_event AND NOT s.sold
                       ORDER BY s.section_rank, s.row_rank, s.number OFFSET 1000 LIMIT 1) THEN
            RETURN;
        END IF;
        p_place := (2147483647, 0, 0);
    END IF;
    IF pg_try_advisory_xact_lock(lock_key_group(p_event, p_n)) THEN
        INSERT INTO seats_group AS g (event_id, section, n, section_rank, row_rank, number, at)
        VALUES (p_event, coalesce(p_section, ''), p_n, p_place.section_rank, p_place.row_rank,
                p_place.number, p_at)
        ON CONFLICT (event_id, section, n) DO UPDATE
            SET section_rank = excluded.section_rank, row_rank = excluded.row_rank,
                number = excluded.number, at = excluded.at;
    END IF;
END $$;

-- A group of p_n free seats: the (p_ahead + 1)-th from p_from on; where nothing is found there, from the
-- beginning; NULL: there is none. A search that read more than 256 free seats, or found nothing, notes
-- where the next ones should begin, or that they need not look. The neighbourhood of p_own, which count
-- as free for this caller alone, is searched whatever was noted.
CREATE OR REPLACE FUNCTION seats_group(p_event text, p_section text, p_n integer, p_holder uuid, p_own bigint[],
                            p_ahead integer, p_from seat_place)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_first seat_place := (0, 0, 0);
    v_last seat_place := (2147483647, 0, 0);
    v_from seat_place := p_from;
    v_to seat_place;
    v_known seat_place := seats_group_known(p_event, p_section, p_n);
    v_own_first seat_place;
    v_own_last seat_place;
    v_got record;
BEGIN
    IF p_section IS NOT NULL THEN
        SELECT s.section_rank INTO v_first.section_rank FROM seats s
        WHERE s.event_id = p_event AND s.section = p_section LIMIT 1;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        v_last := (v_first.section_rank, 2147483647, 2147483647);
        v_from := greatest(v_from, v_first);
    END IF;
    v_to := v_last;
    IF v_known IS NOT NULL AND p_own <> '{}' THEN
        SELECT s.section_rank, s.row_rank, s.number - p_n + 1 INTO v_own_first
        FROM seats s WHERE s.id = ANY (p_own)
        ORDER BY s.section_rank, s.row_rank, s.number LIMIT 1;
        SELECT s.section_rank, s.row_rank, s.number + p_n - 1 INTO v_own_last
        FROM seats s WHERE s.id = ANY (p_own)
        ORDER BY s.section_rank DESC, s.row_rank DESC, s.number DESC LIMIT 1;
        IF v_known.section_rank = 2147483647 THEN
            v_to := least(v_to, v_own_last);
        END IF;
        v_from := greatest(v_from, least(v_known, v_own_first));
    ELSIF v_known.section_rank = 2147483647 THEN
        RETURN NULL;
    ELSIF v_known IS NOT NULL THEN
        v_from := greatest(v_from, v_known);
    END IF;
    v_got := seats_search(p_event, p_section, p_n, p_holder, p_ahead, v_from, v_to);
    IF v_got.seats IS NULL AND v_known.section_rank = 2147483647 THEN
        RETURN NULL;
    ELSIF v_got.seats IS NULL AND v_from > v_first THEN
        v_got := seats_search(p_event, p_section, p_n, p_holder, p_ahead, v_first, v_last);
    END IF;
    IF v_got.seats IS NULL THEN
        PERFORM seats_group_note(p_event, p_section, p_n, NULL, v_now);
    ELSIF p_ahead <= 0 AND v_got.seen > 256 THEN
        PERFORM seats_group_note(p_event, p_section, p_n, v_got.place, v_now);
    END IF;
    RETURN v_got.seats;
END $$;

-- ---- picking for one hold ----

-- One seat, which needs no neighbours: the best that no other transaction has locked, with the locks of
-- p_own as in seats_pick. NULL: all seats are taken, or are being taken at this moment (rows may stay
-- locked all the same: those that turned out to be taken under their lock). '{}': p_own are being taken
-- from the caller, whose hold has just lapsed. Waits for nobody.
CREATE OR REPLACE FUNCTION seats_pick_one(p_event text, p_section text, p_holder uuid, p_own bigint[],
                               p_from seat_place)
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

-- Picks and locks the p_n best available adjacent seats, and with them p_own, the seats of the caller's
-- live hold p_holder, which count as free. NULL: there are none. '{}': every attempt was lost to other
-- transactions (which hardly ever happens).
-- A caller alone gets the best. After a collision callers spread out (p_ahead is random), and from the
-- ninth attempt on they wait for each other, so that a group is never refused to all of them. Each
-- attempt is a block of its own: the exception takes back its locks before anything is waited for.
CREATE OR REPLACE FUNCTION seats_pick(p_event text, p_section text, p_n integer, p_holder uuid,
                                      p_own bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz;
    v_from seat_place := seats_from(p_event, p_own);
    v_group bigint[];
    v_locked bigint[];
BEGIN
    IF p_n = 1 AND (p_own <> '{}' OR NOT EXISTS (
           SELECT FROM seats_group g
           WHERE g.event_id = p_event AND g.section = coalesce(p_section, '') AND g.n = 1
             AND g.section_rank = 2147483647 AND g.at > clock_timestamp() - interval '1 second')) THEN
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
        v_group := seats_group(p_event, p_section, p_n, p_holder, p_own,
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
            RAISE SQLSTATE 'TK001';
        EXCEPTION WHEN SQLSTATE 'TK001' THEN
            NULL;
        END;
    END LOOP;
    RETURN '{}';
END $$;

-- ---- picking for many auto-holds ----

-- Picks and locks up to p_groups groups of p_n adjacent seats, best first, and then fills up with
-- scattered seats: an admitted buyer gets seats while there are any. Returns (grp, seat_id), grp from 1;
-- the last group may be smaller. Never waits.
CREATE OR REPLACE FUNCTION seats_pick_many(p_event text, p_n integer, p_groups integer)
RETURNS TABLE (grp integer, seat_id bigint) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_all bigint[] := '{}'; -- group after group
    v_try bigint[];
    v_got bigint[];
BEGIN
    FOR v_round IN 1..3 LOOP
        EXIT WHEN p_n = 1 OR cardinality(v_all) >= p_groups * p_n;
        SELECT array_agg(b.id ORDER BY b.section_rank, b.row_rank, b.number) INTO v_try FROM (
            SELECT r.*, row_number() OVER (ORDER BY section_rank, row_rank, number) AS o FROM (
                SELECT i.*,
                       row_number() OVER (PARTITION BY section_rank, row_rank, island
                                          ORDER BY number) AS nth,
                       count(*) OVER (PARTITION BY section_rank, row_rank, island) AS size
                FROM (SELECT s.id, s.section_rank, s.row_rank, s.number,
                             s.number - row_number() OVER (PARTITION BY s.section_rank, s.row_rank
                                                           ORDER BY s.number) AS island
                      FROM seats s
                      WHERE s.event_id = p_event AND NOT s.sold
                        AND (s.status = 'available' OR s.held_until <= v_now)
                        AND s.id <> ALL (v_all)) AS i) AS r
            WHERE nth <= size - size % p_n) AS b
        WHERE b.o <= p_groups * p_n - cardinality(v_all);
        EXIT WHEN v_try IS NULL;
        v_got := ARRAY(SELECT s.id FROM seats s WHERE s.id = ANY (v_try)
                         AND (s.status = 'available' OR s.held_until <= v_now)
                       ORDER BY s.id FOR UPDATE SKIP LOCKED);
        -- Whole groups only. The seats of broken ones stay locked and may be picked below.
        SELECT v_all || coalesce(array_agg(t.id ORDER BY t.o), '{}') INTO v_all
        FROM unnest(v_try) WITH ORDINALITY AS t (id, o)
        WHERE (t.o - 1) / p_n IN (
            SELECT (u.o - 1) / p_n FROM unnest(v_try) WITH ORDINALITY AS u (id, o)
            WHERE u.id = ANY (v_got) GROUP BY 1 HAVING count(*) = p_n);
        EXIT WHEN v_got = v_try;
    END LOOP;
    v_got := ARRAY(SELECT s.id FROM seats s
                   WHERE s.event_id = p_event AND NOT s.sold
                     AND (s.status = 'available' OR s.held_until <= v_now)
                     AND s.id <> ALL (v_all)
                   ORDER BY s.section_rank, s.row_rank, s.number
                   LIMIT p_groups * p_n - cardinality(v_all) FOR UPDATE SKIP LOCKED);
    RETURN QUERY SELECT ((t.o - 1) / p_n)::integer + 1, t.id
                 FROM unnest(v_all || v_got) WITH ORDINALITY AS t (id, o);
END $$;
