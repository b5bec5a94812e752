-- SPDX-License-Identifier: MIT
--
-- What the pages of an event show besides: its image, and its lowest price.

CREATE TABLE images (
    event_id text COLLATE "C" PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    data     text NOT NULL -- "data:image/jpeg;base64,..."
);

-- The lowest price among the event's seats, in minor units of the currency. NULL: it has no seats.
ALTER TABLE events ADD COLUMN price_from bigint, ADD COLUMN currency text;

UPDATE events e SET price_from = s.price, currency = s.currency
FROM (SELECT event_id, min(price) AS price, min(currency) AS currency FROM seats GROUP BY event_id) AS s
WHERE s.event_id = e.id;
