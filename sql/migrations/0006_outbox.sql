-- SPDX-License-Identifier: MIT
--
-- The buyer's e-mail address, and the outbox: mail that is to be sent about what a transaction did.

-- Where the mail about the purchase goes, asked before paying, and its language. NULL: no address was given.
ALTER TABLE reservations ADD COLUMN email text CHECK (octet_length(email) <= 254);
ALTER TABLE reservations ADD COLUMN language text;

-- A row is written in the transaction of what it tells, so that it exists exactly if that was committed.
--
--   pending -> sent | parked        parked -> pending, by the operator
--
-- event_id is no foreign key, for the reason given at reservations.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id uuid NOT NULL DEFAULT gen_random_uuid(), -- the same in every attempt
    kind       text NOT NULL,
    event_id   text COLLATE "C" NOT NULL,
    recipient  text,  -- NULL: it was sent, so it is no longer needed; the same for payload
    language   text NOT NULL,
    payload    jsonb,
    status     text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'parked')),
    attempts   integer NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT clock_timestamp(), -- of a pending one: when to try (again)
    claim      uuid,  -- a sender has it until due_at; NULL: none
    error      text,  -- of the last attempt; never contains the address
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz -- when it was sent or parked
);
CREATE INDEX outbox_due ON outbox (kind, due_at) WHERE status = 'pending';
CREATE INDEX outbox_age ON outbox (created_at) WHERE status = 'pending';
CREATE INDEX outbox_event ON outbox (event_id, status) WHERE status <> 'sent';
CREATE INDEX outbox_ended ON outbox (ended_at) WHERE status <> 'pending';
