-- SPDX-License-Identifier: MIT
--
-- pick: best available: chooses the seats of a hold if the buyer has not. Sections and rows are tried in the order of
-- preference (section_rank, row_rank). In the first row that has such seats those nearest to its middle are taken: a
-- row fills from the middle to both sides, and leaves no gaps. Seats in an index, and the notes below, are in the order
-- (section_rank, row_rank, number), so a search finds the row first, and then looks at the seats of that row.
--
-- The hard case is a hall in which nearly every seat is held while a thousand buyers try at once. So two
-- things are noted and used for a second: where the free seats begin (table seats_first), and where the
-- groups of n adjacent free seats begin (table seats_group). A search reads the index from there until
-- it has found a group. An index on free seats alone would be shorter to read, but then every hold and
-- every release would have to update all indexes of the seat.

-- Greater than every section_rank, row_rank and number. A note in seats_group with this section_rank
-- means that there is no such group.
CREATE OR REPLACE FUNCTION rank_end() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 2147483647 $$;

-- ---- where free seats begin ----

-- Where to begin to search: at some moment of the last second, no seat before this one was free. (0, 0, 0)
-- if nothing is known, or if one of the first 256 unsold seats was free. The result is never behind a seat
-- of p_own, which count as free. Never waits: one transaction a second looks the seat up, and meanwhile
-- the others search from the beginning.
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

-- How far a group is from the middle of its row (seats.middle).
CREATE OR REPLACE FUNCTION group_distance(p_start integer, p_n integer, p_middle integer)
RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT abs(2 * p_start + p_n - 1 - p_middle)
$$;

-- The starts of groups of p_n seats side by side in a run of free seats with the numbers from p_first to p_last: as many
-- as fit into the run, since a pair in the middle of a row of four would leave two single seats. One of them is as near
-- to the middle of the row as that allows, and the others follow it on both sides.
CREATE OR REPLACE FUNCTION group_starts(p_first integer, p_last integer, p_n integer, p_middle integer)
RETURNS SETOF integer LANGUAGE sql IMMUTABLE AS $$
    SELECT generate_series(p_first + c.best % p_n, p_last - p_n + 1, p_n)
    FROM (SELECT CASE WHEN b.near % p_n <= b.spare THEN b.near
                      WHEN group_distance(p_first + b.near - b.near % p_n + p_n, p_n, p_middle)
                           < group_distance(p_first + b.near - b.near % p_n + b.spare, p_n, p_middle)
                      THEN b.near - b.near % p_n + p_n
                      ELSE b.near - b.near % p_n + b.spare END AS best
          FROM (SELECT least(greatest(floor((p_middle - p_n + 1) / 2.0)::integer - p_first, 0),
                             p_last - p_n + 1 - p_first) AS near, -- how far into the run the group would begin
                       (p_last - p_first + 1) % p_n AS spare) AS b) AS c
$$;

-- The (p_ahead + 1)-th group of p_n adjacent free seats of one row, from its middle; the last one if there are fewer.
-- It sorts at most 200 seats. Where sorting is switched off, as in its caller, the planner would think it so
-- expensive that it compiles the statement (JIT), which takes half a second. It is PL/pgSQL so that it is planned once.
CREATE OR REPLACE FUNCTION seats_in_row(p_event text, p_row seat_place, p_n integer, p_holder uuid, p_ahead integer,
                             p_now timestamptz)
RETURNS bigint[] LANGUAGE plpgsql STABLE SET enable_sort = on AS $$
BEGIN
    RETURN (WITH free AS (
        SELECT s.id, s.number, s.middle, s.number - row_number() OVER (ORDER BY s.number) AS island
        FROM seats s
        WHERE s.event_id = p_event AND NOT s.sold AND s.section_rank = p_row.section_rank
          AND s.row_rank = p_row.row_rank
          AND (s.status = 'available' OR s.held_until <= p_now OR s.holder = p_holder)
    ), found AS (
        SELECT r.ids, r.first, g.start, row_number() OVER (ORDER BY group_distance(g.start, p_n, r.middle), g.start) AS nth
        FROM (SELECT array_agg(id ORDER BY number) AS ids, min(number) AS first, max(number) AS last, max(middle) AS middle
              FROM free GROUP BY island HAVING count(*) >= p_n) AS r
        CROSS JOIN LATERAL group_starts(r.first, r.last, p_n, r.middle) AS g (start)
    )
    SELECT ids[start - first + 1:start - first + p_n] FROM found WHERE nth <= p_ahead + 1 ORDER BY nth DESC LIMIT 1);
END $$;

