-- SPDX-License-Identifier: MIT
--
-- Redis keeps a copy of each sale (sql/functions/sale.sql), from which `tiketi reconcile` puts back what a database lacks
-- that was restored from a backup.

-- Rises with each change of a sale, so that a newer copy is told from an older one. 0: it was never sold.
ALTER TABLE reservations ADD COLUMN sale_version bigint NOT NULL DEFAULT 0;

-- Sales of which Redis has no copy of this version yet. A row is written in the transaction that sells or changes the sale,
-- and deleted when Redis has the copy.
CREATE TABLE sales_to_copy (
    reservation_id uuid PRIMARY KEY REFERENCES reservations (id) ON DELETE CASCADE,
    version        bigint NOT NULL
);

-- Sales of before, of events that are not over.
UPDATE reservations r SET sale_version = 1 FROM events e
WHERE e.id = r.event_id AND e.status <> 'closed' AND r.status IN ('confirmed', 'refunded');
INSERT INTO sales_to_copy (reservation_id, version) SELECT id, 1 FROM reservations WHERE sale_version = 1;
