-- SPDX-License-Identifier: MIT
--
-- Buyers who are shut out of an event (sql/functions/ban.sql). The place of a banned buyer is kept here, and in Redis
-- (lua/ban.lua), so that it can be given back.

CREATE TABLE bans (
    event_id text NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    buyer    text NOT NULL,
    place    bigint NOT NULL DEFAULT 0, -- 0: they had none, or it is not known yet
    epoch    bigint NOT NULL DEFAULT 0,
    reason   text NOT NULL,
    who      text NOT NULL,             -- name of the actor
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (event_id, buyer)
);
CREATE INDEX bans_page ON bans (event_id, at, buyer);
