-- SPDX-License-Identifier: MIT
--
-- Sessions of staff at the console.

-- A session's cookie says by itself who it is, and is signed; this table has the SHA-256 of its id, and knows whether it
-- was ended. A copy of the table gives nobody a session.
CREATE TABLE staff_sessions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- by which an operator names it
    hash       bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    link_hash  bytea UNIQUE, -- of the one-time link that it came from; NULL: from the identity provider
    subject    text NOT NULL,
    name       text NOT NULL,
    role       text NOT NULL,
    events     text NOT NULL, -- ids, separated by commas
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz -- signed out, replaced or revoked
);
CREATE INDEX staff_sessions_expiry ON staff_sessions (expires_at);

-- `who` is the actor as the program gives it: name, role and, if it is another text than the name, the subject, with tabs
-- between them. Actions of the service itself have a name alone.
ALTER TABLE audit
    ADD COLUMN name    text GENERATED ALWAYS AS (split_part(who, E'\t', 1)) STORED,
    ADD COLUMN role    text GENERATED ALWAYS AS (nullif(split_part(who, E'\t', 2), '')) STORED,
    ADD COLUMN subject text GENERATED ALWAYS AS (nullif(split_part(who, E'\t', 3), '')) STORED;
