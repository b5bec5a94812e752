-- SPDX-License-Identifier: MIT
--
-- staff: sessions of staff at the console. The program gives ids of links and sessions as texts; only their hashes are
-- stored.

CREATE OR REPLACE FUNCTION staff_hash(p_id text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(convert_to(p_id, 'UTF8'))
$$;

-- Begins a session. p_link: the link that it comes from, NULL: none. p_previous: the session that the browser had, which
-- ends; NULL: none. Rows are kept for a day after the session has expired: longer than any link is valid.
--   entered
--   used      somebody has signed in with this link before
CREATE OR REPLACE FUNCTION staff_enter(p_session jsonb, p_link text, p_previous text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_id bigint;
BEGIN
    INSERT INTO staff_sessions (hash, link_hash, subject, name, role, events, expires_at)
    VALUES (staff_hash(p_session ->> 'id'), staff_hash(p_link), p_session ->> 'subject', p_session ->> 'name',
            p_session ->> 'role', p_session ->> 'events',
            timestamptz 'epoch' + (p_session ->> 'expiresMs')::bigint * interval '1 millisecond')
    ON CONFLICT (link_hash) DO NOTHING
    RETURNING id INTO v_id;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'used', refusal('This link was used before.');
        RETURN;
    END IF;
    UPDATE staff_sessions SET ended_at = v_now WHERE hash = staff_hash(p_previous) AND ended_at IS NULL;
    DELETE FROM staff_sessions WHERE id IN (
        SELECT id FROM staff_sessions WHERE expires_at < v_now - interval '1 day'
        ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED);
    RETURN QUERY SELECT 'entered', json_build_object('id', v_id::text);
END $$;

-- live | ended: it was ended, or this database has never known it
CREATE OR REPLACE FUNCTION staff_session_state(p_session text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM staff_sessions WHERE hash = staff_hash(p_session) AND ended_at IS NULL)
                THEN 'live' ELSE 'ended' END, json '{}'
$$;

-- ended, also if it was before
CREATE OR REPLACE FUNCTION staff_sign_out(p_session text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE staff_sessions SET ended_at = clock_timestamp()
    WHERE hash = staff_hash(p_session) AND ended_at IS NULL;
    RETURN QUERY SELECT 'ended', json '{}';
END $$;

-- Ends sessions: those of a name, the one of an id, or all. What is NULL does not choose.
-- revoked: {"sessions": n}
CREATE OR REPLACE FUNCTION staff_revoke(p_name text, p_id bigint, p_all boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_n integer;
BEGIN
    UPDATE staff_sessions SET ended_at = v_now
    WHERE ended_at IS NULL AND expires_at > v_now AND (p_all OR name = p_name OR id = p_id);
    GET DIAGNOSTICS v_n = ROW_COUNT;
    RETURN QUERY SELECT 'revoked', json_build_object('sessions', v_n);
END $$;

-- The latest 200 sessions that have not ended, newest first.
-- listed: {"sessions": [{id, name, subject, role, events, createdAt, expiresAt}]}
CREATE OR REPLACE FUNCTION staff_list()
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', json_build_object('sessions', coalesce(json_agg(json_build_object(
        'id', s.id::text, 'name', s.name, 'subject', s.subject, 'role', s.role, 'events', s.events,
        'createdAt', rfc3339(s.created_at), 'expiresAt', rfc3339(s.expires_at)) ORDER BY s.id DESC), '[]'))
    FROM (SELECT * FROM staff_sessions WHERE ended_at IS NULL AND expires_at > clock_timestamp()
          ORDER BY id DESC LIMIT 200) AS s
$$;
