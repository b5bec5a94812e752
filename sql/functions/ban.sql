-- SPDX-License-Identifier: MIT
--
-- ban: buyers who are shut out of an event. PostgreSQL is the record; banned:{id} in Redis follows it (lua/ban.lua), and a
-- processor makes both agree where they do not (src/processor/processor_bans.c). So a ban is written here first, and taken
-- back here first.

-- How many buyers of one event may be banned: all of them are given to Redis in one call.
CREATE OR REPLACE FUNCTION bans_most() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 1000 $$;

-- Tells sets of banned buyers of one event apart, also those of one size. A JSON number has all its digits.
CREATE OR REPLACE FUNCTION bans_mark(p_event text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(hashtextextended(buyer, 0) % 1099511627776), 0)::bigint FROM bans WHERE event_id = p_event
$$;

-- Is the buyer banned?
CREATE OR REPLACE FUNCTION is_banned(p_event text, p_buyer text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM bans WHERE event_id = p_event AND buyer = p_buyer)
$$;

-- Bans a buyer, and frees the seats that they hold, but for those of a pending payment: its money may be on its way. A ban
-- that is repeated changes its reason.
--   added       {"place", "epoch"}: the place that is kept; "0": not known yet
--   conflict    too many are banned already
--   not-found   there is no such event
CREATE OR REPLACE FUNCTION ban_add(p_event text, p_buyer text, p_reason text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_ids uuid[];
    v_ban bans;
BEGIN
    PERFORM FROM events WHERE id = p_event FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    ELSIF NOT is_banned(p_event, p_buyer) AND (SELECT count(*) FROM bans WHERE event_id = p_event) >= bans_most() THEN
        RETURN QUERY SELECT 'conflict', refusal(format('%s buyers are banned, as many as an event may have: take some back.', bans_most()),
                                                'buyer', p_reason => 'too-many-bans');
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(lock_key_buyer(p_event, p_buyer));
    INSERT INTO bans AS b (event_id, buyer, reason, who)
    VALUES (p_event, p_buyer, p_reason, split_part(p_who, E'\t', 1))
    ON CONFLICT (event_id, buyer) DO UPDATE SET reason = excluded.reason
    RETURNING * INTO v_ban;
    SELECT array_agg(h.id) INTO v_ids FROM (
        SELECT r.id FROM reservations r
        WHERE r.event_id = p_event AND r.buyer = p_buyer AND r.status = 'held' AND NOT EXISTS (
            SELECT FROM payments p WHERE p.reservation_id = r.id AND p.status = 'pending')
        ORDER BY r.id FOR UPDATE) AS h;
    IF v_ids IS NOT NULL THEN
        UPDATE reservations SET status = 'cancelled', ended_at = clock_timestamp(), swept = true WHERE id = ANY (v_ids);
        PERFORM seats_release(v_ids);
    END IF;
    PERFORM audit_note(p_event, p_who, 'ban', jsonb_build_object('buyer', p_buyer, 'reason', p_reason));
    RETURN QUERY SELECT 'added', json_build_object('place', v_ban.place::text, 'epoch', v_ban.epoch::text);
END $$;

-- Notes the place that Redis has set aside. marked
CREATE OR REPLACE FUNCTION ban_note(p_event text, p_buyer text, p_place bigint, p_epoch bigint)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE bans SET place = p_place, epoch = p_epoch WHERE event_id = p_event AND buyer = p_buyer;
    RETURN QUERY SELECT 'marked', '{}'::json;
END $$;

-- Takes a ban back.
--   freed     {"place", "epoch"}: the place that was kept
--   nothing   the buyer was not banned; the same body, with 0
CREATE OR REPLACE FUNCTION ban_remove(p_event text, p_buyer text, p_who text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_ban bans;
BEGIN
    DELETE FROM bans WHERE event_id = p_event AND buyer = p_buyer RETURNING * INTO v_ban;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'nothing', json_build_object('place', '0', 'epoch', '0');
        RETURN;
    END IF;
    PERFORM audit_note(p_event, p_who, 'unban', jsonb_build_object('buyer', p_buyer));
    RETURN QUERY SELECT 'freed', json_build_object('place', v_ban.place::text, 'epoch', v_ban.epoch::text);
END $$;

-- listed: {"bans": [{"buyer", "reason", "by", "at", "place"}], "next": cursor or null}: newest first
CREATE OR REPLACE FUNCTION bans_page(p_event text, p_before text, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    WITH found AS (
        SELECT * FROM bans WHERE event_id = p_event
           AND (p_before IS NULL OR (at, buyer) < (cursor_time(p_before), cursor_id(p_before)))
        ORDER BY at DESC, buyer DESC LIMIT p_limit + 1),
    page AS (SELECT * FROM found ORDER BY at DESC, buyer DESC LIMIT p_limit)
    SELECT 'listed', json_build_object(
        'bans', coalesce((SELECT json_agg(json_build_object('buyer', p.buyer, 'reason', p.reason, 'by', p.who, 'at', rfc3339(p.at),
                                                            'place', CASE WHEN p.place > 0 THEN p.place::text END)
                                          ORDER BY p.at DESC, p.buyer DESC) FROM page p), '[]'),
        'next', (SELECT cursor_of(p.at, p.buyer) FROM page p WHERE (SELECT count(*) FROM found) > p_limit
                 ORDER BY p.at, p.buyer LIMIT 1))
$$;

-- All, for Redis. listed: {"mark", "bans": [{"buyer", "place", "epoch"}]}
CREATE OR REPLACE FUNCTION bans_all(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    SELECT 'listed', json_build_object('mark', bans_mark(p_event), 'bans', coalesce((
        SELECT json_agg(json_build_object('buyer', b.buyer, 'place', b.place::text, 'epoch', b.epoch::text))
        FROM bans b WHERE b.event_id = p_event), '[]'))
$$;
