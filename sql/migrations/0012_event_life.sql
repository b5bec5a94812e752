-- SPDX-License-Identifier: MIT
--
-- Closing an event can be taken back.

-- Of a closed event: it was paused when it was closed, and is paused again when it is reopened.
ALTER TABLE events ADD COLUMN closed_paused boolean NOT NULL DEFAULT false;

-- An event that is scheduled without a time does not open by itself. Before, it opened at once.
UPDATE events SET opens_at = now(), version = version + 1
WHERE opens_at IS NULL AND status IN ('scheduled', 'open', 'paused', 'sold_out');
