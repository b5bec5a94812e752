-- SPDX-License-Identifier: MIT
--
-- event: events with their settings, branding and logo.

-- ---- settings ----

-- All settings of an event, one a line, each with its default. The default counts for an event whose
-- stored settings lack it, because it was created before the setting existed. docs/add-a-setting.md says
-- what else a new setting needs.
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

-- Only the settings, out of all fields of an event.
CREATE OR REPLACE FUNCTION event_settings(p_event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, value), '{}')
    FROM jsonb_each(p_event) WHERE event_setting_defaults() ? key
$$;

-- An integer setting out of column `settings`, or its default.
CREATE OR REPLACE FUNCTION event_setting(p_settings jsonb, p_name text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(p_settings ->> p_name, event_setting_defaults() ->> p_name)::bigint
$$;

-- ---- branding ----

-- {"name", "primary", "background", "logo"}: primary and background are colours, logo is its URL path.
CREATE OR REPLACE FUNCTION branding_public(e events) RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT json_build_object(
        'name', coalesce(e.branding ->> 'name', ''), 'primary', e.branding ->> 'primary',
        'background', e.branding ->> 'background',
        'logo', CASE WHEN e.branding ->> 'logo' IS NOT NULL
                     THEN '/brand/' || e.id || '/logo?v=' || (e.branding ->> 'logo') END)
$$;

-- The value of column branding for p_event. Field newLogo of p_event is a new logo, '' to remove the logo,
-- or absent to keep it. A new logo's URL contains p_version, the version of the event that brings it.
CREATE OR REPLACE FUNCTION branding_of(p_event jsonb, p_before jsonb, p_version bigint)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'name', nullif(p_event -> 'branding' ->> 'name', ''),
        'primary', p_event -> 'branding' -> 'primary',
        'background', p_event -> 'branding' -> 'background',
        'logo', CASE WHEN NOT p_event ? 'newLogo' THEN p_before -> 'logo'
                     WHEN p_event ->> 'newLogo' <> '' THEN to_jsonb(p_version) END))
$$;

-- Stores or removes the logo as newLogo says (see branding_of).
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

-- The public form of an event: one flat object.
CREATE OR REPLACE FUNCTION event_public(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (jsonb_build_object(
        'id', e.id, 'title', e.title, 'artist', e.artist, 'venue', e.venue,
        'startsAt', rfc3339(e.starts_at), 'opensAt', rfc3339(e.opens_at),
        'closesAt', rfc3339(e.closes_at), 'status', e.status, 'message', nullif(e.message, ''),
        'version', e.version, 'branding', branding_public(e))
        || event_setting_defaults() || e.settings)::json
$$;

-- The form for the program: the public one, and what is not public. `opened` means that places have been
-- given: if the live copy is missing then, Redis has lost it and a restore window begins. (A flag set when
-- the organizer opens the event would make the first live copy look like a lost one.) freeSeats is the
-- seats_capacity after admission number freeAdmitted, whose log entry is freeId, all in one snapshot. So
-- a new live copy knows its capacity, and the first buyers need not wait for the ledger.
CREATE OR REPLACE FUNCTION event_row(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (event_public(e)::jsonb || jsonb_build_object(
        'owner', e.owner, 'epoch', e.epoch, 'lastPlace', e.last_place, 'seats', e.seats,
        'opened', e.last_place > 0,
        'freeSeats', CASE WHEN e.seats > 0 THEN seats_capacity(e.id) ELSE 0 END,
        'freeAdmitted', coalesce(c.admitted, 0), 'freeId', coalesce(c.consumed, '0-0')))::json
    FROM (VALUES (1)) AS one LEFT JOIN ledger_cursors c ON c.event_id = e.id
$$;

-- ---- the organizer ----

-- Makes a draft. An event without an id gets a UUID.
--   created
--   conflict   the id is taken
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

-- p_event has every field, and the version that the caller read.
--   updated
--   stale       the event has been changed since: its version is another one
--   not-found
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

-- Begins a new epoch; the caller clears Redis afterwards. All places and admissions end, and with them the
-- auto-holds. Locks the ledger's cursor first, and so waits for a ledger_consume that is under way: that
-- one has read the old epoch, and would otherwise make auto-holds for it after they were given back here.
-- updated | not-found
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
    -- A reservation that another transaction has locked is being paid for or replaced: the buyer keeps it.
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

-- listed: an array of public forms, newest first. p_owner NULL: of all owners. p_public: without drafts.
CREATE OR REPLACE FUNCTION event_list(p_owner text, p_public boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', coalesce(json_agg(event_public(e)), '[]')
    FROM (SELECT * FROM events
          WHERE (p_owner IS NULL OR owner = p_owner) AND NOT (p_public AND status = 'draft')
          ORDER BY created_at DESC, id LIMIT 500) AS e
$$;

-- ---- the processor ----

-- A row for each event that needs a processor. A closed event is among them until its last session must
-- have ended, because the processor ends sessions, and for one more minute, so that every pod learns
-- that it is closed.
CREATE OR REPLACE FUNCTION event_live()
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', event_row(e) FROM events e
    WHERE e.status NOT IN ('draft', 'closed')
       OR (e.status = 'closed' AND e.closed_at > clock_timestamp() - interval '1 minute'
             - coalesce((e.settings ->> 'sessionLimitMs')::bigint, 0) * interval '1 millisecond')
    ORDER BY e.id
$$;

-- Brings the stored status up to date with the times (open, closed) and the purchases (sold_out, or open
-- again), and stores the highest place given, which never falls.
--   settled     the status changed
--   unchanged
--   not-found
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
        -- Sold out means that every seat is sold. A seat that is only held may become free again.
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
