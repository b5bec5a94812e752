-- SPDX-License-Identifier: MIT
--
-- holds: best available, several side by side, in a hall full of single seats. Where no such group begins
-- any more is looked up once a second, as it is of the first free seat; and the search reads off the
-- index until it has found one, instead of sorting all that is free first.

-- No group of n seats side by side began before this one, as of `at`; a section_rank of 2147483647:
-- there was none. section '': of all. Unlogged: what it says holds for a second.
CREATE UNLOGGED TABLE seats_group (
    event_id     text COLLATE "C" NOT NULL,
    section      text COLLATE "C" NOT NULL,
    n            integer NOT NULL,
    section_rank integer NOT NULL,
    row_rank     integer NOT NULL,
    number       integer NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (event_id, section, n)
) WITH (fillfactor = 50);

CREATE TYPE seat_place AS (section_rank integer, row_rank integer, number integer);

-- As seats_adjacent in 003, of what lies from p_from to p_to. seen: how many free seats were read;
-- place: where the group begins.
CREATE FUNCTION seats_search(p_event text, p_section text, p_n integer, p_holder uuid,
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

-- Where the groups of p_n begin, as of a second ago at most; NULL: nobody knows.
CREATE FUNCTION seats_group_known(p_event text, p_section text, p_n integer)
RETURNS seat_place LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_place seat_place;
BEGIN
    SELECT g.section_rank, g.row_rank, g.number INTO v_place FROM seats_group g
    WHERE g.event_id = p_event AND g.section = coalesce(p_section, '') AND g.n = p_n
      AND g.at > clock_timestamp() - interval '1 second';
    RETURN v_place;
END $$;

-- Tells those of the next second, unless somebody else is telling them. A p_place of NULL: there is none,
-- which is told in a hall with more than a thousand seats to sell; in others it is soon found out.
CREATE FUNCTION seats_group_note(p_event text, p_section text, p_n integer, p_place seat_place,
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
    IF pg_try_advisory_xact_lock(hashtextextended(p_n || ' ' || p_event, 5)) THEN
        INSERT INTO seats_group AS g (event_id, section, n, section_rank, row_rank, number, at)
        VALUES (p_event, coalesce(p_section, ''), p_n, p_place.section_rank, p_place.row_rank,
                p_place.number, p_at)
        ON CONFLICT (event_id, section, n) DO UPDATE
            SET section_rank = excluded.section_rank, row_rank = excluded.row_rank,
                number = excluded.number, at = excluded.at;
    END IF;
END $$;

-- As seats_adjacent_from in 012, but that a search which read much tells those of the next second where to
-- begin, or that they need not look. The seats of p_own are looked at in any case.
CREATE FUNCTION seats_group(p_event text, p_section text, p_n integer, p_holder uuid, p_own bigint[],
                            p_ahead integer, p_from record)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_first seat_place := (0, 0, 0);
    v_last seat_place := (2147483647, 0, 0);
    v_from seat_place := (p_from.section_rank, p_from.row_rank, p_from.number);
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

-- As in 012, by seats_group. Each go is a block of its own, so that
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
            RAISE SQLSTATE 'TK001'; -- back to before the block: gives the locks back
        EXCEPTION WHEN SQLSTATE 'TK001' THEN
            NULL;
        END;
    END LOOP;
    RETURN '{}';
END $$;
DROP FUNCTION seats_adjacent_from (text, text, integer, uuid, integer, record);
DROP FUNCTION seats_adjacent (text, text, integer, uuid, integer);

-- As in 015, but that it is known for a second that no seat is free.
CREATE OR REPLACE FUNCTION seats_refusal(p_event events, p_section text, p_n integer, p_holder uuid)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_free bigint := 0;
BEGIN
    IF p_event.seats > 0 AND NOT EXISTS (SELECT FROM seats s WHERE s.event_id = p_event.id
            AND (p_section IS NULL OR s.section = p_section)) THEN
        RETURN QUERY SELECT 'invalid', refusal('There is no such section.', 'section');
        RETURN;
    END IF;
    IF p_n > 1 AND (p_holder IS NOT NULL OR
       (seats_group_known(p_event.id, p_section, 1)).section_rank IS DISTINCT FROM 2147483647) THEN
        SELECT count(*) INTO v_free FROM (
            SELECT FROM seats s WHERE s.event_id = p_event.id AND NOT s.sold
               AND (s.status = 'available' OR s.held_until <= v_now OR s.holder = p_holder)
               AND (p_section IS NULL OR s.section = p_section) LIMIT p_n) AS f;
        IF v_free = 0 THEN
            PERFORM seats_group_note(p_event.id, p_section, 1, NULL, v_now);
        END IF;
    END IF;
    IF p_n > 1 AND v_free >= p_n THEN
        RETURN QUERY SELECT 'no-adjacent', refusal(
            format('No %s seats side by side are free: choose single seats.', p_n));
    ELSE
        RETURN QUERY SELECT 'no-seats', refusal(
            CASE WHEN p_n > 1 THEN format('Fewer than %s seats are free at the moment.', p_n)
                 ELSE 'No seat is free at the moment.' END);
    END IF;
END $$;
