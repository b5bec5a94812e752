/* SPDX-License-Identifier: MIT */
/* brand: text is readable with any colours. The contrast is computed here, independently of brand.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "selling/brand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Relative luminance of "#rrggbb", as WCAG 2 defines it. */
static double luminance(const char *colour)
{
    static const double weight[] = {0.0722, 0.7152, 0.2126};
    unsigned long rgb = strtoul(colour + 1, NULL, 16);
    double sum = 0;
    for (int i = 0; i < 3; i++, rgb >>= 8) {
        const double part = (double)(rgb & 255) / 255;
        sum += weight[i] * (part <= 0.04045 ? part / 12.92 : pow((part + 0.055) / 1.055, 2.4));
    }
    return sum;
}

static double contrast(const char *one, const char *other)
{
    const double a = luminance(one), b = luminance(other);
    return (fmax(a, b) + 0.05) / (fmin(a, b) + 0.05);
}

/* The value of a custom property in one block of the stylesheet: "--ink:#123456;". */
static void read_token(const char *block, const char *name, char out[8])
{
    char key[40];
    (void)snprintf(key, sizeof(key), "--%s:", name);
    const char *at = strstr(block, key);
    assert_non_null(at);
    memcpy(out, at + strlen(key), 7);
    out[7] = '\0';
}

/* `ground`: the name of a property, or a colour. */
static void expect_readable(const char *block, const char *ink, const char *ground)
{
    char one[8], other[8];
    read_token(block, ink, one);
    if (ground[0] == '#')
        memcpy(other, ground, 8);
    else
        read_token(block, ground, other);
    if (contrast(one, other) < 4.5)
        fail_msg("%s %s on %s", ink, one, other);
}

static void check(const char *primary, const char *background)
{
    struct event_brand brand = {0};
    struct buf css;
    buf_init(&css, 4096);
    memcpy(brand.primary, primary, strlen(primary) + 1);
    memcpy(brand.background, background, strlen(background) + 1);
    brand_write_css(&brand, &css);
    const char *light = buf_str(&css), *dark = strstr(light, "@media");
    assert_true((dark == NULL) == brand_is_light(&brand)); /* then light cards in every theme */
    for (int i = 0; i < (dark ? 2 : 1); i++) {
        const char *block = i == 0 ? light : dark;
        expect_readable(block, "on-primary", "primary");
        expect_readable(block, "primary-ink", "tint");
        expect_readable(block, "primary-ink", i == 0 ? "#ffffff" : "#191d20");
        expect_readable(block, "ground-ink", "ground");
        expect_readable(block, "ground-soft", "ground");
        expect_readable(block, "ground-link", "ground");
    }
    buf_clear(&css);
}

static void text_is_readable_in_every_colour(void **state)
{
    char primary[8], background[8];
    (void)state;
    for (unsigned rgb = 0; rgb <= 0xffffff; rgb += 0x010307) {
        (void)snprintf(primary, sizeof(primary), "#%06x", rgb);
        (void)snprintf(background, sizeof(background), "#%06x", (rgb * 7919) & 0xffffff);
        check(primary, background);
    }
    check("#777777", "#767676");
    check("#ffffff", "#ffffff");
    check("#000000", "#000000");
}

static void a_light_ground_has_light_cards_in_every_theme(void **state)
{
    static const struct {
        const char *ground;
        bool is_light;
    } cases[] = {{"#ffffff", true},  {"#f5f4f0", true},  {"#ffd400", true}, {"", false},
                 {"#101315", false}, {"#1b1640", false}, {"#e8486b", false}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct event_brand brand = {.primary = "#0b5d50"};
        memcpy(brand.background, cases[i].ground, strlen(cases[i].ground) + 1);
        assert_int_equal(brand_is_light(&brand), cases[i].is_light);
    }
}

static void an_event_without_colours_has_no_rules(void **state)
{
    struct event_brand brand = {.name = "N", .logo = 3};
    struct buf css;
    (void)state;
    buf_init(&css, 4096);
    brand_write_css(&brand, &css);
    assert_null(strchr(buf_str(&css), '{'));
    buf_clear(&css);
}

static void the_contrast_of_this_test_is_that_of_wcag(void **state)
{
    (void)state;
    assert_int_equal((int)(contrast("#000000", "#ffffff") * 100 + 0.5), 2100);
    assert_int_equal((int)(contrast("#767676", "#ffffff") * 100), 454);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_readable_in_every_colour),
        cmocka_unit_test(a_light_ground_has_light_cards_in_every_theme),
        cmocka_unit_test(an_event_without_colours_has_no_rules),
        cmocka_unit_test(the_contrast_of_this_test_is_that_of_wcag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
