/* SPDX-License-Identifier: MIT */
/* brand: whatever the colours are, what is written can be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "selling/brand.h"

#include <stdio.h>
#include <string.h>

/* The value of a token in one block of the stylesheet: "--ink:#123456;". */
static void token(const char *block, const char *name, char out[8])
{
    char key[40];
    (void)snprintf(key, sizeof(key), "--%s:", name);
    const char *at = strstr(block, key);
    assert_non_null(at);
    memcpy(out, at + strlen(key), 7);
    out[7] = '\0';
}

static void readable(const char *block, const char *ink, const char *ground, const char *fixed)
{
    char one[8], other[8];
    token(block, ink, one);
    if (ground != NULL)
        token(block, ground, other);
    else
        memcpy(other, fixed, 8);
    if (brand_contrast(one, other) < 4.5)
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
    assert_non_null(dark);
    for (int i = 0; i < 2; i++) {
        const char *block = i == 0 ? light : dark;
        readable(block, "on-primary", "primary", NULL);
        readable(block, "primary-ink", "tint", NULL);
        readable(block, "primary-ink", NULL, i == 0 ? "#ffffff" : "#191d20");
        readable(block, "ground-ink", "ground", NULL);
        readable(block, "ground-soft", "ground", NULL);
        readable(block, "ground-link", "ground", NULL);
    }
    buf_clear(&css);
}

static void every_colour_can_be_read(void **state)
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

static void nothing_branded_changes_nothing(void **state)
{
    struct event_brand brand = {.name = "N", .logo = 3};
    struct buf css;
    (void)state;
    buf_init(&css, 4096);
    brand_write_css(&brand, &css);
    assert_null(strchr(buf_str(&css), '{'));
    buf_clear(&css);
}

static void contrasts_are_those_of_wcag(void **state)
{
    (void)state;
    assert_int_equal((int)(brand_contrast("#000000", "#ffffff") * 100 + 0.5), 2100);
    assert_int_equal((int)(brand_contrast("#767676", "#ffffff") * 100), 454);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_colour_can_be_read),
        cmocka_unit_test(nothing_branded_changes_nothing),
        cmocka_unit_test(contrasts_are_those_of_wcag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
