-- SPDX-License-Identifier: MIT
--
-- All tables, types and indexes. Functions are in sql/functions. How to change tables and functions:
-- docs/operations.md, "Changing the schema".
--
-- Where event_id is no foreign key, a comment at the table says why. A text has the collation "C" if it is
-- compared with keys of Redis, or if pages are read in its order.

-- ---- events ----

-- The record of every event. Redis has a live copy, which is made from this table, again if it is lost.
CREATE TABLE events (
    id         text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
    owner      text NOT NULL,
    title      text NOT NULL CHECK (title <> ''),
    artist     text NOT NULL DEFAULT '',
    venue      text NOT NULL DEFAULT '',
    starts_at  timestamptz,
    opens_at   timestamptz,
    closes_at  timestamptz,
    message    text NOT NULL DEFAULT '' CHECK (length(message) <= 500), -- to the waiting buyers
    branding   jsonb NOT NULL DEFAULT '{}', -- {name, primary, background, logo}; logo: the version of
                                            -- the event that brought the logo
    settings   jsonb NOT NULL,
    status     text NOT NULL DEFAULT 'draft'
               CHECK (status IN ('draft', 'scheduled', 'open', 'paused', 'sold_out', 'closed')),
    version    bigint NOT NULL DEFAULT 1, -- rises with every change
    epoch      bigint NOT NULL DEFAULT 1, -- rises when the queue is cleared, which ends all places
    last_place bigint NOT NULL DEFAULT 0, -- highest place known to have been given
    seats      bigint NOT NULL DEFAULT 0, -- number of rows that table seats has for this event
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at  timestamptz
);
CREATE INDEX events_owner ON events (owner, created_at);

CREATE TABLE logos (
    event_id text COLLATE "C" PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    data     text NOT NULL -- "data:image/png;base64,..."
);

-- Every change of an event, and the user that made it. event_id is no foreign key: the entries stay when
-- the event is deleted.
CREATE TABLE audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text COLLATE "C" NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    who      text NOT NULL,
    verb     text NOT NULL,
    before   jsonb,
    after    jsonb
);
CREATE INDEX audit_event ON audit (event_id, id);

-- ---- seats ----

-- A seat is free if its status is available, or if its hold has lapsed (held_until has passed): nobody
-- waits until the sweeper has changed the status.
--
-- `version` counts the changes of one seat. The version of a seat map is the sum over its seats: it rises
-- with every change, without one row that every transaction would have to lock, and two maps of the same
-- version are equal. When a hold lapses, the map changes without a write. So the sum counts one more for
-- each lapsed hold; from held to available a seat's version rises by one, and by two on every other way
-- out of a hold.
CREATE TABLE seats (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     text COLLATE "C" NOT NULL REFERENCES events (id),
    section      text NOT NULL,
    row          text NOT NULL,
    number       integer NOT NULL CHECK (number > 0),
    section_rank integer NOT NULL, -- order of preference: sections in the order they were added,
    row_rank     integer NOT NULL, -- then rows in the order they were added, then numbers
    price        bigint NOT NULL CHECK (price >= 0), -- minor units
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status       text NOT NULL DEFAULT 'available'
                 CHECK (status IN ('available', 'held', 'sold')),
    holder       uuid, -- the reservation that holds it or has bought it
    held_until   timestamptz,
    version      bigint NOT NULL DEFAULT 1,
    -- Indexed instead of status, so that taking and giving back a hold changes no index (HOT updates).
    sold         boolean NOT NULL GENERATED ALWAYS AS (status = 'sold') STORED,
    UNIQUE (event_id, section, row, number),
    UNIQUE (event_id, id),
    CHECK ((status = 'available') = (holder IS NULL)),
    CHECK ((status = 'held') = (held_until IS NOT NULL))
) WITH (fillfactor = 60);
-- Two partial indexes that together cover all seats. Adding seats and taking holds writes only the first,
-- and a search for free seats reads no sold ones.
CREATE INDEX seats_best ON seats (event_id, section_rank, row_rank, number) WHERE NOT sold;
CREATE INDEX seats_sold ON seats (event_id, section_rank, row_rank, number) WHERE sold;

CREATE TYPE seat_place AS (section_rank integer, row_rank integer, number integer);

-- The first free seat of an event at the time `at`; all zero: search from the first seat. Unlogged: a row is
-- used for a second only.
CREATE UNLOGGED TABLE seats_first (
    event_id     text COLLATE "C" PRIMARY KEY,
    section_rank integer NOT NULL,
    row_rank     integer NOT NULL,
    number       integer NOT NULL,
    at           timestamptz NOT NULL
) WITH (fillfactor = 50);

-- At the time `at`, no group of n adjacent free seats began before this seat. section_rank rank_end(), the
-- greatest integer: there was no such group. section '': of the whole event. Unlogged: a row is used for a
-- second only.
CREATE UNLOGGED TABLE seats_group (
    event_id     text COLLATE "C" NOT NULL,
    section      text COLLATE "C" NOT NULL,
    n            integer NOT NULL,
    section_rank integer NOT NULL,
    row_rank     integer NOT NULL,
    number       integer NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (event_id, section, n)
) WITH (fillfactor = 50);

-- ---- reservations ----

