-- SPDX-License-Identifier: MIT
--
-- common: conventions, the keys of advisory locks, and helpers that other files call.
--
-- Conventions of sql/functions. The program calls one function for each transaction. Such a function
-- returns (outcome, body): outcome is a word that the program maps to a status, body the JSON of the
-- answer, of type json because jsonb would reorder its keys. A refusal is an outcome, never an
-- exception, and changes nothing that a buyer or organizer could see. The isolation level is READ
-- COMMITTED: each statement sees what was committed before it began. Time is clock_timestamp(), read
-- after all locks have been taken. Parameters begin with p_, variables with v_. A comment lists the
-- outcomes of its function, one a line, or separated by | when all of them fit into one line.
--
-- Locks are taken in one order, so that no two transactions wait for each other:
--   1. the row of ledger_cursors, then that of events
--   2. advisory: the request for seats (its idempotency key) or the payment (its reference)
--   3. advisory: the buyer at the event; several in order of their keys
--   4. rows of reservations; several in order of id
--   5. rows of seats, in order of id
-- A transaction that has the lock of a seat locks further seats, or another buyer's reservation, only
-- with SKIP LOCKED. Rows of reservation_seats are written only under the lock of their seat.
--
-- Functions that a buyer waits for turn enable_seqscan off: a plan made while a table was nearly empty
-- would scan the whole table until the next ANALYZE, in the minute in which thousands of rows are added.
-- Those with an array among their parameters also force generic plans: otherwise PostgreSQL would plan
-- every call anew.

-- ---- advisory locks ----

-- The keys of all advisory locks of sql/functions. The second argument of each hash, its seed, differs,
-- so that two kinds of lock do not share keys.

CREATE OR REPLACE FUNCTION lock_key_buyer(p_event text, p_buyer text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_event || ' ' || p_buyer, 1)
$$;

CREATE OR REPLACE FUNCTION lock_key_request(p_buyer text, p_key text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_buyer || ' ' || p_key, 2)
$$;

CREATE OR REPLACE FUNCTION lock_key_payment(p_provider text, p_reference text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_provider || ' ' || p_reference, 3)
$$;

-- Taken only by pg_try_…, so nobody waits for it. Its owner looks up the first free seat.
CREATE OR REPLACE FUNCTION lock_key_first_seat(p_event text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_event, 4)
$$;

-- Taken only by pg_try_…, so nobody waits for it. Its owner notes where groups of p_n seats begin.
CREATE OR REPLACE FUNCTION lock_key_group(p_event text, p_n integer)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_n || ' ' || p_event, 5)
$$;

CREATE OR REPLACE FUNCTION lock_key_demo() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended('demo', 6)
$$;

-- ---- helpers ----

-- A time as RFC 3339 text. It is PL/pgSQL because PostgreSQL could not inline it as an SQL function, and
-- would plan it at every call.
CREATE OR REPLACE FUNCTION rfc3339(p_time timestamptz) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
END $$;

