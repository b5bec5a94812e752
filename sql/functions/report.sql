-- SPDX-License-Identifier: MIT
--
-- report: a sale in numbers, from the copy of the admission log, the reservations, the payments and the minutes. Reads
-- each table once, by the indexes that begin with the event.

-- ---- turns ----

-- The admissions of an event, a row each: how it began, when it was claimed, when and how it ended. A direct or restored
-- admission is claimed at once. A restored one is an earlier one again, under a new number.
CREATE OR REPLACE FUNCTION report_turns(p_event text)
RETURNS TABLE (epoch bigint, buyer text, place bigint, n bigint, how text, began timestamptz, claimed timestamptz,
               ending text, ended timestamptz) LANGUAGE sql STABLE ROWS 100000 AS $$
    SELECT a.epoch, a.buyer, a.place, a.n,
           min(a.kind) FILTER (WHERE admission_begins(a.kind)),
           min(a.at) FILTER (WHERE admission_begins(a.kind)),
           min(a.at) FILTER (WHERE a.kind IN ('claimed', 'direct', 'restored')),
           min(a.kind) FILTER (WHERE a.departed), max(a.at) FILTER (WHERE a.departed)
    FROM admissions a
    WHERE a.event_id = p_event AND a.kind NOT IN ('parked', 'returned', 'withdrawn', 'cleared')
    GROUP BY a.epoch, a.buyer, a.place, a.n
    HAVING count(*) FILTER (WHERE admission_begins(a.kind)) > 0
$$;

-- Seconds, to the tenth.
CREATE OR REPLACE FUNCTION report_seconds(p_seconds double precision) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT round(p_seconds::numeric, 1)
$$;

-- A share from 0 to 1, in four digits; NULL of nothing.
CREATE OR REPLACE FUNCTION report_share(p_part bigint, p_whole bigint) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT round(p_part::numeric / nullif(p_whole, 0), 4)
$$;

-- ---- parts ----

-- Of one event: {"waiting", "visit", "buyers", "noShows", "endings"}.
CREATE OR REPLACE FUNCTION report_people(p_event text) RETURNS json LANGUAGE sql STABLE AS $$
    WITH turns AS MATERIALIZED (SELECT * FROM report_turns(p_event)),
    places AS ( -- the first time that a place entered
        SELECT DISTINCT ON (epoch, buyer, place) epoch, buyer, place, how,
               extract(epoch FROM began) - place / 1000000.0 AS waited,
               bool_or(claimed IS NOT NULL) OVER (PARTITION BY epoch, buyer, place) AS came,
               bool_or(ending = 'completed') OVER (PARTITION BY epoch, buyer, place) AS completed
        FROM turns ORDER BY epoch, buyer, place, n),
    bought AS (
        SELECT DISTINCT epoch, buyer, place FROM reservations
        WHERE event_id = p_event AND status IN ('confirmed', 'refunded')),
    waiting AS (
        SELECT count(*) AS n, percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY greatest(waited, 0)) AS p,
               max(waited) AS longest
        FROM places WHERE how IN ('offered', 'promote')),
    visit AS (
        SELECT count(*) AS n, percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY lasted) AS p,
               avg(lasted) AS mean, max(lasted) AS longest
        FROM (SELECT extract(epoch FROM ended - claimed) AS lasted FROM turns
              WHERE claimed IS NOT NULL AND ended >= claimed) AS v),
    counts AS (
        SELECT count(*) FILTER (WHERE came) AS came, count(*) FILTER (WHERE NOT came) AS never,
               count(*) FILTER (WHERE how = 'direct') AS direct, count(*) AS entered,
               count(*) FILTER (WHERE came AND (b.buyer IS NOT NULL OR completed)) AS bought
        FROM places p LEFT JOIN bought b USING (epoch, buyer, place))
    SELECT json_build_object(
        'waiting', (SELECT json_build_object('buyers', n, 'p50', report_seconds(p[1]), 'p90', report_seconds(p[2]),
            'p99', report_seconds(p[3]), 'longest', CASE WHEN n > 0 THEN report_seconds(greatest(longest, 0)) END) FROM waiting),
        'visit', (SELECT json_build_object('turns', n, 'mean', report_seconds(mean), 'p50', report_seconds(p[1]),
            'p90', report_seconds(p[2]), 'p99', report_seconds(p[3]), 'longest', report_seconds(longest)) FROM visit),
        'buyers', (SELECT json_build_object('entered', entered, 'direct', direct, 'came', came, 'bought', bought,
            'conversion', report_share(bought, came)) FROM counts),
        'noShows', json_build_object(
            'offers', (SELECT count(*) FROM turns WHERE ending = 'unclaimed'),
            'buyers', (SELECT never FROM counts)),
        'endings', (SELECT json_build_object(
            'completed', count(*) FILTER (WHERE ending = 'completed'), 'left', count(*) FILTER (WHERE ending = 'left'),
            'idle', count(*) FILTER (WHERE ending = 'idle'), 'idleKept', count(*) FILTER (WHERE ending = 'idle_kept'),
            'timeout', count(*) FILTER (WHERE ending = 'timeout')) FROM turns))
