-- SPDX-License-Identifier: MIT
--
-- seat: the seats of an event. Adds, shows and counts them; gives them to reservations and takes them
-- back, for the other files. Which seats a hold gets is decided in pick.sql.

-- ---- adding seats ----

-- Turns the body of seats_add into one list of seats, or returns why it is refused.
CREATE OR REPLACE FUNCTION seats_read(p_body jsonb, OUT list jsonb, OUT refused json) LANGUAGE plpgsql
IMMUTABLE AS $$
DECLARE
    v_price CONSTANT jsonb := '{"price": [0, 1000000000000], "currency": "currency"}';
    v_grid jsonb := p_body -> 'grid';
BEGIN
    list := p_body -> 'seats';
    IF (list IS NULL) = (v_grid IS NULL) THEN
        refused := refusal('Either seats or grid is needed, and not both.', 'seats');
    ELSIF p_body - 'seats' - 'grid' <> '{}' THEN
        refused := fields_refusal(p_body - 'seats' - 'grid', '', '{}');
    ELSIF list IS NOT NULL THEN
        IF jsonb_typeof(list) <> 'array' OR list = '[]' THEN
            refused := refusal('seats must be a list of at least one seat.', 'seats');
            RETURN;
        END IF;
        FOR i IN 0 .. jsonb_array_length(list) - 1 LOOP
            refused := fields_refusal(list -> i, format('seats[%s].', i), v_price ||
                '{"section": "text", "row": "text", "number": [1, 1000000]}');
            EXIT WHEN refused IS NOT NULL;
        END LOOP;
    ELSE
        refused := fields_refusal(v_grid, 'grid.', v_price ||
            '{"section": "text", "rows": [1, 1000], "seatsPerRow": [1, 1000]}');
        IF refused IS NULL
            AND (v_grid ->> 'rows')::bigint * (v_grid ->> 'seatsPerRow')::bigint > 100000 THEN
            refused := refusal('An event has at most 100,000 seats.', 'grid.rows');
        ELSIF refused IS NULL THEN
            SELECT jsonb_agg(jsonb_build_object(
                'section', v_grid -> 'section', 'row', r::text, 'number', n,
                'price', v_grid -> 'price', 'currency', v_grid -> 'currency') ORDER BY r, n)
            INTO list FROM generate_series(1, (v_grid ->> 'rows')::integer) AS r,
                           generate_series(1, (v_grid ->> 'seatsPerRow')::integer) AS n;
        END IF;
    END IF;
END $$;

-- Adds seats, given as columns, to an event whose row is locked. The caller has checked that the event
-- sells in this currency. bad: the number, from 1, of the first seat that is given twice or exists
-- already; then no seat was added. NULL: all were added. New sections and rows rank after the existing
-- ones, in the order of the list.
CREATE OR REPLACE FUNCTION seats_insert(p_event text, p_sections text[], p_rows text[], p_numbers integer[],
                             p_prices bigint[], p_currency text, OUT added bigint, OUT bad bigint)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT i.o INTO bad
    FROM (SELECT u.*, row_number() OVER (PARTITION BY section, row, number ORDER BY o) AS nth
          FROM unnest(p_sections, p_rows, p_numbers)
              WITH ORDINALITY AS u (section, row, number, o)) AS i
    LEFT JOIN (SELECT section, row, number FROM seats WHERE event_id = p_event) AS s
        USING (section, row, number)
    WHERE i.nth > 1 OR s.section IS NOT NULL
    ORDER BY i.o LIMIT 1;
    IF FOUND THEN
        RETURN;
    END IF;
    WITH input AS (
        SELECT * FROM unnest(p_sections, p_rows, p_numbers, p_prices)
            WITH ORDINALITY AS u (section, row, number, price, o)
    ), known AS (
        SELECT section, row, min(section_rank) AS section_rank, min(row_rank) AS row_rank
        FROM seats WHERE event_id = p_event GROUP BY section, row
    ), known_section AS (
        SELECT section, min(section_rank) AS rank, max(row_rank) AS last_row FROM known
        GROUP BY section
    ), ranked_section AS (
        SELECT i.section, coalesce(k.last_row, 0) AS last_row, coalesce(k.rank,
            (SELECT coalesce(max(rank), 0) FROM known_section)
            + row_number() OVER (PARTITION BY k.rank IS NULL ORDER BY i.o)) AS rank
        FROM (SELECT section, min(o) AS o FROM input GROUP BY section) AS i
        LEFT JOIN known_section k USING (section)
    ), ranked_row AS (
        SELECT section, i.row, r.rank AS section_rank, coalesce(k.row_rank, r.last_row
            + row_number() OVER (PARTITION BY section, k.row_rank IS NULL ORDER BY i.o)) AS rank
        FROM (SELECT section, row, min(o) AS o FROM input GROUP BY section, row) AS i
        JOIN ranked_section r USING (section)
        LEFT JOIN known k USING (section, row)
    )
    INSERT INTO seats (event_id, section, row, number, section_rank, row_rank, price, currency)
    SELECT p_event, i.section, i.row, i.number, r.section_rank, r.rank, i.price, p_currency
    FROM input i JOIN ranked_row r USING (section, row)
    ORDER BY r.section_rank, r.rank, i.number;
    GET DIAGNOSTICS added = ROW_COUNT;
