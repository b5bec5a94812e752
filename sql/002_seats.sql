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

-- added | not-found | conflict (a seat exists already, the event is closed) | invalid.
-- p_body: {"seats": [{section, row, number, price, currency}]} or
--         {"grid": {section, rows, seatsPerRow, price, currency}}: rows is a count (rows "1", "2",
--         ...) or a list of row names. One currency per event. Counts as a change of the event:
--         its version rises, so that the live copies learn how many seats there are.
CREATE FUNCTION seats_add(p_event text, p_who text, p_body jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_max CONSTANT integer := 100000;
    v_event events;
    v_grid jsonb := p_body -> 'grid';
    v_list jsonb := p_body -> 'seats';
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
    IF v_grid IS NOT NULL THEN
        IF jsonb_typeof(v_grid -> 'rows') = 'number' THEN
            v_grid := jsonb_set(v_grid, '{rows}', coalesce(
                (SELECT jsonb_agg(n::text)
                 FROM generate_series(1, least((v_grid ->> 'rows')::integer, v_max)) AS n), '[]'));
        END IF;
        IF jsonb_array_length(v_grid -> 'rows') * (v_grid ->> 'seatsPerRow')::bigint > v_max THEN
            RETURN QUERY SELECT 'invalid', refusal('Too many seats at once.', 'grid.seatsPerRow');
            RETURN;
        END IF;
        SELECT jsonb_agg(jsonb_build_object('section', v_grid -> 'section', 'row', r.row,
                                            'number', n, 'price', v_grid -> 'price',
                                            'currency', v_grid -> 'currency') ORDER BY r.o, n)
        INTO v_list
        FROM jsonb_array_elements_text(v_grid -> 'rows') WITH ORDINALITY AS r (row, o),
             generate_series(1, (v_grid ->> 'seatsPerRow')::integer) AS n;
    END IF;
    IF jsonb_array_length(coalesce(v_list, '[]')) = 0 THEN
        RETURN QUERY SELECT 'invalid', refusal('No seats are given.', 'seats');
        RETURN;
    END IF;
    IF v_event.seats + jsonb_array_length(v_list) > v_max THEN
        RETURN QUERY SELECT 'invalid', refusal('An event has at most 100,000 seats.', 'seats');
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
