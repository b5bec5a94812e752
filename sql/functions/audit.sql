-- SPDX-License-Identifier: MIT
--
-- audit: the record of changes and of the users that made them. A function that changes an event inserts
-- its audit entry itself. p_who has name, role and subject of the actor, with tabs between them (column who).

-- Adds an audit entry for an action outside of PostgreSQL. noted
CREATE OR REPLACE FUNCTION audit_note(p_event text, p_who text, p_verb text, p_after jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE sql AS $$
    INSERT INTO audit (event_id, who, verb, after) VALUES (p_event, p_who, p_verb, p_after)
    RETURNING 'noted', json_build_object('id', id::text)
$$;

-- The fields of an event, or of what was done, that an audit entry tells: without those that only the program needs, and
-- with the members of objects as fields of their own ("branding.primary").
CREATE OR REPLACE FUNCTION audit_fields(p_state jsonb) RETURNS TABLE (field text, value jsonb) LANGUAGE sql IMMUTABLE AS $$
    SELECT f.key || coalesce('.' || m.key, ''), nullif(coalesce(m.value, f.value), 'null')
    FROM jsonb_each(CASE jsonb_typeof(p_state) WHEN 'object' THEN p_state ELSE '{}' END) AS f
    LEFT JOIN LATERAL jsonb_each(CASE jsonb_typeof(f.value) WHEN 'object' THEN f.value ELSE '{}' END) AS m ON true
    WHERE f.key NOT IN ('version', 'epoch', 'lastPlace', 'opened', 'closedPaused', 'closedAt', 'bans', 'bansMark', 'freeSeats', 'freeAdmitted', 'freeId', 'priceFrom')
      AND (jsonb_typeof(f.value) <> 'object' OR m.key IS NOT NULL)
$$;

-- [{"field", "from", "to"}] in the order of their names: what differs. Without a state before, what was given.
CREATE OR REPLACE FUNCTION audit_changes(p_before jsonb, p_after jsonb) RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(json_agg(json_build_object('field', field, 'from', b.value, 'to', a.value) ORDER BY field), '[]')
    FROM audit_fields(p_before) AS b FULL JOIN audit_fields(p_after) AS a USING (field)
    WHERE b.value IS DISTINCT FROM a.value
$$;

-- A value as a sentence shows it: a text without quotes, and cut.
CREATE OR REPLACE FUNCTION audit_value(p_value jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_value IS NULL OR p_value IN ('null', '""', '[]') THEN 'none'
                WHEN jsonb_typeof(p_value) = 'array' AND NOT p_value::text ~ '"(queueAbove|threshold)"'
                THEN left(p_value::text, 60)
                WHEN jsonb_typeof(p_value) = 'array'
                THEN (SELECT string_agg(r ->> 'queueAbove' || ':' || (r ->> 'threshold'), ' ')
                      FROM jsonb_array_elements(p_value) AS r)
                WHEN length(p_value #>> '{}') > 60 THEN left(p_value #>> '{}', 59) || '…'
                ELSE p_value #>> '{}' END
$$;

-- One entry for people: {id, at, who, role, subject, verb, before, after, changes, sentence}.
-- subject: what the actor's events are owned by, null if it is their name. The sentence says what changed, who did it, and
-- when by the event's clock: "threshold 50 → 150, kim, 09:13". The actor `tiketi` is the service, by itself.
CREATE OR REPLACE FUNCTION audit_entry(a audit, p_zone text) RETURNS json LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_changes json := audit_changes(a.before, a.after);
    v_what text;
BEGIN
    SELECT string_agg(CASE WHEN a.before IS NULL THEN format('%s %s', c ->> 'field', audit_value((c -> 'to')::jsonb))
                           ELSE format('%s %s → %s', c ->> 'field', audit_value((c -> 'from')::jsonb),
                                       audit_value((c -> 'to')::jsonb)) END, ', ')
    INTO v_what FROM json_array_elements(v_changes) AS c;
    v_what := CASE
        WHEN a.verb = 'create' THEN 'created'
        WHEN a.verb = 'invite' THEN format('invited %s as %s', a.after ->> 'name', a.after ->> 'role')
        WHEN a.verb = 'join' THEN 'joined as ' || (a.after ->> 'role')
        WHEN a.verb = 'remove' THEN format('removed %s (%s)', a.after ->> 'name', a.after ->> 'role')
        WHEN a.verb = 'withdraw' THEN format('withdrew the invitation of %s as %s', a.after ->> 'name', a.after ->> 'role')
        WHEN a.verb = 'refund' THEN 'refunded ' || coalesce(a.after ->> 'reservationNumber', '')
        WHEN a.verb = 'feedback' THEN format('threshold %s → %s, as %s (95 %% within %s ms, %s %% errors)',
            a.after ->> 'from', a.after ->> 'to',
            CASE a.after ->> 'cause' WHEN 'slow' THEN 'the shop is slow' WHEN 'errors' THEN 'the shop fails'
                WHEN 'well' THEN 'the shop is well' ELSE 'thresholdMin is 0' END,
            a.after ->> 'p95Ms', trim_scale(round(100 * (a.after ->> 'errorRate')::numeric, 1)))
        WHEN a.verb IN ('patch', 'message', 'settle', 'seats') THEN coalesce(v_what, a.verb || ': no change')
        ELSE a.verb || coalesce(': ' || v_what, '') END;
    RETURN json_build_object(
        'id', a.id::text, 'at', rfc3339(a.at), 'who', a.name, 'role', a.role, 'subject', a.subject, 'verb', a.verb, 'before', a.before, 'after', a.after,
        'changes', v_changes,
        'sentence', format('%s, %s, %s', v_what,
                           CASE a.who WHEN 'tiketi' THEN 'the service, by itself' ELSE a.name END,
                           to_char(a.at AT TIME ZONE coalesce(p_zone, 'UTC'), 'HH24:MI')));
END $$;

-- listed: {"entries": [audit_entry], "next": id or null}: newest first; only ids below p_before if that is given.
CREATE OR REPLACE FUNCTION audit_list(p_event text, p_before bigint, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    WITH found AS (
        SELECT * FROM audit
        WHERE event_id = p_event AND (p_before IS NULL OR id < p_before)
        ORDER BY id DESC LIMIT p_limit + 1),
    page AS (SELECT * FROM found ORDER BY id DESC LIMIT p_limit)
    SELECT 'listed', json_build_object(
        'entries', coalesce((SELECT json_agg(audit_entry(p::audit, e.zone) ORDER BY p.id DESC)
                             FROM page AS p), '[]'),
        'next', (SELECT min(id)::text FROM page WHERE (SELECT count(*) FROM found) > p_limit))
    FROM (SELECT (SELECT settings ->> 'timeZone' FROM events WHERE id = p_event) AS zone) AS e
$$;
