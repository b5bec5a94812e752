-- SPDX-License-Identifier: MIT
--
-- seat: the seats of an event. Shows and counts them; gives them to reservations and takes them back, for the other
-- files. Which seats a hold gets is decided in pick.sql; what staff do with seats is in hall.sql.

-- ---- showing seats ----

-- The map of a hall, byte for byte as clients get it. It is built only if its version is not p_known:
-- computing the version takes a sixth of the time. Do not change the order or layout of the text:
-- seat_delta.c reads ids and statuses out of it. Two maps of one `layout` have the same seats, names and prices, unless
-- seats were added.
--   found
--   unchanged   p_known is the present version; no body
--   not-found   no such event, or a draft, whose map is not public
CREATE OR REPLACE FUNCTION seat_map_text(p_event text, p_known bigint)
RETURNS TABLE (outcome text, body text, version bigint) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_layout bigint;
    v_version bigint;
BEGIN
    SELECT seats_layout INTO v_layout FROM events WHERE id = p_event AND status <> 'draft';
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', NULL::text, 0::bigint;
        RETURN;
    END IF;
    SELECT v_layout + coalesce(sum(s.version + (s.status = 'held' AND s.held_until <= v_now)::integer), 0)
    INTO v_version FROM seats s WHERE s.event_id = p_event;
    IF v_version = p_known THEN
        RETURN QUERY SELECT 'unchanged', NULL::text, v_version;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'found', concat('{"version":', m.version, ',"layout":', v_layout, ',"seats":[', m.seats, ']}'), m.version
    FROM (SELECT (v_layout + coalesce(sum(s.version + s.lapsed::integer), 0))::bigint AS version,
                 string_agg(concat(
                     '{"id":"', s.id, '","section":', to_json(s.section), ',"row":', to_json(s.row),
                     ',"number":', s.number, ',"price":', s.price, ',"currency":"', s.currency,
                     '","status":"', CASE WHEN s.lapsed THEN 'available' ELSE s.status END, '"}'),
                     ',' ORDER BY s.section_rank, s.row_rank, s.number) AS seats
          FROM (SELECT *, status = 'held' AND held_until <= v_now AS lapsed
                FROM seats WHERE event_id = p_event) AS s) AS m;
END $$;

-- A time as the clocks of a zone show it, for spreadsheets. p_zone: as zone_known gives it.
CREATE OR REPLACE FUNCTION zone_time(p_time timestamptz, p_zone text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(p_time AT TIME ZONE p_zone, 'YYYY-MM-DD HH24:MI:SS')
$$;

-- The name of a time zone, if PostgreSQL knows it; else UTC. (The program knows zones by ICU, whose list may be newer.)
CREATE OR REPLACE FUNCTION zone_known(p_zone text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM now() AT TIME ZONE p_zone;
    RETURN coalesce(p_zone, 'UTC');
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN 'UTC';
END $$;

-- A page of the hall as CSV: up to p_limit seats after the one with these ranks and number. Returns the
-- lines, NULL when there are none; and of a full page the ranks and number of the last seat, after which there
-- may be more. A lapsed hold is shown as available. Times are those of the event's time zone.
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
    ), zone AS MATERIALIZED (
        SELECT zone_known(settings ->> 'timeZone') AS name FROM events WHERE id = p_event
    ), shown AS (
        SELECT p.*, p.status = 'held' AND p.held_until <= statement_timestamp() AS lapsed FROM page p
    ), line AS (
        SELECT s.section_rank, s.row_rank, s.number, concat_ws(',', s.id, csv_text(s.section),
            csv_text(s.row), s.number, s.price, s.currency,
            CASE WHEN s.lapsed THEN 'available' ELSE s.status END, coalesce(csv_text(s.block_reason), ''),
            coalesce(r.number, ''), coalesce(r.id::text, ''), coalesce(csv_text(r.buyer), ''),
            CASE WHEN s.lapsed THEN '' ELSE coalesce(zone_time(s.held_until, z.name), '') END,
            CASE WHEN s.sold THEN coalesce(zone_time(r.ended_at, z.name), '') ELSE '' END,
            CASE WHEN s.sold THEN coalesce(rs.price, s.price)::text ELSE '' END,
            coalesce(zone_time(p.settled_at, z.name), ''), coalesce(csv_text(p.provider), ''),
            coalesce(csv_text(p.reference), ''), z.name)
            || E'\r\n' AS text
        FROM shown s CROSS JOIN zone z
        LEFT JOIN reservations r ON r.id = s.holder AND NOT s.lapsed
        LEFT JOIN reservation_seats rs ON s.sold AND rs.reservation_id = r.id AND rs.seat_id = s.id
        LEFT JOIN LATERAL (SELECT * FROM payments WHERE s.sold AND reservation_id = r.id AND status = 'paid'
                           ORDER BY id LIMIT 1) AS p ON true
    )
    SELECT string_agg(text, '' ORDER BY l.section_rank, l.row_rank, l.number),
           (array_agg(l.section_rank ORDER BY l.section_rank, l.row_rank, l.number))[p_limit],
           (array_agg(l.row_rank ORDER BY l.section_rank, l.row_rank, l.number))[p_limit],
           (array_agg(l.number ORDER BY l.section_rank, l.row_rank, l.number))[p_limit]
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
    INSERT INTO reservation_seats (reservation_id, event_id, seat_id, price)
    SELECT t.owner, p_event, s.id, s.price FROM unnest(p_seats, p_owners) AS t (seat, owner)
    JOIN seats s ON s.id = t.seat
    ON CONFLICT (reservation_id, seat_id) DO UPDATE SET live = true; -- the price stays that of the hold
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

-- Takes back seats that a reservation has bought: p_seats, NULL: all. They are available again or, with a reason,
-- blocked. The reservation's row is locked.
CREATE OR REPLACE FUNCTION seats_unsell(p_reservation uuid, p_seats bigint[], p_block text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_seats bigint[];
BEGIN
    v_seats := ARRAY(SELECT s.id FROM seats s
                     WHERE s.id IN (SELECT seat_id FROM reservation_seats
                                    WHERE reservation_id = p_reservation AND live)
                       AND (p_seats IS NULL OR s.id = ANY (p_seats))
                       AND s.holder = p_reservation AND s.status = 'sold'
                     ORDER BY s.id FOR UPDATE);
    UPDATE reservation_seats SET live = false
    WHERE reservation_id = p_reservation AND seat_id = ANY (v_seats);
    UPDATE seats SET status = CASE WHEN p_block IS NULL THEN 'available' ELSE 'blocked' END,
                     block_reason = p_block, holder = NULL, version = version + 1
    WHERE id = ANY (v_seats);
END $$;
-- contracts: generation 48: it took back all, and blocked none
DROP FUNCTION IF EXISTS seats_unsell (uuid);
