-- SPDX-License-Identifier: MIT
--
-- hook: webhooks: addresses that are told what the feed of an event has (feed.sql).
--
-- A webhook is a place in the feed. There is no row for each delivery: a sender claims the webhook, sends what comes next, one
-- after the other, and hook_sent moves `sent`. So one sender at a time has it and order is kept; what fails holds up what
-- follows; and going back means another number. A claim lasts longer than a sender may work on it, so if the sender
-- dies, the webhook is due again when its claim ends: each event is delivered at least once.
--
-- Failed attempts are repeated after 5 s, 10 s, 20 s … at most an hour; three days after the first of them the webhook is
-- parked, until it is replayed or switched on again.

-- How many an event may have.
CREATE OR REPLACE FUNCTION hooks_max() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 10 $$;

-- A secret as Standard Webhooks has them: 32 bytes of two random UUIDs.
CREATE OR REPLACE FUNCTION hook_secret() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT 'whsec_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64')
$$;

-- As the API shows it, without a secret.
CREATE OR REPLACE FUNCTION hook_json(w webhooks) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'id', w.id::text, 'eventId', w.event_id, 'url', w.url, 'description', w.description, 'types', w.types,
        'enabled', w.enabled,
        'state', CASE WHEN w.parked_at IS NOT NULL THEN 'parked' WHEN NOT w.enabled THEN 'off'
                      WHEN w.failing_since IS NOT NULL THEN 'failing' ELSE 'good' END,
        'sent', lpad(w.sent::text, 18, '0'), 'sentAt', rfc3339(w.sent_at),
        'behind', greatest(coalesce((SELECT h.seq FROM feed_heads h WHERE h.event_id = w.event_id), 0) - w.sent, 0),
        'attempts', w.attempts, 'failingSince', rfc3339(w.failing_since), 'parkedAt', rfc3339(w.parked_at),
        'dueAt', CASE WHEN w.failing_since IS NOT NULL AND w.parked_at IS NULL THEN rfc3339(w.due_at) END,
        'error', w.error, 'oldSecretUntil', CASE WHEN w.old_until > clock_timestamp() THEN rfc3339(w.old_until) END,
        'testedAt', rfc3339(w.tested_at), 'testError', w.test_error, 'createdAt', rfc3339(w.created_at))
$$;

