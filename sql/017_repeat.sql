-- SPDX-License-Identifier: MIT
--
-- An order repeated under its key by one whose admission has ended: he may have lost the answer, and gets it.

-- What reservation_hold says of a key it knows, and nothing else: holds nothing, changes nothing. Under the lock
-- of the key, so that an order still being carried out is waited for. `wanted` is spelt as there.
--   repeated   idempotency-conflict   not-admitted (nothing was ordered under this key)
CREATE FUNCTION reservation_repeat(p_event text, p_buyer text, p_seats bigint[], p_quantity integer,
                                   p_section text, p_key text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_wanted text := format('%s %s', p_event, coalesce(
        (SELECT string_agg(i::text, ',' ORDER BY i) FROM unnest(p_seats) AS i),
        format('%s of %s', p_quantity, coalesce(p_section, '*'))));
    v_first idempotency_keys;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_buyer || ' ' || p_key, 2));
    SELECT * INTO v_first FROM idempotency_keys WHERE buyer = p_buyer AND key = p_key;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-admitted', refusal('You are not inside: wait for your turn.');
    ELSIF v_first.wanted = v_wanted THEN
        RETURN QUERY SELECT 'repeated', v_first.answer;
    ELSE
        RETURN QUERY SELECT 'idempotency-conflict',
            refusal('This Idempotency-Key was used for another order.', 'Idempotency-Key');
    END IF;
END $$;
