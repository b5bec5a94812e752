-- SPDX-License-Identifier: MIT
--
-- All tables, types and indexes. Functions are in sql/functions; how both change: docs/operations.md,
-- "Changing the schema".
--
-- Where event_id is no foreign key, the reason is at the table. Texts that are compared with keys of
-- Redis or that order a page have the collation "C".

-- ---- events ----

-- The record of every event. Redis holds a live copy, made anew from this one when it is lost.
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
    branding   jsonb NOT NULL DEFAULT '{}', -- {name, primary, background, logo}: logo is the event's
                                            -- version that brought it
    settings   jsonb NOT NULL,
    status     text NOT NULL DEFAULT 'draft'
               CHECK (status IN ('draft', 'scheduled', 'open', 'paused', 'sold_out', 'closed')),
    version    bigint NOT NULL DEFAULT 1, -- rises with every change
    epoch      bigint NOT NULL DEFAULT 1, -- rises when the queue is cleared: places begin anew
    last_place bigint NOT NULL DEFAULT 0, -- highest place known to have been given
    seats      bigint NOT NULL DEFAULT 0, -- how many rows table seats has for it
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at  timestamptz
);
CREATE INDEX events_owner ON events (owner, created_at);

CREATE TABLE logos (
    event_id text COLLATE "C" PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    data     text NOT NULL -- "data:image/png;base64,..."
);

-- Every change of an event and the user that made it. event_id is no foreign key: history outlives the
-- event.
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

-- A seat is free when it is available, or held past held_until: nothing waits for the sweeper.
--
-- `version` counts the changes of one seat, and the version of a seat map is the sum over its seats.
-- It rises with every change and needs no hot row; two maps of one version are equal. A hold that
-- lapses changes the map without a write: so the sum counts one more for a lapsed hold, going back
-- to available adds one, and every other way out of a hold adds two.
CREATE TABLE seats (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     text COLLATE "C" NOT NULL REFERENCES events (id),
    section      text NOT NULL,
    row          text NOT NULL,
    number       integer NOT NULL CHECK (number > 0),
    section_rank integer NOT NULL, -- order of preference: sections as they were added,
    row_rank     integer NOT NULL, -- then rows as they were added, then numbers
    price        bigint NOT NULL CHECK (price >= 0), -- minor units
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status       text NOT NULL DEFAULT 'available'
                 CHECK (status IN ('available', 'held', 'sold')),
    holder       uuid, -- the reservation that holds it or has bought it
    held_until   timestamptz,
    version      bigint NOT NULL DEFAULT 1,
    -- A column of its own, so that taking and giving back a hold changes no index (HOT updates).
    sold         boolean NOT NULL GENERATED ALWAYS AS (status = 'sold') STORED,
    UNIQUE (event_id, section, row, number),
    UNIQUE (event_id, id),
    CHECK ((status = 'available') = (holder IS NULL)),
    CHECK ((status = 'held') = (held_until IS NOT NULL))
) WITH (fillfactor = 60);
-- Two partial indexes instead of one: a hall is filled and holds are taken without the second.
CREATE INDEX seats_best ON seats (event_id, section_rank, row_rank, number) WHERE NOT sold;
CREATE INDEX seats_sold ON seats (event_id, section_rank, row_rank, number) WHERE sold;

CREATE TYPE seat_place AS (section_rank integer, row_rank integer, number integer);

-- The first free seat of an event as of `at`; all zero: at the first seat. Unlogged: a row is valid
-- for a second.
CREATE UNLOGGED TABLE seats_first (
    event_id     text COLLATE "C" PRIMARY KEY,
    section_rank integer NOT NULL,
    row_rank     integer NOT NULL,
    number       integer NOT NULL,
    at           timestamptz NOT NULL
) WITH (fillfactor = 50);

-- No group of n free seats side by side began before this one, as of `at`; section_rank 2147483647:
-- there was none. section '': of the whole event. Unlogged: a row is valid for a second.
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

-- event_id is no foreign key: every insert would lock the one row of its event, and
-- reservation_seats refers to (event, seat) anyway.
CREATE TABLE reservations (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number     text NOT NULL UNIQUE,
    event_id   text COLLATE "C" NOT NULL,
    buyer      text COLLATE "C" NOT NULL,
    status     text NOT NULL DEFAULT 'held'
               CHECK (status IN ('held', 'confirmed', 'cancelled', 'expired', 'refunded')),
    auto       boolean NOT NULL DEFAULT false, -- made on admission, not chosen by the buyer
    place      bigint NOT NULL DEFAULT 0,      -- the admission it belongs to
    epoch      bigint NOT NULL,
    seat_count integer NOT NULL CHECK (seat_count > 0),
    total      bigint NOT NULL, -- minor units
    currency   text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz, -- confirmed, cancelled or refunded
    entered    boolean NOT NULL DEFAULT true,  -- the log entry of its admission has been copied
    swept      boolean NOT NULL DEFAULT false, -- the sweeper has nothing left to do
    slot_freed boolean NOT NULL DEFAULT false  -- of a purchase: the buyer's slot is free again
);
-- The buyer comes first: before the first ANALYZE the planner sees no difference between indexes that
-- fit, so whichever it takes must find a buyer's few rows. `place > 0` keeps the one that begins with
-- the event, made for consumed_places, out of that choice.
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
    live           boolean NOT NULL DEFAULT true, -- holds or has bought the seat
    PRIMARY KEY (reservation_id, seat_id),
    FOREIGN KEY (event_id, seat_id) REFERENCES seats (event_id, id)
);
CREATE UNIQUE INDEX reservation_seats_live ON reservation_seats (event_id, seat_id) WHERE live;

-- The answer to the first order under a key; the same order under it gets the same answer.
CREATE TABLE idempotency_keys (
    buyer      text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    wanted     text NOT NULL, -- the order as order_text spells it
    answer     json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (buyer, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- ---- payments ----

-- The event stands here too, so that a page of an event's payments is read off one index.
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
    settled_at     timestamptz, -- when its status changed last; NULL while pending
    UNIQUE (provider, reference)
);
CREATE INDEX payments_reservation ON payments (reservation_id);
CREATE UNIQUE INDEX payments_one_pending ON payments (reservation_id) WHERE status = 'pending';
CREATE INDEX payments_event ON payments (event_id, id);
CREATE INDEX payments_event_status ON payments (event_id, status, id);

-- ---- the admission log ----

-- The log of Redis, copied: admissions and departures. event_id is no foreign key: it would cost a
-- lookup for each entry, and the entries outlive the event.
CREATE TABLE admissions (
    event_id  text COLLATE "C" NOT NULL,
    epoch     bigint NOT NULL,
    buyer     text COLLATE "C" NOT NULL,
    place     bigint NOT NULL,
    kind      text NOT NULL,    -- direct, promote, restored; left, idle, timeout, completed
    departed  boolean NOT NULL, -- the admission ended: its place is consumed
    at        timestamptz NOT NULL,
    inside    bigint NOT NULL,  -- buyers inside after it
    threshold bigint NOT NULL,  -- in force at it
    n         bigint NOT NULL,  -- admissions so far
    stream_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (event_id, epoch, buyer, place, kind)
);
CREATE INDEX admissions_stream ON admissions (stream_id, event_id);

-- How far the log of an event has been copied.
CREATE TABLE ledger_cursors (
    event_id text COLLATE "C" PRIMARY KEY,
    consumed text NOT NULL DEFAULT '0-0', -- stream id of the last entry copied
    admitted bigint NOT NULL DEFAULT 0    -- its count of admissions
);
