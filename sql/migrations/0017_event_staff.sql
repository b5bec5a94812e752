-- SPDX-License-Identifier: MIT
--
-- Several members of staff share an event.

-- Whom the owner of an event (events.owner) shares it with.
CREATE TABLE event_staff (
    event_id text NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    subject  text NOT NULL,
    name     text NOT NULL,
    role     text NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    added_by text NOT NULL, -- the name of who invited them
    PRIMARY KEY (event_id, subject)
);
CREATE INDEX event_staff_subject ON event_staff (subject);

-- Links to share it. This table has the SHA-256 of a link's id: a copy of the table invites nobody.
CREATE TABLE event_invitations (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    event_id   text NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    name       text NOT NULL, -- of who is invited, as the inviter writes it
    role       text NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
    invited_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX event_invitations_event ON event_invitations (event_id);
