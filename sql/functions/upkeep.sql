-- SPDX-License-Identifier: MIT
--
-- upkeep: functions that the processor calls now and then. Correctness does not depend on when.

-- Ends lapsed holds, and makes their seats available. Other functions already treat a lapsed hold as free.
-- swept: {"expired": n, "events": [ids]}
CREATE OR REPLACE FUNCTION reservation_sweep(p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_ids uuid[];
    v_events text[];
BEGIN
    SELECT array_agg(r.id), array_agg(DISTINCT r.event_id) INTO v_ids, v_events FROM (
        SELECT id, event_id FROM reservations WHERE NOT swept AND expires_at <= v_now
        ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED) AS r;
    IF v_ids IS NOT NULL THEN
        PERFORM seats_release(v_ids);
        UPDATE reservations SET swept = true,
               status = CASE status WHEN 'held' THEN 'expired' ELSE status END
        WHERE id = ANY (v_ids);
    END IF;
    RETURN QUERY SELECT 'swept', json_build_object('expired', coalesce(cardinality(v_ids), 0),
                                                   'events', to_json(coalesce(v_events, '{}')));
END $$;

-- Deletes idempotency keys older than a day. A request under a deleted key is a new one.
-- pruned: {"keys": n}
CREATE OR REPLACE FUNCTION idempotency_prune(p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    v_n integer;
BEGIN
    DELETE FROM idempotency_keys WHERE (buyer, key) IN (
        SELECT buyer, key FROM idempotency_keys
        WHERE created_at < clock_timestamp() - interval '24 hours'
        ORDER BY created_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_n = ROW_COUNT;
    RETURN QUERY SELECT 'pruned', json_build_object('keys', v_n);
END $$;

-- Purchases, including refunded ones, that were made at least two seconds ago and whose buyer's slot is not
-- known to be free: the process that sold the seats may have died before it freed the slot in Redis. When
-- ledger_consume copies a buyer's departure, it marks the purchase as freed.
-- listed: {"reservations": [{id, eventId, buyer, place, epoch}]}
CREATE OR REPLACE FUNCTION reservation_unfreed(p_event text, p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE sql STABLE AS $$
    WITH unfreed AS (
        (SELECT * FROM reservations
         WHERE status = 'confirmed' AND NOT slot_freed
           AND ended_at < clock_timestamp() - interval '2 seconds'
           AND (p_event IS NULL OR event_id = p_event)
         ORDER BY ended_at LIMIT p_limit)
        UNION ALL
        (SELECT * FROM reservations
         WHERE status = 'refunded' AND NOT slot_freed
           AND ended_at < clock_timestamp() - interval '2 seconds'
           AND (p_event IS NULL OR event_id = p_event)
         ORDER BY ended_at LIMIT p_limit))
    SELECT 'listed', json_build_object('reservations', coalesce(json_agg(json_build_object(
        'id', r.id, 'eventId', r.event_id, 'buyer', r.buyer, 'place', r.place::text,
        'epoch', r.epoch)), '[]'))
    FROM (SELECT * FROM unfreed ORDER BY ended_at LIMIT p_limit) AS r
$$;

-- Marks a purchase whose slot was freed. freed | not-found
CREATE OR REPLACE FUNCTION reservation_mark_freed(p_id text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE reservations SET slot_freed = true
    WHERE id = as_uuid(p_id) AND status IN ('confirmed', 'refunded');
    IF FOUND THEN
        RETURN QUERY SELECT 'freed', json_build_object('id', p_id);
    ELSE
        RETURN QUERY SELECT 'not-found', refusal('There is no such purchase.');
    END IF;
END $$;
