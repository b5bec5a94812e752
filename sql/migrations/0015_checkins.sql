-- SPDX-License-Identifier: MIT
--
-- At the door: every scan of a ticket that could be one of the event's. The first that arrives is accepted; doors without
-- a network may have let somebody in twice, which the later scan then tells.

CREATE TABLE checkins (
    event_id       text COLLATE "C" NOT NULL,
    reservation_id uuid NOT NULL REFERENCES reservations (id),
    seat_id        bigint NOT NULL,
    device         text NOT NULL,        -- the door, as it names itself
    scanned_at     timestamptz NOT NULL, -- by the door's clock
    at             timestamptz NOT NULL DEFAULT clock_timestamp(), -- when it arrived here
    who            text NOT NULL,
    accepted       boolean NOT NULL,
    let_in         boolean NOT NULL, -- the door had let the bearer in before it could ask
    PRIMARY KEY (reservation_id, seat_id, device, scanned_at)
);
CREATE UNIQUE INDEX checkins_once ON checkins (reservation_id, seat_id) WHERE accepted;
CREATE INDEX checkins_event ON checkins (event_id, seat_id) WHERE accepted;
