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
        "claimMs": 90000,
        "sessionLimitMs": 600000,
        "holdMs": 300000,
        "silentMs": 120000,
        "closeGraceMs": null,
        "placesPerNetwork": 5000,
        "outflowPerMinute": 0,
        "thresholdMin": 0,
        "targetP95Ms": 1000,
        "targetErrorPercent": 1,
        "autoHold": 1,
        "maxSeats": 4,
        "timeZone": null,
        "language": null,
        "messages": null,
        "links": {"seller": null, "help": null, "terms": null, "refunds": null, "privacy": null},
        "surge": [],
        "allowGuests": true,
        "loginUrl": null,
        "returnUrls": [],
        "rehearsal": false,
        "askEmail": "no",
        "promotion": "continuous"
    }'
$$;

-- The settings among all fields of an event.
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

-- {"name", "primary", "background", "logo", "image"}: primary and background are colours, logo and image are
-- their URL paths.
CREATE OR REPLACE FUNCTION branding_public(e events) RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT json_build_object(
        'name', coalesce(e.branding ->> 'name', ''), 'primary', e.branding ->> 'primary',
        'background', e.branding ->> 'background',
        'logo', CASE WHEN e.branding ->> 'logo' IS NOT NULL
                     THEN '/brand/' || e.id || '/logo?v=' || (e.branding ->> 'logo') END,
        'image', CASE WHEN e.branding ->> 'image' IS NOT NULL
                      THEN '/brand/' || e.id || '/image?v=' || (e.branding ->> 'image') END)
$$;

-- The value of column branding for p_event. Field newLogo of p_event is a new logo, '' to remove the logo,
-- or absent to keep it; newImage likewise. A new picture's URL contains p_version, the version of the event
-- that brings it.
CREATE OR REPLACE FUNCTION branding_of(p_event jsonb, p_before jsonb, p_version bigint)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'name', nullif(p_event -> 'branding' ->> 'name', ''),
        'primary', p_event -> 'branding' -> 'primary',
        'background', p_event -> 'branding' -> 'background',
        'logo', CASE WHEN NOT p_event ? 'newLogo' THEN p_before -> 'logo'
                     WHEN p_event ->> 'newLogo' <> '' THEN to_jsonb(p_version) END,
        'image', CASE WHEN NOT p_event ? 'newImage' THEN p_before -> 'image'
                      WHEN p_event ->> 'newImage' <> '' THEN to_jsonb(p_version) END))
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

