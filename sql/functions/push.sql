-- SPDX-License-Identifier: MIT
--
-- push: calls to browsers whose pages are closed. push_subscribe keeps a buyer's browser; push_add, in the transaction
-- that copies the admission log, writes a call into the outbox for each browser of a buyer who was offered a turn, or who
-- was set aside at the head of the queue because they were silent; a sender claims calls, and reports what became of each.
--
-- A call is of use only for a while: until the offer ends, or for an hour to a buyer who was set aside. It is repeated
-- within that time, and then deleted. The newest entry of a buyer decides: a call that was not sent yet is deleted when
-- the buyer claims, returns or leaves. So a buyer who looks at the page is seldom called.

-- ---- subscriptions ----

-- Keeps a browser for a buyer at an event, and asks for a test call if p_test, at most one in ten seconds. A buyer has the
-- three newest of their browsers.
-- subscribed | unknown-event | event-closed
CREATE OR REPLACE FUNCTION push_subscribe(p_event text, p_buyer text, p_endpoint text, p_p256dh text, p_auth text,
                                          p_key text, p_test boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz;
    v_status text := (SELECT status FROM events WHERE id = p_event);
    v_id bigint;
BEGIN
    IF v_status IS NULL THEN
        RETURN QUERY SELECT 'unknown-event', refusal('There is no such event.');
        RETURN;
    ELSIF v_status = 'closed' THEN
        RETURN QUERY SELECT 'event-closed', refusal('The event is closed.');
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(lock_key_buyer(p_event, p_buyer));
    v_now := clock_timestamp();
    INSERT INTO push_subscriptions AS s (event_id, buyer, endpoint, p256dh, auth, key, created_at)
    VALUES (p_event, p_buyer, p_endpoint, p_p256dh, p_auth, p_key, v_now)
    ON CONFLICT (event_id, endpoint) DO UPDATE
        SET buyer = excluded.buyer, p256dh = excluded.p256dh, auth = excluded.auth, key = excluded.key,
            created_at = excluded.created_at
    RETURNING s.id INTO v_id;
    -- Another buyer may be taking over one of these: then it is theirs.
    DELETE FROM push_subscriptions WHERE id IN (
        SELECT s.id FROM push_subscriptions s WHERE s.event_id = p_event AND s.buyer = p_buyer
        ORDER BY s.created_at DESC, s.id DESC OFFSET 3 FOR UPDATE SKIP LOCKED);
    IF p_test THEN
        UPDATE push_subscriptions SET tested_at = v_now
        WHERE id = v_id AND (tested_at IS NULL OR tested_at <= v_now - interval '10 seconds');
        IF FOUND THEN
            INSERT INTO outbox (kind, event_id, subscription_id, payload, expires_at)
            VALUES ('push_test', p_event, v_id, '{"kind": "test"}', v_now + interval '1 minute');
        END IF;
    END IF;
    RETURN QUERY SELECT 'subscribed', json_build_object('test', p_test AND FOUND);
END $$;

-- unsubscribed, also if it was not subscribed
CREATE OR REPLACE FUNCTION push_unsubscribe(p_event text, p_buyer text, p_endpoint text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM push_subscriptions WHERE event_id = p_event AND endpoint = p_endpoint AND buyer = p_buyer;
    RETURN QUERY SELECT 'unsubscribed', NULL::json;
END $$;

-- ---- calls ----

-- For a batch of entries (ledger.sql), before they are copied: so that an entry which is consumed a second time calls
-- nobody again. A buyer whose page is open claims within a moment: offers are called only after 3 s, or a tenth of a short
-- claimMs. It waits for no row that another transaction has locked.
CREATE OR REPLACE FUNCTION push_add(p_event events, p_entries jsonb, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_claim interval := event_setting(p_event.settings, 'claimMs') * interval '1 millisecond';
    v_latest jsonb; -- [{buyer, kind, at, active, subscription}]
BEGIN
    IF (SELECT true FROM push_subscriptions WHERE event_id = p_event.id LIMIT 1) IS NULL THEN
        RETURN;
    END IF;
    SELECT jsonb_agg(to_jsonb(l) || jsonb_build_object('subscription', s.id)) INTO v_latest
    FROM (SELECT DISTINCT ON (e.buyer) e.buyer, e.kind, e.at, e.active, e.epoch, e.place, e.n
          FROM ROWS FROM (jsonb_to_recordset(p_entries) AS (kind text, buyer text, place bigint, epoch bigint,
                   at bigint, n bigint, active boolean))
               WITH ORDINALITY AS e (kind, buyer, place, epoch, at, n, active, o)
          ORDER BY e.buyer, e.o DESC) AS l
    CROSS JOIN LATERAL (SELECT p.id FROM push_subscriptions p
                        WHERE p.event_id = p_event.id AND p.buyer = l.buyer OFFSET 0) AS s
    WHERE (SELECT true FROM admissions a
           WHERE a.event_id = p_event.id AND a.epoch = l.epoch AND a.buyer = l.buyer AND a.place = l.place
             AND a.n = l.n AND a.kind = l.kind LIMIT 1) IS NULL;
    IF v_latest IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM outbox WHERE id IN (
        SELECT c.id FROM jsonb_to_recordset(v_latest) AS l (subscription bigint)
        CROSS JOIN LATERAL (SELECT o.id FROM outbox o
                            WHERE o.subscription_id = l.subscription AND o.kind = 'push'
                            FOR UPDATE SKIP LOCKED) AS c);
    INSERT INTO outbox (kind, event_id, subscription_id, payload, due_at, expires_at)
    SELECT 'push', p_event.id, s.id,
           jsonb_build_object('kind', l.kind, 'until', (extract(epoch FROM t.until) * 1000)::bigint),
           CASE l.kind WHEN 'offered' THEN p_now + least(interval '3 seconds', v_claim / 10) ELSE p_now END, t.until
    FROM jsonb_to_recordset(v_latest) AS l (kind text, at bigint, active boolean, subscription bigint)
    CROSS JOIN LATERAL (SELECT to_timestamp(l.at / 1000.0)
                               + CASE l.kind WHEN 'offered' THEN v_claim ELSE interval '1 hour' END AS until) AS t
    -- One that is being deleted must not fail this transaction.
    CROSS JOIN LATERAL (SELECT p.id FROM push_subscriptions p WHERE p.id = l.subscription
                        FOR KEY SHARE SKIP LOCKED) AS s
    WHERE ((l.kind = 'offered' AND l.active) OR l.kind = 'parked') AND t.until > p_now;
END $$;

-- Claims at most p_limit due calls for p_claim_ms, of which at most p_tests are test calls: turns go first.
-- claimed: {"claim", "calls": [{id, attempts, event, kind, until, ttlMs, endpoint, p256dh, auth, key}]}
CREATE OR REPLACE FUNCTION push_claim(p_limit integer, p_tests integer, p_claim_ms integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_claim uuid := gen_random_uuid();
    v_now timestamptz := clock_timestamp();
    v_calls json;
BEGIN
    WITH turns AS (
        SELECT id FROM outbox
        WHERE status = 'pending' AND kind = 'push' AND due_at <= v_now AND expires_at > v_now
        ORDER BY due_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), tests AS (
        SELECT id FROM outbox
        WHERE status = 'pending' AND kind = 'push_test' AND due_at <= v_now AND expires_at > v_now
        ORDER BY due_at LIMIT least(p_tests, p_limit - (SELECT count(*) FROM turns)) FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE outbox o SET claim = v_claim, attempts = o.attempts + 1,
                            due_at = v_now + p_claim_ms * interval '1 millisecond'
        FROM (SELECT id FROM turns UNION ALL SELECT id FROM tests) AS due WHERE o.id = due.id RETURNING o.*
    )
    SELECT json_agg(json_build_object(
        'id', o.id::text, 'attempts', o.attempts, 'event', o.event_id, 'kind', o.payload ->> 'kind',
        'until', (o.payload ->> 'until')::bigint,
        'ttlMs', (extract(epoch FROM o.expires_at - v_now) * 1000)::bigint,
        'endpoint', s.endpoint, 'p256dh', s.p256dh, 'auth', s.auth, 'key', s.key) ORDER BY o.id)
    INTO v_calls
    FROM claimed o JOIN push_subscriptions s ON s.id = o.subscription_id;
    RETURN QUERY SELECT 'claimed', json_build_object('claim', v_claim, 'calls', coalesce(v_calls, '[]'));
END $$;

-- The push services have taken these calls. sent
CREATE OR REPLACE FUNCTION push_sent(p_ids bigint[])
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    DELETE FROM outbox WHERE id IN (
        SELECT o.id FROM outbox o WHERE o.id = ANY (p_ids) ORDER BY o.id FOR UPDATE);
    RETURN QUERY SELECT 'sent', NULL::json;
END $$;

-- The attempt of this claim failed. It is repeated after p_wait_ms, which the push service asked for, or (0) after 1 s,
-- 2 s, 4 s …, if the call is still of use then. p_gone: the push service no longer knows the browser, or we no longer have
-- the key of the subscription; or (p_refused) it takes no such call.
-- pending | late | gone | dropped | not-found: another sender has it, or it was withdrawn
CREATE OR REPLACE FUNCTION push_failed(p_id bigint, p_claim text, p_error text, p_wait_ms integer, p_gone boolean,
                                       p_refused boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_row outbox;
    v_due timestamptz;
BEGIN
    IF p_gone THEN -- first the subscription, then its calls: as everywhere
        DELETE FROM push_subscriptions
        WHERE id = (SELECT o.subscription_id FROM outbox o WHERE o.id = p_id AND o.claim = as_uuid(p_claim));
        RETURN QUERY SELECT CASE WHEN FOUND THEN 'gone' ELSE 'not-found' END, NULL::json;
        RETURN;
    END IF;
    SELECT * INTO v_row FROM outbox o WHERE o.id = p_id AND o.claim = as_uuid(p_claim) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', NULL::json;
        RETURN;
    END IF;
    v_due := v_now + CASE WHEN p_wait_ms > 0 THEN p_wait_ms * interval '1 millisecond'
        ELSE least(2 ^ least(v_row.attempts - 1, 20), 300) * (0.8 + 0.4 * random()) * interval '1 second' END;
    IF p_refused OR v_due >= v_row.expires_at THEN
        DELETE FROM outbox WHERE id = p_id;
        RETURN QUERY SELECT CASE WHEN p_refused THEN 'dropped' ELSE 'late' END, NULL::json;
        RETURN;
    END IF;
    UPDATE outbox SET due_at = v_due, claim = NULL, error = left(p_error, 200) WHERE id = p_id;
    RETURN QUERY SELECT 'pending', NULL::json;
END $$;

-- Deletes at most p_limit calls that are of no use any more, and at most p_limit subscriptions of events that are closed,
-- deleted, or over since a day. Reads one subscription of each event.
-- kept: {"expired", "subscriptions"}: how many of each were deleted
CREATE OR REPLACE FUNCTION push_upkeep(p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_expired integer;
    v_subscriptions integer;
BEGIN
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE expires_at <= v_now ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_expired = ROW_COUNT;
    WITH RECURSIVE known (id) AS (
        (SELECT event_id FROM push_subscriptions ORDER BY event_id LIMIT 1)
        UNION ALL
        SELECT (SELECT s.event_id FROM push_subscriptions s WHERE s.event_id > k.id ORDER BY s.event_id LIMIT 1)
        FROM known k WHERE k.id IS NOT NULL
    ), ended AS (
        SELECT k.id FROM known k LEFT JOIN events e ON e.id = k.id
        WHERE k.id IS NOT NULL
          AND (e.id IS NULL OR e.status = 'closed' OR e.starts_at < v_now - interval '1 day')
    )
    DELETE FROM push_subscriptions WHERE id IN (
        SELECT s.id FROM ended CROSS JOIN LATERAL (
            SELECT p.id FROM push_subscriptions p WHERE p.event_id = ended.id
            LIMIT p_limit FOR UPDATE SKIP LOCKED) AS s LIMIT p_limit);
    GET DIAGNOSTICS v_subscriptions = ROW_COUNT;
    RETURN QUERY SELECT 'kept', json_build_object('expired', v_expired, 'subscriptions', v_subscriptions);
END $$;
