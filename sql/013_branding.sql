-- SPDX-License-Identifier: MIT
--
-- branding: how the pages of an event look: the seller's name, two colours, a logo. All but the logo
-- travel with the event; the logo is read when a page asks for it.

-- {"name", "primary", "background", "logo"}: logo is the version of the event that brought it.
ALTER TABLE events ADD COLUMN branding jsonb NOT NULL DEFAULT '{}';

CREATE TABLE logos (
    event_id text COLLATE "C" PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    data     text NOT NULL -- "data:image/png;base64,…"
);

CREATE FUNCTION branding_public(e events) RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT json_build_object(
        'name', coalesce(e.branding ->> 'name', ''), 'primary', e.branding ->> 'primary',
        'background', e.branding ->> 'background',
        'logo', CASE WHEN e.branding ->> 'logo' IS NOT NULL
                     THEN '/brand/' || e.id || '/logo?v=' || (e.branding ->> 'logo') END)
$$;

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
        'allowGuests', coalesce(e.settings -> 'allowGuests', 'true'),
        'branding', branding_public(e))
$$;

-- What is to be stored of p_event's branding; a new logo bears p_version. `newLogo` is the logo
-- itself, '' for none any more, and missing where it stays.
CREATE FUNCTION branding_of(p_event jsonb, p_before jsonb, p_version bigint)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'name', nullif(p_event -> 'branding' ->> 'name', ''),
        'primary', p_event -> 'branding' -> 'primary',
        'background', p_event -> 'branding' -> 'background',
        'logo', CASE WHEN NOT p_event ? 'newLogo' THEN p_before -> 'logo'
                     WHEN p_event ->> 'newLogo' <> '' THEN to_jsonb(p_version) END))
$$;

CREATE FUNCTION logo_store(p_event jsonb, p_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT p_event ? 'newLogo' THEN
        RETURN;
    END IF;
    DELETE FROM logos WHERE event_id = p_id;
    INSERT INTO logos (event_id, data)
    SELECT p_id, p_event ->> 'newLogo' WHERE p_event ->> 'newLogo' <> '';
END $$;

-- found ({"data"}) | not-found
CREATE FUNCTION logo_get(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', json_build_object('data', data) FROM logos WHERE event_id = p_event
    UNION ALL
    SELECT 'not-found', refusal('This event has no logo.')
    WHERE NOT EXISTS (SELECT FROM logos WHERE event_id = p_event)
$$;

-- created | conflict (the id is taken). A missing id becomes a uuid. Begins as a draft.
CREATE OR REPLACE FUNCTION event_create(p_event jsonb, p_owner text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_event events;
BEGIN
    INSERT INTO events (id, owner, title, artist, venue, starts_at, opens_at, closes_at, settings,
                        branding)
    VALUES (coalesce(nullif(p_event ->> 'id', ''), gen_random_uuid()::text), p_owner,
            p_event ->> 'title', coalesce(p_event ->> 'artist', ''),
            coalesce(p_event ->> 'venue', ''), (p_event ->> 'startsAt')::timestamptz,
            (p_event ->> 'opensAt')::timestamptz, (p_event ->> 'closesAt')::timestamptz,
            event_settings(p_event), branding_of(p_event, '{}', 1))
    ON CONFLICT (id) DO NOTHING
    RETURNING * INTO v_event;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'conflict', refusal('An event with this id exists.', 'id');
        RETURN;
    END IF;
    PERFORM logo_store(p_event, v_event.id);
    INSERT INTO audit (event_id, who, verb, after)
    VALUES (v_event.id, p_who, 'create', event_row(v_event));
    RETURN QUERY SELECT 'created', event_row(v_event);
END $$;

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
        branding = branding_of(p_event, branding, version + 1),
        status = p_event ->> 'status',
        closed_at = CASE WHEN p_event ->> 'status' = 'closed'
                         THEN coalesce(closed_at, clock_timestamp()) END,
        version = version + 1
    WHERE id = v_before.id
    RETURNING * INTO v_after;
    PERFORM logo_store(p_event, v_after.id);
    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (v_after.id, p_who, p_verb, event_row(v_before), event_row(v_after));
    RETURN QUERY SELECT 'updated', event_row(v_after);
END $$;