-- Stores or removes the image as newImage says (see branding_of).
CREATE OR REPLACE FUNCTION image_store(p_event jsonb, p_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT p_event ? 'newImage' THEN
        RETURN;
    END IF;
    DELETE FROM images WHERE event_id = p_id;
    INSERT INTO images (event_id, data)
    SELECT p_id, p_event ->> 'newImage' WHERE p_event ->> 'newImage' <> '';
END $$;

-- found ({"data"}: a data: URL) | not-found
CREATE OR REPLACE FUNCTION image_get(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', json_build_object('data', data) FROM images WHERE event_id = p_event
    UNION ALL
    SELECT 'not-found', refusal('This event has no image.')
    WHERE NOT EXISTS (SELECT FROM images WHERE event_id = p_event)
$$;

-- found ({"data"}: a data: URL) | not-found
CREATE OR REPLACE FUNCTION logo_get(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', json_build_object('data', data) FROM logos WHERE event_id = p_event
    UNION ALL
    SELECT 'not-found', refusal('This event has no logo.')
    WHERE NOT EXISTS (SELECT FROM logos WHERE event_id = p_event)
$$;

-- ---- the two forms of an event ----

-- The settings that are for the staff of an event alone: they say how it is run, and no buyer needs them.
CREATE OR REPLACE FUNCTION event_staff_settings() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['threshold', 'intervalMs', 'silentMs', 'closeGraceMs', 'placesPerNetwork', 'outflowPerMinute', 'thresholdMin', 'targetP95Ms',
                 'targetErrorPercent', 'autoHold', 'surge', 'promotion', 'returnUrls']
$$;

-- The form of an event for its staff: one flat object.
CREATE OR REPLACE FUNCTION event_staff(e events) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'id', e.id, 'title', e.title, 'artist', e.artist, 'venue', e.venue,
        'startsAt', rfc3339(e.starts_at), 'opensAt', rfc3339(e.opens_at),
        'closesAt', rfc3339(e.closes_at), 'status', e.status, 'message', nullif(e.message, ''),
        'version', e.version, 'branding', branding_public(e),
        'priceFrom', CASE WHEN e.price_from IS NOT NULL
                          THEN jsonb_build_object('amount', e.price_from, 'currency', e.currency) END,
        'owner', e.owner, 'epoch', e.epoch, 'seats', e.seats)
        || event_setting_defaults() || e.settings
$$;

-- The form for everybody.
CREATE OR REPLACE FUNCTION event_public(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (event_staff(e) - event_staff_settings() - ARRAY['owner', 'epoch', 'seats'])::json
$$;

-- The form for the program: that of the staff, and what nobody is shown. `opened` means that places have been
-- given: if the live copy is missing then, Redis has lost it and a restore window begins. (A flag set when
-- the organizer opens the event would make the first live copy look like a lost one.) freeSeats is the
-- seats_capacity after admission number freeAdmitted, whose log entry is freeId, all in one snapshot. So
-- a new live copy knows its capacity, and the first buyers need not wait for the ledger.
CREATE OR REPLACE FUNCTION event_row(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (event_staff(e) || jsonb_build_object(
        'lastPlace', e.last_place, 'opened', e.last_place > 0,
        'bans', (SELECT count(*) FROM bans b WHERE b.event_id = e.id), 'bansMark', bans_mark(e.id),
        'closedPaused', e.closed_paused,
        'closedAt', rfc3339(e.closed_at),
        'freeSeats', CASE WHEN e.seats > 0 THEN seats_capacity(e.id) ELSE 0 END,
        'freeAdmitted', coalesce(c.admitted, 0), 'freeId', coalesce(c.consumed, '0-0')))::json
    FROM (VALUES (1)) AS one LEFT JOIN ledger_cursors c ON c.event_id = e.id
$$;

-- ---- the organizer ----

-- The first version and epoch of an event with this id: above those of an event that had the id before and was
-- removed, so that no ticket of that one holds, and Redis takes the new settings for newer.
CREATE OR REPLACE FUNCTION event_first(p_id text, OUT version bigint, OUT epoch bigint) LANGUAGE sql STABLE AS $$
    SELECT coalesce(max((coalesce(after, before) ->> 'version')::bigint), 0) + 1,
           coalesce(max((coalesce(after, before) ->> 'epoch')::bigint), 0) + 1
    FROM audit WHERE event_id = p_id
$$;

-- Makes a draft. An event without an id gets a UUID.
--   created
--   conflict   the id is taken
CREATE OR REPLACE FUNCTION event_create(p_event jsonb, p_owner text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_event events;
    v_id text := coalesce(nullif(p_event ->> 'id', ''), gen_random_uuid()::text);
    v_first record;
BEGIN
    SELECT * INTO v_first FROM event_first(v_id);
    INSERT INTO events (id, owner, title, artist, venue, starts_at, opens_at, closes_at, settings,
                        branding, version, epoch)
    VALUES (v_id, p_owner, p_event ->> 'title', coalesce(p_event ->> 'artist', ''),
            coalesce(p_event ->> 'venue', ''), (p_event ->> 'startsAt')::timestamptz,
            (p_event ->> 'opensAt')::timestamptz, (p_event ->> 'closesAt')::timestamptz,
            event_settings(p_event), branding_of(p_event, '{}', v_first.version), v_first.version, v_first.epoch)
    ON CONFLICT (id) DO NOTHING
    RETURNING * INTO v_event;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'conflict', refusal('An event with this id exists.', 'id');
        RETURN;
    END IF;
    PERFORM logo_store(p_event, v_event.id);
    PERFORM image_store(p_event, v_event.id);
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
        -- Opened now: not later than now by this clock either, should the pod have dated it by its own, wrong one.
        opens_at = CASE WHEN p_verb = 'open'
                        THEN least((p_event ->> 'opensAt')::timestamptz, clock_timestamp())
                        ELSE (p_event ->> 'opensAt')::timestamptz END,
        closes_at = (p_event ->> 'closesAt')::timestamptz,
        settings = settings || event_settings(p_event),
        branding = branding_of(p_event, branding, version + 1),
        status = p_event ->> 'status',
        closed_at = CASE WHEN p_event ->> 'status' = 'closed'
                         THEN coalesce(closed_at, clock_timestamp()) END,
        closed_paused = p_event ->> 'status' = 'closed' AND (closed_paused OR status = 'paused'),
        version = version + 1
    WHERE id = v_before.id
    RETURNING * INTO v_after;
    PERFORM logo_store(p_event, v_after.id);
    PERFORM image_store(p_event, v_after.id);
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

-- A page of events for staff, newest first: those of an owner, those that p_ids names, separated by commas, and those that
-- are shared with p_subject. Owner and ids NULL: all. p_before: `next` of the page before.
-- listed: {"events": [the forms for staff], "next": cursor or null}
-- contracts: generation 48: it knew no list of ids
DROP FUNCTION IF EXISTS events_page (text, text, integer);
-- contracts: generation 48: it knew no shared events
DROP FUNCTION IF EXISTS events_page (text, text, text, integer);
CREATE OR REPLACE FUNCTION events_page(p_owner text, p_ids text, p_subject text, p_before text, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_found events[] := ARRAY(
        SELECT e FROM events e
        WHERE (p_owner IS NULL AND p_ids IS NULL OR e.owner = p_owner OR e.id = ANY (string_to_array(p_ids, ','))
               OR e.id IN (SELECT event_id FROM event_staff WHERE subject = p_subject))
          AND (p_before IS NULL
               OR (e.created_at, e.id) < (cursor_time(p_before), cursor_id(p_before)))
        ORDER BY e.created_at DESC, e.id DESC LIMIT p_limit + 1);
BEGIN
    RETURN QUERY SELECT 'listed', json_build_object(
        'events', coalesce((SELECT json_agg(event_staff(e) ORDER BY e.created_at DESC, e.id DESC)
                            FROM unnest(v_found[:p_limit]) AS e), '[]'),
        'next', CASE WHEN cardinality(v_found) > p_limit
                     THEN cursor_of(v_found[p_limit].created_at, v_found[p_limit].id) END);
END $$;

-- Does the public list have this event? A rehearsal is open to those who have its address.
CREATE OR REPLACE FUNCTION event_is_listed(e events) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT e.status NOT IN ('draft', 'closed') AND NOT coalesce((e.settings ->> 'rehearsal')::boolean, false)
$$;

-- The events that the public may see and that are not over, newest first, without rehearsals. version stands for the whole list:
-- equal versions are equal lists, on every pod. p_known: the version that the caller has.
--   unchanged   one row, without an event
--   found       one row without an event, then one for each: its public form and its cursor
CREATE OR REPLACE FUNCTION events_listing(p_known text)
RETURNS TABLE (outcome text, version text, next text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_version text;
BEGIN
    SELECT md5(coalesce(string_agg(e.id || ' ' || e.version, ',' ORDER BY e.created_at DESC, e.id DESC), ''))
    INTO v_version FROM events e WHERE event_is_listed(e);
    IF v_version = p_known THEN
        RETURN QUERY SELECT 'unchanged', v_version, NULL::text, NULL::json;
        RETURN;
    END IF;
    RETURN QUERY SELECT 'found', v_version, NULL::text, NULL::json;
    RETURN QUERY SELECT 'found', v_version, cursor_of(e.created_at, e.id), event_public(e)
    FROM events e WHERE event_is_listed(e)
    ORDER BY e.created_at DESC, e.id DESC;
END $$;

-- ---- the processor ----

-- A row for each event that needs a processor. A closed event is among them until its last session must
-- have ended, because the processor ends sessions, and for one more minute, so that every pod learns
-- that it is closed. A pod that has seen somebody inside goes on for as long as that lasts (processor_runner.c).
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
    ELSIF v_status = 'scheduled' AND v_before.opens_at <= v_now THEN
        v_status := 'open';
    END IF;
    IF v_status IN ('open', 'sold_out') THEN
        -- Sold out means that every seat is sold, but for blocked ones. A seat that is only held may become free again.
        v_status := CASE WHEN v_before.seats > 0
            AND NOT EXISTS (SELECT FROM seats WHERE event_id = p_id AND NOT sold AND status <> 'blocked')
            THEN 'sold_out' ELSE 'open' END;
    END IF;
    -- A draft has no places: this is the last call of a processor for a rehearsal that was reset.
    IF v_status = 'draft'
       OR v_status = v_before.status AND coalesce(p_last_place, 0) <= v_before.last_place THEN
        RETURN QUERY SELECT 'unchanged', event_row(v_before);
        RETURN;
    END IF;
    UPDATE events SET
        last_place = greatest(last_place, p_last_place),
        status = v_status,
        closed_at = CASE WHEN v_status = 'closed' THEN coalesce(closed_at, v_now) END,
        closed_paused = v_status = 'closed' AND (closed_paused OR status = 'paused'),
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
