-- SPDX-License-Identifier: MIT
--
-- organizer: the message to those who wait, and the reading of the audit.

ALTER TABLE events ADD COLUMN message text NOT NULL DEFAULT '' CHECK (length(message) <= 500);

CREATE OR REPLACE FUNCTION event_public(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'id', e.id, 'title', e.title, 'artist', e.artist, 'venue', e.venue,
        'startsAt', rfc3339(e.starts_at), 'opensAt', rfc3339(e.opens_at),
        'closesAt', rfc3339(e.closes_at), 'status', e.status, 'message', nullif(e.message, ''),
        'version', e.version,
        'threshold', e.settings -> 'threshold', 'intervalMs', e.settings -> 'intervalMs',
        'idleTimeoutMs', e.settings -> 'idleTimeoutMs',
        'sessionLimitMs', e.settings -> 'sessionLimitMs', 'holdMs', e.settings -> 'holdMs',
        'surge', coalesce(e.settings -> 'surge', '[]'),
        'outflowPerMinute', coalesce(e.settings -> 'outflowPerMinute', '0'),
        'autoHold', coalesce(e.settings -> 'autoHold', '1'),
        'maxSeats', coalesce(e.settings -> 'maxSeats', '4'),
        'allowGuests', coalesce(e.settings -> 'allowGuests', 'true'))
$$;

-- updated | stale (the version read is no longer the stored one) | not-found. p_event carries
-- every field, and the version it was read at.
CREATE OR REPLACE FUNCTION event_update(p_event jsonb, p_verb text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_before events;
    v_after events;
BEGIN
    SELECT * INTO v_before FROM events WHERE id = p_event ->> 'id' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    IF v_before.version <> (p_event ->> 'version')::bigint THEN
        RETURN QUERY SELECT 'stale', refusal('The event was changed meanwhile.');
        RETURN;
    END IF;
    UPDATE events SET
        title = p_event ->> 'title', artist = coalesce(p_event ->> 'artist', ''),
        venue = coalesce(p_event ->> 'venue', ''), message = coalesce(p_event ->> 'message', ''),
        starts_at = (p_event ->> 'startsAt')::timestamptz,
        opens_at = (p_event ->> 'opensAt')::timestamptz,
        closes_at = (p_event ->> 'closesAt')::timestamptz,
        settings = settings || event_settings(p_event),
        status = p_event ->> 'status',
        closed_at = CASE WHEN p_event ->> 'status' = 'closed'
                         THEN coalesce(closed_at, clock_timestamp()) END,
        version = version + 1
    WHERE id = v_before.id
    RETURNING * INTO v_after;
    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (v_after.id, p_who, p_verb, event_row(v_before), event_row(v_after));
    RETURN QUERY SELECT 'updated', event_row(v_after);
END $$;

-- Something was done that PostgreSQL does not keep otherwise. noted
CREATE FUNCTION audit_note(p_event text, p_who text, p_verb text, p_after jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE sql AS $$
    INSERT INTO audit (event_id, who, verb, after) VALUES (p_event, p_who, p_verb, p_after)
    RETURNING 'noted', json_build_object('id', id::text)
$$;

-- listed: {"entries": [{id, at, who, verb, before, after}], "next": id or null}: newest first, below
-- p_before where given.
CREATE FUNCTION audit_list(p_event text, p_before bigint, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    WITH found AS (
        SELECT * FROM audit
        WHERE event_id = p_event AND (p_before IS NULL OR id < p_before)
        ORDER BY id DESC LIMIT p_limit + 1),
    page AS (SELECT * FROM found ORDER BY id DESC LIMIT p_limit)
    SELECT 'listed', json_build_object(
        'entries', coalesce((SELECT json_agg(json_build_object(
            'id', id::text, 'at', rfc3339(at), 'who', who, 'verb', verb, 'before', before,
            'after', after) ORDER BY id DESC) FROM page), '[]'),
        'next', (SELECT min(id)::text FROM page WHERE (SELECT count(*) FROM found) > p_limit))
$$;