$$;

-- {"silent", "withdrawn", "peak"}: the places that were set aside as silent, and those of them that never came back;
-- those who left while they waited; the longest queue, and the most buyers inside.
CREATE OR REPLACE FUNCTION report_queue(p_event text) RETURNS json LANGUAGE sql STABLE AS $$
    WITH noted AS (
        SELECT epoch, buyer, place, bool_or(kind = 'parked') AS parked, bool_or(kind = 'withdrawn') AS withdrawn,
               bool_or(kind = 'returned' OR admission_begins(kind) OR kind = 'withdrawn') AS heard_of
        FROM admissions WHERE event_id = p_event GROUP BY epoch, buyer, place)
    SELECT json_build_object(
        'silent', (SELECT json_build_object('parked', count(*) FILTER (WHERE parked),
                       'neverReturned', count(*) FILTER (WHERE parked AND NOT heard_of)) FROM noted),
        'withdrawn', (SELECT count(*) FILTER (WHERE withdrawn) FROM noted),
        'peak', json_build_object(
            'waiting', (SELECT coalesce(max(queue_peak), 0) FROM event_minutes WHERE event_id = p_event),
            'waitingAt', (SELECT rfc3339(at) FROM event_minutes WHERE event_id = p_event
                          ORDER BY queue_peak DESC, at LIMIT 1),
            'inside', (SELECT coalesce(max(inside), 0) FROM admissions WHERE event_id = p_event),
            'insideAt', (SELECT rfc3339(at) FROM admissions WHERE event_id = p_event
                         ORDER BY inside DESC, at LIMIT 1)))
$$;

-- {"holds", "revenue"}. An abandoned hold ended without a purchase. Amounts are in minor units.
CREATE OR REPLACE FUNCTION report_money(p_event text) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'holds', (SELECT json_build_object(
            'made', count(*), 'bought', count(*) FILTER (WHERE status IN ('confirmed', 'refunded')),
            'abandoned', count(*) FILTER (WHERE status IN ('cancelled', 'expired')),
            'abandonedSeats', coalesce(sum(seat_count) FILTER (WHERE status IN ('cancelled', 'expired')), 0),
            'live', count(*) FILTER (WHERE status = 'held'))
            FROM reservations WHERE event_id = p_event),
        'revenue', json_build_object(
            'currency', (SELECT currency FROM events WHERE id = p_event),
            'amount', (SELECT coalesce(sum(price), 0) FROM seats_sold(p_event)),
            'seats', (SELECT count(*) FROM seats WHERE event_id = p_event AND sold),
            'paid', (SELECT coalesce(sum(amount), 0) FROM payments
                     WHERE event_id = p_event AND status IN ('paid', 'refund_due', 'refunded')),
            'refunded', (SELECT coalesce(sum(refunded_amount), 0) FROM payments WHERE event_id = p_event),
            'refundDue', (SELECT coalesce(sum(due_amount), 0) FROM payments WHERE event_id = p_event),
            'refunds', (SELECT count(*) FROM reservations WHERE event_id = p_event AND status = 'refunded'),
            'sections', coalesce((
                SELECT json_agg(json_build_object('section', s.section, 'seats', s.n, 'sold', s.sold, 'amount', s.amount)
                                ORDER BY s.rank)
                FROM (SELECT section, min(section_rank) AS rank, count(*) AS n, count(*) FILTER (WHERE sold) AS sold,
                             coalesce(sum(b.price), 0) AS amount
                      FROM seats LEFT JOIN seats_sold(p_event) AS b USING (id)
                      WHERE event_id = p_event GROUP BY section ORDER BY min(section_rank) LIMIT 500) AS s), '[]')))
$$;

-- ---- the report ----

