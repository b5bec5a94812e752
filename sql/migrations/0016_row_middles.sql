-- SPDX-License-Identifier: MIT
--
-- Where the middle of each row is: best available begins there.

-- The first number of the seat's row and its last one, added up: twice the number in the middle. 0: the row has no middle
-- to begin at (sql/functions/hall.sql, row_middle).
ALTER TABLE seats ADD COLUMN middle integer NOT NULL DEFAULT 0;

UPDATE seats s SET middle = r.first + r.last
FROM (SELECT event_id, section_rank, row_rank, min(number) AS first, max(number) AS last FROM seats
      GROUP BY event_id, section_rank, row_rank) AS r
WHERE s.event_id = r.event_id AND s.section_rank = r.section_rank AND s.row_rank = r.row_rank
  AND r.last - r.first < 200;
