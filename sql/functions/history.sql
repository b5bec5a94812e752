-- SPDX-License-Identifier: MIT
--
-- history: the record of a sale, minute by minute.

-- Stores finished minutes: [{"at", "joined", …}], with the names of the API. A minute that is there stays as it is: it was
-- finished when it was written. One in which nothing happened, with nobody there, is left out. stored: {"minutes": n}
CREATE OR REPLACE FUNCTION minutes_store(p_event text, p_minutes jsonb)
RETURNS TABLE (outcome text, body json) LANGUAGE sql AS $$
    WITH stored AS (
        INSERT INTO event_minutes (event_id, at, joined, admitted, "left", withdrawn, idle, timeout, completed, parked,
                                   direct, claimed, unclaimed, idle_kept, inside, waiting, threshold, queue_peak)
        SELECT p_event, m.at, m.joined, m.admitted, m."left", m.withdrawn, m.idle, m.timeout, m.completed, m.parked,
               m.direct, m.claimed, m.unclaimed, m."idleKept", m."currentUsers", m."queueSize", m.threshold,
               greatest(m."queuePeak", m."queueSize")
        FROM jsonb_to_recordset(p_minutes) AS m (at timestamptz, joined bigint, admitted bigint, "left" bigint,
            withdrawn bigint, idle bigint, timeout bigint, completed bigint, parked bigint, direct bigint,
            claimed bigint, unclaimed bigint, "idleKept" bigint, "currentUsers" bigint, "queueSize" bigint,
            threshold bigint, "queuePeak" bigint)
        WHERE m.joined + m.admitted + m."left" + m.withdrawn + m.idle + m.timeout + m.completed + m.parked + m.claimed
              + m.unclaimed + m."idleKept" + m."currentUsers" + m."queueSize" + m."queuePeak" > 0
        ORDER BY m.at
        ON CONFLICT (event_id, at) DO NOTHING
        RETURNING 1)
    SELECT 'stored', json_build_object('minutes', (SELECT count(*) FROM stored))
$$;

-- The step, in seconds, with which a range becomes at most p_points points.
CREATE OR REPLACE FUNCTION minutes_step(p_from timestamptz, p_to timestamptz, p_points integer)
RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(min(s), 86400) FROM unnest(ARRAY[60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200]) AS s
    WHERE extract(epoch FROM p_to - p_from) / s <= p_points
$$;

-- The minutes from p_from up to p_to, in steps of p_step seconds; NULL: the whole sale, and at most 720 points. Of the
-- minutes of a step, counts are added, the numbers at the end are those of the last one, and queuePeak is the highest.
-- `marks` are the changes in that time (audit_entry), but those of the team, newest first, at most 500.
--   found     {"from", "to", "step", "minutes": [{at, …}], "marks": [{…}]}
--   invalid
CREATE OR REPLACE FUNCTION minutes_page(p_event text, p_from timestamptz, p_to timestamptz, p_step integer)
RETURNS TABLE (outcome text, body json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_from timestamptz := coalesce(p_from,
        (SELECT at FROM event_minutes WHERE event_id = p_event ORDER BY at LIMIT 1),
        least(p_to, date_trunc('minute', clock_timestamp())) - interval '1 hour');
    v_to timestamptz := coalesce(p_to,
        greatest((SELECT at FROM event_minutes WHERE event_id = p_event ORDER BY at DESC LIMIT 1), p_from)
            + interval '1 minute',
        v_from + interval '1 hour');
    v_step integer := coalesce(p_step, minutes_step(v_from, v_to, 720));
    v_zone text;
BEGIN
    IF v_to <= v_from THEN
        RETURN QUERY SELECT 'invalid', refusal('to must be after from.', 'to');
        RETURN;
    ELSIF v_to - v_from > interval '1500 days' THEN
        RETURN QUERY SELECT 'invalid', refusal('At most 1500 days are answered at once.', 'from');
        RETURN;
    ELSIF extract(epoch FROM v_to - v_from) / v_step > 1500 THEN
        RETURN QUERY SELECT 'invalid', refusal(format('At most 1500 points are answered: step must be at least %s seconds here.',
            minutes_step(v_from, v_to, 1500)), 'step');
        RETURN;
    END IF;
    SELECT settings ->> 'timeZone' INTO v_zone FROM events WHERE id = p_event;
    RETURN QUERY SELECT 'found', json_build_object(
        'from', rfc3339(v_from), 'to', rfc3339(v_to), 'step', v_step,
        'minutes', coalesce((
            SELECT json_agg(json_build_object('at', rfc3339(b.at), 'joined', b.joined, 'admitted', b.admitted,
                'left', b."left", 'withdrawn', b.withdrawn, 'idle', b.idle, 'timeout', b.timeout,
                'completed', b.completed, 'parked', b.parked, 'direct', b.direct, 'claimed', b.claimed,
                'unclaimed', b.unclaimed, 'idleKept', b.idle_kept, 'currentUsers', b.inside, 'queueSize', b.waiting,
                'threshold', b.threshold, 'queuePeak', b.queue_peak) ORDER BY b.at)
            FROM (SELECT date_bin(v_step * interval '1 second', m.at, timestamptz 'epoch') AS at,
                         sum(m.joined) AS joined, sum(m.admitted) AS admitted, sum(m."left") AS "left",
                         sum(m.withdrawn) AS withdrawn, sum(m.idle) AS idle, sum(m.timeout) AS timeout,
                         sum(m.completed) AS completed, sum(m.parked) AS parked, sum(m.direct) AS direct,
                         sum(m.claimed) AS claimed, sum(m.unclaimed) AS unclaimed, sum(m.idle_kept) AS idle_kept,
                         (array_agg(m.inside ORDER BY m.at DESC))[1] AS inside,
                         (array_agg(m.waiting ORDER BY m.at DESC))[1] AS waiting,
                         (array_agg(m.threshold ORDER BY m.at DESC))[1] AS threshold,
                         max(m.queue_peak) AS queue_peak
                  FROM event_minutes m WHERE m.event_id = p_event AND m.at >= v_from AND m.at < v_to
                  GROUP BY 1) AS b), '[]'),
        'marks', coalesce((
            SELECT json_agg(audit_entry(a, v_zone) ORDER BY a.id DESC)
            FROM (SELECT * FROM audit WHERE event_id = p_event AND at >= v_from AND at < v_to
                      AND verb NOT IN ('invite', 'join', 'remove', 'withdraw')
                  ORDER BY id DESC LIMIT 500) AS a), '[]'));
END $$;
