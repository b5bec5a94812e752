-- SPDX-License-Identifier: MIT
--
-- seats: what is sold. A seat is free when it is available, or held by a hold that is past its
-- time: nothing waits for the sweeper.
--
-- `version` counts the changes of one seat, and the version of a seat map is the sum over its
-- seats: it rises with every change, needs no hot row, and two maps with one version are equal.
-- A hold that lapses changes the map without a write; so a lapsed hold counts one more, going
-- back to available adds one, and every other way out of a hold adds two.

CREATE TABLE seats (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     text COLLATE "C" NOT NULL REFERENCES events (id),
    section      text NOT NULL,
    row          text NOT NULL,
    number       integer NOT NULL CHECK (number > 0),
    section_rank integer NOT NULL, -- best available: first by section, in the order they came
    row_rank     integer NOT NULL, -- then by row, in the order they came, then by number
    price        bigint NOT NULL CHECK (price >= 0), -- minor units
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status       text NOT NULL DEFAULT 'available'
                 CHECK (status IN ('available', 'held', 'sold')),
    holder       uuid, -- the reservation that holds it or has bought it
    held_until   timestamptz,
    version      bigint NOT NULL DEFAULT 1,
    -- Of its own, so that taking and giving back a hold changes no index (HOT updates).
    sold         boolean NOT NULL GENERATED ALWAYS AS (status = 'sold') STORED,
    UNIQUE (event_id, section, row, number),
    UNIQUE (event_id, id),
    CHECK ((status = 'available') = (holder IS NULL)),
    CHECK ((status = 'held') = (held_until IS NOT NULL))
) WITH (fillfactor = 60);
CREATE INDEX seats_best ON seats (event_id, section_rank, row_rank, number) WHERE NOT sold;

-- What is wrong with the fields of an object, as the body of a refusal; NULL: nothing. p_kinds
-- names the fields, each with "text", "currency", or [least, greatest] of an integer.
CREATE FUNCTION fields_refusal(p_object jsonb, p_path text, p_kinds jsonb)
RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_key text;
    v_kind jsonb;
    v_value jsonb;
BEGIN
    IF jsonb_typeof(p_object) IS DISTINCT FROM 'object' THEN
        RETURN refusal('An object is needed.', rtrim(p_path, '.'));
    END IF;
    SELECT k INTO v_key FROM jsonb_object_keys(p_object) AS k WHERE NOT p_kinds ? k LIMIT 1;
    IF FOUND THEN
        RETURN refusal('There is no field of this name here.', p_path || v_key);
    END IF;
    FOR v_key, v_kind IN SELECT * FROM jsonb_each(p_kinds) LOOP
        v_value := p_object -> v_key;
        IF v_value IS NULL THEN
            RETURN refusal(v_key || ' is needed.', p_path || v_key);
        ELSIF v_kind = '"text"' THEN
            IF jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' !~ '^[^[:cntrl:]]{1,64}$' THEN
                RETURN refusal(v_key || ' must be a text of 1 to 64 characters.', p_path || v_key);
            END IF;
        ELSIF v_kind = '"currency"' THEN
            IF jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' !~ '^[A-Z]{3}$' THEN
                RETURN refusal('currency must be three capital letters, such as EUR.',
                               p_path || v_key);
            END IF;
        ELSIF jsonb_typeof(v_value) <> 'number' OR v_value <> to_jsonb(trunc(v_value::numeric))
            OR v_value < v_kind -> 0 OR v_value > v_kind -> 1 THEN
            RETURN refusal(format('%s must be an integer from %s to %s.', v_key, v_kind -> 0,
                                  v_kind -> 1), p_path || v_key);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- The seats a body of seats_add means, as one list; or why it is refused.
CREATE FUNCTION seats_read(p_body jsonb, OUT list jsonb, OUT refused json) LANGUAGE plpgsql
IMMUTABLE AS $$
DECLARE
    v_price CONSTANT jsonb := '{"price": [0, 1000000000000], "currency": "currency"}';
    v_grid jsonb := p_body -> 'grid';
BEGIN
    list := p_body -> 'seats';
    IF (list IS NULL) = (v_grid IS NULL) THEN
        refused := refusal('Either seats or grid is needed.', 'seats');
    ELSIF p_body - 'seats' - 'grid' <> '{}' THEN
        refused := fields_refusal(p_body - 'seats' - 'grid', '', '{}');
    ELSIF list IS NOT NULL THEN
        IF jsonb_typeof(list) <> 'array' OR list = '[]' THEN
            refused := refusal('seats must be a list of seats.', 'seats');
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

