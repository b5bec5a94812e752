-- SPDX-License-Identifier: MIT
--
-- personal: the data of a buyer in PostgreSQL: where it is, its export, its erasure, and how long it is kept. In Redis,
-- lua/person.lua and lua/expire.lua do the same (docs/privacy.md).
--
-- A record that has to stay, because money or the proof of an admission hangs on it, gets a pseudonym in place of the
-- buyer's id: "x:" and the place, which the row has anyway; without a place, "x:" and the id of the row. Ids of buyers
-- begin with g:, o: or u:, so a pseudonym is never one. It follows from the row: so to replace an id again, or the rest of them after a
-- crash, gives the same; all entries of one place still have one name; and a place that is consumed stays so under its
-- pseudonym, also after Redis has lost its data (consumed_places, lua/join.lua).

-- ---- where it is ----

-- The only list of tables with data of a buyer, in the order in which they are erased. test/integration/erase.test.mjs
-- fails for a table that is neither here nor among those that it says have none.
--   erased    delete; pseudonym: `changes` is set; keep: the row names nobody once the reservation has a pseudonym
--   event     false: the table is searched whole, not for one event
--   found     the rows t of buyer $1 at event $2
--   changes   of a row with pseudonym
--   hidden    columns that are not the buyer's: who of the staff did something, and what only the program reads
CREATE OR REPLACE FUNCTION personal_places()
RETURNS TABLE (place text, erased text, event boolean, found text, changes text, hidden text[]) LANGUAGE sql IMMUTABLE AS $$
    WITH mine (reservations, subscriptions) AS (VALUES (
        '(SELECT r.id FROM reservations r WHERE r.buyer = $1 AND r.event_id = $2)',
        '(SELECT s.id FROM push_subscriptions s WHERE s.buyer = $1 AND s.event_id = $2)'))
    SELECT v.place, v.erased, v.event, v.found, v.changes, v.hidden FROM mine, LATERAL (VALUES
        (1, 'push_subscriptions', 'delete', true, 't.event_id = $2 AND t.buyer = $1', NULL, '{}'::text[]),
        (2, 'outbox', 'delete', true,
         't.event_id = $2 AND t.status <> ''sent'' AND (t.payload ->> ''reservation'' IN (SELECT m.id::text FROM '
         || reservations || ' AS m) OR t.subscription_id IN ' || subscriptions || ')', NULL, '{claim}'),
        (3, 'admissions', 'pseudonym', true,
         't.event_id = $2 AND t.buyer = $1 AND t.epoch = ANY (ARRAY(SELECT generate_series(1, e.epoch) FROM events e WHERE e.id = $2))',
         'buyer = personal_pseudonym(t.place, '''')', '{stream_ms,stream_seq}'),
        (4, 'reservation_seats', 'keep', true, 't.reservation_id IN ' || reservations, NULL, '{}'),
        (5, 'seats', 'keep', true,
         't.event_id = $2 AND t.id IN (SELECT rs.seat_id FROM reservation_seats rs WHERE rs.reservation_id IN ' || reservations || ')',
         NULL, '{section_rank,row_rank,version,middle,held_until,holder,block_reason,status,sold}'),
        (6, 'removed_seats', 'keep', true,
         't.event_id = $2 AND t.id IN (SELECT rs.seat_id FROM reservation_seats rs WHERE rs.reservation_id IN ' || reservations || ')',
         NULL, '{section_rank,row_rank,removed_at}'),
        (7, 'payments', 'keep', true, 't.reservation_id IN ' || reservations, NULL, '{}'),
        (8, 'payment_refunds', 'keep', true,
         't.payment_id IN (SELECT p.id FROM payments p WHERE p.reservation_id IN ' || reservations || ')', NULL, '{}'),
        (9, 'checkins', 'keep', true, 't.reservation_id IN ' || reservations, NULL, '{who}'),
        (10, 'etickets', 'keep', true, 't.reservation_id IN ' || reservations, NULL, '{hash}'),
        (11, 'sales_to_copy', 'keep', true, 't.reservation_id IN ' || reservations, NULL, '{}'),
        (12, 'reservations', 'pseudonym', true, 't.event_id = $2 AND t.buyer = $1',
         'buyer = personal_pseudonym(t.place, t.id::text), email = NULL, language = NULL', '{eticket_salt,swept,slot_freed,entered,sale_version}'),
        (13, 'idempotency_keys', 'delete', false, 't.buyer = $1', NULL, '{}'),
        (14, 'audit', 'pseudonym', false, 't.after ->> ''buyer'' = $1', 'after = jsonb_set(t.after, ''{buyer}'', ''"x:"'') - ''reason''',
         '{who,name,role,subject}'),
        (15, 'feed', 'pseudonym', true, 't.event_id = $2 AND t.buyer = $1', 'buyer = personal_pseudonym(t.place, t.ref::text)', '{}'),
        (16, 'feed_new', 'pseudonym', true, 't.event_id = $2 AND t.buyer = $1', 'buyer = personal_pseudonym(t.place, t.ref::text)', '{}'),
        (17, 'bans', 'delete', true, 't.event_id = $2 AND t.buyer = $1', NULL, '{who}')
    ) AS v (o, place, erased, event, found, changes, hidden)
    ORDER BY v.o
