-- SPDX-License-Identifier: MIT
--
-- csv: a hall of 100,000 seats in one transaction, and out again page by page.

-- The order of the hall is seats_best for what is not sold; this is the rest. Of its own, and not one
-- index of all, so that a hall is filled and holds are taken at the same cost as before.
CREATE INDEX seats_sold ON seats (event_id, section_rank, row_rank, number) WHERE sold;

-- Adds seats given as columns, to an event that is locked. One currency, checked by the caller. Which
-- seat is given twice or exists already, by its number in the list (bad); NULL: all were added.
CREATE FUNCTION seats_insert(p_event text, p_sections text[], p_rows text[], p_numbers integer[],
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

-- The seats are in: the audit, and the event's version.
CREATE FUNCTION seats_added(p_event text, p_who text, p_added bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE sql AS $$
    INSERT INTO audit (event_id, who, verb, before, after)
    SELECT id, p_who, 'seats', jsonb_build_object('seats', seats),
           jsonb_build_object('seats', seats + p_added) FROM events WHERE id = p_event;
    UPDATE events SET seats = seats + p_added, version = version + 1 WHERE id = p_event
    RETURNING 'added', json_build_object('added', p_added, 'seats', seats, 'version', version)
$$;

-- As it was (002), in other words: added | not-found | conflict | invalid.
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

-- The same for a file whose first seat stands in its second line: added | not-found | stale (p_version,
-- where given, is no longer the stored one) | conflict | invalid, with the line where there is one.
CREATE FUNCTION seats_import(p_event text, p_who text, p_version bigint, p_sections text[],
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

-- A text as a cell (RFC 4180). A spreadsheet takes what begins with = + - @, a tab or a CR for a
-- formula: so that gets an apostrophe in front.
CREATE FUNCTION csv_text(p_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN guarded ~ '[",\r\n]' THEN '"' || replace(guarded, '"', '""') || '"'
                ELSE guarded END
    FROM (SELECT CASE WHEN p_text ~ '^[-=+@\t\r]' THEN '''' || p_text ELSE p_text END) AS g (guarded)
$$;

-- A page of the hall as CSV, after the seat with these ranks and number: its lines (body), and the
-- ranks and number of its last seat; NULL: there are no more. A hold that is past its time is shown as
-- what it is: available.
CREATE FUNCTION seats_csv(p_event text, p_section_rank integer, p_row_rank integer, p_number integer,
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
