-- SPDX-License-Identifier: MIT
--
-- audit: the record of changes and of the users that made them. A function that changes an event inserts
-- its audit entry itself.

-- Adds an audit entry for an action outside of PostgreSQL. noted
CREATE OR REPLACE FUNCTION audit_note(p_event text, p_who text, p_verb text, p_after jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE sql AS $$
    INSERT INTO audit (event_id, who, verb, after) VALUES (p_event, p_who, p_verb, p_after)
    RETURNING 'noted', json_build_object('id', id::text)
$$;

-- listed: {"entries": [{id, at, who, verb, before, after}], "next": id or null}: newest first; only ids
-- below p_before if that is given.
CREATE OR REPLACE FUNCTION audit_list(p_event text, p_before bigint, p_limit integer)
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
