-- SPDX-License-Identifier: MIT
--
-- What happened in each minute of a sale. Redis keeps an hour of it, and may lose it; this is the record.

-- Counts of the minute that begins at `at`; inside, waiting and threshold as they were at its end. A minute without
-- anything to say has no row. event_id is no foreign key: the record stays when the event is deleted.
CREATE TABLE event_minutes (
    event_id   text COLLATE "C" NOT NULL,
    at         timestamptz NOT NULL,
    joined     bigint NOT NULL,
    admitted   bigint NOT NULL,
    "left"     bigint NOT NULL,
    withdrawn  bigint NOT NULL,
    idle       bigint NOT NULL,
    timeout    bigint NOT NULL,
    completed  bigint NOT NULL,
    parked     bigint NOT NULL,
    direct     bigint NOT NULL,
    claimed    bigint NOT NULL,
    unclaimed  bigint NOT NULL,
    idle_kept  bigint NOT NULL,
    inside     bigint NOT NULL,
    waiting    bigint NOT NULL,
    threshold  bigint NOT NULL, -- the effective one
    queue_peak bigint NOT NULL, -- the longest queue during the minute
    PRIMARY KEY (event_id, at)
);
