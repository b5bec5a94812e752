-- SPDX-License-Identifier: MIT
--
-- room: the live copy of an event starts with the seats that are free, so that its first buyers
-- need not wait until the log consumer has counted them. freeSeats holds as of admission number
-- freeAdmitted, whose log entry was freeId: one snapshot.

CREATE OR REPLACE FUNCTION event_row(e events) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (event_public(e)::jsonb || jsonb_build_object(
        'owner', e.owner, 'epoch', e.epoch, 'lastPlace', e.last_place, 'seats', e.seats,
        'opened', e.last_place > 0,
        'freeSeats', CASE WHEN e.seats > 0 THEN seats_room(e.id) ELSE 0 END,
        'freeAdmitted', coalesce(c.admitted, 0), 'freeId', coalesce(c.consumed, '0-0')))::json
    FROM (VALUES (1)) AS one LEFT JOIN ledger_cursors c ON c.event_id = e.id
$$;