-- Where a webhook goes, for the audit, which more people may read than its URL: path and query may be a secret.
CREATE OR REPLACE FUNCTION hook_host(p_url text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT substring(p_url FROM '^[^/]*//[^/?#]*')
$$;

-- ---- for staff ----

-- The webhook of this id at this event; NULL: there is none. Its row is locked.
CREATE OR REPLACE FUNCTION hook_named(p_event text, p_id bigint) RETURNS webhooks LANGUAGE sql VOLATILE AS $$
    SELECT w FROM webhooks w WHERE w.id = p_id AND w.event_id = p_event FOR UPDATE
$$;

-- When it is due, now that somebody wants it: at once, if it waits for its next attempt. Else somebody has it; or it is due; or
-- its claim was made void, and its sender is in the middle of a call.
CREATE OR REPLACE FUNCTION hook_due(w webhooks) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN w.claim IS NULL AND w.failing_since IS NOT NULL THEN clock_timestamp() ELSE w.due_at END
$$;

CREATE OR REPLACE FUNCTION hook_unknown() RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT refusal('This event has no such webhook.', 'webhook', p_reason => 'unknown-webhook')
$$;

-- listed: {"webhooks": [...]}
CREATE OR REPLACE FUNCTION hook_list(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', json_build_object('webhooks', coalesce(json_agg(hook_json(w) ORDER BY w.id), '[]'))
    FROM webhooks w WHERE w.event_id = p_event
$$;

-- p_fields: {"url", "description", "types", "enabled"}. It is told what happens from now on.
--   created   with its secret, which no other answer has
--   limit     the event has as many as it may
CREATE OR REPLACE FUNCTION hook_create(p_event text, p_fields jsonb, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_hook webhooks;
BEGIN
    INSERT INTO feed_heads (event_id) VALUES (p_event) ON CONFLICT DO NOTHING;
    PERFORM feed_number_all(p_event);
    PERFORM FROM feed_heads WHERE event_id = p_event FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM webhooks WHERE event_id = p_event) >= hooks_max() THEN
        RETURN QUERY SELECT 'limit', refusal(format('An event has at most %s webhooks.', hooks_max()), NULL, p_reason => 'webhooks-too-many',
                                             p_values => ARRAY[hooks_max()::text]);
        RETURN;
    END IF;
    INSERT INTO webhooks (event_id, url, description, types, enabled, secret, sent)
    SELECT p_event, p_fields ->> 'url', coalesce(p_fields ->> 'description', ''),
           CASE WHEN jsonb_typeof(p_fields -> 'types') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(p_fields -> 'types')) END,
           coalesce((p_fields ->> 'enabled')::boolean, true), hook_secret(), h.seq
    FROM feed_heads h WHERE h.event_id = p_event
    RETURNING * INTO v_hook;
    PERFORM audit_note(p_event, p_who, 'webhook', jsonb_build_object('webhook', v_hook.id::text, 'done', 'added', 'url', hook_host(v_hook.url)));
    RETURN QUERY SELECT 'created', json_join(hook_json(v_hook), json_build_object('secret', v_hook.secret));
END $$;

-- Changes the fields that p_fields has. Another URL, and switching on, count as mended: it is due at once. Another URL, and
-- switching on or off, void the claim of a sender that has it now: what it reports is about the address of before. The next
-- one begins when that has ended.
-- changed | not-found
CREATE OR REPLACE FUNCTION hook_change(p_event text, p_id bigint, p_fields jsonb, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_hook webhooks := hook_named(p_event, p_id);
    v_mended boolean := p_fields ? 'url' OR coalesce((p_fields ->> 'enabled')::boolean, false);
BEGIN
    IF v_hook.id IS NULL THEN
        RETURN QUERY SELECT 'not-found', hook_unknown();
        RETURN;
    END IF;
    UPDATE webhooks SET
        url = coalesce(p_fields ->> 'url', url), description = coalesce(p_fields ->> 'description', description),
        types = CASE WHEN NOT p_fields ? 'types' THEN types
                     WHEN jsonb_typeof(p_fields -> 'types') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(p_fields -> 'types')) END,
        enabled = coalesce((p_fields ->> 'enabled')::boolean, enabled),
        parked_at = CASE WHEN NOT v_mended THEN parked_at END, failing_since = CASE WHEN NOT v_mended THEN failing_since END,
        attempts = CASE WHEN v_mended THEN 0 ELSE attempts END, error = CASE WHEN NOT v_mended THEN error END,
        claim = CASE WHEN NOT p_fields ?| ARRAY['url', 'enabled'] THEN claim END,
        due_at = CASE WHEN v_mended THEN hook_due(webhooks) ELSE due_at END
    WHERE id = p_id RETURNING * INTO v_hook;
    PERFORM audit_note(p_event, p_who, 'webhook', jsonb_build_object('webhook', p_id::text, 'done', 'changed', 'url', hook_host(v_hook.url)) || (p_fields - 'url'));
    RETURN QUERY SELECT 'changed', hook_json(v_hook);
END $$;

-- deleted | not-found
CREATE OR REPLACE FUNCTION hook_delete(p_event text, p_id bigint, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM webhooks WHERE id = p_id AND event_id = p_event;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', hook_unknown();
        RETURN;
    END IF;
    PERFORM audit_note(p_event, p_who, 'webhook', jsonb_build_object('webhook', p_id::text, 'done', 'removed'));
    RETURN QUERY SELECT 'deleted', NULL::json;
END $$;

-- A new secret; the old one signs as well for p_keep_s seconds. With 0 the claim of a sender that has the old one is void.
-- rotated (with the secret) | not-found
CREATE OR REPLACE FUNCTION hook_rotate(p_event text, p_id bigint, p_keep_s integer, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_hook webhooks := hook_named(p_event, p_id);
BEGIN
    IF v_hook.id IS NULL THEN
        RETURN QUERY SELECT 'not-found', hook_unknown();
        RETURN;
    END IF;
    UPDATE webhooks SET old_secret = CASE WHEN p_keep_s > 0 THEN secret END,
                        old_until = CASE WHEN p_keep_s > 0 THEN clock_timestamp() + p_keep_s * interval '1 second' END,
                        secret = hook_secret(), claim = CASE WHEN p_keep_s > 0 THEN claim END
    WHERE id = p_id RETURNING * INTO v_hook;
    PERFORM audit_note(p_event, p_who, 'webhook', jsonb_build_object('webhook', p_id::text, 'done', 'rotated'));
    RETURN QUERY SELECT 'rotated', json_join(hook_json(v_hook), json_build_object('secret', v_hook.secret));
END $$;

-- A test call is to be sent, whether the webhook is on, off or parked.
-- testing | not-found
CREATE OR REPLACE FUNCTION hook_test(p_event text, p_id bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_hook webhooks := hook_named(p_event, p_id);
BEGIN
    IF v_hook.id IS NULL THEN
        RETURN QUERY SELECT 'not-found', hook_unknown();
        RETURN;
    END IF;
    UPDATE webhooks SET test_id = gen_random_uuid(), tested_at = NULL, test_error = NULL,
                        due_at = hook_due(webhooks)
    WHERE id = p_id RETURNING * INTO v_hook;
    RETURN QUERY SELECT 'testing', hook_json(v_hook);
END $$;

-- Sends again what comes after p_after (0: all that is kept; NULL: goes on where it stopped), at once, also if it was parked
-- or off.
--   replayed
--   forgotten   what came after p_after was deleted by now
--   not-found
CREATE OR REPLACE FUNCTION hook_replay(p_event text, p_id bigint, p_after bigint, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_hook webhooks := hook_named(p_event, p_id);
    v_head feed_heads;
BEGIN
    SELECT * INTO v_head FROM feed_heads h WHERE h.event_id = p_event;
    IF v_hook.id IS NULL THEN
        RETURN QUERY SELECT 'not-found', hook_unknown();
        RETURN;
    ELSIF p_after > 0 AND p_after < v_head.pruned THEN
        RETURN QUERY SELECT 'forgotten', refusal('Events after this number have been deleted. Send what is kept: "after": "0".', 'after',
                                                 p_reason => 'feed-forgotten');
        RETURN;
    END IF;
    -- A sender that has it now has read other numbers: its claim is void, and what it reports changes nothing.
    UPDATE webhooks SET sent = CASE WHEN p_after IS NULL THEN sent ELSE least(p_after, coalesce(v_head.seq, 0)) END, claim = NULL,
                        enabled = true, parked_at = NULL, failing_since = NULL, attempts = 0, error = NULL,
                        due_at = hook_due(webhooks)
    WHERE id = p_id RETURNING * INTO v_hook;
    PERFORM audit_note(p_event, p_who, 'webhook', jsonb_build_object('webhook', p_id::text, 'done', 'replayed', 'after', p_after::text));
    RETURN QUERY SELECT 'replayed', hook_json(v_hook);
END $$;

-- ---- for senders ----

-- What comes next for a webhook that has p_sent: at most p_limit events of its types, looked for among the next 5,000 of the feed. upTo: when
-- they are delivered, everything up to here is.
CREATE OR REPLACE FUNCTION hook_next(p_event text, p_sent bigint, p_types text[], p_limit integer,
                                     OUT events json, OUT up_to bigint, OUT n integer) LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
DECLARE
    v_last bigint;
BEGIN
    SELECT json_agg(json_build_object('sequence', m.seq::text, 'event', feed_json(m.f)) ORDER BY m.seq), count(*), max(m.seq)
    INTO events, n, v_last
    FROM (SELECT (f.f).seq, f.f FROM (
              SELECT f FROM feed f WHERE f.event_id = p_event AND f.seq > p_sent ORDER BY f.seq LIMIT 5000) AS f
          WHERE p_types IS NULL OR (f.f).type = ANY (p_types) ORDER BY (f.f).seq LIMIT p_limit) AS m;
    up_to := CASE WHEN n = p_limit THEN v_last
                  ELSE (SELECT max(o.seq) FROM (SELECT f.seq FROM feed f WHERE f.event_id = p_event AND f.seq > p_sent
                                                ORDER BY f.seq LIMIT 5000) AS o) END;
END $$;

-- Claims at most p_limit due webhooks for p_claim_ms, with at most p_events events for each.
-- claimed: {"claim", "webhooks": [{id, eventId, url, secrets, attempts, test, upTo, events: [{sequence, event}]}]}: test: the id of a
-- test call, or null
CREATE OR REPLACE FUNCTION hook_claim(p_limit integer, p_events integer, p_claim_ms integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_claim uuid := gen_random_uuid();
    v_now timestamptz := clock_timestamp();
    v_list json;
BEGIN
    PERFORM feed_number(w.event_id, 2000, false)
    FROM (SELECT DISTINCT event_id FROM webhooks WHERE enabled AND parked_at IS NULL) AS w;
    WITH due AS MATERIALIZED (
        SELECT w.id FROM webhooks w
        WHERE w.due_at <= v_now
          AND (w.test_id IS NOT NULL
               OR w.enabled AND w.parked_at IS NULL
                  AND (SELECT true FROM feed f WHERE f.event_id = w.event_id AND f.seq > w.sent LIMIT 1) IS NOT NULL)
        ORDER BY w.due_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE webhooks w SET claim = v_claim, due_at = v_now + p_claim_ms * interval '1 millisecond'
        FROM due WHERE w.id = due.id RETURNING w.*
    )
    SELECT json_agg(json_build_object(
        'id', c.id::text, 'eventId', c.event_id, 'url', c.url, 'attempts', c.attempts, 'test', c.test_id,
        'secrets', CASE WHEN c.old_until > v_now THEN json_build_array(c.secret, c.old_secret) ELSE json_build_array(c.secret) END,
        'upTo', n.up_to::text, 'events', coalesce(n.events, '[]')) ORDER BY c.id)
    INTO v_list
    FROM claimed c LEFT JOIN LATERAL hook_next(c.event_id, c.sent, c.types, p_events) AS n ON c.enabled AND c.parked_at IS NULL;
    RETURN QUERY SELECT 'claimed', json_build_object('claim', v_claim, 'webhooks', coalesce(v_list, '[]'));
END $$;

-- What became of a claim: everything up to p_sent was delivered ('': nothing was), p_n events of it; p_error: why the next one was not (NULL: there
-- was none). It is tried again after p_wait_ms, which the receiver asked for, or (0) later and later. p_gone: the receiver wants
-- no more.
-- good | failing | parked | not-found: another sender has it, or it was replayed, changed or deleted
CREATE OR REPLACE FUNCTION hook_sent(p_id bigint, p_claim text, p_sent text, p_n integer, p_error text, p_wait_ms integer, p_gone boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_hook webhooks;
    v_parks boolean;
BEGIN
    SELECT * INTO v_hook FROM webhooks w WHERE w.id = p_id AND w.claim = as_uuid(p_claim) FOR UPDATE;
    IF NOT FOUND THEN
        -- The claim may be void because of a replay or a change: the sender has ended, so it is due.
        UPDATE webhooks SET due_at = least(due_at, v_now) WHERE id = p_id AND claim IS NULL AND failing_since IS NULL;
        RETURN QUERY SELECT 'not-found', NULL::json;
        RETURN;
    END IF;
    IF p_n > 0 THEN
        v_hook.failing_since := NULL;
        v_hook.attempts := 0;
    END IF;
    IF p_error IS NOT NULL THEN
        v_hook.failing_since := coalesce(v_hook.failing_since, v_now);
        v_hook.attempts := v_hook.attempts + 1;
    END IF;
    v_parks := p_error IS NOT NULL AND (p_gone OR v_hook.failing_since <= v_now - interval '3 days');
    UPDATE webhooks SET
        sent = greatest(sent, coalesce(nullif(p_sent, '')::bigint, sent)), sent_at = CASE WHEN p_n > 0 THEN v_now ELSE sent_at END,
        claim = NULL, failing_since = v_hook.failing_since, attempts = v_hook.attempts,
        -- A parked one has had a test call, which mends nothing.
        error = CASE WHEN p_error IS NULL AND parked_at IS NOT NULL THEN error ELSE left(p_error, 200) END,
        parked_at = CASE WHEN v_parks THEN v_now ELSE parked_at END,
        -- A test call that was asked for meanwhile is waited for by a person.
        due_at = CASE WHEN p_error IS NULL THEN v_now WHEN test_id IS NOT NULL THEN v_now + interval '1 second'
                      WHEN p_wait_ms > 0 THEN v_now + p_wait_ms * interval '1 millisecond'
                      ELSE v_now + least(5 * 2 ^ least(v_hook.attempts - 1, 20), 3600) * (0.8 + 0.4 * random()) * interval '1 second' END
    WHERE id = p_id;
    RETURN QUERY SELECT CASE WHEN v_parks THEN 'parked' WHEN p_error IS NOT NULL THEN 'failing' ELSE 'good' END, NULL::json;
END $$;

-- What became of a test call; p_error NULL: it was taken. noted | not-found: another one was asked for since
CREATE OR REPLACE FUNCTION hook_tested(p_id bigint, p_test text, p_error text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhooks SET test_id = NULL, tested_at = clock_timestamp(), test_error = left(p_error, 200)
    WHERE id = p_id AND test_id = as_uuid(p_test);
    RETURN QUERY SELECT CASE WHEN FOUND THEN 'noted' ELSE 'not-found' END, NULL::json;
END $$;

-- How many there are at an event (NULL: at all), and how many of them fail.
-- counted: {"webhooks", "failing", "parked", "lateSeconds"}: lateSeconds: for how long the one has failed that fails longest
CREATE OR REPLACE FUNCTION hook_count(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT 'counted', json_build_object(
        'webhooks', count(*) FILTER (WHERE w.enabled),
        'failing', count(*) FILTER (WHERE w.enabled AND w.parked_at IS NULL AND w.failing_since IS NOT NULL),
        'parked', count(*) FILTER (WHERE w.parked_at IS NOT NULL),
        'lateSeconds', coalesce((max(extract(epoch FROM clock_timestamp() - w.failing_since))
                                  FILTER (WHERE w.enabled AND w.parked_at IS NULL))::bigint, 0))
    FROM webhooks w WHERE p_event IS NULL OR w.event_id = p_event;
END $$;
