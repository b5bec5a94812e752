-- SPDX-License-Identifier: MIT
--
-- common

CREATE OR REPLACE FUNCTION rfc3339(p_time timestamptz) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
END $$;

-- The body of a refusal; `field` and `seats` only where they fit.
CREATE OR REPLACE FUNCTION refusal(p_detail text, p_field text DEFAULT NULL, p_seats bigint[] DEFAULT NULL)
RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT json_strip_nulls(json_build_object('detail', p_detail, 'field', p_field,
                                              'seats', to_json(p_seats::text[])))
$$;

-- What is wrong with the fields of an object, as the body of a refusal; NULL: nothing. p_kinds
-- names the fields, each with "text", "currency", or [least, greatest] of an integer.
CREATE OR REPLACE FUNCTION fields_refusal(p_object jsonb, p_path text, p_kinds jsonb)
RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_key text;
    v_kind jsonb;
    v_value jsonb;
BEGIN
    IF jsonb_typeof(p_object) IS DISTINCT FROM 'object' THEN
        RETURN refusal('An object is needed.', rtrim(p_path, '.'));
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

CREATE OR REPLACE FUNCTION as_uuid(p_text text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p_text::uuid END
$$;

-- A text as a cell (RFC 4180). A spreadsheet takes what begins with = + - @, a tab or a CR for a
-- formula: so that gets an apostrophe in front.
CREATE OR REPLACE FUNCTION csv_text(p_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN guarded ~ '[",\r\n]' THEN '"' || replace(guarded, '"', '""') || '"'
                ELSE guarded END
    FROM (SELECT CASE WHEN p_text ~ '^[-=+@\t\r]' THEN '''' || p_text ELSE p_text END) AS g (guarded)
$$;

CREATE OR REPLACE FUNCTION buyer_lock(p_event text, p_buyer text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(p_event || ' ' || p_buyer, 1)
$$;
