-- SPDX-License-Identifier: MIT
--
-- common: conventions, the keys of locks, and helpers of the other files.
--
-- Conventions of sql/functions. One call of a function is one transaction and one round trip. A
-- function called by the program returns (outcome, body): a word that the caller maps to a status,
-- and the JSON of the answer, of type json because jsonb would reorder its keys. A refusal is an
-- outcome, never an exception, and has changed nothing. The isolation is READ COMMITTED: each
-- statement sees what was committed before it began. Time is clock_timestamp(), read after the locks
-- have been waited for. p_ is a parameter, v_ a variable.
--
-- Locks are taken in one order, so that no two transactions wait for each other:
--   1. the row of ledger_cursors, then that of events
--   2. advisory: the order (its idempotency key) or the payment (its reference)
--   3. advisory: the buyer at the event; several in order of their keys
--   4. rows of reservations; several in order of id
--   5. rows of seats, in order of id
-- A transaction that holds the lock of a seat touches another buyer's reservation, and picks further
-- seats, only by SKIP LOCKED. Rows of reservation_seats are written under the lock of their seat only.
--
-- enable_seqscan is off where buyers wait: a plan made while a table was nearly empty would scan it
-- until the next ANALYZE, in the very minute in which thousands of rows are added. For the same reason
-- plans are generic there: with an array among the parameters PostgreSQL would plan every call anew.

-- ---- advisory locks ----

-- All advisory locks of the functions. The second argument of each hash differs, so that keys of two
-- kinds do not meet.

CREATE OR REPLACE FUNCTION lock_key_buyer(p_event text, p_buyer text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_event || ' ' || p_buyer, 1)
$$;

CREATE OR REPLACE FUNCTION lock_key_order(p_buyer text, p_key text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_buyer || ' ' || p_key, 2)
$$;

CREATE OR REPLACE FUNCTION lock_key_payment(p_provider text, p_reference text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_provider || ' ' || p_reference, 3)
$$;

-- Tried only: held by the one transaction that looks up the first free seat.
CREATE OR REPLACE FUNCTION lock_key_first_seat(p_event text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_event, 4)
$$;

-- Tried only: held by the one transaction that notes where groups of p_n seats begin.
CREATE OR REPLACE FUNCTION lock_key_group(p_event text, p_n integer)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_n || ' ' || p_event, 5)
$$;

CREATE OR REPLACE FUNCTION lock_key_demo() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended('demo', 6)
$$;

-- ---- helpers ----

-- PL/pgSQL, since as SQL it could not be inlined and would be planned at every call.
CREATE OR REPLACE FUNCTION rfc3339(p_time timestamptz) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
END $$;

-- NULL for a text that is no UUID, instead of an error.
CREATE OR REPLACE FUNCTION as_uuid(p_text text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p_text::uuid END
$$;

-- A text as a cell of CSV (RFC 4180). A spreadsheet takes a cell that begins with = + - @, a tab or a
-- CR for a formula: such a text gets an apostrophe in front.
CREATE OR REPLACE FUNCTION csv_text(p_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN guarded ~ '[",\r\n]' THEN '"' || replace(guarded, '"', '""') || '"'
                ELSE guarded END
    FROM (SELECT CASE WHEN p_text ~ '^[-=+@\t\r]' THEN '''' || p_text ELSE p_text END) AS g (guarded)
$$;

-- Two objects, neither of them empty, as one. (As jsonb they would lose the order of their keys.)
CREATE OR REPLACE FUNCTION json_join(p_first json, p_second json) RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT (left(p_first::text, -1) || ',' || substr(p_second::text, 2))::json
$$;

-- The body of a refusal; `field` and `seats` only where they are given.
CREATE OR REPLACE FUNCTION refusal(p_detail text, p_field text DEFAULT NULL, p_seats bigint[] DEFAULT NULL)
RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT json_strip_nulls(json_build_object('detail', p_detail, 'field', p_field,
                                              'seats', to_json(p_seats::text[])))
$$;

-- What is wrong with the fields of an object, as the body of a refusal; NULL: nothing. p_kinds names
-- the fields, all of them required, each with "text", "currency", or the [least, greatest] of an
-- integer. p_path stands before the names of fields in the refusal: "grid.".
CREATE OR REPLACE FUNCTION fields_refusal(p_object jsonb, p_path text, p_kinds jsonb)
RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_key text;
    v_kind jsonb;
    v_value jsonb;
BEGIN
    IF jsonb_typeof(p_object) IS DISTINCT FROM 'object' THEN
        RETURN refusal(rtrim(p_path, '.') || ' must be an object.', rtrim(p_path, '.'));
    END IF;
    SELECT k INTO v_key FROM jsonb_object_keys(p_object) AS k WHERE NOT p_kinds ? k LIMIT 1;
    IF FOUND THEN
        RETURN refusal('There is no field of this name here.', p_path || v_key);
    END IF;
    FOR v_key, v_kind IN SELECT * FROM jsonb_each(p_kinds) LOOP
        v_value := p_object -> v_key;
        IF v_value IS NULL THEN
            RETURN refusal(v_key || ' is needed.', p_path || v_key);
        ELSIF v_kind = '"text"' THEN
            IF jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' !~ '^[^[:cntrl:]]{1,64}$' THEN
                RETURN refusal(v_key || ' must be a text of 1 to 64 characters.', p_path || v_key);
            END IF;
        ELSIF v_kind = '"currency"' THEN
            IF jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' !~ '^[A-Z]{3}$' THEN
                RETURN refusal('currency must be three capital letters, such as EUR.',
                               p_path || v_key);
            END IF;
        ELSIF jsonb_typeof(v_value) <> 'number' OR v_value <> to_jsonb(trunc(v_value::numeric))
            OR v_value < v_kind -> 0 OR v_value > v_kind -> 1 THEN
            RETURN refusal(format('%s must be an integer from %s to %s.', v_key, v_kind -> 0,
                                  v_kind -> 1), p_path || v_key);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
