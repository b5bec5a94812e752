-- SPDX-License-Identifier: MIT
--
-- outbox: mail that is to be sent, and calls (push.sql), which are the rows with expires_at. outbox_add writes a row in the transaction of what the mail tells; a sender claims
-- rows, sends them, and reports what became of each.
--
-- A claim lasts longer than an attempt may take, so no two senders have one mail at a time. If the sender dies, the row
-- is due again when its claim ends. So a mail is sent at least once, and only a death between the mail server's answer
-- and outbox_sent sends it twice, under one Message-ID.
--
-- Failed attempts are repeated after 5 s, 10 s, 20 s … at most an hour; three days after the row was written it is
-- parked. A parked row stays for the operator to see, and to send again (docs/operations.md, "Mail").

CREATE OR REPLACE FUNCTION outbox_add(p_kind text, p_recipient text, p_language text, p_payload jsonb,
                                      p_event text)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO outbox (kind, recipient, language, payload, event_id)
    VALUES (p_kind, p_recipient, p_language, p_payload, p_event)
$$;

-- The mail about a purchase, if the buyer gave an address. `ticket` is the token of the ticket's page, in clear until the
-- mail is sent.
CREATE OR REPLACE FUNCTION outbox_add_confirmation(r reservations) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF r.email IS NOT NULL THEN
        PERFORM outbox_add('confirmation', r.email, coalesce(r.language, 'en'),
                           jsonb_build_object('reservation', r.id, 'ticket', eticket_new(r.id)), r.event_id);
    END IF;
END $$;

