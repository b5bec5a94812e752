-- SPDX-License-Identifier: MIT
--
-- seat_map: the map of a hall as the bytes that are sent, made only when it is another one than the
-- asker knows: to find out that it is not takes a sixth of the time.

-- found (body is the map, of this version) | unchanged (p_known is its version; no body) | not-found
-- (a draft's map is not public). Order and layout of the text are a contract: src/seat_delta.c reads
-- ids and statuses out of it.
CREATE FUNCTION seat_map_text(p_event text, p_known bigint)
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
