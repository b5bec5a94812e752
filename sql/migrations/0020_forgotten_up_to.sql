-- SPDX-License-Identifier: MIT
--
-- Which entries of the admission log have pseudonyms for buyers (sql/functions/personal.sql).

ALTER TABLE events
    ADD COLUMN buyers_forgotten_to text; -- the ledger's cursor when their buyers were replaced; NULL: not known
