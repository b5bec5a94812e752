-- SPDX-License-Identifier: MIT
--
-- event: events with their settings, branding and logo: created, changed, read, opened and closed.

-- ---- settings ----

-- Every setting of an event, one line each, with the value of an event that was stored before its setting
-- existed. docs/add-a-setting.md says what else a new line needs.
CREATE OR REPLACE FUNCTION event_setting_defaults() RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb '{
        "threshold": 1000,
        "intervalMs": 10000,
        "idleTimeoutMs": 90000,
        "sessionLimitMs": 600000,
        "holdMs": 300000,
        "silentMs": 120000,
        "outflowPerMinute": 0,
        "autoHold": 1,
        "maxSeats": 4,
        "surge": [],
        "allowGuests": true
    }'
$$;

-- The settings among the fields of an event.
CREATE OR REPLACE FUNCTION event_settings(p_event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, value), '{}')
    FROM jsonb_each(p_event) WHERE event_setting_defaults() ? key
$$;

-- One of the integers among them, out of column `settings`, for the other files.
CREATE OR REPLACE FUNCTION event_setting(p_settings jsonb, p_name text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(p_settings ->> p_name, event_setting_defaults() ->> p_name)::bigint
$$;

-- ---- branding ----

-- {"name", "primary", "background", "logo"}: two colours, and the address of the logo.
CREATE OR REPLACE FUNCTION branding_public(e events) RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT json_build_object(
        'name', coalesce(e.branding ->> 'name', ''), 'primary', e.branding ->> 'primary',
        'background', e.branding ->> 'background',
        'logo', CASE WHEN e.branding ->> 'logo' IS NOT NULL
                     THEN '/brand/' || e.id || '/logo?v=' || (e.branding ->> 'logo') END)
$$;

-- What to store of p_event's branding. A new logo is addressed by p_version, the version of the event
-- that brings it. `newLogo` is the logo itself, '' to remove it, and missing where it stays.
CREATE OR REPLACE FUNCTION branding_of(p_event jsonb, p_before jsonb, p_version bigint)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'name', nullif(p_event -> 'branding' ->> 'name', ''),
        'primary', p_event -> 'branding' -> 'primary',
        'background', p_event -> 'branding' -> 'background',
        'logo', CASE WHEN NOT p_event ? 'newLogo' THEN p_before -> 'logo'
                     WHEN p_event ->> 'newLogo' <> '' THEN to_jsonb(p_version) END))
$$;

