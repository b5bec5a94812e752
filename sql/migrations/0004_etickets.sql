-- SPDX-License-Identifier: MIT
--
-- Links to bought tickets, /ticket/{token}. Whoever has the token may see the ticket, so a copy of this table must
-- not give it away: it has the SHA-256 of each.

CREATE TABLE etickets (
    hash           bytea PRIMARY KEY CHECK (length(hash) = 32),
    reservation_id uuid NOT NULL REFERENCES reservations (id),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX etickets_reservation ON etickets (reservation_id);

-- Random; the token of the link that the buyer's own pages show is made of this and of a key of the program, so that
-- they show the same link each time. NULL: no page has shown it yet.
ALTER TABLE reservations ADD COLUMN eticket_salt uuid;