$$;

CREATE OR REPLACE FUNCTION personal_pseudonym(p_place bigint, p_id text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'x:' || CASE WHEN p_place > 0 THEN p_place::text ELSE p_id END
$$;

-- What is known of a buyer at an event: {"id", "title", "known", "paying", "holds": [reservation ids], "places": "1 2 3",
-- "sales": reservation ids with a space between them, "consumed": the ledger's cursor}. known: a table that would be changed has rows of them. paying: a payment is pending.
CREATE OR REPLACE FUNCTION personal_at(p_buyer text, p_event events) RETURNS json LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
DECLARE
    v_place record;
    v_known boolean := false;
BEGIN
    FOR v_place IN SELECT * FROM personal_places() WHERE event AND erased <> 'keep' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I t WHERE %s)', v_place.place, v_place.found)
        INTO v_known USING p_buyer, p_event.id;
        EXIT WHEN v_known;
    END LOOP;
    RETURN json_build_object(
        'id', p_event.id, 'title', p_event.title, 'known', v_known,
        'paying', EXISTS (SELECT FROM reservations r JOIN payments p ON p.reservation_id = r.id AND p.status = 'pending'
                          WHERE r.buyer = p_buyer AND r.event_id = p_event.id),
        'holds', coalesce((SELECT json_agg(r.id) FROM reservations r
                           WHERE r.buyer = p_buyer AND r.event_id = p_event.id AND r.status = 'held'
                             AND r.expires_at > clock_timestamp()), '[]'),
        'places', coalesce((SELECT string_agg(DISTINCT a.place::text, ' ') FROM (
                                SELECT place, epoch FROM admissions WHERE event_id = p_event.id AND buyer = p_buyer
                                UNION ALL SELECT place, epoch FROM bans WHERE event_id = p_event.id AND buyer = p_buyer) AS a
                            WHERE a.place > 0 AND a.epoch = p_event.epoch), ''),
        'sales', coalesce((SELECT string_agg(r.id::text, ' ') FROM reservations r
                           WHERE r.event_id = p_event.id AND r.buyer = p_buyer AND r.sale_version > 0), ''),
        'consumed', ledger_cursor(p_event.id));
END $$;

-- Events with ids above p_after, in the order of their ids, whether the buyer is known there or not: Redis may know more.
-- listed: {"events": [personal_at], "next": id or null}
CREATE OR REPLACE FUNCTION personal_events(p_buyer text, p_after text, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    WITH page AS (SELECT e FROM events e WHERE e.id > p_after ORDER BY e.id LIMIT p_limit)
    SELECT 'listed', json_build_object(
        'events', coalesce((SELECT json_agg(personal_at(p_buyer, p.e) ORDER BY (p.e).id) FROM page p), '[]'),
        'next', (SELECT max((p.e).id) FROM page p HAVING count(*) = p_limit))
$$;

-- listed: {"events": [personal_at]} of one event; none: it was deleted meanwhile
CREATE OR REPLACE FUNCTION personal_event(p_buyer text, p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', json_build_object('events', coalesce((
        SELECT json_agg(personal_at(p_buyer, e)) FROM events e WHERE e.id = p_event), '[]'))
$$;

-- ---- export and erasure ----