-- Claims at most p_limit due rows of a kind for p_claim_ms.
-- claimed: {"claim", "mails": [{id, messageId, recipient, language, createdAt, attempts, payload, event, reservation}]}
CREATE OR REPLACE FUNCTION outbox_claim(p_kind text, p_limit integer, p_claim_ms integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_claim uuid := gen_random_uuid();
    v_now timestamptz := clock_timestamp();
    v_mails json;
BEGIN
    WITH due AS (
        SELECT id FROM outbox WHERE status = 'pending' AND kind = p_kind AND due_at <= v_now
        ORDER BY due_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE outbox o SET claim = v_claim, attempts = o.attempts + 1,
                            due_at = v_now + p_claim_ms * interval '1 millisecond'
        FROM due WHERE o.id = due.id RETURNING o.*
    )
    SELECT json_agg(json_build_object(
        'id', o.id::text, 'messageId', o.message_id, 'recipient', o.recipient, 'language', o.language,
        'createdAt', rfc3339(o.created_at), 'attempts', o.attempts, 'payload', o.payload,
        'event', event_public(e), 'reservation', reservation_json(r)) ORDER BY o.id)
    INTO v_mails
    FROM claimed o JOIN events e ON e.id = o.event_id
    JOIN reservations r ON r.id = as_uuid(o.payload ->> 'reservation');
    RETURN QUERY SELECT 'claimed', json_build_object('claim', v_claim, 'mails', coalesce(v_mails, '[]'));
END $$;

-- The mail server has taken it. What it said, and to whom, is no longer needed. sent | not-found
CREATE OR REPLACE FUNCTION outbox_sent(p_id bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE outbox SET status = 'sent', recipient = NULL, payload = NULL, claim = NULL, error = NULL,
                      ended_at = clock_timestamp()
    WHERE id = p_id;
    RETURN QUERY SELECT CASE WHEN FOUND THEN 'sent' ELSE 'not-found' END, json_build_object('id', p_id::text);
END $$;

-- It need not be sent any more: the purchase was refunded before. dropped
CREATE OR REPLACE FUNCTION outbox_drop(p_id bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox WHERE id = p_id;
    RETURN QUERY SELECT 'dropped', json_build_object('id', p_id::text);
END $$;

-- The attempt of this claim failed. p_permanent: another one would fail as well.
--   pending     it will be tried again at dueAt
--   parked
--   not-found   another sender has it meanwhile
CREATE OR REPLACE FUNCTION outbox_failed(p_id bigint, p_claim text, p_error text, p_permanent boolean)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_row outbox;
BEGIN
    UPDATE outbox o SET
        status = CASE WHEN p_permanent OR o.created_at <= v_now - interval '3 days' THEN 'parked' ELSE 'pending' END,
        ended_at = CASE WHEN p_permanent OR o.created_at <= v_now - interval '3 days' THEN v_now END,
        due_at = v_now + least(5 * 2 ^ least(o.attempts - 1, 20), 3600) * (0.8 + 0.4 * random()) * interval '1 second',
        claim = NULL, error = left(p_error, 200)
    WHERE o.id = p_id AND o.claim = as_uuid(p_claim) AND o.status = 'pending'
    RETURNING * INTO v_row;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('Another sender has this mail.');
        RETURN;
    END IF;
    RETURN QUERY SELECT v_row.status, json_build_object(
        'id', p_id::text, 'dueAt', CASE v_row.status WHEN 'pending' THEN rfc3339(v_row.due_at) END);
END $$;

-- The parked mails of an event are due at once, with three days and all attempts before them: at most p_limit, the oldest
-- first. p_who: the actor of the audit entry, which is written if there were any.
-- resent: {"eventId", "resent"}
CREATE OR REPLACE FUNCTION outbox_resend(p_event text, p_limit integer, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_resent integer;
BEGIN
    UPDATE outbox SET status = 'pending', attempts = 0, created_at = v_now, due_at = v_now, ended_at = NULL, error = NULL
    WHERE id IN (SELECT id FROM outbox WHERE event_id = p_event AND status = 'parked' AND expires_at IS NULL
                 ORDER BY id LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_resent = ROW_COUNT;
    IF v_resent > 0 THEN
        PERFORM audit_note(p_event, p_who, 'resend', jsonb_build_object('mails', v_resent));
    END IF;
    RETURN QUERY SELECT 'resent', json_build_object('eventId', p_event, 'resent', v_resent);
END $$;

-- How many mails of an event are pending and parked; above 100,000 it stops counting.
-- counted: {"pending", "parked"}
CREATE OR REPLACE FUNCTION outbox_count(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
    SELECT 'counted', json_build_object(
        'pending', (SELECT count(*) FROM (SELECT FROM outbox WHERE event_id = p_event AND status = 'pending'
                                            AND expires_at IS NULL LIMIT 100000) AS o),
        'parked', (SELECT count(*) FROM (SELECT FROM outbox WHERE event_id = p_event AND status = 'parked'
                                         LIMIT 100000) AS o))
$$;

-- Parks at most p_limit rows that are pending for three days, which nobody tried because no sender runs; deletes at most
-- p_limit rows that were sent or parked 30 days ago; counts the others, as outbox_count does, of all events.
-- kept: {"pending", "parked", "oldestSeconds", "parkedNow"}: oldestSeconds is the age of the oldest pending one
CREATE OR REPLACE FUNCTION outbox_upkeep(p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_parked integer;
BEGIN
    UPDATE outbox SET status = 'parked', ended_at = v_now, claim = NULL WHERE id IN (
        SELECT id FROM outbox WHERE status = 'pending' AND created_at <= v_now - interval '3 days'
                                AND expires_at IS NULL AND (claim IS NULL OR due_at <= v_now)
        ORDER BY created_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_parked = ROW_COUNT;
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE status <> 'pending' AND ended_at <= v_now - interval '30 days'
        ORDER BY ended_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
    RETURN QUERY SELECT 'kept', json_build_object(
        'pending', (SELECT count(*) FROM (SELECT FROM outbox WHERE status = 'pending' AND expires_at IS NULL
                                          LIMIT 100000) AS o),
        'parked', (SELECT count(*) FROM (SELECT FROM outbox WHERE status = 'parked' LIMIT 100000) AS o),
        'oldestSeconds', coalesce((SELECT extract(epoch FROM v_now - min(created_at))::bigint FROM outbox
                                   WHERE status = 'pending' AND expires_at IS NULL), 0),
        'parkedNow', v_parked);
END $$;
