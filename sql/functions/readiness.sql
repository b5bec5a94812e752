-- SPDX-License-Identifier: MIT
--
-- readiness: what PostgreSQL knows of whether an event is ready to open.

-- The event's rehearsals: copies of it, copies of what it was copied from, and the rehearsal that it was copied from.
CREATE OR REPLACE FUNCTION rehearsals_of(p_event events) RETURNS SETOF events LANGUAGE sql STABLE AS $$
    WITH source AS (
        SELECT before ->> 'copyOf' AS id FROM audit WHERE event_id = p_event.id AND verb = 'copy')
    SELECT e.* FROM events e
    WHERE e.owner = p_event.owner AND e.id <> p_event.id AND coalesce((e.settings ->> 'rehearsal')::boolean, false)
      AND (e.id IN (SELECT id FROM source)
           OR EXISTS (SELECT FROM audit a WHERE a.event_id = e.id AND a.verb = 'copy'
                        AND (a.before ->> 'copyOf' = p_event.id OR a.before ->> 'copyOf' IN (SELECT id FROM source))))
$$;

-- {"hall", "mail", "webhooks", "rehearsal"}: the seats, counted; mails that are still to be sent or were given up; webhooks, and how many fail; the rehearsal whose
-- log was written last, or null: there is none with admissions (one that was reset has none).
-- found | not-found
CREATE OR REPLACE FUNCTION readiness_get(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_event events;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    RETURN QUERY SELECT 'found', json_build_object(
        'hall', (SELECT json_build_object(
                'seats', count(*), 'blocked', count(*) FILTER (WHERE s.status = 'blocked'),
                'free', count(*) FILTER (WHERE s.status <> 'blocked' AND NOT s.sold),
                'unpriced', count(*) FILTER (WHERE s.price = 0), 'priced', count(*) FILTER (WHERE s.price > 0),
                'currencies', coalesce(json_agg(DISTINCT s.currency), '[]'))
            FROM seats s WHERE s.event_id = p_event),
        'mail', (SELECT c.body FROM outbox_count(p_event) AS c),
        'webhooks', (SELECT c.body FROM hook_count(p_event) AS c),
        'rehearsal', (
            SELECT json_build_object('eventId', r.id, 'title', r.title, 'at', rfc3339(l.at),
                                     'seatsSoldTwice', seats_sold_twice(r.id))
            FROM rehearsals_of(v_event) AS r CROSS JOIN LATERAL (
                SELECT a.at FROM admissions a WHERE a.event_id = r.id
                ORDER BY a.stream_ms DESC, a.stream_seq DESC LIMIT 1) AS l
            ORDER BY l.at DESC LIMIT 1));
END $$;
