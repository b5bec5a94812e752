-- SPDX-License-Identifier: MIT
--
-- The names of sections and rows, and the texts of events, in the form in which the program now stores them
-- (src/base/text.c): NFC, without blanks at the edges. If two seats of an event get the same name by that,
-- one of them would be sold for the other, so the migration fails and names them: rename or delete one.

CREATE FUNCTION text_of_0003(p_text text, p_name boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT normalize(CASE WHEN p_name
        THEN btrim(regexp_replace(regexp_replace(p_text,
            '[\u00ad\u061c\u180e\u200b\u200e\u200f\u2060-\u2064\ufeff]', '', 'g'),
            '[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000\u3164\uffa0]+', ' ', 'g'))
        ELSE regexp_replace(p_text,
            '^[ \u00a0\u00ad\u1680\u180e\u2000-\u200b\u202f\u205f-\u2064\u2800\u3000\u3164\ufeff\uffa0]+|'
            || '[ \u00a0\u00ad\u1680\u180e\u2000-\u200b\u202f\u205f-\u2064\u2800\u3000\u3164\ufeff\uffa0]+$',
            '', 'g') END)
$$;

DO $$
DECLARE
    v_bad record;
BEGIN
    SELECT event_id, number, string_agg(format('%s (%L, %L)', id, section, row), ' and ' ORDER BY id) AS seats
    INTO v_bad
    FROM (SELECT *, text_of_0003(section, true) AS s, text_of_0003(row, true) AS r FROM seats) AS n
    GROUP BY event_id, s, r, number HAVING count(*) > 1 OR s = '' OR r = '' LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event %: seats % of number % have one name, or none, when accents and blanks are '
            'written in one way: rename or delete one', v_bad.event_id, v_bad.seats, v_bad.number;
    END IF;
    SELECT id INTO v_bad FROM events WHERE text_of_0003(title, false) = '' LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event % has a title of blanks alone: give it another one', v_bad.id;
    END IF;
END $$;

-- A section that was two has one rank; its rows are numbered anew, in the order they had.
WITH changed AS (
    SELECT DISTINCT event_id FROM seats
    WHERE section <> text_of_0003(section, true) OR row <> text_of_0003(row, true)
), cleaned AS (
    SELECT id, event_id, text_of_0003(section, true) AS section, text_of_0003(row, true) AS row,
           section_rank, row_rank
    FROM seats JOIN changed USING (event_id)
), in_section AS (
    SELECT *, min(section_rank) OVER (PARTITION BY event_id, section) AS new_section_rank FROM cleaned
), in_row AS (
    SELECT *, first_value(section_rank) OVER first AS row_section_rank,
           first_value(row_rank) OVER first AS row_first_rank
    FROM in_section
    WINDOW first AS (PARTITION BY event_id, section, row ORDER BY section_rank, row_rank)
), ranked AS (
    SELECT *, dense_rank() OVER (PARTITION BY event_id, section
                                 ORDER BY row_section_rank, row_first_rank) AS new_row_rank
    FROM in_row
)
UPDATE seats s SET section = r.section, row = r.row, section_rank = r.new_section_rank,
                   row_rank = r.new_row_rank, version = s.version + 1
FROM ranked r
WHERE s.id = r.id AND (s.section, s.row, s.section_rank, s.row_rank)
                      <> (r.section, r.row, r.new_section_rank, r.new_row_rank);

UPDATE events SET title = text_of_0003(title, false), artist = text_of_0003(artist, false),
                  venue = text_of_0003(venue, false), message = text_of_0003(message, false),
                  version = version + 1
WHERE (title, artist, venue, message)
      <> (text_of_0003(title, false), text_of_0003(artist, false), text_of_0003(venue, false),
          text_of_0003(message, false));

DROP FUNCTION text_of_0003 (text, boolean);

-- The backstop: seats_insert normalizes what it is given.
ALTER TABLE seats ADD CONSTRAINT seats_names_nfc
    CHECK (section IS NFC NORMALIZED AND row IS NFC NORMALIZED);
