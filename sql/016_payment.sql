-- SPDX-License-Identifier: MIT
--
-- payment: the organizer's list by event. A payment knows its event, so that a page of the list is read
-- off an index in its order, however many payments there are.

ALTER TABLE payments ADD COLUMN event_id text COLLATE "C";
UPDATE payments p SET event_id = r.event_id FROM reservations r WHERE r.id = p.reservation_id;
ALTER TABLE payments ALTER COLUMN event_id SET NOT NULL;
CREATE INDEX payments_event ON payments (event_id, id);
CREATE INDEX payments_event_status ON payments (event_id, status, id);

-- A payment's event is that of its reservation, and neither ever changes.
CREATE FUNCTION payment_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT r.event_id INTO NEW.event_id FROM reservations r WHERE r.id = NEW.reservation_id;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_event BEFORE INSERT ON payments
    FOR EACH ROW EXECUTE FUNCTION payment_event();

-- As in 007. Rows are compared, and not their columns, so that no other index has the order: through the
-- primary key all newer payments of other events would be read.
CREATE OR REPLACE FUNCTION payment_list(p_event text, p_status text, p_before bigint,
                                        p_limit integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_incremental_sort = off AS $$
DECLARE
    v_before bigint := coalesce(p_before, 9223372036854775807);
    v_found payments[];
BEGIN
    IF p_status IS NULL THEN
        v_found := ARRAY(
            SELECT p FROM payments p
            WHERE (p.event_id, p.id) >= (p_event, 0) AND (p.event_id, p.id) < (p_event, v_before)
            ORDER BY p.event_id DESC, p.id DESC LIMIT p_limit + 1);
    ELSE
        v_found := ARRAY(
            SELECT p FROM payments p
            WHERE (p.event_id, p.status, p.id) >= (p_event, p_status, 0)
              AND (p.event_id, p.status, p.id) < (p_event, p_status, v_before)
            ORDER BY p.event_id DESC, p.status DESC, p.id DESC LIMIT p_limit + 1);
    END IF;
    RETURN QUERY SELECT 'listed', json_build_object(
        'payments', coalesce((SELECT json_agg(json_build_object(
            'id', p.id::text, 'reservationId', r.id, 'reservationNumber', r.number,
            'buyer', r.buyer, 'provider', p.provider, 'reference', p.reference,
            'amount', p.amount, 'currency', p.currency, 'status', p.status,
            'createdAt', rfc3339(p.created_at), 'settledAt', rfc3339(p.settled_at))
            ORDER BY p.id DESC)
            FROM unnest(v_found[:p_limit]) AS p JOIN reservations r ON r.id = p.reservation_id),
            '[]'),
        'next', CASE WHEN cardinality(v_found) > p_limit THEN v_found[p_limit].id::text END);
END $$;