-- Looks between p_from and p_to for groups of p_n adjacent free seats: same section and row, consecutive
-- numbers. Takes the (p_ahead + 1)-th group, or the last one if there are fewer: that is, the row of this group, and
-- in it as many groups from the middle. The seats of the hold p_holder count as free. Locks nothing.
-- seats: the group; NULL: there is none. seen: how many free seats were read. place: where the (p_ahead + 1)-th group
-- in the order of the numbers begins.
CREATE OR REPLACE FUNCTION seats_search(p_event text, p_section text, p_n integer, p_holder uuid,
                             p_ahead integer, p_from seat_place, p_to seat_place,
                             OUT seats bigint[], OUT seen integer, OUT place seat_place)
LANGUAGE plpgsql STABLE SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_seat record;
    v_in_row integer := 0; -- groups of this row that were passed over
    v_middle integer;
    v_section integer := -1;
    v_row integer := -1;
    v_number integer := -1;
    v_run bigint[] := '{}';
BEGIN
    seen := 0;
    FOR v_seat IN
        SELECT s.id, s.section_rank, s.row_rank, s.number, s.middle FROM seats s
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
            IF v_seat.row_rank <> v_row OR v_seat.section_rank <> v_section THEN
                v_in_row := 0;
            END IF;
            v_run := ARRAY[v_seat.id];
            v_section := v_seat.section_rank;
            v_row := v_seat.row_rank;
        END IF;
        v_number := v_seat.number;
        IF cardinality(v_run) = p_n THEN
            seats := v_run;
            place := (v_section, v_row, v_number - p_n + 1);
            v_middle := v_seat.middle;
            v_run := '{}';
            EXIT WHEN p_ahead <= 0;
            p_ahead := p_ahead - 1;
            v_in_row := v_in_row + 1;
        END IF;
    END LOOP;
    IF v_middle > 0 THEN
        seats := seats_in_row(p_event, place, p_n, p_holder,
                              CASE WHEN p_ahead <= 0 THEN v_in_row ELSE 1000 END, v_now);
    END IF;
END $$;

-- Where the groups of p_n seats begin, as noted within the last second; section_rank is rank_end() if there
-- is no group. NULL: not known.
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

-- Notes for the next second where the groups of p_n seats begin, unless another transaction is just doing
-- so. p_place NULL: there is no such group. That is noted only in a hall with more than a thousand unsold
-- seats: in a smaller one a search is quick enough.
CREATE OR REPLACE FUNCTION seats_group_note(p_event text, p_section text, p_n integer, p_place seat_place,
                                 p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_place IS NULL THEN
        IF NOT EXISTS (SELECT FROM seats s WHERE s.event_id = p_event AND NOT s.sold
                       ORDER BY s.section_rank, s.row_rank, s.number OFFSET 1000 LIMIT 1) THEN
            RETURN;
        END IF;
        p_place := (rank_end(), 0, 0);
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

-- Returns a group of p_n free seats; NULL: there is none. It is the (p_ahead + 1)-th group from p_from on or,
-- if there is no group there, from the beginning. A search that read more than 256 free seats notes where the
-- next search should begin; a search that found no group notes that there is none. These notes are ignored
-- near p_own, because those seats are free only for this caller.
CREATE OR REPLACE FUNCTION seats_group(p_event text, p_section text, p_n integer, p_holder uuid, p_own bigint[],
                            p_ahead integer, p_from seat_place)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_first seat_place := (0, 0, 0);
    v_last seat_place := (rank_end(), 0, 0);
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
        v_last := (v_first.section_rank, rank_end(), rank_end());
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
        IF v_known.section_rank = rank_end() THEN
            v_to := least(v_to, v_own_last);
        END IF;
        v_from := greatest(v_from, least(v_known, v_own_first));
    ELSIF v_known.section_rank = rank_end() THEN
        RETURN NULL;
    ELSIF v_known IS NOT NULL THEN
        v_from := greatest(v_from, v_known);
    END IF;
    v_got := seats_search(p_event, p_section, p_n, p_holder, p_ahead, v_from, v_to);
    IF v_got.seats IS NULL AND v_known.section_rank = rank_end() THEN
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

-- Picks and locks the best free seat that no other transaction has locked; locks p_own as seats_pick does.
-- One seat needs no neighbours, so this is simpler than seats_pick. Never waits.
-- NULL: no seat is free and unlocked. Rows that turned out to be taken under their lock may stay locked.
-- '{}': the caller's hold has just lapsed, and another transaction is taking p_own.
CREATE OR REPLACE FUNCTION seats_pick_one(p_event text, p_section text, p_holder uuid, p_own bigint[],
                               p_from seat_place)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_first record;
    v_seat bigint;
    v_locked bigint[];
BEGIN
    LOOP
        -- the first row with a free seat, then the seat of this row that is nearest to its middle
        SELECT s.section_rank, s.row_rank, s.middle INTO v_first FROM seats s
        WHERE s.event_id = p_event AND NOT s.sold
          AND (s.section_rank, s.row_rank, s.number)
              >= (p_from.section_rank, p_from.row_rank, p_from.number)
          AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
          AND (p_section IS NULL OR s.section = p_section)
        ORDER BY s.section_rank, s.row_rank, s.number LIMIT 1;
        IF NOT FOUND THEN
            RETURN NULL;
        ELSIF v_first.middle > 0 THEN
            SELECT s.id INTO v_seat FROM seats s
            WHERE s.event_id = p_event AND NOT s.sold
              AND s.section_rank = v_first.section_rank AND s.row_rank = v_first.row_rank
              AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
            ORDER BY group_distance(s.number, 1, s.middle), s.number LIMIT 1 FOR UPDATE SKIP LOCKED;
        ELSE
            SELECT s.id INTO v_seat FROM seats s
            WHERE s.event_id = p_event AND NOT s.sold
              AND s.section_rank = v_first.section_rank AND s.row_rank = v_first.row_rank
              AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
            ORDER BY s.number LIMIT 1 FOR UPDATE SKIP LOCKED;
        END IF;
        EXIT WHEN FOUND;
        p_from := (v_first.section_rank, v_first.row_rank + 1, 0); -- others are just taking all that is free here
    END LOOP;
    IF p_own <> '{}' THEN
        v_locked := ARRAY(SELECT s.id FROM seats s WHERE s.id = ANY (p_own) AND s.holder = p_holder
                          ORDER BY s.id FOR UPDATE SKIP LOCKED);
        IF NOT v_locked @> p_own THEN
            RETURN '{}';
        END IF;
    END IF;
    RETURN ARRAY[v_seat];
END $$;

-- Picks and locks the p_n best available adjacent seats, and also locks p_own, the seats of the caller's
-- live hold p_holder, which count as free.
-- NULL: there are no such seats. '{}': other transactions were faster in each of 25 attempts, which is very
-- rare.
-- A single caller gets the best seats. After a collision callers spread out (p_ahead is random). From the
-- ninth attempt on they wait for each other, so that a group is not refused to all of them. Each attempt
-- is a block of its own, left by an exception: that releases its locks before the next attempt waits.
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
             AND g.section_rank = rank_end() AND g.at > clock_timestamp() - interval '1 second')) THEN
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

