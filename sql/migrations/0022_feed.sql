-- SPDX-License-Identifier: MIT
--
-- The feed: what happened at an event, for programs outside (sql/functions/feed.sql). event_id is no foreign key, for the
-- reason given at reservations.

-- Written by triggers, in the transaction of what it tells. It waits for its number.
CREATE TABLE feed_new (
    event_id text COLLATE "C" NOT NULL,
    o        bigint GENERATED ALWAYS AS IDENTITY, -- the order in which it was written
    type     text NOT NULL,
    buyer    text COLLATE "C", -- NULL: it is about the event
    place    bigint NOT NULL DEFAULT 0,
    ref      uuid,             -- the reservation; NULL: it is about none
    id       uuid NOT NULL,    -- the same if it is written again after a database was restored
    at       timestamptz NOT NULL,
    data     jsonb NOT NULL,
    PRIMARY KEY (event_id, o)
);

CREATE TABLE feed (
    event_id text COLLATE "C" NOT NULL,
    seq      bigint NOT NULL, -- rises by one for each event of the feed
    type     text NOT NULL,
    buyer    text COLLATE "C",
    place    bigint NOT NULL DEFAULT 0,
    ref      uuid,
    id       uuid NOT NULL,
    at       timestamptz NOT NULL,
    data     jsonb NOT NULL,
    PRIMARY KEY (event_id, seq)
);
CREATE INDEX feed_buyer ON feed (event_id, buyer) WHERE buyer IS NOT NULL;

-- Who gives numbers, or deletes, has locked this row. It stays when the event is deleted, so that no number comes twice.
CREATE TABLE feed_heads (
    event_id text COLLATE "C" PRIMARY KEY,
    seq      bigint NOT NULL DEFAULT 0,    -- the last number that was given
    pruned   bigint NOT NULL DEFAULT 0,    -- up to here it was deleted
    cleared  bigint NOT NULL DEFAULT 0,    -- of the epochs up to here, all who were inside have left
    kept_at  timestamptz                   -- when it was last asked what is old
);
