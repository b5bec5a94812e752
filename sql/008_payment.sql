-- SPDX-License-Identifier: MIT
--
-- The slot of a buyer whose sale was taken back: it is freed as that of any other who has bought, also
-- when nobody got to it between the sale and the refund.

CREATE INDEX reservations_refunded_unfreed ON reservations (event_id, ended_at)
    WHERE status = 'refunded' AND NOT slot_freed;

-- listed: {"reservations": [{id, eventId, buyer, place, epoch}]} bought two seconds ago or longer
-- whose buyer's slot is not known to be free. A departure in the admission log tells as well.
CREATE OR REPLACE FUNCTION reservation_unfreed(p_event text, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    WITH unfreed AS (
        (SELECT * FROM reservations
         WHERE status = 'confirmed' AND NOT slot_freed
           AND ended_at < clock_timestamp() - interval '2 seconds'
           AND (p_event IS NULL OR event_id = p_event)
         ORDER BY ended_at LIMIT p_limit)
        UNION ALL
        (SELECT * FROM reservations
         WHERE status = 'refunded' AND NOT slot_freed
           AND ended_at < clock_timestamp() - interval '2 seconds'
           AND (p_event IS NULL OR event_id = p_event)
         ORDER BY ended_at LIMIT p_limit))
    SELECT 'listed', json_build_object('reservations', coalesce(json_agg(json_build_object(
        'id', r.id, 'eventId', r.event_id, 'buyer', r.buyer, 'place', r.place::text,
        'epoch', r.epoch)), '[]'))
    FROM (SELECT * FROM unfreed ORDER BY ended_at LIMIT p_limit) AS r
$$;

-- freed | not-found
CREATE OR REPLACE FUNCTION reservation_mark_freed(p_id text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE reservations SET slot_freed = true
    WHERE id = as_uuid(p_id) AND status IN ('confirmed', 'refunded');
    IF FOUND THEN
        RETURN QUERY SELECT 'freed', json_build_object('id', p_id);
    ELSE
        RETURN QUERY SELECT 'not-found', refusal('There is no such sale.');
    END IF;
END $$;
