/* SPDX-License-Identifier: MIT */
/*
 * brand: the stylesheet of an event's pages, made from two colours of the organizer.
 *
 * Why this way: organizers know their colours, not the contrast of them. Where the primary colour fills an
 * area (a button), it is used as it is, with black or white text on it. Where it is the colour of text, it
 * is moved towards black or white until the text is readable. The background colour is that of the page
 * behind the cards, in light and dark mode; text on it is black or white. The cards keep their colours, but on a light
 * background they are light in dark mode, too (web/base.css, data-theme).
 * Called by: api_brand. Pure.
 */
#include "selling/brand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READABLE 4.5 /* WCAG 2, level AA */
#define LIGHT    0.4 /* a luminance from which on a ground is light */
#define STEPS    20  /* number of steps in which a colour moves to black or white */

struct colour {
    double part[3]; /* red, green, blue: 0 to 255 */
};

/* The colours of web/base.css: text in the primary colour must be readable on the card and behind it. */
struct scheme {
    struct colour surface, ground;
    struct colour towards; /* black or white: text that moves there gets more contrast */
};

static const struct colour black = {{0, 0, 0}}, white = {{255, 255, 255}};
static const struct scheme light = {{{0xff, 0xff, 0xff}}, {{0xf5, 0xf4, 0xf0}}, {{0, 0, 0}}};
static const struct scheme dark = {{{0x19, 0x1d, 0x20}}, {{0x10, 0x13, 0x15}}, {{255, 255, 255}}};

static struct colour parse(const char *text)
{
    const unsigned long rgb = strtoul(text + 1, NULL, 16);
    return (struct colour){
        {(double)(rgb >> 16 & 255), (double)(rgb >> 8 & 255), (double)(rgb & 255)}};
}

static struct colour mix(struct colour from, struct colour to, double share)
{
    for (int i = 0; i < 3; i++)
        from.part[i] = round(from.part[i] + (to.part[i] - from.part[i]) * share);
    return from;
}

/* Relative luminance, WCAG 2: 0 to 1. */
static double luminance(struct colour colour)
{
    static const double weight[] = {0.2126, 0.7152, 0.0722};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        const double part = colour.part[i] / 255;
        sum += weight[i] * (part <= 0.04045 ? part / 12.92 : pow((part + 0.055) / 1.055, 2.4));
    }
    return sum;
}

/* Contrast ratio, WCAG 2: 1 to 21. */
static double contrast(struct colour one, struct colour other)
{
    const double a = luminance(one), b = luminance(other);
    return (fmax(a, b) + 0.05) / (fmin(a, b) + 0.05);
}

/* White if it is readable on `ground`; otherwise black, which then is readable. */
static struct colour ink_on(struct colour ground)
{
    return contrast(white, ground) >= READABLE ? white : black;
}

/* `colour`, or the nearest colour between it and `towards` that is readable on both `one` and `other`. */
static struct colour readable(struct colour colour, struct colour towards, struct colour one,
                              struct colour other)
{
    for (int step = 0; step <= STEPS; step++) {
        const struct colour mixed = mix(colour, towards, (double)step / STEPS);
        if (contrast(mixed, one) >= READABLE && contrast(mixed, other) >= READABLE)
            return mixed;
    }
    return towards;
}

static void add_colour(struct buf *out, const char *name, struct colour colour)
{
    buf_printf(out, "--%s:#%02x%02x%02x;", name, (unsigned)colour.part[0], (unsigned)colour.part[1],
               (unsigned)colour.part[2]);
}

static void add_scheme(struct buf *out, const struct event_brand *brand,
                       const struct scheme *scheme)
{
    const bool has_ground = brand->background[0] != '\0';
    const struct colour ground = has_ground ? parse(brand->background) : scheme->ground;
    const struct colour ink = ink_on(ground);
    struct colour link = ink;
    buf_add_str(out, ":root{");
    if (brand->primary[0] != '\0') {
        const struct colour primary = parse(brand->primary);
        const struct colour tint = mix(scheme->surface, primary, 0.12);
        add_colour(out, "primary", primary);
        add_colour(out, "on-primary", ink_on(primary));
        add_colour(out, "primary-ink", readable(primary, scheme->towards, scheme->surface, tint));
        add_colour(out, "tint", tint);
        link = readable(primary, ink, ground, ground);
    }
    if (has_ground) { /* the page behind the cards, and the text on it */
        add_colour(out, "ground", ground);
        add_colour(out, "ground-ink", ink);
        add_colour(out, "ground-soft", readable(mix(ink, ground, 0.25), ink, ground, ground));
        add_colour(out, "ground-line", mix(ink, ground, 0.7));
    }
    add_colour(out, "ground-link", link);
    buf_add_char(out, '}');
}

bool brand_is_light(const struct event_brand *brand)
{
    return brand->background[0] != '\0' && luminance(parse(brand->background)) >= LIGHT;
}

void brand_write_css(const struct event_brand *brand, struct buf *out)
{
    buf_add_str(out, "/* branding */\n");
    if (brand->primary[0] == '\0' && brand->background[0] == '\0')
        return;
    add_scheme(out, brand, &light);
    buf_add_char(out, '\n');
    if (brand_is_light(brand)) /* dark cards would be holes in it */
        return;
    buf_add_str(out, "@media (prefers-color-scheme:dark){");
    add_scheme(out, brand, &dark);
    buf_add_str(out, "}\n");
}
