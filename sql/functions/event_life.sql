-- SPDX-License-Identifier: MIT
--
-- event_life: copies an event, takes a rehearsal back, removes a draft, and finds drafts whose time has come.

-- Copies an event: its hall with prices and blocked seats, settings, branding and pictures, without anything that happened. The
-- copy is a draft of the same owner and team. Of its times, it has those that lie in the future; a rehearsal has no
-- opening and no end, because it would open together with the event that it rehearses.
--   created
--   conflict    p_id is taken
--   not-found
CREATE OR REPLACE FUNCTION event_copy(p_event text, p_id text, p_title text, p_rehearsal boolean, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_from events;
    v_id text := coalesce(p_id, gen_random_uuid()::text);
    v_first record;
    v_event events;
BEGIN
    SELECT * INTO v_from FROM events WHERE id = p_event FOR SHARE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    SELECT * INTO v_first FROM event_first(v_id);
    INSERT INTO events (id, owner, title, artist, venue, starts_at, opens_at, closes_at, settings,
                        branding, version, epoch, seats, price_from, currency)
    SELECT v_id, v_from.owner, coalesce(p_title, v_from.title), v_from.artist, v_from.venue, v_from.starts_at,
           CASE WHEN v_from.opens_at > clock_timestamp() AND NOT p_rehearsal THEN v_from.opens_at END,
           CASE WHEN v_from.closes_at > clock_timestamp() AND NOT p_rehearsal THEN v_from.closes_at END,
           v_from.settings - 'messages' || jsonb_build_object('rehearsal', p_rehearsal),
           v_from.branding
               || CASE WHEN v_from.branding ? 'logo' THEN jsonb_build_object('logo', v_first.version) ELSE '{}' END
               || CASE WHEN v_from.branding ? 'image' THEN jsonb_build_object('image', v_first.version) ELSE '{}' END,
           v_first.version, v_first.epoch, v_from.seats, v_from.price_from, v_from.currency
    ON CONFLICT (id) DO NOTHING
    RETURNING * INTO v_event;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'conflict', refusal('An event with this id exists.', 'id');
        RETURN;
    END IF;
    INSERT INTO logos (event_id, data) SELECT v_id, data FROM logos WHERE event_id = p_event;
    INSERT INTO images (event_id, data) SELECT v_id, data FROM images WHERE event_id = p_event;
    INSERT INTO event_staff SELECT v_id, subject, name, role, added_at, added_by FROM event_staff WHERE event_id = p_event;
    INSERT INTO seats (event_id, section, row, number, section_rank, row_rank, price, currency, status, block_reason)
    SELECT v_id, section, row, number, section_rank, row_rank, price, currency,
           CASE status WHEN 'blocked' THEN 'blocked' ELSE 'available' END, block_reason
    FROM seats WHERE event_id = p_event ORDER BY section_rank, row_rank, number;
    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (v_id, p_who, 'copy', jsonb_build_object('copyOf', p_event), event_row(v_event));
    RETURN QUERY SELECT 'created', event_row(v_event);
END $$;

-- Removes all that buyers have of an event: reservations, payments, tickets, mail and calls that are still to be
-- sent, the record of its admissions, its feed, and their ids in audit entries. Its seats are free again, but those that are
-- blocked. The caller has locked the ledger's cursor and the event.
CREATE OR REPLACE FUNCTION event_forget_buyers(p_event text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox WHERE event_id = p_event;
    DELETE FROM push_subscriptions WHERE event_id = p_event;
    PERFORM feed_forget(p_event);
    DELETE FROM payment_refunds f USING payments p WHERE f.payment_id = p.id AND p.event_id = p_event;
    DELETE FROM payments WHERE event_id = p_event;
    DELETE FROM checkins WHERE event_id = p_event;
    DELETE FROM etickets t USING reservations r WHERE t.reservation_id = r.id AND r.event_id = p_event;
    DELETE FROM idempotency_keys k USING reservations r
    WHERE k.buyer = r.buyer AND r.event_id = p_event AND k.answer ->> 'id' = r.id::text;
    DELETE FROM reservation_seats WHERE event_id = p_event;
    DELETE FROM reservations WHERE event_id = p_event;
    -- By two: more than the one that a lapsed hold counts for in the version of the map (0001_initial.sql).
    UPDATE seats SET status = 'available', holder = NULL, held_until = NULL, version = version + 2
    WHERE event_id = p_event AND status IN ('held', 'sold');
    DELETE FROM removed_seats WHERE event_id = p_event;
    DELETE FROM seats_first WHERE event_id = p_event;
    DELETE FROM seats_group WHERE event_id = p_event;
    DELETE FROM bans WHERE event_id = p_event;
    DELETE FROM admissions WHERE event_id = p_event;
    DELETE FROM event_minutes WHERE event_id = p_event;
    DELETE FROM ledger_cursors WHERE event_id = p_event;
    -- As personal_forget_buyers, which never comes to a draft, nor to an event that is not there any more.
    UPDATE audit SET after = jsonb_set(after, '{buyer}', '"x:"') - 'reason' WHERE event_id = p_event AND after ? 'buyer';
END $$;

-- Takes everything back that happened in a rehearsal: it is a draft again, of a new epoch, and ready to be
-- rehearsed once more. Money that was really paid cannot be taken back by this: payments of another provider
-- than p_demo keep the event as it is. A reset that is repeated does no harm.
--   updated
--   conflict    it is no rehearsal, or has such payments
--   not-found
CREATE OR REPLACE FUNCTION event_reset(p_event text, p_demo text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_before events;
    v_after events;
BEGIN
    INSERT INTO ledger_cursors (event_id) SELECT id FROM events WHERE id = p_event
    ON CONFLICT DO NOTHING;
    PERFORM FROM ledger_cursors WHERE event_id = p_event FOR UPDATE;
    SELECT * INTO v_before FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    IF NOT coalesce((v_before.settings ->> 'rehearsal')::boolean, false)
       OR EXISTS (SELECT FROM payments WHERE event_id = p_event AND status <> 'failed'
                                         AND provider IS DISTINCT FROM p_demo) THEN
        RETURN QUERY SELECT 'conflict', refusal('It is no rehearsal, or real money was paid.');
        RETURN;
    END IF;
    PERFORM event_forget_buyers(p_event);
    UPDATE events SET
        status = 'draft', epoch = epoch + 1, version = version + 1, last_place = 0, closed_at = NULL,
        closed_paused = false, message = '', settings = settings - 'messages',
        opens_at = CASE WHEN opens_at > clock_timestamp() THEN opens_at END,
        closes_at = CASE WHEN closes_at > clock_timestamp() THEN closes_at END
    WHERE id = p_event
    RETURNING * INTO v_after;
    INSERT INTO audit (event_id, who, verb, before, after)
    VALUES (p_event, p_who, 'reset', event_row(v_before), event_row(v_after));
    RETURN QUERY SELECT 'updated', event_row(v_after);
END $$;

-- Removes a draft with its seats. The audit entries stay, and from them event_first takes the epoch of an event
-- that gets the same id later.
--   updated     removed: the body is the event as it was
--   conflict    it is no draft
--   stale       its version is not p_version; 0: any
--   not-found
CREATE OR REPLACE FUNCTION event_delete(p_event text, p_version bigint, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_event events;
    v_row json;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    ELSIF v_event.status <> 'draft' THEN
        RETURN QUERY SELECT 'conflict', refusal('Only a draft can be removed.', p_reason => 'draft-only');
        RETURN;
    ELSIF p_version NOT IN (0, v_event.version) THEN
        RETURN QUERY SELECT 'stale', refusal('The event was changed meanwhile.');
        RETURN;
    END IF;
    v_row := event_row(v_event);
    PERFORM event_forget_buyers(p_event);
    DELETE FROM webhooks WHERE event_id = p_event;
    DELETE FROM seats WHERE event_id = p_event;
    DELETE FROM events WHERE id = p_event; -- its pictures with it
    INSERT INTO audit (event_id, who, verb, before) VALUES (p_event, p_who, 'delete', v_row);
    RETURN QUERY SELECT 'updated', v_row;
END $$;

-- Drafts whose opensAt has passed since p_since, which is `until` of the call before; '': in the last day.
-- listed: {"events": [{"id", "opensAt"}], "until"}
CREATE OR REPLACE FUNCTION drafts_overdue(p_since text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_since timestamptz := coalesce(nullif(p_since, '')::timestamptz, v_now - interval '1 day');
BEGIN
    RETURN QUERY SELECT 'listed', json_build_object('until', v_now, 'events', coalesce((
        SELECT json_agg(json_build_object('id', e.id, 'opensAt', rfc3339(e.opens_at)) ORDER BY e.opens_at)
        FROM events e WHERE e.status = 'draft' AND e.opens_at > v_since AND e.opens_at <= v_now), '[]'));
END $$;