-- event_id is no foreign key: every insert would lock the row of its event, which all buyers share.
-- reservation_seats refers to (event, seat) anyway.
CREATE TABLE reservations (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number     text NOT NULL UNIQUE,
    event_id   text COLLATE "C" NOT NULL,
    buyer      text COLLATE "C" NOT NULL,
    status     text NOT NULL DEFAULT 'held'
               CHECK (status IN ('held', 'confirmed', 'cancelled', 'expired', 'refunded')),
    auto       boolean NOT NULL DEFAULT false, -- made on admission, not chosen by the buyer
    place      bigint NOT NULL DEFAULT 0,      -- place of the admission that it belongs to; 0: none
    epoch      bigint NOT NULL,
    seat_count integer NOT NULL CHECK (seat_count > 0),
    total      bigint NOT NULL, -- minor units
    currency   text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz, -- when it was confirmed, cancelled or refunded
    entered    boolean NOT NULL DEFAULT true,  -- the log entry of its admission has been copied
    swept      boolean NOT NULL DEFAULT false, -- the sweeper has nothing left to do
    slot_freed boolean NOT NULL DEFAULT false  -- for a purchase: the buyer's slot is free again
);
-- These indexes begin with the buyer: before the first ANALYZE the planner cannot tell which of several
-- fitting indexes is best, so each must lead to the few rows of one buyer. `place > 0` keeps
-- reservations_consumed, which begins with the event for consumed_places, out of that choice.
CREATE UNIQUE INDEX reservations_one_held ON reservations (buyer, event_id) WHERE status = 'held';
CREATE UNIQUE INDEX reservations_one_auto ON reservations (buyer, event_id, epoch, place) WHERE auto;
CREATE INDEX reservations_confirmed ON reservations (buyer, event_id) WHERE status = 'confirmed';
CREATE INDEX reservations_buyer ON reservations (buyer, created_at);
CREATE INDEX reservations_consumed ON reservations (event_id, epoch, buyer, place)
    WHERE status = 'confirmed' AND place > 0;
CREATE INDEX reservations_unswept ON reservations (expires_at) WHERE NOT swept;
CREATE INDEX reservations_unentered ON reservations (event_id, buyer) WHERE NOT entered;
CREATE INDEX reservations_unfreed ON reservations (ended_at)
    WHERE status = 'confirmed' AND NOT slot_freed;
CREATE INDEX reservations_refunded_unfreed ON reservations (event_id, ended_at)
    WHERE status = 'refunded' AND NOT slot_freed;
CREATE SEQUENCE reservation_number;

CREATE TABLE reservation_seats (
    reservation_id uuid NOT NULL REFERENCES reservations (id),
    event_id       text COLLATE "C" NOT NULL,
    seat_id        bigint NOT NULL,
    live           boolean NOT NULL DEFAULT true, -- the reservation holds the seat or has bought it
    PRIMARY KEY (reservation_id, seat_id),
    FOREIGN KEY (event_id, seat_id) REFERENCES seats (event_id, id)
);
-- A seat has one reservation at most: the backstop against selling a seat twice (sql/functions/hold.sql).
CREATE UNIQUE INDEX reservation_seats_live ON reservation_seats (event_id, seat_id) WHERE live;

-- The answer to the first request for seats under a key. The same request under it gets the same answer.
CREATE TABLE idempotency_keys (
    buyer      text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    wanted     text NOT NULL, -- the request, as hold_request_text writes it
    answer     json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (buyer, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- ---- payments ----

-- event_id is repeated here, so that one index is enough to read a page of an event's payments.
CREATE TABLE payments (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id       text COLLATE "C" NOT NULL,
    reservation_id uuid NOT NULL REFERENCES reservations (id),
    provider       text NOT NULL,
    reference      text NOT NULL,
    amount         bigint NOT NULL, -- minor units
    currency       text NOT NULL,
    status         text NOT NULL
                   CHECK (status IN ('pending', 'paid', 'failed', 'refund_due', 'refunded')),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at     timestamptz, -- when the status last changed; NULL: pending
    UNIQUE (provider, reference)
);
CREATE INDEX payments_reservation ON payments (reservation_id);
CREATE UNIQUE INDEX payments_one_pending ON payments (reservation_id) WHERE status = 'pending';
CREATE INDEX payments_event ON payments (event_id, id);
CREATE INDEX payments_event_status ON payments (event_id, status, id);

-- ---- the admission log ----

-- A copy of the admission log in Redis: admissions and departures. event_id is no foreign key: that would
-- cost a lookup for each entry, and the entries stay when the event is deleted.
CREATE TABLE admissions (
    event_id  text COLLATE "C" NOT NULL,
    epoch     bigint NOT NULL,
    buyer     text COLLATE "C" NOT NULL,
    place     bigint NOT NULL,
    kind      text NOT NULL,    -- direct, promote, restored; left, idle, timeout, completed
    departed  boolean NOT NULL, -- the admission ended: its place is consumed
    at        timestamptz NOT NULL,
    inside    bigint NOT NULL,  -- buyers inside after it
    threshold bigint NOT NULL,  -- effective threshold at that moment
    n         bigint NOT NULL,  -- number of admissions so far
    stream_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (event_id, epoch, buyer, place, kind)
);
CREATE INDEX admissions_stream ON admissions (stream_id, event_id);

-- The ledger's cursors: up to where the log of an event has been consumed.
CREATE TABLE ledger_cursors (
    event_id text COLLATE "C" PRIMARY KEY,
    consumed text NOT NULL DEFAULT '0-0', -- stream id of the last entry copied
    admitted bigint NOT NULL DEFAULT 0    -- number of admissions up to that entry
);
