-- SPDX-License-Identifier: MIT
--
-- hall: what staff do with the seats of an event: add them, replace all of them, correct, block and count them.
--
-- Each change locks the row of the event first and then the seats, in the order of their ids (common.sql), and judges
-- under these locks whether a seat is held or sold. So it is a change before or after each hold, never in between. A
-- buyer pays what their hold said (reservation_seats.price), whatever the seat costs meanwhile.
--
-- Lists of seats are arrays, whose length a plan that is kept does not know: it would compare 100,000 given seats with each
-- of the hall. So the functions that the program calls plan anew and use no nested loops.
--
-- The version of the seat map (0001_initial.sql) rises with each change: by the versions of the seats, and by
-- events.seats_layout, which takes over the versions of seats that go.

-- ---- reading a list of seats ----

-- Turns the body of seats_add into one list of seats, or returns why it is refused.
CREATE OR REPLACE FUNCTION seats_read(p_body jsonb, OUT list jsonb, OUT refused json) LANGUAGE plpgsql
IMMUTABLE AS $$
DECLARE
    v_price CONSTANT jsonb := '{"price": [0, 1000000000000], "currency": "currency"}';
    v_grids jsonb := p_body -> 'grid';
    v_path text := 'grid.';
    v_sum bigint := 0;
BEGIN
    list := p_body -> 'seats';
    IF (list IS NULL) = (v_grids IS NULL) THEN
        refused := refusal('Either seats or grid is needed, and not both.', 'seats', p_reason => 'one-of-two');
        RETURN;
    ELSIF p_body - 'seats' - 'grid' <> '{}' THEN
        refused := fields_refusal(p_body - 'seats' - 'grid', '', '{}');
        RETURN;
    ELSIF list IS NOT NULL THEN
        IF jsonb_typeof(list) <> 'array' OR list = '[]' THEN
            refused := refusal('seats must be a list of at least one seat.', 'seats', p_reason => 'not-a-list');
            RETURN;
        END IF;
        FOR i IN 0 .. jsonb_array_length(list) - 1 LOOP
            refused := fields_refusal(list -> i, format('seats[%s].', i), v_price ||
                '{"section": "text", "row": "text", "number": [1, 1000000]}');
            EXIT WHEN refused IS NOT NULL;
        END LOOP;
        RETURN;
    END IF;
    IF jsonb_typeof(v_grids) <> 'array' THEN
        v_grids := jsonb_build_array(v_grids);
    ELSIF jsonb_array_length(v_grids) NOT BETWEEN 1 AND 200 THEN
        refused := refusal('grid must be one section or a list of 1 to 200 sections.', 'grid', p_reason => 'not-a-list');
        RETURN;
    END IF;
    FOR i IN 0 .. jsonb_array_length(v_grids) - 1 LOOP
        IF jsonb_typeof(p_body -> 'grid') = 'array' THEN
            v_path := format('grid[%s].', i);
        END IF;
        refused := fields_refusal(v_grids -> i, v_path, v_price ||
            '{"section": "text", "rows": [1, 1000], "seatsPerRow": [1, 1000]}');
        IF refused IS NULL THEN
            v_sum := v_sum + (v_grids -> i ->> 'rows')::bigint * (v_grids -> i ->> 'seatsPerRow')::bigint;
        END IF;
        IF v_sum > 100000 THEN
            refused := refusal('An event has at most 100,000 seats.', v_path || 'rows', p_reason => 'seats-too-many');
        END IF;
        IF refused IS NOT NULL THEN
            RETURN;
        END IF;
    END LOOP;
    SELECT jsonb_agg(jsonb_build_object(
        'section', g -> 'section', 'row', r::text, 'number', n,
        'price', g -> 'price', 'currency', g -> 'currency') ORDER BY o, r, n)
    INTO list FROM jsonb_array_elements(v_grids) WITH ORDINALITY AS t (g, o),
                   generate_series(1, (g ->> 'rows')::integer) AS r,
                   generate_series(1, (g ->> 'seatsPerRow')::integer) AS n;
END $$;

-- ---- what every change of seats ends with ----