-- Stores or removes the logo that p_event brings, if it brings one.
CREATE OR REPLACE FUNCTION logo_store(p_event jsonb, p_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT p_event ? 'newLogo' THEN
        RETURN;
    END IF;
    DELETE FROM logos WHERE event_id = p_id;
    INSERT INTO logos (event_id, data)
    SELECT p_id, p_event ->> 'newLogo' WHERE p_event ->> 'newLogo' <> '';
END $$;

-- found ({"data"}: a data: URL) | not-found
CREATE OR REPLACE FUNCTION logo_get(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', json_build_object('data', data) FROM logos WHERE event_id = p_event
    UNION ALL
    SELECT 'not-found', refusal('This event has no logo.')
    WHERE NOT EXISTS (SELECT FROM logos WHERE event_id = p_event)
$$;

-- ---- the two forms of an event ----

-- What everybody may see of an event: one flat object.
CREATE OR REPLACE FUNCTION event_public(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (jsonb_build_object(
        'id', e.id, 'title', e.title, 'artist', e.artist, 'venue', e.venue,
        'startsAt', rfc3339(e.starts_at), 'opensAt', rfc3339(e.opens_at),
        'closesAt', rfc3339(e.closes_at), 'status', e.status, 'message', nullif(e.message, ''),
        'version', e.version, 'branding', branding_public(e))
        || event_setting_defaults() || e.settings)::json
$$;

-- For the program: all of it. `opened` means that places have been given: then a missing live copy was
-- lost and is restored, not begun anew. (A flag set when the organizer opens the event would make the
-- first live copy look like a lost one.) freeSeats holds as of admission number freeAdmitted, whose
-- log entry was freeId, all of one snapshot: so a new live copy knows its capacity, and its first
-- buyers need not wait until the log has been copied.
CREATE OR REPLACE FUNCTION event_row(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (event_public(e)::jsonb || jsonb_build_object(
        'owner', e.owner, 'epoch', e.epoch, 'lastPlace', e.last_place, 'seats', e.seats,
        'opened', e.last_place > 0,
        'freeSeats', CASE WHEN e.seats > 0 THEN seats_capacity(e.id) ELSE 0 END,
        'freeAdmitted', coalesce(c.admitted, 0), 'freeId', coalesce(c.consumed, '0-0')))::json
    FROM (VALUES (1)) AS one LEFT JOIN ledger_cursors c ON c.event_id = e.id
$$;

-- ---- the organizer ----

-- A missing id becomes a UUID. Begins as a draft. created | conflict (the id is taken)
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

-- p_event carries every field, and the version it was read at.
-- updated | stale (the stored version is another one) | not-found
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

-- Begins a new epoch, before Redis is cleared: all places and admissions end, and with them the
-- auto-holds. Takes the cursor's lock first, so that a batch of the log under way is waited for: it has
-- read the epoch at its beginning, and would hold seats for admissions of the old epoch after their
-- auto-holds were given back here. updated | not-found
CREATE OR REPLACE FUNCTION event_clear(p_event text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_before events;
    v_after events;
    v_ids uuid[];
BEGIN
    INSERT INTO ledger_cursors (event_id) SELECT id FROM events WHERE id = p_event
    ON CONFLICT DO NOTHING;
    PERFORM FROM ledger_cursors WHERE event_id = p_event FOR UPDATE;
    SELECT * INTO v_before FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    UPDATE events SET epoch = epoch + 1, version = version + 1 WHERE id = p_event
    RETURNING * INTO v_after;
    -- A reservation that is locked is being paid for or swapped: it is left to its buyer.
    SELECT array_agg(h.id) INTO v_ids FROM (
        SELECT r.id FROM reservations r
        WHERE r.event_id = p_event AND r.status = 'held' AND r.auto AND NOT EXISTS (
            SELECT FROM payments p WHERE p.reservation_id = r.id AND p.status = 'pending')
        FOR UPDATE SKIP LOCKED) AS h;
    IF v_ids IS NOT NULL THEN
        UPDATE reservations SET status = 'cancelled', ended_at = clock_timestamp(), swept = true
        WHERE id = ANY (v_ids);
        PERFORM seats_release(v_ids);
    END IF;
    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (p_event, p_who, 'clear', event_row(v_before), event_row(v_after));
    RETURN QUERY SELECT 'updated', event_row(v_after);
END $$;

-- ---- reading ----

-- found | not-found
CREATE OR REPLACE FUNCTION event_get(p_id text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', event_row(e) FROM events e WHERE e.id = p_id
    UNION ALL
    SELECT 'not-found', refusal('There is no such event.')
    WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = p_id)
$$;

-- listed: an array of public forms, newest first. p_owner NULL: of all. p_public: no drafts.
CREATE OR REPLACE FUNCTION event_list(p_owner text, p_public boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', coalesce(json_agg(event_public(e)), '[]')
    FROM (SELECT * FROM events
          WHERE (p_owner IS NULL OR owner = p_owner) AND NOT (p_public AND status = 'draft')
          ORDER BY created_at DESC, id LIMIT 500) AS e
$$;

-- ---- the processor ----

-- A row for each event that a processor looks after. A closed one is among them until the last session
-- in it must be over, since somebody has to end it, and one more minute, so that every pod learns of it.
CREATE OR REPLACE FUNCTION event_live()
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', event_row(e) FROM events e
    WHERE e.status NOT IN ('draft', 'closed')
       OR (e.status = 'closed' AND e.closed_at > clock_timestamp() - interval '1 minute'
             - coalesce((e.settings ->> 'sessionLimitMs')::bigint, 0) * interval '1 millisecond')
    ORDER BY e.id
$$;

-- What time and purchases do to an event: opening, closing, sold out and back; and the highest place
-- given, which never falls. settled (the status changed) | unchanged | not-found
CREATE OR REPLACE FUNCTION event_settle(p_id text, p_last_place bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_before events;
    v_after events;
    v_status text;
    v_now timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO v_before FROM events WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    v_status := v_before.status;
    IF v_status NOT IN ('draft', 'closed') AND v_before.closes_at <= v_now THEN
        v_status := 'closed';
    ELSIF v_status = 'scheduled' AND coalesce(v_before.opens_at, v_now) <= v_now THEN
        v_status := 'open';
    END IF;
    IF v_status IN ('open', 'sold_out') THEN
        -- A live hold may still lapse: sold out means that every seat is sold.
        v_status := CASE WHEN v_before.seats > 0
            AND NOT EXISTS (SELECT FROM seats WHERE event_id = p_id AND NOT sold)
            THEN 'sold_out' ELSE 'open' END;
    END IF;
    IF v_status = v_before.status AND coalesce(p_last_place, 0) <= v_before.last_place THEN
        RETURN QUERY SELECT 'unchanged', event_row(v_before);
        RETURN;
    END IF;
    UPDATE events SET
        last_place = greatest(last_place, p_last_place),
        status = v_status,
        closed_at = CASE WHEN v_status = 'closed' THEN coalesce(closed_at, v_now) END,
        version = version + (v_status <> v_before.status)::integer
    WHERE id = p_id
    RETURNING * INTO v_after;
    IF v_status <> v_before.status THEN
        INSERT INTO audit (event_id, who, verb, before, after)
        VALUES (p_id, 'tiketi', 'settle', event_row(v_before), event_row(v_after));
    END IF;
    RETURN QUERY SELECT CASE WHEN v_status <> v_before.status THEN 'settled' ELSE 'unchanged' END,
                        event_row(v_after);
END $$;