-- All rows of a buyer at an event; p_event NULL: those that belong to no event. Leaves an audit entry without the id, if there were any.
-- exported: {"<table>": [rows]}, without the tables that have none
CREATE OR REPLACE FUNCTION personal_export(p_buyer text, p_event text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_place record;
    v_rows jsonb;
    v_all jsonb := '{}';
BEGIN
    FOR v_place IN SELECT * FROM personal_places() AS p WHERE p.event = (p_event IS NOT NULL) LOOP
        EXECUTE format('SELECT jsonb_agg(to_jsonb(t) - $3) FROM %I t WHERE %s', v_place.place, v_place.found)
        INTO v_rows USING p_buyer, p_event, v_place.hidden;
        IF v_rows IS NOT NULL THEN
            v_all := v_all || jsonb_build_object(v_place.place, v_rows);
        END IF;
    END LOOP;
    IF v_all <> '{}' AND p_event IS NOT NULL THEN
        PERFORM audit_note(p_event, p_who, 'export', (
            SELECT jsonb_object_agg(key, jsonb_array_length(value)) FROM jsonb_each(v_all)));
    END IF;
    RETURN QUERY SELECT 'exported', v_all::json;
END $$;

-- Erases a buyer at an event, as personal_places says; p_event NULL: what belongs to no event. Repeating it changes nothing.
-- It leaves an audit entry with the numbers of rows, without the id, if there were any. The copies of sales that Redis has
-- (sale.sql) are to be replaced: a processor does it as for any change of a sale, and the caller may do it at once.
--   erased   {"rows": {"<table>": number of rows}, "copies": [{"id", "version", "sale"}]}, without those that stay and
--            tables that had none
--   paying   a payment is pending: nothing was changed, as for
--   held     seats are held
CREATE OR REPLACE FUNCTION personal_erase(p_buyer text, p_event text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_place record;
    v_n bigint;
    v_all jsonb := '{}';
    v_sales uuid[] := '{}';
    v_copies json;
BEGIN
    IF p_event IS NOT NULL THEN -- in the order of common.sql: the ledger copies nothing of this event meanwhile
        PERFORM FROM ledger_cursors WHERE event_id = p_event FOR UPDATE;
        PERFORM pg_advisory_xact_lock(lock_key_buyer(p_event, p_buyer));
        PERFORM FROM reservations r WHERE r.event_id = p_event AND r.buyer = p_buyer ORDER BY r.id FOR UPDATE;
        IF EXISTS (SELECT FROM reservations r JOIN payments p ON p.reservation_id = r.id AND p.status = 'pending'
                   WHERE r.event_id = p_event AND r.buyer = p_buyer) THEN
            RETURN QUERY SELECT 'paying', refusal('A payment is pending.');
            RETURN;
        ELSIF EXISTS (SELECT FROM reservations r WHERE r.event_id = p_event AND r.buyer = p_buyer AND r.status = 'held'
                        AND r.expires_at > clock_timestamp()) THEN
            RETURN QUERY SELECT 'held', refusal('Seats are held.');
            RETURN;
        END IF;
        v_sales := ARRAY(SELECT r.id FROM reservations r
                         WHERE r.event_id = p_event AND r.buyer = p_buyer AND r.sale_version > 0);
        PERFORM feed_number_all(p_event); -- none of its rows moves from one table to the other meanwhile
    END IF;
    FOR v_place IN SELECT * FROM personal_places() AS p WHERE p.event = (p_event IS NOT NULL) AND p.erased <> 'keep' LOOP
        EXECUTE format(CASE v_place.erased WHEN 'delete' THEN 'DELETE FROM %1$I t WHERE %3$s'
                            ELSE 'UPDATE %1$I t SET %2$s WHERE %3$s' END,
                       v_place.place, v_place.changes, v_place.found) USING p_buyer, p_event;
        GET DIAGNOSTICS v_n = ROW_COUNT;
        IF v_n > 0 THEN
            v_all := v_all || jsonb_build_object(v_place.place, v_n);
        END IF;
    END LOOP;
    IF v_sales <> '{}' THEN
        UPDATE reservations SET sale_version = sale_version + 1 WHERE id = ANY (v_sales);
        INSERT INTO sales_to_copy (reservation_id, version)
        SELECT r.id, r.sale_version FROM reservations r WHERE r.id = ANY (v_sales)
        ON CONFLICT (reservation_id) DO UPDATE SET version = excluded.version;
        SELECT json_agg(json_build_object('id', r.id, 'version', r.sale_version, 'sale', sale_json(r))) INTO v_copies
        FROM reservations r JOIN events e ON e.id = r.event_id
        WHERE r.id = ANY (v_sales) AND NOT coalesce((e.settings ->> 'rehearsal')::boolean, false);
    END IF;
    IF v_all <> '{}' AND p_event IS NOT NULL THEN
        PERFORM audit_note(p_event, p_who, 'erase', v_all);
    END IF;
    RETURN QUERY SELECT 'erased', json_build_object('rows', v_all, 'copies', coalesce(v_copies, '[]'));
END $$;

-- ---- how long it is kept ----

-- The moment from which an event counts as over: its sale is closed, and the show has begun.
CREATE OR REPLACE FUNCTION event_over_at(e events) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(e.closed_at, e.starts_at)
$$;

-- Do all records of the event have pseudonyms for its buyers? Not when it was open again since, nor when the ledger has
-- copied entries since that came late.
CREATE OR REPLACE FUNCTION event_buyers_forgotten(e events) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(e.buyers_forgotten_at >= event_over_at(e), false)
       AND ledger_cursor(e.id) IS NOT DISTINCT FROM e.buyers_forgotten_to
$$;

-- Closed events whose keys Redis need no longer have, since their sale was closed p_days ago: at most p_limit, each once a
-- day, by whichever pod asks first. So keys that a late visitor brings back are deleted again.
-- listed: {"events": [{"id", "consumed": the ledger's cursor, "forgotten": its buyers have pseudonyms}]}
CREATE OR REPLACE FUNCTION personal_keys(p_days integer, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_events json;
BEGIN
    WITH due AS (
        SELECT e.id FROM events e
        WHERE e.status = 'closed' AND e.closed_at <= v_now - p_days * interval '1 day'
          AND (e.keys_checked_at IS NULL OR e.keys_checked_at <= v_now - interval '1 day')
        ORDER BY e.keys_checked_at NULLS FIRST LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE events e SET keys_checked_at = v_now FROM due WHERE e.id = due.id
        RETURNING e.id, event_buyers_forgotten(e) AS forgotten
    )
    SELECT json_agg(json_build_object('id', t.id, 'consumed', ledger_cursor(t.id), 'forgotten', t.forgotten) ORDER BY t.id)
    INTO v_events
    FROM taken t;
    RETURN QUERY SELECT 'listed', json_build_object('events', coalesce(v_events, '[]'));
END $$;

-- Removes e-mail addresses, and mail that was not sent, of one event that has been over for p_days: at most p_limit of each.
-- Returns how many; when none is left it notes that, and the next call takes another event.
CREATE OR REPLACE FUNCTION personal_forget_emails(p_days integer, p_limit integer) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_event text;
    v_mails integer;
    v_n integer;
BEGIN
    SELECT e.id INTO v_event FROM events e
    WHERE e.status = 'closed' AND event_over_at(e) <= v_now - p_days * interval '1 day'
      AND (e.emails_forgotten_at IS NULL OR e.emails_forgotten_at < event_over_at(e))
    ORDER BY e.closed_at, e.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    DELETE FROM outbox WHERE id IN (
        SELECT o.id FROM outbox o WHERE o.event_id = v_event AND o.status <> 'sent' AND o.expires_at IS NULL
        ORDER BY o.id LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_mails = ROW_COUNT;
    UPDATE reservations SET email = NULL, language = NULL WHERE id IN (
        SELECT r.id FROM reservations r WHERE r.event_id = v_event AND r.email IS NOT NULL
        LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_n = ROW_COUNT;
    IF v_n < p_limit AND v_mails < p_limit
       AND NOT EXISTS (SELECT FROM reservations r WHERE r.event_id = v_event AND r.email IS NOT NULL)
       AND NOT EXISTS (SELECT FROM outbox o WHERE o.event_id = v_event AND o.status <> 'sent' AND o.expires_at IS NULL) THEN
        UPDATE events SET emails_forgotten_at = v_now WHERE id = v_event;
        v_n := greatest(v_n, 1); -- another event may be due
    END IF;
    RETURN v_mails + v_n;
END $$;

-- Replaces the buyers of one event that has been over for p_days by pseudonyms: those of at most p_limit entries of the
-- admission log, or, when it names nobody any more, of p_limit reservations. Returns how many rows were changed; as
-- personal_forget_emails. Real ids lie between '' (entries of nobody) and 'x:'.
CREATE OR REPLACE FUNCTION personal_forget_buyers(p_days integer, p_limit integer) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_event events;
    v_cursor text;
    v_buyers jsonb; -- [{epoch, buyer}]
    v_n integer;
    v_more integer;
BEGIN
    SELECT * INTO v_event FROM events e
    WHERE e.status = 'closed' AND event_over_at(e) <= v_now - p_days * interval '1 day'
      AND NOT event_buyers_forgotten(e)
    ORDER BY e.closed_at, e.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    -- Read before the entries: what is copied meanwhile moves the cursor, and the event is due again.
    v_cursor := ledger_cursor(v_event.id);
    SELECT jsonb_agg(DISTINCT jsonb_build_object('epoch', d.epoch, 'buyer', d.buyer)) INTO v_buyers FROM (
        SELECT a.epoch, a.buyer FROM generate_series(1, v_event.epoch) AS g (epoch) CROSS JOIN LATERAL (
            SELECT i.epoch, i.buyer FROM admissions i
            WHERE i.event_id = v_event.id AND i.epoch = g.epoch AND i.buyer > '' AND i.buyer < 'x:'
            ORDER BY i.buyer LIMIT p_limit) AS a
        LIMIT p_limit) AS d;
    IF v_buyers IS NOT NULL THEN
        UPDATE admissions a SET buyer = personal_pseudonym(a.place, '')
        FROM jsonb_to_recordset(v_buyers) AS b (epoch bigint, buyer text)
        WHERE a.event_id = v_event.id AND a.epoch = b.epoch AND a.buyer = b.buyer;
        GET DIAGNOSTICS v_n = ROW_COUNT;
        UPDATE reservations r SET buyer = personal_pseudonym(r.place, r.id::text), email = NULL, language = NULL
        FROM (SELECT DISTINCT b.buyer FROM jsonb_to_recordset(v_buyers) AS b (buyer text)) AS b
        WHERE r.buyer = b.buyer AND r.event_id = v_event.id;
        GET DIAGNOSTICS v_more = ROW_COUNT;
        PERFORM feed_number_all(v_event.id);
        UPDATE feed f SET buyer = personal_pseudonym(f.place, f.ref::text)
        FROM (SELECT DISTINCT b.buyer FROM jsonb_to_recordset(v_buyers) AS b (buyer text)) AS b
        WHERE f.event_id = v_event.id AND f.buyer = b.buyer;
        RETURN v_n + v_more;
    END IF;
    UPDATE reservations r SET buyer = personal_pseudonym(r.place, r.id::text), email = NULL, language = NULL
    WHERE r.id IN (SELECT s.id FROM reservations s WHERE s.event_id = v_event.id AND s.buyer < 'x:' LIMIT p_limit);
    GET DIAGNOSTICS v_n = ROW_COUNT;
    IF v_n = 0 THEN
        PERFORM feed_number_all(v_event.id);
        UPDATE feed f SET buyer = personal_pseudonym(f.place, f.ref::text)
        WHERE (f.event_id, f.seq) IN (SELECT o.event_id, o.seq FROM feed o
                                      WHERE o.event_id = v_event.id AND o.buyer > '' AND o.buyer < 'x:' LIMIT p_limit);
        GET DIAGNOSTICS v_n = ROW_COUNT;
    END IF;
    IF v_n = 0 THEN
        DELETE FROM push_subscriptions WHERE event_id = v_event.id;
        DELETE FROM bans WHERE event_id = v_event.id;
        UPDATE audit SET after = jsonb_set(after, '{buyer}', '"x:"') - 'reason' WHERE event_id = v_event.id AND after ? 'buyer';
        UPDATE events SET buyers_forgotten_at = v_now, buyers_forgotten_to = v_cursor WHERE id = v_event.id;
        v_n := 1; -- another event may be due
    END IF;
    RETURN v_n;
END $$;

-- A step of both; days of 0: for ever. It waits for no row that another transaction has locked for long (lock_timeout).
-- kept: {"rows": how many were changed; 0: nothing is due}
CREATE OR REPLACE FUNCTION personal_upkeep(p_email_days integer, p_buyer_days integer, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_rows integer := 0;
BEGIN
    IF p_email_days > 0 THEN
        v_rows := personal_forget_emails(p_email_days, p_limit);
    END IF;
    IF p_buyer_days > 0 AND v_rows = 0 THEN
        v_rows := personal_forget_buyers(p_buyer_days, p_limit);
    END IF;
    RETURN QUERY SELECT 'kept', json_build_object('rows', v_rows);
END $$;