-- Removes these seats, whose rows are locked and which nobody holds or has bought; lapsed holds of them end. Returns
-- by how much the event's seats_layout must rise.
CREATE OR REPLACE FUNCTION seats_delete(p_event text, p_seats bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_versions bigint;
BEGIN
    UPDATE reservation_seats SET live = false WHERE event_id = p_event AND seat_id = ANY (p_seats) AND live;
    INSERT INTO removed_seats (id, event_id, section, row, number, section_rank, row_rank, currency)
    SELECT id, event_id, section, row, number, section_rank, row_rank, currency FROM seats
    WHERE id = ANY (p_seats)
      AND id IN (SELECT seat_id FROM reservation_seats WHERE event_id = p_event);
    WITH gone AS (DELETE FROM seats WHERE id = ANY (p_seats) RETURNING version)
    SELECT sum(version + 1) INTO v_versions FROM gone; -- one more, which a lapsed hold counts in the map
    RETURN coalesce(v_versions, 0);
END $$;

-- Writes the audit entry and raises the event's version, so that live copies learn the number of seats and the lowest
-- price. p_layout: by how much seats_layout rises.
CREATE OR REPLACE FUNCTION hall_changed(p_event text, p_who text, p_verb text, p_layout bigint, p_after jsonb)
RETURNS events LANGUAGE plpgsql AS $$
DECLARE
    v_before bigint;
    v_event events;
BEGIN
    UPDATE seats s SET middle = r.middle -- of rows that have grown, or lost seats
    FROM (SELECT section_rank, row_rank, row_middle(min(number), max(number)) AS middle FROM seats
          WHERE event_id = p_event GROUP BY section_rank, row_rank) AS r
    WHERE s.event_id = p_event AND s.section_rank = r.section_rank AND s.row_rank = r.row_rank
      AND s.middle <> r.middle;
    SELECT seats INTO v_before FROM events WHERE id = p_event;
    UPDATE events SET (seats, price_from, currency) = (
            SELECT count(*), coalesce(min(price) FILTER (WHERE status <> 'blocked'), min(price)), min(s.currency)
            FROM seats s WHERE event_id = p_event),
        seats_layout = seats_layout + p_layout, version = version + 1
    WHERE id = p_event RETURNING * INTO v_event;
    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (p_event, p_who, p_verb, jsonb_build_object('seats', v_before),
            jsonb_build_object('seats', v_event.seats) || p_after);
    RETURN v_event;
END $$;

-- ---- adding and replacing ----

-- The middle of a row whose seats have these first and last numbers: what seats.middle holds. A row of more than 200
-- is a standing area, or a block in one row: it is filled from its first number, so that no search has to sort it.
CREATE OR REPLACE FUNCTION row_middle(p_first integer, p_last integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_last - p_first < 200 THEN p_first + p_last ELSE 0 END
$$;

-- Adds seats, given as columns, none of which exists. New sections and rows rank after the existing ones, in the order
-- of the list.
CREATE OR REPLACE FUNCTION seats_append(p_event text, p_sections text[], p_rows text[], p_numbers integer[],
                                        p_prices bigint[], p_currency text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_added bigint;
BEGIN
    WITH input AS (
        SELECT * FROM unnest(p_sections, p_rows, p_numbers, p_prices)
            WITH ORDINALITY AS u (section, row, number, price, o)
    ), known AS (
        SELECT section, row, min(section_rank) AS section_rank, min(row_rank) AS row_rank,
               min(number) AS first, max(number) AS last
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
            + row_number() OVER (PARTITION BY section, k.row_rank IS NULL ORDER BY i.o)) AS rank,
               row_middle(least(i.first, k.first), greatest(i.last, k.last)) AS middle
        FROM (SELECT section, row, min(o) AS o, min(number) AS first, max(number) AS last
              FROM input GROUP BY section, row) AS i
        JOIN ranked_section r USING (section)
        LEFT JOIN known k USING (section, row)
    )
    INSERT INTO seats (event_id, section, row, number, section_rank, row_rank, middle, price, currency)
    SELECT p_event, i.section, i.row, i.number, r.section_rank, r.rank, r.middle, i.price, p_currency
    FROM input i JOIN ranked_row r USING (section, row)
    ORDER BY r.section_rank, r.rank, i.number;
    GET DIAGNOSTICS v_added = ROW_COUNT;
    RETURN v_added;
END $$;

-- Makes the hall that of the list: removes seats that it lacks, changes prices, adds new seats, and ranks all as the
-- list does. All seats of the event are locked, and hall_errors has found nothing.
CREATE OR REPLACE FUNCTION seats_replace(p_event text, p_sections text[], p_rows text[], p_numbers integer[],
                                         p_prices bigint[], p_currency text,
                                         OUT added bigint, OUT removed bigint, OUT changed bigint, OUT layout bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_gone bigint[];
BEGIN
    SELECT array_agg(id) INTO v_gone FROM seats s WHERE event_id = p_event AND NOT EXISTS (
        SELECT FROM unnest(p_sections, p_rows, p_numbers) AS g (section, row, number)
        WHERE (g.section, g.row, g.number) = (s.section, s.row, s.number));
    removed := coalesce(cardinality(v_gone), 0);
    layout := 1 + seats_delete(p_event, coalesce(v_gone, '{}'));
    UPDATE seats s SET price = g.price, currency = p_currency, version = version + 1
    FROM unnest(p_sections, p_rows, p_numbers, p_prices) AS g (section, row, number, price)
    WHERE s.event_id = p_event AND (g.section, g.row, g.number) = (s.section, s.row, s.number)
      AND (s.price, s.currency) <> (g.price, p_currency);
    GET DIAGNOSTICS changed = ROW_COUNT;
    SELECT seats_append(p_event, array_agg(g.section ORDER BY o), array_agg(g.row ORDER BY o),
                        array_agg(g.number ORDER BY o), array_agg(g.price ORDER BY o), p_currency)
    INTO added
    FROM unnest(p_sections, p_rows, p_numbers, p_prices)
        WITH ORDINALITY AS g (section, row, number, price, o)
    WHERE NOT EXISTS (SELECT FROM seats s WHERE s.event_id = p_event
                        AND (g.section, g.row, g.number) = (s.section, s.row, s.number));
    added := coalesce(added, 0);
    WITH rows AS (
        SELECT section, row, min(o) AS first
        FROM unnest(p_sections, p_rows) WITH ORDINALITY AS u (section, row, o) GROUP BY section, row
    ), ranked AS (
        SELECT r.section, r.row, s.rank AS section_rank,
               row_number() OVER (PARTITION BY r.section ORDER BY r.first) AS row_rank
        FROM rows r JOIN (SELECT section, row_number() OVER (ORDER BY min(first)) AS rank
                          FROM rows GROUP BY section) AS s USING (section)
    )
    UPDATE seats s SET section_rank = r.section_rank, row_rank = r.row_rank, version = version + 1
    FROM ranked r
    WHERE s.event_id = p_event AND (s.section, s.row) = (r.section, r.row)
      AND (s.section_rank, s.row_rank) <> (r.section_rank, r.row_rank);
END $$;

-- compatible: its columns have changed, and only functions call it
DROP FUNCTION IF EXISTS hall_errors (events, text[], text[], integer[], bigint[], text, boolean);

-- What is wrong with a list of seats: up to 100 rows (seat, field, message, reason, values), seat being its number in the
-- list, from 1, or NULL: the list as a whole; the last two are those of `refusal`.
CREATE OR REPLACE FUNCTION hall_errors(p_event events, p_sections text[], p_rows text[], p_numbers integer[],
                                       p_prices bigint[], p_currency text, p_replace boolean)
RETURNS TABLE (seat bigint, field text, message text, reason text, vals text[]) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_currency text := (SELECT s.currency FROM seats s WHERE s.event_id = p_event.id
                          AND (NOT p_replace OR s.sold OR s.held_until > v_now) LIMIT 1);
    v_before bigint := CASE WHEN p_replace THEN 0 ELSE p_event.seats END;
BEGIN
    IF v_currency <> p_currency THEN
        RETURN QUERY SELECT 1::bigint, 'currency', format('This event sells in %s.', v_currency), 'event-currency', ARRAY[v_currency];
        RETURN;
    ELSIF v_before + cardinality(p_sections) > 100000 THEN
        RETURN QUERY SELECT 100001 - v_before, '', 'An event has at most 100,000 seats.', 'seats-too-many', NULL::text[];
        RETURN;
    END IF;
    RETURN QUERY
    WITH given AS (
        SELECT u.*, row_number() OVER (PARTITION BY u.section, u.row, u.number ORDER BY u.o) AS nth
        FROM unnest(p_sections, p_rows, p_numbers, p_prices)
            WITH ORDINALITY AS u (section, row, number, price, o)
    ), known AS (
        SELECT s.section, s.row, s.number, s.price, s.sold, s.sold OR s.held_until > v_now AS taken
        FROM seats s WHERE s.event_id = p_event.id
    )
    SELECT g.o, CASE WHEN g.nth = 1 AND k.sold AND p_replace THEN 'price' ELSE 'number' END,
           format(CASE WHEN g.nth > 1 THEN 'Seat %s %s %s is given twice.'
                       WHEN p_replace THEN 'Seat %s %s %s is sold: its price cannot change.'
                       ELSE 'Seat %s %s %s exists already.' END, g.section, g.row, g.number),
           CASE WHEN g.nth > 1 THEN 'seat-twice' WHEN p_replace THEN 'seat-sold' ELSE 'seat-exists' END,
           ARRAY[g.section, g.row, g.number::text]
    FROM given g LEFT JOIN known k USING (section, row, number)
    WHERE g.nth > 1 OR (k.section IS NOT NULL AND (NOT p_replace OR (k.sold AND k.price <> g.price)))
    UNION ALL
    SELECT NULL, '', format('Seat %s %s %s is held or sold, so it must be in the list.', k.section, k.row, k.number),
           'seat-missing', ARRAY[k.section, k.row, k.number::text]
    FROM known k LEFT JOIN given g USING (section, row, number)
    WHERE p_replace AND k.taken AND g.o IS NULL
    ORDER BY 1 NULLS LAST LIMIT 100;
END $$;

-- The sections of the hall that this list would make.
CREATE OR REPLACE FUNCTION hall_preview(p_event events, p_sections text[], p_rows text[], p_numbers integer[],
                                        p_prices bigint[], p_replace boolean)
RETURNS json LANGUAGE sql STABLE AS $$
    WITH seat AS (
        SELECT section, row, number, price, o
        FROM unnest(p_sections, p_rows, p_numbers, p_prices)
            WITH ORDINALITY AS u (section, row, number, price, o)
        UNION ALL
        SELECT section, row, number, price,
               row_number() OVER (ORDER BY section_rank, row_rank, s.number) - 1000000
        FROM seats s WHERE s.event_id = p_event.id AND NOT p_replace
    ), once AS (
        SELECT DISTINCT ON (section, row, number) * FROM seat ORDER BY section, row, number, o
    ), line AS (
        SELECT section, row, min(o) AS o, count(*) AS seats, min(price) AS low, max(price) AS high
        FROM once GROUP BY section, row
    ), part AS (
        SELECT section, min(o) AS o, json_build_object(
            'section', section, 'rows', count(*), 'seats', sum(seats), 'widestRow', max(seats),
            'priceFrom', min(low), 'priceTo', max(high)) AS summary
        FROM line GROUP BY section ORDER BY 2 LIMIT 1000
    )
    SELECT json_build_object('seats', (SELECT count(*) FROM once),
                             'sections', coalesce(json_agg(summary ORDER BY o), '[]')) FROM part
$$;

-- The work of seats_add and seats_import. p_locked: the event, whose row is locked. p_replace: these seats instead of all
-- that the event has. p_check: changes nothing.
--   added      {"added", "removed", "changed", "seats", "version"}; without p_replace only added, seats and version
--   checked    {"errors": [{"seat", "field", "message", "reason", "values"}], "seats", "sections"}: the hall that it would be
--   conflict | invalid    {"detail", "errors"}
CREATE OR REPLACE FUNCTION hall_store(p_locked events, p_who text, p_sections text[], p_rows text[],
                                      p_numbers integer[], p_prices bigint[], p_currency text,
                                      p_replace boolean, p_check boolean, OUT outcome text, OUT body json)
LANGUAGE plpgsql AS $$
DECLARE
    v_errors json;
    v_done record;
    v_event events;
BEGIN
    IF p_locked.status = 'closed' THEN
        outcome := 'conflict';
        body := refusal('The event is closed.', p_reason => 'is-closed');
        RETURN;
    END IF;
    -- The program has cleaned the names; the constraint seats_names_nfc would refuse others.
    p_sections := ARRAY(SELECT normalize(t) FROM unnest(p_sections) WITH ORDINALITY AS u (t, o) ORDER BY o);
    p_rows := ARRAY(SELECT normalize(t) FROM unnest(p_rows) WITH ORDINALITY AS u (t, o) ORDER BY o);
    IF p_replace AND NOT p_check THEN
        PERFORM FROM seats WHERE event_id = p_locked.id ORDER BY id FOR UPDATE;
    END IF;
    SELECT json_agg(json_strip_nulls(json_build_object('seat', e.seat, 'field', e.field, 'message', e.message,
                                                       'reason', e.reason, 'values', to_json(e.vals))))
    INTO v_errors
    FROM hall_errors(p_locked, p_sections, p_rows, p_numbers, p_prices, p_currency, p_replace) AS e;
    IF p_check THEN
        outcome := 'checked';
        body := json_join(json_build_object('errors', coalesce(v_errors, '[]')),
                          hall_preview(p_locked, p_sections, p_rows, p_numbers, p_prices, p_replace));
    ELSIF v_errors IS NOT NULL THEN
        outcome := CASE WHEN v_errors -> 0 ->> 'field' IN ('number', 'price') OR v_errors -> 0 ->> 'seat' IS NULL
                        THEN 'conflict' ELSE 'invalid' END;
        body := json_strip_nulls(json_build_object('detail', v_errors -> 0 ->> 'message', 'errors', v_errors,
            'reason', v_errors -> 0 -> 'reason', 'values', v_errors -> 0 -> 'values'));
    ELSIF p_replace THEN
        v_done := seats_replace(p_locked.id, p_sections, p_rows, p_numbers, p_prices, p_currency);
        v_event := hall_changed(p_locked.id, p_who, 'seats-replace', v_done.layout, jsonb_build_object(
            'added', v_done.added, 'removed', v_done.removed, 'changed', v_done.changed));
        outcome := 'added';
        body := json_build_object('added', v_done.added, 'removed', v_done.removed, 'changed', v_done.changed,
                                  'seats', v_event.seats, 'version', v_event.version);
    ELSE
        PERFORM seats_append(p_locked.id, p_sections, p_rows, p_numbers, p_prices, p_currency);
        v_event := hall_changed(p_locked.id, p_who, 'seats', 0, '{}');
        outcome := 'added';
        body := json_build_object('added', v_event.seats - p_locked.seats, 'seats', v_event.seats,
                                  'version', v_event.version);
    END IF;
END $$;

-- p_body: {"seats": [{section, row, number, price, currency}]} or
--         {"grid": {section, rows, seatsPerRow, price, currency}}, which makes rows "1", "2", ..., or a list of these.
-- p_version: the version that the event must have; NULL: any.
--   added | checked | conflict | invalid    as hall_store
--   not-found
--   stale      the event has another version
CREATE OR REPLACE FUNCTION seats_add(p_event text, p_who text, p_body jsonb, p_version bigint DEFAULT NULL,
                                     p_replace boolean DEFAULT false, p_check boolean DEFAULT false)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_nestloop = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_event events;
    v_list jsonb;
    v_refused json;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    ELSIF v_event.version <> p_version THEN
        RETURN QUERY SELECT 'stale', refusal('The event was changed meanwhile.');
        RETURN;
    END IF;
    SELECT r.list, r.refused INTO v_list, v_refused FROM seats_read(p_body) AS r;
    IF v_refused IS NULL AND 1 < (SELECT count(DISTINCT currency)
                                  FROM jsonb_to_recordset(v_list) AS i (currency text)) THEN
        v_refused := refusal('All seats of an event have one currency.', 'currency', p_reason => 'one-currency');
    END IF;
    IF v_refused IS NOT NULL THEN
        RETURN QUERY SELECT 'invalid', v_refused;
        RETURN;
    END IF;
    RETURN QUERY SELECT s.* FROM (
        SELECT array_agg(section ORDER BY o) AS sections, array_agg(row ORDER BY o) AS rows,
               array_agg(number ORDER BY o) AS numbers, array_agg(price ORDER BY o) AS prices,
               min(currency) AS currency
        FROM ROWS FROM (jsonb_to_recordset(v_list)
            AS (section text, row text, number integer, price bigint, currency text))
            WITH ORDINALITY AS i (section, row, number, price, currency, o)) AS l,
        hall_store(v_event, p_who, l.sections, l.rows, l.numbers, l.prices, l.currency, p_replace, p_check) AS s;
END $$;
-- contracts: generation 48: it could neither replace nor check
DROP FUNCTION IF EXISTS seats_add (text, text, jsonb);
-- contracts: generation 48: seats_add does its work
DROP FUNCTION IF EXISTS seats_added (text, text, bigint);
-- contracts: generation 48: seats_add does its work
DROP FUNCTION IF EXISTS seats_insert (text, text[], text[], integer[], bigint[], text);

-- The same for the seats of a CSV file, given as columns. For p_check the list may be empty.
CREATE OR REPLACE FUNCTION seats_import(p_event text, p_who text, p_version bigint, p_sections text[],
                             p_rows text[], p_numbers integer[], p_prices bigint[], p_currency text,
                             p_replace boolean, p_check boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_nestloop = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_event events;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
    ELSIF v_event.version <> p_version THEN
        RETURN QUERY SELECT 'stale', refusal('The event was changed meanwhile.');
    ELSE
        RETURN QUERY SELECT s.* FROM hall_store(v_event, p_who, p_sections, p_rows, p_numbers, p_prices,
                                                p_currency, p_replace, p_check) AS s;
    END IF;
END $$;
-- contracts: generation 48: seats_add does its work
DROP FUNCTION IF EXISTS seats_import (text, text, bigint, text[], text[], integer[], bigint[], text);

-- ---- correcting ----

-- Which seats staff mean: p_ids, or those of p_section, of its p_row, of its numbers p_from to p_to; NULL: any.
CREATE OR REPLACE FUNCTION seats_chosen(p_event text, p_ids bigint[], p_section text, p_row text, p_from integer,
                                        p_to integer)
RETURNS bigint[] LANGUAGE sql STABLE AS $$
    SELECT array_agg(id ORDER BY id) FROM seats
    WHERE event_id = p_event AND (p_ids IS NULL OR id = ANY (p_ids))
      AND (p_section IS NULL OR section = p_section) AND (p_row IS NULL OR row = p_row)
      AND (p_from IS NULL OR number >= p_from) AND (p_to IS NULL OR number <= p_to)
$$;

-- Gives these seats another section or row (NULL: as it is). All seats of the event are locked. A name that exists takes
-- the seats in, behind its own; a new one stands where the seats stood. bad: a name that two seats would have; then
-- nothing was changed.
CREATE OR REPLACE FUNCTION seats_rename(p_event text, p_seats bigint[], p_section text, p_row text, OUT bad text)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT format('%s %s %s', n.section, n.row, n.number) INTO bad
    FROM (SELECT coalesce(CASE WHEN id = ANY (p_seats) THEN p_section END, section) AS section,
                 coalesce(CASE WHEN id = ANY (p_seats) THEN p_row END, row) AS row, number
          FROM seats WHERE event_id = p_event) AS n
    GROUP BY n.section, n.row, n.number HAVING count(*) > 1 LIMIT 1;
    IF bad IS NOT NULL THEN
        RETURN;
    END IF;
    WITH others AS (
        SELECT section, row, min(section_rank) AS section_rank, min(row_rank) AS row_rank FROM seats
        WHERE event_id = p_event AND id <> ALL (p_seats) GROUP BY section, row
    ), known AS (
        SELECT section, min(section_rank) AS section_rank, max(row_rank) AS last_row FROM others GROUP BY section
    ), moved AS (
        SELECT id, coalesce(p_section, section) AS section, coalesce(p_row, row) AS row, row_rank
        FROM seats WHERE id = ANY (p_seats)
    )
    UPDATE seats s SET
        section = m.section, row = m.row, version = version + 1,
        section_rank = coalesce(k.section_rank, s.section_rank),
        row_rank = coalesce(o.row_rank, CASE WHEN p_section IS NOT NULL THEN k.last_row + m.row_rank END, s.row_rank)
    FROM moved m LEFT JOIN known k ON k.section = m.section
                 LEFT JOIN others o ON o.section = m.section AND o.row = m.row
    WHERE s.id = m.id;
    WITH rows AS (
        SELECT section, row, min(section_rank) AS s, min(row_rank) AS r FROM seats
        WHERE event_id = p_event GROUP BY section, row
    ), sections AS (
        SELECT section, row_number() OVER (ORDER BY min(s), min(r), section) AS rank FROM rows GROUP BY section
    ), ranked AS (
        SELECT section, row, rank AS section_rank,
               row_number() OVER (PARTITION BY section ORDER BY s, r, row) AS row_rank
        FROM rows JOIN sections USING (section)
    )
    UPDATE seats s SET section_rank = r.section_rank, row_rank = r.row_rank, version = version + 1
    FROM ranked r WHERE s.event_id = p_event AND (s.section, s.row) = (r.section, r.row)
      AND (s.section_rank, s.row_rank) <> (r.section_rank, r.row_rank);
END $$;

-- Blocks those of these locked seats that are free at p_now, lapsed holds included. p_reason NULL: unblocks.
CREATE OR REPLACE FUNCTION seats_block(p_event text, p_seats bigint[], p_reason text, p_now timestamptz)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_n bigint;
BEGIN
    IF p_reason IS NULL THEN
        UPDATE seats SET status = 'available', block_reason = NULL, version = version + 1
        WHERE id = ANY (p_seats) AND status = 'blocked';
    ELSE
        UPDATE reservation_seats SET live = false
        WHERE event_id = p_event AND live AND seat_id IN (
            SELECT id FROM seats WHERE id = ANY (p_seats) AND status = 'held' AND held_until <= p_now);
        UPDATE seats SET status = 'blocked', block_reason = p_reason, holder = NULL, held_until = NULL,
                         version = version + CASE status WHEN 'held' THEN 2 ELSE 1 END
        WHERE id = ANY (p_seats)
          AND (status IN ('available', 'blocked') OR (status = 'held' AND held_until <= p_now))
          AND block_reason IS DISTINCT FROM p_reason;
    END IF;
    GET DIAGNOSTICS v_n = ROW_COUNT;
    RETURN v_n;
END $$;

-- Corrects seats of an event (seats_chosen). p_verb, and what it takes:
--   remove               refused if one of them is held or sold
--   rename               p_new_section, p_new_row: the same
--   reprice  p_price     those that are not sold; a buyer who holds one pays what the hold said
--   block    p_reason    those that are free
--   unblock
-- p_version: the version that the event must have; NULL: any.
--   changed        {"changed", "left": {"held", "sold"}, "seats", "version"}: how many it changed, and how many it left
--                  as they were because they are held or sold
--   not-found
--   stale          the event has another version
--   unknown-seat   no seat fits, or one of p_ids is none of this event
--   seats-taken    one of them is held or sold (the body names up to 20)
--   conflict       a name would occur twice; the event is closed, or on sale and would have no seats
CREATE OR REPLACE FUNCTION seats_correct(p_event text, p_who text, p_version bigint, p_verb text, p_ids bigint[],
                                         p_section text, p_row text, p_from integer, p_to integer, p_price bigint,
                                         p_new_section text, p_new_row text, p_reason text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_nestloop = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_event events;
    v_seats bigint[];
    v_taken bigint[];
    v_held bigint;
    v_sold bigint;
    v_now timestamptz;
    v_layout bigint := 1;
    v_changed bigint;
    v_bad text;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    ELSIF v_event.version <> p_version THEN
        RETURN QUERY SELECT 'stale', refusal('The event was changed meanwhile.');
        RETURN;
    ELSIF v_event.status = 'closed' THEN
        RETURN QUERY SELECT 'conflict', refusal('The event is closed.', p_reason => 'is-closed');
        RETURN;
    END IF;
    v_seats := seats_chosen(p_event, p_ids, p_section, p_row, p_from, p_to);
    IF v_seats IS NULL OR cardinality(v_seats) < cardinality(p_ids) THEN
        RETURN QUERY SELECT 'unknown-seat', refusal(
            CASE WHEN p_ids IS NULL THEN 'The event has no such seats.' ELSE 'One of these is no seat of this event.' END,
            'where', ARRAY(SELECT i FROM unnest(p_ids) AS i WHERE i <> ALL (coalesce(v_seats, '{}')) LIMIT 20));
        RETURN;
    END IF;
    PERFORM FROM seats
    WHERE event_id = p_event AND (p_verb = 'rename' OR id = ANY (v_seats)) ORDER BY id FOR UPDATE;
    v_now := clock_timestamp();
    SELECT array_agg(id ORDER BY id), count(*) FILTER (WHERE NOT sold), count(*) FILTER (WHERE sold)
    INTO v_taken, v_held, v_sold FROM seats
    WHERE id = ANY (v_seats) AND (sold OR held_until > v_now);
    IF v_taken IS NOT NULL AND p_verb IN ('remove', 'rename') THEN
        RETURN QUERY SELECT 'seats-taken', refusal(
            format('Of these seats %s are held and %s are sold.', v_held, v_sold), 'where', v_taken[:20],
            'seats-taken', ARRAY[v_held::text, v_sold::text]);
        RETURN;
    ELSIF p_verb = 'remove' AND cardinality(v_seats) = v_event.seats AND v_event.status <> 'draft' THEN
        RETURN QUERY SELECT 'conflict', refusal('These are all seats of an event that is published: replace them instead.',
                                                'where', p_reason => 'all-seats');
        RETURN;
    END IF;
    CASE p_verb
    WHEN 'remove' THEN
        v_changed := cardinality(v_seats);
        v_layout := 1 + seats_delete(p_event, v_seats);
    WHEN 'rename' THEN
        v_changed := cardinality(v_seats);
        v_bad := seats_rename(p_event, v_seats, p_new_section, p_new_row);
        IF v_bad IS NOT NULL THEN
            RETURN QUERY SELECT 'conflict', refusal(format('Two seats would be named %s.', v_bad),
                                CASE WHEN p_new_section IS NULL THEN 'row' ELSE 'section' END,
                                p_reason => 'name-twice', p_values => ARRAY[v_bad]);
            RETURN;
        END IF;
    WHEN 'reprice' THEN
        v_held := 0; -- these change as well
        UPDATE seats SET price = p_price, version = version + 1
        WHERE id = ANY (v_seats) AND NOT sold AND price <> p_price;
        GET DIAGNOSTICS v_changed = ROW_COUNT;
    ELSE
        v_layout := 0; -- a change of status
        v_changed := seats_block(p_event, v_seats, CASE p_verb WHEN 'block' THEN p_reason END, v_now);
        IF p_verb = 'unblock' THEN
            v_held := 0;
            v_sold := 0;
        END IF;
    END CASE;
    IF v_changed > 0 THEN
        v_event := hall_changed(p_event, p_who, 'seats-' || p_verb, v_layout, jsonb_strip_nulls(jsonb_build_object(
            'changed', v_changed, 'section', p_section, 'row', p_row, 'from', p_from, 'to', p_to,
            'seatIds', to_jsonb(p_ids[:100]), 'price', p_price, 'newSection', p_new_section,
            'newRow', p_new_row, 'reason', p_reason)));
    END IF;
    RETURN QUERY SELECT 'changed', json_build_object(
        'changed', v_changed, 'left', json_build_object('held', v_held, 'sold', v_sold),
        'seats', v_event.seats, 'version', v_event.version);
END $$;

-- ---- counting ----

-- The sold seats, and what each was sold for.
CREATE OR REPLACE FUNCTION seats_sold(p_event text) RETURNS TABLE (id bigint, price bigint) LANGUAGE sql STABLE AS $$
    SELECT s.id, coalesce(rs.price, s.price) FROM seats s LEFT JOIN reservation_seats rs
        ON rs.event_id = s.event_id AND rs.seat_id = s.id AND rs.live
    WHERE s.event_id = p_event AND s.sold
$$;

-- Free, held, sold and blocked seats of each section (the first 1,000), and what the sold ones brought; in `total` the
-- same of the whole hall, and what was or must be returned.
-- found | not-found
CREATE OR REPLACE FUNCTION hall_summary(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    WITH part AS (
        SELECT s.section, min(s.section_rank) AS rank, count(DISTINCT s.row_rank) AS rows, count(*) AS seats,
               min(s.price) AS low, max(s.price) AS high,
               count(*) FILTER (WHERE s.status = 'available' OR s.held_until <= clock_timestamp()) AS free,
               count(*) FILTER (WHERE s.held_until > clock_timestamp()) AS held,
               count(*) FILTER (WHERE s.sold) AS sold, count(*) FILTER (WHERE s.status = 'blocked') AS blocked,
               coalesce(sum(b.price), 0) AS revenue
        FROM seats s LEFT JOIN seats_sold(p_event) AS b ON b.id = s.id
        WHERE s.event_id = p_event GROUP BY s.section
    ), money AS (
        SELECT coalesce(sum(refunded_amount), 0) AS refunded, coalesce(sum(due_amount), 0) AS due
        FROM payments WHERE event_id = p_event
    )
    SELECT 'found', json_build_object(
        'eventId', e.id, 'currency', e.currency, 'version', e.version,
        'total', (SELECT json_build_object(
            'seats', coalesce(sum(seats), 0), 'free', coalesce(sum(free), 0), 'held', coalesce(sum(held), 0),
            'sold', coalesce(sum(sold), 0), 'blocked', coalesce(sum(blocked), 0),
            'revenue', coalesce(sum(revenue), 0), 'refunded', min(m.refunded), 'refundDue', min(m.due))
            FROM money m LEFT JOIN part ON true),
        'sections', coalesce((SELECT json_agg(json_build_object(
            'section', section, 'rows', rows, 'seats', seats, 'priceFrom', low, 'priceTo', high, 'free', free,
            'held', held, 'sold', sold, 'blocked', blocked, 'revenue', revenue) ORDER BY rank)
            FROM (SELECT * FROM part ORDER BY rank LIMIT 1000) AS p), '[]'))
    FROM events e WHERE e.id = p_event
    UNION ALL
    SELECT 'not-found', refusal('There is no such event.') WHERE NOT EXISTS (SELECT FROM events WHERE id = p_event)
$$;
