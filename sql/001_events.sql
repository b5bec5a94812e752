-- SPDX-License-Identifier: MIT
--
-- events: the record of every on-sale event; Redis holds a live copy. audit: who changed what.
--
-- Conventions of every file here. One function call is one transaction and one round trip. A
-- function returns (outcome, body): a word the caller maps to a status, and the JSON to answer
-- with (type json, not jsonb: the order of its keys is part of its looks). A refusal is an
-- outcome, never an exception, and has changed nothing. Isolation is READ COMMITTED: each
-- statement sees what was committed before it began.

CREATE TABLE events (
    id         text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
    owner      text NOT NULL,
    title      text NOT NULL CHECK (title <> ''),
    artist     text NOT NULL DEFAULT '',
    venue      text NOT NULL DEFAULT '',
    starts_at  timestamptz,
    opens_at   timestamptz,
    closes_at  timestamptz,
    settings   jsonb NOT NULL,
    status     text NOT NULL DEFAULT 'draft'
               CHECK (status IN ('draft', 'scheduled', 'open', 'paused', 'sold_out', 'closed')),
    version    bigint NOT NULL DEFAULT 1,
    epoch      bigint NOT NULL DEFAULT 1,
    last_place bigint NOT NULL DEFAULT 0, -- highest place known to have been given
    seats      bigint NOT NULL DEFAULT 0, -- how many rows table seats has for it
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at  timestamptz
);
CREATE INDEX events_owner ON events (owner, created_at);

-- event_id is no foreign key: history outlives what it is about.
CREATE TABLE audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text COLLATE "C" NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    who      text NOT NULL,
    verb     text NOT NULL,
    before   jsonb,
    after    jsonb
);
CREATE INDEX audit_event ON audit (event_id, id);

CREATE FUNCTION rfc3339(p_time timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

-- The body of a refusal; `field` and `seats` only where they fit.
CREATE FUNCTION refusal(p_detail text, p_field text DEFAULT NULL, p_seats bigint[] DEFAULT NULL)
RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT json_strip_nulls(json_build_object('detail', p_detail, 'field', p_field,
                                              'seats', to_json(p_seats::text[])))
$$;

-- The public face of an event: flat, in the order of the documentation.
CREATE FUNCTION event_public(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'id', e.id, 'title', e.title, 'artist', e.artist, 'venue', e.venue,
        'startsAt', rfc3339(e.starts_at), 'opensAt', rfc3339(e.opens_at),
        'closesAt', rfc3339(e.closes_at), 'status', e.status, 'version', e.version,
        'threshold', e.settings -> 'threshold', 'intervalMs', e.settings -> 'intervalMs',
        'idleTimeoutMs', e.settings -> 'idleTimeoutMs',
        'sessionLimitMs', e.settings -> 'sessionLimitMs', 'holdMs', e.settings -> 'holdMs',
        'surge', coalesce(e.settings -> 'surge', '[]'),
        'outflowPerMinute', coalesce(e.settings -> 'outflowPerMinute', '0'),
        'autoHold', coalesce(e.settings -> 'autoHold', '1'),
        'maxSeats', coalesce(e.settings -> 'maxSeats', '4'),
        'allowGuests', coalesce(e.settings -> 'allowGuests', 'true'))
$$;

-- All of it, for the program. `opened` means that places have been given: a live copy that is
-- missing then was lost, and has to be restored rather than begun. (A flag set when the organizer
-- opens the sale would make the first live copy look like a lost one.)
CREATE FUNCTION event_row(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (event_public(e)::jsonb || jsonb_build_object(
        'owner', e.owner, 'epoch', e.epoch, 'lastPlace', e.last_place, 'seats', e.seats,
        'opened', e.last_place > 0))::json
$$;

CREATE FUNCTION event_settings(p_event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(k, p_event -> k), '{}')
    FROM unnest(ARRAY['threshold', 'intervalMs', 'idleTimeoutMs', 'sessionLimitMs', 'holdMs',
                      'surge', 'outflowPerMinute', 'autoHold', 'maxSeats', 'allowGuests']) AS k
    WHERE p_event ? k
$$;

-- created | conflict (the id is taken). A missing id becomes a uuid. Begins as a draft.
CREATE FUNCTION event_create(p_event jsonb, p_owner text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_event events;
BEGIN
    INSERT INTO events (id, owner, title, artist, venue, starts_at, opens_at, closes_at, settings)
    VALUES (coalesce(nullif(p_event ->> 'id', ''), gen_random_uuid()::text), p_owner,
            p_event ->> 'title', coalesce(p_event ->> 'artist', ''),
            coalesce(p_event ->> 'venue', ''), (p_event ->> 'startsAt')::timestamptz,
            (p_event ->> 'opensAt')::timestamptz, (p_event ->> 'closesAt')::timestamptz,
            event_settings(p_event))
    ON CONFLICT (id) DO NOTHING
    RETURNING * INTO v_event;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'conflict', refusal('An event with this id exists.', 'id');
        RETURN;
    END IF;
    INSERT INTO audit (event_id, who, verb, after)
    VALUES (v_event.id, p_who, 'create', event_row(v_event));
    RETURN QUERY SELECT 'created', event_row(v_event);
END $$;

-- updated | stale (the version read is no longer the stored one) | not-found. p_event carries
-- every field, and the version it was read at.
CREATE FUNCTION event_update(p_event jsonb, p_verb text, p_who text)
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
        venue = coalesce(p_event ->> 'venue', ''),
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

-- found | not-found
CREATE FUNCTION event_get(p_id text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', event_row(e) FROM events e WHERE e.id = p_id
    UNION ALL
    SELECT 'not-found', refusal('There is no such event.')
    WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = p_id)
$$;

-- One row per event a processor has to look after: closed ones until every session in them must be
-- over (somebody has to end it) and one more minute, so that every pod learns of it.
CREATE FUNCTION event_live()
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'found', event_row(e) FROM events e
    WHERE e.status NOT IN ('draft', 'closed')
       OR (e.status = 'closed' AND e.closed_at > clock_timestamp() - interval '1 minute'
             - coalesce((e.settings ->> 'sessionLimitMs')::bigint, 0) * interval '1 millisecond')
    ORDER BY e.id
$$;

-- listed: an array of public faces, newest first.
CREATE FUNCTION event_list(p_owner text, p_public boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', coalesce(json_agg(event_public(e)), '[]')
    FROM (SELECT * FROM events
          WHERE (p_owner IS NULL OR owner = p_owner) AND NOT (p_public AND status = 'draft')
          ORDER BY created_at DESC, id LIMIT 500) AS e
$$;
