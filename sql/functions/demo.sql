-- SPDX-License-Identifier: MIT
--
-- demo: the event that `make run` opens. It has 1,000 seats and allows guests.

-- Makes event `demo`. If it exists, sets its threshold and interval, and opens it again if it was closed.
-- created | updated | unchanged
CREATE OR REPLACE FUNCTION demo_event(threshold integer DEFAULT 1000, interval_ms integer DEFAULT 10000)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql AS $$
DECLARE
    v_wanted jsonb := jsonb_build_object('threshold', demo_event.threshold,
                                         'intervalMs', demo_event.interval_ms);
    v_event events;
    v_outcome text;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key_demo());
    INSERT INTO events (id, owner, title, artist, venue, opens_at, settings, status)
    VALUES ('demo', 'demo', 'One Night Only', 'The Waiting Line', 'Tiketi Hall',
            date_trunc('minute', clock_timestamp()), v_wanted ||
            '{"idleTimeoutMs": 90000, "sessionLimitMs": 600000, "holdMs": 300000, "surge": [],
              "outflowPerMinute": 0, "autoHold": 1, "maxSeats": 4, "allowGuests": true}', 'open')
    ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN
        v_outcome := 'created';
        PERFORM seats_add('demo', 'tiketi', jsonb_build_object('grid', g)) FROM (VALUES
            ('{"section": "Floor", "rows": 10, "seatsPerRow": 40, "price": 9900, "currency": "EUR"}'::jsonb),
            ('{"section": "Balcony", "rows": 10, "seatsPerRow": 30, "price": 7900, "currency": "EUR"}'),
            ('{"section": "Gallery", "rows": 15, "seatsPerRow": 20, "price": 4900, "currency": "EUR"}')
        ) AS grids (g);
    ELSE
        UPDATE events e SET settings = e.settings || v_wanted, version = e.version + 1,
               closed_at = NULL, closed_paused = false, status = CASE e.status WHEN 'closed' THEN 'open' ELSE e.status END
        WHERE e.id = 'demo' AND (e.status = 'closed' OR NOT e.settings @> v_wanted);
        v_outcome := CASE WHEN FOUND THEN 'updated' ELSE 'unchanged' END;
    END IF;
    SELECT * INTO v_event FROM events WHERE id = 'demo';
    RETURN QUERY SELECT v_outcome, event_row(v_event);
END $$;