-- The place of a row in a list that is ordered by time and id: "<microseconds since 1970>.<id>". The next page
-- begins behind it, whatever was added or removed meanwhile.
CREATE OR REPLACE FUNCTION cursor_of(p_time timestamptz, p_id text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT (extract(epoch FROM p_time) * 1000000)::bigint || '.' || p_id
$$;
CREATE OR REPLACE FUNCTION cursor_time(p_cursor text) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT timestamptz 'epoch' + split_part(p_cursor, '.', 1)::bigint * interval '1 microsecond'
$$;
CREATE OR REPLACE FUNCTION cursor_id(p_cursor text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT substr(p_cursor, strpos(p_cursor, '.') + 1)
$$;

-- The UUID that a text is. If it is none, returns NULL instead of raising an error.
CREATE OR REPLACE FUNCTION as_uuid(p_text text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p_text::uuid END
$$;

-- A text as a cell of CSV (RFC 4180). If it begins with = + - @, which a spreadsheet would run as a formula,
-- it gets an apostrophe in front: also if these are of full width (Japanese and Korean Excel), or stand after a
-- tab or semicolon, at which Excel cuts the cell where a comma is the decimal point.
CREATE OR REPLACE FUNCTION csv_text(p_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN guarded ~ '[",;\t\r\n]' THEN '"' || replace(guarded, '"', '""') || '"'
                ELSE guarded END
    FROM (SELECT regexp_replace(p_text, '(^|[;\t])([-=+@\t\r＝＋－＠])', '\1''\2', 'g')) AS g (guarded)
$$;

-- One object with the members of two, neither of which is empty. (jsonb would reorder the keys.)
CREATE OR REPLACE FUNCTION json_join(p_first json, p_second json) RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT (left(p_first::text, -1) || ',' || substr(p_second::text, 2))::json
$$;

-- compatible: it had no reason, and only functions call it
DROP FUNCTION IF EXISTS refusal (text, text, bigint[]);

-- The body of a refusal: {"detail", "field", "seats", "reason", "values"}, without those that are NULL. p_reason: the stable
-- name of the sentence, where the outcome alone does not tell (docs/http-api.md); p_values: what stands in its places.
CREATE OR REPLACE FUNCTION refusal(p_detail text, p_field text DEFAULT NULL, p_seats bigint[] DEFAULT NULL,
                                   p_reason text DEFAULT NULL, p_values text[] DEFAULT NULL)
RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT json_strip_nulls(json_build_object('detail', p_detail, 'field', p_field, 'seats', to_json(p_seats::text[]),
                                              'reason', p_reason, 'values', to_json(p_values)))
$$;

-- Checks the fields of an object. Returns the body of a refusal; NULL: the object is valid. p_kinds has
-- each field, all of them required, and its kind: "text", "currency", or the [least, greatest] integer.
-- The refusal names the field with p_path in front, such as "grid.".
CREATE OR REPLACE FUNCTION fields_refusal(p_object jsonb, p_path text, p_kinds jsonb)
RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_key text;
    v_kind jsonb;
    v_value jsonb;
BEGIN
    IF jsonb_typeof(p_object) IS DISTINCT FROM 'object' THEN
        RETURN refusal(rtrim(p_path, '.') || ' must be an object.', rtrim(p_path, '.'), p_reason => 'not-an-object');
    END IF;
    SELECT k INTO v_key FROM jsonb_object_keys(p_object) AS k WHERE NOT p_kinds ? k LIMIT 1;
    IF FOUND THEN
        RETURN refusal('There is no field of this name here.', p_path || v_key, p_reason => 'unknown-field');
    END IF;
    FOR v_key, v_kind IN SELECT * FROM jsonb_each(p_kinds) LOOP
        v_value := p_object -> v_key;
        IF v_value IS NULL THEN
            RETURN refusal(v_key || ' is needed.', p_path || v_key, p_reason => 'needed');
        ELSIF v_kind = '"text"' THEN
            IF jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' !~ '^[^[:cntrl:]]{1,64}$' THEN
                RETURN refusal(v_key || ' must be a text of 1 to 64 characters.', p_path || v_key, p_reason => 'seat-name');
            END IF;
        ELSIF v_kind = '"currency"' THEN
            IF jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' !~ '^[A-Z]{3}$' THEN
                RETURN refusal('currency must be three capital letters, such as EUR.',
                               p_path || v_key, p_reason => 'not-a-currency');
            END IF;
        ELSIF jsonb_typeof(v_value) <> 'number' OR v_value <> to_jsonb(trunc(v_value::numeric))
            OR v_value < v_kind -> 0 OR v_value > v_kind -> 1 THEN
            RETURN refusal(format('%s must be an integer from %s to %s.', v_key, v_kind -> 0,
                                  v_kind -> 1), p_path || v_key, p_reason => 'not-in-range',
                           p_values => ARRAY[v_key, (v_kind -> 0)::text, (v_kind -> 1)::text]);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
