-- SPDX-License-Identifier: MIT
--
-- How long things are kept (sql/functions/personal.sql): what has been done of it, for each event.

ALTER TABLE events
    ADD COLUMN keys_checked_at     timestamptz, -- when its keys in Redis were last to be deleted
    ADD COLUMN emails_forgotten_at timestamptz, -- when the last e-mail address of its buyers was removed
    ADD COLUMN buyers_forgotten_at timestamptz; -- when the last buyer id was replaced by a pseudonym
CREATE INDEX events_closed ON events (keys_checked_at) WHERE status = 'closed';
CREATE INDEX reservations_email ON reservations (event_id) WHERE email IS NOT NULL;
