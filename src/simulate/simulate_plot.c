/* SPDX-License-Identifier: MIT */
/*
 * simulate_plot: a forecast as an SVG: above, how many wait; below, how many are inside, under the threshold.
 *
 * Why this way: two panels with a scale each, because a queue is often a hundred times as large as the inside.
 * Called by: simulate. Pure, except for the stream it writes to.
 */
#include "simulate/simulate_plot.h"

#include "base/count.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 860, LEFT = 76, RIGHT = 24, PANEL = 170, FIRST_TOP = 84, GAP = 58 };

/* The step of an axis up to `most` with about `wanted` marks: 1, 2 or 5 times a power of ten. */
static double decimal_step(double most, int wanted)
{
    const double raw = fmax(most / wanted, 1), power = pow(10, floor(log10(raw)));
    const double times = raw / power;
    return power * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

static int64_t time_step(int64_t end_ms)
{
    static const int64_t steps_s[] = {1,   2,   5,    10,   15,   30,    60,    120,   300,
                                      600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400};
    for (size_t i = 0; i < sizeof(steps_s) / sizeof(steps_s[0]); i++) {
        if (steps_s[i] * 1000 * 9 >= end_ms)
            return steps_s[i] * 1000;
    }
    return end_ms / 8 / 86400000 * 86400000 + 86400000;
}

static void write_time(int64_t ms, int64_t step_ms, FILE *out)
{
    const int64_t s = ms / 1000;
    if (s >= 3600 || step_ms >= 3600000)
        (void)fprintf(out, "%" PRId64 ":%02" PRId64 " h", s / 3600, s / 60 % 60);
    else if (s % 60 == 0 && (s > 0 || step_ms >= 60000))
        (void)fprintf(out, "%" PRId64 " min", s / 60);
    else if (s >= 60)
        (void)fprintf(out, "%" PRId64 ":%02" PRId64 " min", s / 60, s % 60);
    else
        (void)fprintf(out, "%" PRId64 " s", s);
}

/* One panel: its axes, and what maps a point into it. */
struct panel {
    int top;
    double most; /* the value at its upper edge */
    int64_t end_ms;
};

static double x_of(const struct panel *panel, int64_t ms)
{
    return LEFT + (double)(WIDTH - LEFT - RIGHT) * (double)ms / (double)panel->end_ms;
}

static double y_of(const struct panel *panel, double value)
{
    return panel->top + PANEL * (1 - value / panel->most);
}

static void write_axes(const struct panel *panel, const char *name, FILE *out)
{
    char count[COUNT_SIZE];
    const double step = decimal_step(panel->most, 4);
    const int64_t time = time_step(panel->end_ms);
    (void)fprintf(out, "<text class=\"n\" x=\"%d\" y=\"%d\">%s</text>\n", LEFT, panel->top - 12,
                  name);
    for (int mark = 0; step * mark <= panel->most * 1.0001; mark++) {
        const double value = step * mark;
        (void)fprintf(out,
                      "<path class=\"g\" d=\"M%d %.1fH%d\"/><text class=\"y\" x=\"%d\" "
                      "y=\"%.1f\">%s</text>\n",
                      LEFT, y_of(panel, value), WIDTH - RIGHT, LEFT - 8, y_of(panel, value) + 4,
                      count_write((int64_t)value, count));
    }
    for (int64_t ms = 0; ms <= panel->end_ms; ms += time) {
        (void)fprintf(out, "<text class=\"x\" x=\"%.1f\" y=\"%d\">", x_of(panel, ms),
                      panel->top + PANEL + 20);
        write_time(ms, time, out);
        (void)fputs("</text>\n", out);
    }
}

typedef double (*value_of)(const struct forecast_point *point);

static double waiting_of(const struct forecast_point *point)
{
    return (double)point->waiting;
}

static double inside_of(const struct forecast_point *point)
{
    return (double)point->inside;
}

static double threshold_of(const struct forecast_point *point)
{
    return (double)point->threshold;
}

static void write_line(const struct panel *panel, const struct forecast_point *points, size_t count,
                       value_of value, const char *class, FILE *out)
{
    (void)fprintf(out, "<path class=\"%s\" d=\"M", class);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(out, "%.1f %.1f%s", x_of(panel, points[i].at_ms),
                      y_of(panel, value(&points[i])), i + 1 < count ? "L" : "");
    (void)fputs("\"/>\n", out);
}

static void write_area(const struct panel *panel, const struct forecast_point *points, size_t count,
                       value_of value, const char *class, FILE *out)
{
    (void)fprintf(out, "<path class=\"%s\" d=\"M%.1f %.1f", class, x_of(panel, points[0].at_ms),
                  y_of(panel, 0));
    for (size_t i = 0; i < count; i++)
        (void)fprintf(out, "L%.1f %.1f", x_of(panel, points[i].at_ms),
                      y_of(panel, value(&points[i])));
    (void)fprintf(out, "L%.1f %.1fZ\"/>\n", x_of(panel, points[count - 1].at_ms), y_of(panel, 0));
}

/* The upper edge of a panel: the first mark at or above `most`. */
static double edge_above(double most)
{
    const double step = decimal_step(most, 4);
    return fmax(ceil(most / step) * step, 1);
}

static void write_sold_out(const struct panel *panel, int64_t sold_out_ms, FILE *out)
{
    const double x = x_of(panel, sold_out_ms);
    const bool right = x > WIDTH / 2.0;
    (void)fprintf(out,
                  "<path class=\"s\" d=\"M%.1f %dv%d\"/><text class=\"m\" x=\"%.1f\" y=\"%d\" "
                  "text-anchor=\"%s\">sold out</text>\n",
                  x, panel->top, PANEL, right ? x - 6 : x + 6, panel->top + 14,
                  right ? "end" : "start");
}

void simulate_plot(const struct forecast *forecast, const struct forecast_result *result,
                   const char *title, const char *subtitle, FILE *out)
{
    static const char style[] =
        "svg{background:#fff;font:13px system-ui,sans-serif}text{fill:#374151}"
        ".t{font-size:17px;font-weight:600;fill:#111827}.n{font-weight:600}"
        ".x{text-anchor:middle}.y{text-anchor:end}.g{stroke:#e5e7eb}"
        ".w{fill:#4f46e5;fill-opacity:.22}.wl{fill:none;stroke:#4f46e5;stroke-width:2}"
        ".i{fill:#0d9488;fill-opacity:.22}.il{fill:none;stroke:#0d9488;stroke-width:2}"
        ".l{fill:none;stroke:#b45309;stroke-width:1.5;stroke-dasharray:6 4}"
        ".s{stroke:#b91c1c;stroke-width:1.5}.m{fill:#b91c1c}.k{fill:#b45309}";
    size_t count;
    const struct forecast_point *points = forecast_points(forecast, &count);
    const int64_t end_ms = result->end_ms > 0 ? result->end_ms : 1000;
    double most_inside = 0;
    for (size_t i = 0; i < count; i++)
        most_inside = fmax(most_inside, fmax(inside_of(&points[i]), threshold_of(&points[i])));
    const struct panel queue = {
        .top = FIRST_TOP, .most = edge_above((double)result->peak_waiting), .end_ms = end_ms};
    const struct panel inside = {
        .top = FIRST_TOP + PANEL + GAP, .most = edge_above(most_inside), .end_ms = end_ms};
    (void)fprintf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                  "role=\"img\" aria-labelledby=\"t\">\n<style>%s</style>\n"
                  "<title id=\"t\">%s; %s</title>\n<text class=\"t\" x=\"%d\" y=\"28\">%s</text>\n"
                  "<text x=\"%d\" y=\"49\">%s</text>\n",
                  WIDTH, inside.top + PANEL + 36, WIDTH, style, title, subtitle, LEFT, title, LEFT,
                  subtitle);
    write_axes(&queue, "waiting", out);
    write_area(&queue, points, count, waiting_of, "w", out);
    write_line(&queue, points, count, waiting_of, "wl", out);
    write_axes(&inside, "inside", out);
    write_area(&inside, points, count, inside_of, "i", out);
    write_line(&inside, points, count, inside_of, "il", out);
    write_line(&inside, points, count, threshold_of, "l", out);
    (void)fprintf(
        out, "<text class=\"k\" x=\"%d\" y=\"%d\" text-anchor=\"end\">threshold in force</text>\n",
        WIDTH - RIGHT, inside.top - 12);
    if (result->sold_out_ms >= 0) {
        write_sold_out(&queue, result->sold_out_ms, out);
        write_sold_out(&inside, result->sold_out_ms, out);
    }
    (void)fputs("</svg>\n", out);
}