-- Seats of more than one purchase, and sold seats without one.
CREATE OR REPLACE FUNCTION seats_sold_twice(p_event text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (SELECT count(*) FROM (
                SELECT s.seat_id FROM reservation_seats s JOIN reservations r ON r.id = s.reservation_id
                WHERE s.event_id = p_event AND s.live AND r.status = 'confirmed'
                GROUP BY s.seat_id HAVING count(*) > 1) AS twice)
         + (SELECT count(*) FROM seats s WHERE s.event_id = p_event AND s.sold AND NOT EXISTS (
                SELECT FROM reservations r WHERE r.id = s.holder AND r.status = 'confirmed'))
$$;

-- Everything but the promises, which the program replays (log_page). seatsSoldTwice belongs to them.
-- found | not-found
CREATE OR REPLACE FUNCTION report_get(p_event text)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE
SET work_mem = '16MB' AS $$
DECLARE
    v_event events;
BEGIN
    SELECT * INTO v_event FROM events WHERE id = p_event;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not-found', refusal('There is no such event.');
        RETURN;
    END IF;
    RETURN QUERY SELECT 'found', json_join(json_join(json_join(json_build_object(
        'eventId', v_event.id, 'title', v_event.title, 'status', v_event.status,
        'timeZone', v_event.settings ->> 'timeZone', 'opensAt', rfc3339(v_event.opens_at),
        'closedAt', rfc3339(v_event.closed_at), 'startsAt', rfc3339(v_event.starts_at),
        'at', rfc3339(clock_timestamp()),
        'joined', (SELECT coalesce(sum(joined), 0) FROM event_minutes WHERE event_id = p_event),
        'seatsSoldTwice', seats_sold_twice(p_event)),
        report_people(p_event)), report_queue(p_event)), report_money(p_event));
END $$;

-- A page of the log in its order: the entries behind (p_ms, p_seq).
CREATE OR REPLACE FUNCTION log_page(p_event text, p_ms bigint, p_seq bigint, p_limit integer)
RETURNS TABLE (kind text, place bigint, epoch bigint, at_ms bigint, inside bigint, threshold bigint, n bigint,
               stream_ms bigint, stream_seq bigint) LANGUAGE sql STABLE ROWS 2000
SET enable_seqscan = off SET enable_sort = off AS $$
    SELECT a.kind, a.place, a.epoch, (extract(epoch FROM a.at) * 1000)::bigint, a.inside, a.threshold, a.n,
           a.stream_ms, a.stream_seq
    FROM admissions a
    WHERE a.event_id = p_event AND (a.stream_ms, a.stream_seq) > (p_ms, p_seq)
    ORDER BY a.stream_ms, a.stream_seq LIMIT p_limit
$$;

-- A report as CSV, a line for each value: "part,name,value". found: {"csv"}
CREATE OR REPLACE FUNCTION report_csv(p_report json)
RETURNS TABLE (outcome text, body json) LANGUAGE sql IMMUTABLE AS $$
    WITH lines AS (
        SELECT p.o AS a, m.o AS b, s.so AS c, mo AS d,
               CASE WHEN json_typeof(p.value) = 'object' THEN p.key ELSE 'sale' END AS part,
               CASE WHEN json_typeof(p.value) <> 'object' THEN p.key
                    WHEN s.value IS NULL THEN m.key
                    ELSE m.key || '.' || coalesce(s.value ->> 'section', s.value ->> 'kind', s.so::text) || '.' || mk END AS name,
               CASE WHEN json_typeof(p.value) <> 'object' THEN p.value #>> '{}'
                    WHEN s.value IS NULL THEN m.value #>> '{}' ELSE mv #>> '{}' END AS value
        FROM json_each(p_report) WITH ORDINALITY AS p (key, value, o)
        LEFT JOIN LATERAL json_each(CASE json_typeof(p.value) WHEN 'object' THEN p.value ELSE '{}' END)
            WITH ORDINALITY AS m (key, value, o) ON true
        LEFT JOIN LATERAL json_array_elements(CASE json_typeof(m.value) WHEN 'array' THEN m.value ELSE '[]' END)
            WITH ORDINALITY AS s (value, so) ON true
        LEFT JOIN LATERAL json_each(s.value) WITH ORDINALITY AS e (mk, mv, mo) ON s.value IS NOT NULL
        WHERE coalesce(json_typeof(m.value), '') <> 'array' OR (s.value IS NOT NULL AND mk NOT IN ('section', 'kind')))
    SELECT 'found', json_build_object('csv', 'part,name,value' || E'\r\n' || string_agg(
        csv_text(part) || ',' || csv_text(name) || ',' || coalesce(csv_text(value), '') || E'\r\n', ''
        ORDER BY a, b, c, d))
    FROM lines
$$;