-- added | not-found | conflict (a seat exists already, the event is closed) | invalid.
-- p_body: {"seats": [{section, row, number, price, currency}]} or
--         {"grid": {section, rows, seatsPerRow, price, currency}} with rows "1", "2", ...
-- One currency per event. Counts as a change of the event: its version rises, so that the live
-- copies learn how many seats there are.
CREATE FUNCTION seats_add(p_event text, p_who text, p_body jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_event events;
    v_list jsonb;
    v_refused json;
    v_bad text;
    v_added bigint;
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
    SELECT s.section || ' ' || s.row || ' ' || s.number INTO v_bad
    FROM (SELECT * FROM jsonb_to_recordset(v_list) AS i (section text, row text, number integer)
          UNION ALL
          SELECT section, row, number FROM seats WHERE event_id = p_event) AS s
    GROUP BY s.section, s.row, s.number HAVING count(*) > 1 LIMIT 1;
    IF FOUND THEN
        RETURN QUERY SELECT 'conflict',
                            refusal(format('Seat %s exists already or is given twice.', v_bad));
        RETURN;
    END IF;
    SELECT c.currency INTO v_bad
    FROM (SELECT currency FROM jsonb_to_recordset(v_list) AS i (currency text)
          UNION
          (SELECT currency FROM seats WHERE event_id = p_event LIMIT 1)) AS c OFFSET 1;
    IF FOUND THEN
        RETURN QUERY SELECT 'invalid', refusal('An event sells in one currency.', 'currency');
        RETURN;
    END IF;

    WITH input AS (
        SELECT i.* FROM ROWS FROM (jsonb_to_recordset(v_list)
            AS (section text, row text, number integer, price bigint, currency text))
            WITH ORDINALITY AS i (section, row, number, price, currency, o)
    ), section AS (
        SELECT i.section, min(o) AS o,
               (SELECT min(section_rank) FROM seats s
                WHERE s.event_id = p_event AND s.section = i.section) AS old
        FROM input i GROUP BY i.section
    ), ranked_section AS (
        SELECT section, coalesce(old,
            (SELECT coalesce(max(section_rank), 0) FROM seats WHERE event_id = p_event)
            + row_number() OVER (PARTITION BY old IS NULL ORDER BY o)) AS rank
        FROM section
    ), hall_row AS (
        SELECT i.section, i.row, min(o) AS o,
               (SELECT min(row_rank) FROM seats s WHERE s.event_id = p_event
                    AND s.section = i.section AND s.row = i.row) AS old
        FROM input i GROUP BY i.section, i.row
    ), ranked_row AS (
        SELECT h.section, h.row, coalesce(old,
            (SELECT coalesce(max(row_rank), 0) FROM seats s
             WHERE s.event_id = p_event AND s.section = h.section)
            + row_number() OVER (PARTITION BY h.section, old IS NULL ORDER BY o)) AS rank
        FROM hall_row h
    )
    INSERT INTO seats (event_id, section, row, number, section_rank, row_rank, price, currency)
    SELECT p_event, i.section, i.row, i.number, rs.rank, rr.rank, i.price, i.currency
    FROM input i JOIN ranked_section rs USING (section) JOIN ranked_row rr USING (section, row)
    ORDER BY rs.rank, rr.rank, i.number;
    GET DIAGNOSTICS v_added = ROW_COUNT;

    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (p_event, p_who, 'seats', jsonb_build_object('seats', v_event.seats),
            jsonb_build_object('seats', v_event.seats + v_added));
    UPDATE events SET seats = seats + v_added, version = version + 1 WHERE id = p_event
    RETURNING * INTO v_event;
    RETURN QUERY SELECT 'added', json_build_object('added', v_added, 'seats', v_event.seats,
                                                   'version', v_event.version);
END $$;

-- found | not-found (a draft's map is not public)
CREATE FUNCTION seat_map(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT FROM events WHERE id = p_event AND status <> 'draft') THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'found', json_build_object(
        'version', coalesce(sum(s.version + s.lapsed::integer), 0),
        'seats', coalesce(json_agg(json_build_object(
            'id', s.id::text, 'section', s.section, 'row', s.row, 'number', s.number,
            'price', s.price, 'currency', s.currency,
            'status', CASE WHEN s.lapsed THEN 'available' ELSE s.status END)
            ORDER BY s.section_rank, s.row_rank, s.number), '[]'))
    FROM (SELECT *, status = 'held' AND held_until <= v_now AS lapsed
          FROM seats WHERE event_id = p_event) AS s;
END $$;

CREATE FUNCTION seats_free(p_event text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM seats
    WHERE event_id = p_event AND NOT sold
      AND (status = 'available' OR held_until <= clock_timestamp())
$$;

-- What time and the seats do to an event: opening, closing, sold out and back; and the highest
-- place given, which never falls. settled (something changed) | unchanged | not-found.
CREATE FUNCTION event_settle(p_id text, p_last_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_before events;
    v_after events;
    v_status text;
    v_now timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO v_before FROM events WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    v_status := v_before.status;
    IF v_status NOT IN ('draft', 'closed') AND v_before.closes_at <= v_now THEN
        v_status := 'closed';
    ELSIF v_status = 'scheduled' AND coalesce(v_before.opens_at, v_now) <= v_now THEN
        v_status := 'open';
    END IF;
    IF v_status IN ('open', 'sold_out') THEN
        -- A live hold may still lapse, so only when every seat is sold is nothing left.
        v_status := CASE WHEN v_before.seats > 0
            AND NOT EXISTS (SELECT FROM seats WHERE event_id = p_id AND NOT sold)
            THEN 'sold_out' ELSE 'open' END;
    END IF;
    IF v_status = v_before.status AND coalesce(p_last_place, 0) <= v_before.last_place THEN
        RETURN QUERY SELECT 'unchanged', event_row(v_before);
        RETURN;
    END IF;
    UPDATE events SET
        last_place = greatest(last_place, p_last_place),
        status = v_status,
        closed_at = CASE WHEN v_status = 'closed' THEN coalesce(closed_at, v_now) END,
        version = version + (v_status <> v_before.status)::integer
    WHERE id = p_id
    RETURNING * INTO v_after;
    IF v_status <> v_before.status THEN
        INSERT INTO audit (event_id, who, verb, before, after)
        VALUES (p_id, 'tiketi', 'settle', event_row(v_before), event_row(v_after));
    END IF;
    RETURN QUERY SELECT CASE WHEN v_status <> v_before.status THEN 'settled' ELSE 'unchanged' END,
                        event_row(v_after);
END $$;
