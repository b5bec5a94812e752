-- SPDX-License-Identifier: MIT
--
-- team: the members of staff that share an event. The owner is events.owner; event_staff has the others. The program gives
-- the ids of invitations as texts; only their hashes are stored. All changes of a team take the lock of the event first.

-- The event for its staff, and what the team's list gives to p_subject: event_get, with "right": role or null.
-- found | not-found
CREATE OR REPLACE FUNCTION event_get_for(p_id text, p_subject text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT g.outcome, CASE g.outcome WHEN 'found' THEN json_join(g.body, json_build_object('right', (
        SELECT s.role FROM event_staff s WHERE s.event_id = p_id AND s.subject = p_subject))) ELSE g.body END
    FROM event_get(p_id) AS g
$$;

-- What a role may do, as a number: the greater, the more.
CREATE OR REPLACE FUNCTION team_rank(p_role text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_position(ARRAY['viewer', 'editor', 'owner'], p_role), 0)
$$;

-- Stores an invitation. p_link: its id. invited: {"id", "role", "name", "expiresAt"} | not-found
CREATE OR REPLACE FUNCTION team_invite(p_event text, p_link text, p_role text, p_name text, p_expires_ms bigint, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_row event_invitations;
BEGIN
    PERFORM FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    DELETE FROM event_invitations WHERE event_id = p_event AND expires_at < clock_timestamp();
    INSERT INTO event_invitations (hash, event_id, name, role, invited_by, expires_at)
    VALUES (staff_hash(p_link), p_event, p_name, p_role, split_part(p_who, E'\t', 1),
            timestamptz 'epoch' + p_expires_ms * interval '1 millisecond')
    RETURNING * INTO v_row;
    INSERT INTO audit (event_id, who, verb, after)
    VALUES (p_event, p_who, 'invite', jsonb_build_object('name', p_name, 'role', p_role));
    RETURN QUERY SELECT 'invited', json_build_object('id', v_row.id::text, 'role', v_row.role, 'name', v_row.name,
                                                     'expiresAt', rfc3339(v_row.expires_at));
END $$;

-- What an invitation says. Changes nothing.
--   found       {"title", "by"}
--   used
--   not-found   it has expired, was withdrawn, or its event is gone
CREATE OR REPLACE FUNCTION team_invitation(p_link text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT coalesce(o.outcome, 'not-found'), coalesce(o.body, refusal('There is no such invitation.'))
    FROM (VALUES (1)) AS one LEFT JOIN (
        SELECT CASE WHEN i.used_at IS NULL THEN 'found' ELSE 'used' END AS outcome,
               json_build_object('title', e.title, 'by', i.invited_by) AS body
        FROM event_invitations i JOIN events e ON e.id = i.event_id
        WHERE i.hash = staff_hash(p_link) AND i.expires_at > clock_timestamp()) AS o ON true
$$;

-- Accepts an invitation. p_current: the session that the browser has, NULL: none. If it is live, the event is shared with
-- its person; else the session p_new begins, of a new subject, and the event is shared with that. Who is in the team already
-- and may do as much uses nothing up.
--   joined      {"event"}: with the session that there was
--   entered     {"event"}: with p_new
--   used
--   forbidden   the session's role has nothing to do with running events
--   not-found   it has expired, was withdrawn, or its event is gone
CREATE OR REPLACE FUNCTION team_join(p_link text, p_current text, p_new jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz;
    v_invitation event_invitations;
    v_session staff_sessions;
    v_owner text;
    v_had text;
    v_outcome text := 'joined';
BEGIN
    SELECT e.owner INTO v_owner FROM events e
    WHERE e.id = (SELECT event_id FROM event_invitations WHERE hash = staff_hash(p_link)) FOR NO KEY UPDATE;
    SELECT * INTO v_invitation FROM event_invitations WHERE hash = staff_hash(p_link) FOR UPDATE;
    v_now := clock_timestamp();
    IF v_owner IS NULL OR v_invitation.id IS NULL OR v_invitation.expires_at <= v_now THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such invitation.');
        RETURN;
    END IF;
    SELECT * INTO v_session FROM staff_sessions
    WHERE hash = staff_hash(p_current) AND ended_at IS NULL AND expires_at > v_now;
    IF v_session.role = 'door' THEN
        RETURN QUERY SELECT 'forbidden', refusal('This role cannot share an event.', p_reason => 'no-sharing');
        RETURN;
    END IF;
    SELECT role INTO v_had FROM event_staff WHERE event_id = v_invitation.event_id AND subject = v_session.subject;
    IF v_session.subject = v_owner OR team_rank(v_had) >= team_rank(v_invitation.role) THEN
        RETURN QUERY SELECT 'joined', json_build_object('event', v_invitation.event_id);
        RETURN;
    END IF;
    IF v_invitation.used_at IS NOT NULL THEN
        RETURN QUERY SELECT 'used', refusal('This invitation was used before.', p_reason => 'invitation-used');
        RETURN;
    END IF;
    IF v_session.id IS NULL THEN
        v_outcome := 'entered';
        INSERT INTO staff_sessions (hash, subject, name, role, events, expires_at)
        VALUES (staff_hash(p_new ->> 'id'), p_new ->> 'subject', p_new ->> 'name', p_new ->> 'role', p_new ->> 'events',
                timestamptz 'epoch' + (p_new ->> 'expiresMs')::bigint * interval '1 millisecond')
        RETURNING * INTO v_session;
    END IF;
    UPDATE event_invitations SET used_at = v_now WHERE id = v_invitation.id;
    INSERT INTO event_staff (event_id, subject, name, role, added_by)
    VALUES (v_invitation.event_id, v_session.subject, v_session.name, v_invitation.role, v_invitation.invited_by)
    ON CONFLICT (event_id, subject) DO UPDATE
    SET role = excluded.role, name = excluded.name, added_at = v_now, added_by = excluded.added_by;
    INSERT INTO audit (event_id, who, verb, after)
    VALUES (v_invitation.event_id,
            concat_ws(E'\t', v_session.name, v_session.role, nullif(v_session.subject, v_session.name)), 'join',
            jsonb_build_object('name', v_session.name, 'role', v_invitation.role));
    RETURN QUERY SELECT v_outcome, json_build_object('event', v_invitation.event_id);
END $$;

-- The name by which the audit knows a subject at this event; without an entry, the subject itself.
CREATE OR REPLACE FUNCTION team_name(p_event text, p_subject text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT a.name FROM audit a WHERE a.event_id = p_event AND a.subject = p_subject
                     ORDER BY a.id DESC LIMIT 1), p_subject)
$$;

-- listed: {"staff": [{subject, name, role, addedAt, by}], "invitations": [{id, name, role, by, expiresAt}]}: the owner of
-- the event first, whom nobody has added; invitations that nobody has used yet.
CREATE OR REPLACE FUNCTION team_list(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', json_build_object(
        'staff', (
            SELECT coalesce(json_agg(json_build_object('subject', m.subject, 'name', m.name, 'role', m.role,
                                                       'addedAt', rfc3339(m.added_at), 'by', m.added_by)
                                     ORDER BY m.added_by IS NOT NULL, m.added_at, m.subject), '[]')
            FROM (SELECT e.owner AS subject, team_name(e.id, e.owner) AS name, 'owner' AS role, e.created_at AS added_at,
                         NULL AS added_by FROM events e WHERE e.id = p_event
                  UNION ALL
                  SELECT s.subject, s.name, s.role, s.added_at, s.added_by FROM event_staff s JOIN events e ON e.id = s.event_id
                  WHERE s.event_id = p_event AND s.subject <> e.owner) AS m),
        'invitations', (
            SELECT coalesce(json_agg(json_build_object('id', i.id::text, 'name', i.name, 'role', i.role, 'by', i.invited_by,
                                                       'expiresAt', rfc3339(i.expires_at)) ORDER BY i.id), '[]')
            FROM event_invitations i
            WHERE i.event_id = p_event AND i.used_at IS NULL AND i.expires_at > clock_timestamp()))
$$;

-- Takes the event from a person. When it is the owner of the event, the longest of the other owners becomes that.
-- Sessions of an invitation end with their last event.
--   removed
--   last-owner   an event has an owner
--   not-found
CREATE OR REPLACE FUNCTION team_remove(p_event text, p_subject text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_owner text;
    v_next text;
    v_name text;
    v_role text := 'owner';
BEGIN
    SELECT owner INTO v_owner FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF v_owner = p_subject THEN
        SELECT subject INTO v_next FROM event_staff
        WHERE event_id = p_event AND role = 'owner' AND subject <> p_subject ORDER BY added_at, subject LIMIT 1;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'last-owner', refusal('An event keeps at least one owner.', 'subject');
            RETURN;
        END IF;
        v_name := team_name(p_event, p_subject);
        UPDATE events SET owner = v_next, version = version + 1 WHERE id = p_event;
        DELETE FROM event_staff WHERE event_id = p_event AND subject IN (p_subject, v_next);
    ELSE
        DELETE FROM event_staff WHERE event_id = p_event AND subject = p_subject RETURNING name, role INTO v_name, v_role;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'not-found', refusal('There is nobody of this subject in the team.', 'subject', p_reason => 'unknown-member');
            RETURN;
        END IF;
    END IF;
    UPDATE staff_sessions SET ended_at = clock_timestamp()
    WHERE subject = p_subject AND p_subject LIKE 'i:%' AND ended_at IS NULL
      AND NOT EXISTS (SELECT FROM event_staff WHERE subject = p_subject)
      AND NOT EXISTS (SELECT FROM events WHERE owner = p_subject);
    INSERT INTO audit (event_id, who, verb, after)
    VALUES (p_event, p_who, 'remove', jsonb_build_object('name', v_name, 'role', v_role));
    RETURN QUERY SELECT 'removed', json '{}';
END $$;

-- Takes an invitation back that nobody has used. removed | not-found
CREATE OR REPLACE FUNCTION team_withdraw(p_event text, p_id bigint, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_row event_invitations;
BEGIN
    DELETE FROM event_invitations WHERE event_id = p_event AND id = p_id AND used_at IS NULL RETURNING * INTO v_row;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such invitation.', 'id', p_reason => 'unknown-invitation');
        RETURN;
    END IF;
    INSERT INTO audit (event_id, who, verb, after)
    VALUES (p_event, p_who, 'withdraw', jsonb_build_object('name', v_row.name, 'role', v_row.role));
    RETURN QUERY SELECT 'removed', json '{}';
END $$;
