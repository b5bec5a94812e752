-- SPDX-License-Identifier: MIT
--
-- Webhooks: addresses that are told what an event's feed has (sql/functions/hook.sql). event_id is no foreign key, for the
-- reason given at reservations.

CREATE TABLE webhooks (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id      text COLLATE "C" NOT NULL,
    url           text NOT NULL CHECK (octet_length(url) <= 1024),
    description   text NOT NULL DEFAULT '',
    types         text[],  -- NULL: all
    enabled       boolean NOT NULL DEFAULT true,
    secret        text NOT NULL,
    old_secret    text,    -- signs as well until old_until
    old_until     timestamptz,
    sent          bigint NOT NULL, -- of the feed, up to this number everything was delivered, or is of another type
    due_at        timestamptz NOT NULL DEFAULT clock_timestamp(), -- when to try (again)
    claim         uuid,    -- a sender has it until due_at; NULL: none
    attempts      integer NOT NULL DEFAULT 0, -- that failed since the last one that did not
    failing_since timestamptz,
    parked_at     timestamptz, -- given up: nothing is sent before somebody says so
    error         text,    -- of the last attempt; NULL: it did not fail
    sent_at       timestamptz, -- when something was last delivered
    test_id       uuid,    -- a test call is to be sent
    tested_at     timestamptz,
    test_error    text,    -- of the last test call; NULL: it was taken
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhooks_event ON webhooks (event_id, id);
CREATE INDEX webhooks_due ON webhooks (due_at) WHERE (enabled AND parked_at IS NULL) OR test_id IS NOT NULL;