END $$;

-- Called after seats were added: writes the audit entry and raises the event's version, so that live
-- copies learn the number of seats.
CREATE OR REPLACE FUNCTION seats_added(p_event text, p_who text, p_added bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE sql AS $$
    INSERT INTO audit (event_id, who, verb, before, after)
    SELECT id, p_who, 'seats', jsonb_build_object('seats', seats),
           jsonb_build_object('seats', seats + p_added) FROM events WHERE id = p_event;
    UPDATE events SET seats = seats + p_added, version = version + 1 WHERE id = p_event
    RETURNING 'added', json_build_object('added', p_added, 'seats', seats, 'version', version)
$$;

-- p_body: {"seats": [{section, row, number, price, currency}]} or
--         {"grid": {section, rows, seatsPerRow, price, currency}}, which makes rows "1", "2", ...
--   added
--   not-found
--   conflict    a seat exists already, or the event is closed
--   invalid
CREATE OR REPLACE FUNCTION seats_add(p_event text, p_who text, p_body jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_event events;
    v_list jsonb;
    v_refused json;
    v_currencies text[];
    v_done record;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    IF v_event.status = 'closed' THEN
        RETURN QUERY SELECT 'conflict', refusal('The event is closed.');
        RETURN;
    END IF;
    SELECT r.list, r.refused INTO v_list, v_refused FROM seats_read(p_body) AS r;
    IF v_refused IS NULL AND v_event.seats + jsonb_array_length(v_list) > 100000 THEN
        v_refused := refusal('An event has at most 100,000 seats.',
                             CASE WHEN p_body ? 'grid' THEN 'grid.rows' ELSE 'seats' END);
    END IF;
    IF v_refused IS NOT NULL THEN
        RETURN QUERY SELECT 'invalid', v_refused;
        RETURN;
    END IF;
    SELECT array_agg(c.currency) INTO v_currencies
    FROM (SELECT currency FROM jsonb_to_recordset(v_list) AS i (currency text)
          UNION
          (SELECT currency FROM seats WHERE event_id = p_event LIMIT 1)) AS c;
    IF cardinality(v_currencies) > 1 THEN
        RETURN QUERY SELECT 'invalid', refusal('An event sells in one currency.', 'currency');
        RETURN;
    END IF;
    SELECT d.*, l.sections, l.rows, l.numbers INTO v_done
    FROM (SELECT array_agg(section ORDER BY o) AS sections, array_agg(row ORDER BY o) AS rows,
                 array_agg(number ORDER BY o) AS numbers, array_agg(price ORDER BY o) AS prices
          FROM ROWS FROM (jsonb_to_recordset(v_list)
              AS (section text, row text, number integer, price bigint))
              WITH ORDINALITY AS i (section, row, number, price, o)) AS l,
         seats_insert(p_event, l.sections, l.rows, l.numbers, l.prices, v_currencies[1]) AS d;
    IF v_done.bad IS NOT NULL THEN
        RETURN QUERY SELECT 'conflict', refusal(format(
            'Seat %s %s %s exists already or is given twice.', v_done.sections[v_done.bad],
            v_done.rows[v_done.bad], v_done.numbers[v_done.bad]));
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM seats_added(p_event, p_who, v_done.added);
END $$;

-- Adds the seats of a CSV file, given as columns; the first seat is in line 2 of the file. p_version: the
-- version that the event must have; NULL: any.
--   added
--   not-found
--   stale      the event has another version
--   conflict   a seat exists already (the body has its line), or the event is closed
--   invalid    the body has the line
CREATE OR REPLACE FUNCTION seats_import(p_event text, p_who text, p_version bigint, p_sections text[],
                             p_rows text[], p_numbers integer[], p_prices bigint[], p_currency text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_event events;
    v_done record;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
    ELSIF v_event.version <> p_version THEN
        RETURN QUERY SELECT 'stale', refusal('The event was changed meanwhile.');
    ELSIF v_event.status = 'closed' THEN
        RETURN QUERY SELECT 'conflict', refusal('The event is closed.');
    ELSIF v_event.seats + cardinality(p_sections) > 100000 THEN
        RETURN QUERY SELECT 'invalid', json_build_object(
            'detail', 'An event has at most 100,000 seats.', 'line', 100002 - v_event.seats,
            'field', '');
    ELSIF EXISTS (SELECT FROM (SELECT currency FROM seats WHERE event_id = p_event LIMIT 1) AS s
                  WHERE s.currency <> p_currency) THEN
        RETURN QUERY SELECT 'invalid', json_build_object(
            'detail', 'An event sells in one currency.', 'line', 2, 'field', 'currency');
    ELSE
        SELECT * INTO v_done FROM seats_insert(p_event, p_sections, p_rows, p_numbers, p_prices,
                                               p_currency);
        IF v_done.bad IS NOT NULL THEN
            RETURN QUERY SELECT 'conflict', json_build_object('detail', format(
                'Seat %s %s %s exists already or is given twice.', p_sections[v_done.bad],
                p_rows[v_done.bad], p_numbers[v_done.bad]), 'line', v_done.bad + 1,
                'field', 'number');
        ELSE
            RETURN QUERY SELECT * FROM seats_added(p_event, p_who, v_done.added);
        END IF;
    END IF;
END $$;

-- ---- showing seats ----

-- The map of a hall, byte for byte as clients get it. It is built only if its version is not p_known:
-- computing the version takes a sixth of the time. Do not change the order or layout of the text:
-- seat_delta.c reads ids and statuses out of it.
--   found
--   unchanged   p_known is the present version; no body
--   not-found   no such event, or a draft, whose map is not public
CREATE OR REPLACE FUNCTION seat_map_text(p_event text, p_known bigint)
RETURNS TABLE (outcome text, body text, version bigint) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_version bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM events WHERE id = p_event AND status <> 'draft') THEN
        RETURN QUERY SELECT 'not-found', NULL::text, 0::bigint;
        RETURN;
    END IF;
    SELECT coalesce(sum(s.version + (s.status = 'held' AND s.held_until <= v_now)::integer), 0)
    INTO v_version FROM seats s WHERE s.event_id = p_event;
    IF v_version = p_known THEN
        RETURN QUERY SELECT 'unchanged', NULL::text, v_version;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'found', concat('{"version":', m.version, ',"seats":[', m.seats, ']}'), m.version
    FROM (SELECT coalesce(sum(s.version + s.lapsed::integer), 0)::bigint AS version,
                 string_agg(concat(
                     '{"id":"', s.id, '","section":', to_json(s.section), ',"row":', to_json(s.row),
                     ',"number":', s.number, ',"price":', s.price, ',"currency":"', s.currency,
                     '","status":"', CASE WHEN s.lapsed THEN 'available' ELSE s.status END, '"}'),
                     ',' ORDER BY s.section_rank, s.row_rank, s.number) AS seats
          FROM (SELECT *, status = 'held' AND held_until <= v_now AS lapsed
                FROM seats WHERE event_id = p_event) AS s) AS m;
END $$;

-- A page of the hall as CSV: up to p_limit seats after the one with these ranks and number. Returns the
-- lines, and the ranks and number of the last seat; all NULL: there are no more seats. A lapsed hold is
-- shown as available.
CREATE OR REPLACE FUNCTION seats_csv(p_event text, p_section_rank integer, p_row_rank integer, p_number integer,
                          p_limit integer)
RETURNS TABLE (lines text, section_rank integer, row_rank integer, number integer)
LANGUAGE sql STABLE AS $$
    WITH page AS MATERIALIZED (
        SELECT * FROM (
            (SELECT * FROM seats s WHERE s.event_id = p_event AND NOT s.sold
                AND (s.section_rank, s.row_rank, s.number)
                    > (p_section_rank, p_row_rank, p_number)
             ORDER BY s.section_rank, s.row_rank, s.number LIMIT p_limit)
            UNION ALL
            (SELECT * FROM seats s WHERE s.event_id = p_event AND s.sold
                AND (s.section_rank, s.row_rank, s.number)
                    > (p_section_rank, p_row_rank, p_number)
             ORDER BY s.section_rank, s.row_rank, s.number LIMIT p_limit)) AS both_kinds
        ORDER BY section_rank, row_rank, number LIMIT p_limit
    ), shown AS (
        SELECT p.*, p.status = 'held' AND p.held_until <= statement_timestamp() AS lapsed FROM page p
    ), line AS (
        SELECT s.section_rank, s.row_rank, s.number, concat_ws(',', s.id, csv_text(s.section),
            csv_text(s.row), s.number, s.price, s.currency,
            CASE WHEN s.lapsed THEN 'available' ELSE s.status END, coalesce(r.number, ''),
            coalesce(csv_text(r.buyer), ''),
            CASE WHEN s.lapsed OR s.held_until IS NULL THEN '' ELSE rfc3339(s.held_until) END)
            || E'\r\n' AS text
        FROM shown s LEFT JOIN reservations r ON r.id = s.holder AND NOT s.lapsed
    )
    SELECT string_agg(text, '' ORDER BY l.section_rank, l.row_rank, l.number),
           (array_agg(l.section_rank ORDER BY l.section_rank DESC, l.row_rank DESC, l.number DESC))[1],
           (array_agg(l.row_rank ORDER BY l.section_rank DESC, l.row_rank DESC, l.number DESC))[1],
           (array_agg(l.number ORDER BY l.section_rank DESC, l.row_rank DESC, l.number DESC))[1]
    FROM line l
$$;

-- ---- counting seats ----

-- How many seats there are for admissions after the ledger's cursor: the free ones, and those held by
-- buyers whose admission comes after the cursor. The queue subtracts autoHold seats for each admission
-- after the cursor. If the seats that such a buyer already holds were not counted as free here, they
-- would be subtracted twice, and other buyers would wait although seats are free. After ten seconds they
-- are no longer counted: a log entry that has not been copied by then was lost with Redis.
CREATE OR REPLACE FUNCTION seats_capacity(p_event text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (SELECT count(*) FROM seats s
            WHERE s.event_id = p_event AND NOT s.sold
              AND (s.status = 'available' OR s.held_until <= clock_timestamp())) + coalesce((
        SELECT sum(least(r.seat_count, event_setting(e.settings, 'autoHold')::integer))
        FROM reservations r JOIN events e ON e.id = r.event_id
        WHERE r.event_id = p_event AND NOT r.entered
          AND r.created_at > clock_timestamp() - interval '10 seconds'
          AND (r.status = 'confirmed'
               OR (r.status = 'held' AND r.expires_at > clock_timestamp()))), 0)
$$;

-- ---- giving seats to reservations, and back ----

-- Gives seat p_seats[i] to reservation p_owners[i] until p_until; NULL: for good (sold). Ends the lapsed
-- holds that had any of the seats. The caller has locked the rows of the seats and checked, under the
-- locks, that each is free or already its new owner's: that is why no seat is sold twice (hold.sql). If two
-- callers took a seat at once without that, the unique index reservation_seats_live would refuse the second.
CREATE OR REPLACE FUNCTION seats_take(p_event text, p_seats bigint[], p_owners uuid[], p_until timestamptz,
                           p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH ended AS (
        UPDATE reservation_seats SET live = false
        WHERE event_id = p_event AND seat_id = ANY (p_seats) AND live
          AND reservation_id <> ALL (p_owners)
        RETURNING reservation_id
    )
    -- SKIP LOCKED: a payment of that reservation, or the sweeper, may have locked its row and be
    -- waiting for our seats. It then ends the hold itself.
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

-- Gives back the seats that these reservations still hold; their rows are locked. The seats p_keep stay
-- held in table seats: the caller's next seats_take gives them to another reservation.
CREATE OR REPLACE FUNCTION seats_release(p_reservations uuid[], p_keep bigint[] DEFAULT '{}')
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

-- Makes the seats that a reservation has bought available again. Its row is locked.
CREATE OR REPLACE FUNCTION seats_unsell(p_reservation uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_seats bigint[];
BEGIN
    v_seats := ARRAY(SELECT s.id FROM seats s
                     WHERE s.id IN (SELECT seat_id FROM reservation_seats
                                    WHERE reservation_id = p_reservation AND live)
                       AND s.holder = p_reservation AND s.status = 'sold'
                     ORDER BY s.id FOR UPDATE);
    UPDATE reservation_seats SET live = false
    WHERE reservation_id = p_reservation AND seat_id = ANY (v_seats);
    UPDATE seats SET status = 'available', holder = NULL, version = version + 1
    WHERE id = ANY (v_seats);
END $$;
