-- SPDX-License-Identifier: MIT
--
-- ledger: the cursor goes back where Redis, after a failover, has written below it.

-- Puts the cursor at p_to, which is below p_expected: entries after it are read, those copied before
-- have no effect again. rewound | stale
CREATE FUNCTION ledger_rewind(p_event text, p_expected text, p_to text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_cursors c SET consumed = p_to
    WHERE c.event_id = p_event AND c.consumed = p_expected
      AND stream_order(p_to) < stream_order(c.consumed);
    RETURN QUERY SELECT CASE WHEN FOUND THEN 'rewound' ELSE 'stale' END, NULL::json;
END $$;
