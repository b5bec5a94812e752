-- SPDX-License-Identifier: MIT
--
-- Web Push: the browsers that buyers want to be called in, and the calls in the outbox.

-- A browser's subscription, for one event. event_id is no foreign key, for the reason given at reservations. A browser
-- that another buyer used before belongs to the latest one.
CREATE TABLE push_subscriptions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   text COLLATE "C" NOT NULL,
    buyer      text COLLATE "C" NOT NULL,
    endpoint   text COLLATE "C" NOT NULL CHECK (octet_length(endpoint) <= 1024),
    p256dh     text NOT NULL, -- the browser's public key, base64url
    auth       text NOT NULL, -- its secret, base64url
    key        text NOT NULL, -- the public key of VAPID_KEYS that it was made with
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(), -- or renewed
    tested_at  timestamptz, -- when a test call was last asked for
    UNIQUE (event_id, endpoint)
);
CREATE INDEX push_subscriptions_buyer ON push_subscriptions (event_id, buyer, created_at);

-- A call is of use until expires_at, and is deleted when it was sent. Mail has neither of these two columns. A call
-- has no recipient and no language: the browser writes its text.
ALTER TABLE outbox ADD COLUMN expires_at timestamptz;
ALTER TABLE outbox ADD COLUMN subscription_id bigint REFERENCES push_subscriptions (id) ON DELETE CASCADE;
ALTER TABLE outbox ALTER COLUMN language DROP NOT NULL;
CREATE INDEX outbox_subscription ON outbox (subscription_id) WHERE subscription_id IS NOT NULL;
CREATE INDEX outbox_expires ON outbox (expires_at) WHERE expires_at IS NOT NULL;