-- Picks and locks up to p_groups groups of p_n adjacent seats, best first. If there are too few groups, it
-- adds groups of scattered seats: an admitted buyer gets seats as long as any are free. Returns
-- (grp, seat_id), with grp from 1; the last group may be smaller. Never waits.
CREATE OR REPLACE FUNCTION seats_pick_many(p_event text, p_n integer, p_groups integer)
RETURNS TABLE (grp integer, seat_id bigint) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_all bigint[] := '{}'; -- the seats of the first group, then those of the second, and so on
    v_try bigint[];
    v_got bigint[];
BEGIN
    FOR v_round IN 1..3 LOOP
        EXIT WHEN p_n = 1 OR cardinality(v_all) >= p_groups * p_n;
        SELECT array_agg(u.id ORDER BY b.o, u.k) INTO v_try FROM (
            SELECT r.ids[g.start - r.first + 1:g.start - r.first + p_n] AS ids,
                   row_number() OVER (ORDER BY r.section_rank, r.row_rank,
                                      group_distance(g.start, p_n, r.middle), g.start) AS o
            FROM (SELECT i.section_rank, i.row_rank, array_agg(i.id ORDER BY i.number) AS ids,
                         min(i.number) AS first, max(i.number) AS last, max(i.middle) AS middle
                  FROM (SELECT s.id, s.section_rank, s.row_rank, s.number, s.middle,
                               s.number - row_number() OVER (PARTITION BY s.section_rank, s.row_rank
                                                             ORDER BY s.number) AS island
                        FROM seats s
                        WHERE s.event_id = p_event AND NOT s.sold
                          AND (s.status = 'available' OR s.held_until <= v_now)
                          AND s.id <> ALL (v_all)) AS i
                  GROUP BY i.section_rank, i.row_rank, i.island HAVING count(*) >= p_n) AS r
            CROSS JOIN LATERAL group_starts(r.first, r.last, p_n, r.middle) AS g (start)) AS b
        CROSS JOIN LATERAL unnest(b.ids) WITH ORDINALITY AS u (id, k)
        WHERE b.o <= p_groups - cardinality(v_all) / p_n;
        EXIT WHEN v_try IS NULL;
        v_got := ARRAY(SELECT s.id FROM seats s WHERE s.id = ANY (v_try)
                         AND (s.status = 'available' OR s.held_until <= v_now)
                       ORDER BY s.id FOR UPDATE SKIP LOCKED);
        -- Keep whole groups. Seats of other groups stay locked, and may be picked below.
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
                   ORDER BY s.section_rank, s.row_rank, group_distance(s.number, 1, s.middle), s.number
                   LIMIT p_groups * p_n - cardinality(v_all) FOR UPDATE SKIP LOCKED);
    RETURN QUERY SELECT ((t.o - 1) / p_n)::integer + 1, t.id
                 FROM unnest(v_all || v_got) WITH ORDINALITY AS t (id, o);
END $$;
