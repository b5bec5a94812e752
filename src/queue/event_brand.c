/* SPDX-License-Identifier: MIT */
/*
 * event_brand: whose event it is: name, colours and pictures of the seller, and where their pages are; as bodies, rows and
 * answers have them.
 *
 * Called by: event, event_body; page and api for the names and types. Pure. Owns nothing.
 */
#include "queue/event_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a data: URL with an image of so many bytes in base64. */
#define DATA_URL_MAX(bytes) ((bytes) / 3 * 4 + 64)

/* ---- branding ---- */

static bool is_colour(const char *text)
{
    return text[0] == '#' && strlen(text) == EVENT_COLOUR_SIZE - 1 &&
           strspn(text + 1, "0123456789abcdefABCDEF") == EVENT_COLOUR_SIZE - 2;
}

const char *event_picture_type(const char *url, const char **ret_base64)
{
    static const char *const types[] = {"image/png", "image/svg+xml", "image/jpeg", "image/webp"};
    if (strncmp(url, "data:", 5) != 0)
        return NULL;
    for (size_t i = 0; i < COUNT(types); i++) {
        const size_t len = strlen(types[i]);
        if (strncmp(url + 5, types[i], len) != 0 || strncmp(url + 5 + len, ";base64,", 8) != 0)
            continue;
        *ret_base64 = url + 5 + len + 8;
        return types[i];
    }
    return NULL;
}

static bool is_base64(const char *text)
{
    const size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789+/");
    const size_t padding = strspn(text + len, "=");
    return len > 0 && padding <= 2 && (len + padding) % 4 == 0 && text[len + padding] == '\0';
}

static enum status read_colour(char out[EVENT_COLOUR_SIZE], const struct json *brand,
                               const char *key, struct json_error *error)
{
    const char *text = event_field_is_null(brand, key) ? "" : NULL;
    enum status st = json_read_str(brand, key, 64, &text, error);
    if (st != ST_OK || !text)
        return st;
    if (*text != '\0' && !is_colour(text))
        return json_refuse(error, key, "not-a-colour", "A colour is # and six hex digits.");
    (void)snprintf(out, EVENT_COLOUR_SIZE, "%s", text);
    return ST_OK;
}

/* Reads the logo or the image into *ret_url: "" to remove it, unchanged when the body does not have it. An image is shown
 * by programs that make previews of links, which know no SVG. */
static enum status read_picture(const struct json *brand, const char *key, size_t max,
                                const char **ret_url, struct json_error *error)
{
    const bool vector = max == EVENT_LOGO_MAX;
    const char *base64, *type = NULL, *url = event_field_is_null(brand, key) ? "" : NULL;
    enum status st = json_read_str(brand, key, DATA_URL_MAX(max), &url, error);
    if (st != ST_OK || !url)
        return st;
    if (*url != '\0') {
        type = event_picture_type(url, &base64);
        if (!type || !is_base64(base64) || (!vector && strcmp(type, "image/svg+xml") == 0))
            return json_refuse(error, key, "not-a-picture", "%s",
                               vector ? "A logo is data:image/png, svg+xml, jpeg or webp;base64,…"
                                      : "An image is data:image/jpeg, webp or png;base64,…");
        if (strlen(base64) / 4 * 3 > max + 2)
            return json_refuse(error, key, vector ? "logo-too-large" : "image-too-large", "%s",
                               vector ? "A logo has at most 32 KiB."
                                      : "An image has at most 256 KiB.");
    }
    *ret_url = url;
    return ST_OK;
}

/* Reads `branding`. Only the members that it has are changed; null removes a member, and `branding` null removes all
 * of them. */
enum status event_read_brand(struct event *event, const struct json *body, struct json_error *error)
{
    static const char *const keys[] = {"name", "primary", "background", "logo", "image", NULL};
    const struct json *brand = json_get(body, "branding");
    if (!brand)
        return ST_OK;
    if (json_is_null(brand)) {
        event->brand = (struct event_brand){.logo = event->brand.logo, .image = event->brand.image};
        event->new_logo = event->new_image = "";
        return ST_OK;
    }
    if (!json_is_object(brand))
        return json_refuse(error, "branding", "not-an-object", "branding must be an object.");
    if (event_field_is_null(brand, "name"))
        event->brand.name[0] = '\0';
    enum status st = json_known_keys(brand, keys, error);
    if (st == ST_OK)
        st = json_read_text(brand, "name", TEXT_LINE, EVENT_BRAND_MAX, event->brand.name, error);
    if (st == ST_OK)
        st = read_colour(event->brand.primary, brand, "primary", error);
    if (st == ST_OK)
        st = read_colour(event->brand.background, brand, "background", error);
    if (st == ST_OK)
        st = read_picture(brand, "logo", EVENT_LOGO_MAX, &event->new_logo, error);
    if (st == ST_OK)
        st = read_picture(brand, "image", EVENT_IMAGE_MAX, &event->new_image, error);
    return st == ST_OK ? ST_OK : json_refuse_in(error, "branding");
}

/* The version at the end of a picture's URL; 0: there is none. */
static int64_t picture_version(const struct json *brand, const char *key)
{
    const char *url = json_str(brand, key);
    const char *version = url ? strstr(url, "?v=") : NULL;
    return version ? strtoll(version + 3, NULL, 10) : 0;
}

bool event_row_brand(struct event *event, const struct json *row)
{
    const struct json *brand = json_get(row, "branding");
    if (!brand)
        return true;
    event->brand.logo = picture_version(brand, "logo");
    event->brand.image = picture_version(brand, "image");
    return event_copy_text(event->brand.name, sizeof(event->brand.name), brand, "name") &&
           (!json_str(brand, "primary") ||
            event_copy_text(event->brand.primary, EVENT_COLOUR_SIZE, brand, "primary")) &&
           (!json_str(brand, "background") ||
            event_copy_text(event->brand.background, EVENT_COLOUR_SIZE, brand, "background"));
}

struct json *event_write_brand(const struct event *event)
{
    const struct event_brand *brand = &event->brand;
    struct json *out = json_new_object();
    char logo[EVENT_ID_MAX + 48], image[EVENT_ID_MAX + 48];
    (void)snprintf(logo, sizeof(logo), "/brand/%s/logo?v=%lld", event->id, (long long)brand->logo);
    (void)snprintf(image, sizeof(image), "/brand/%s/image?v=%lld", event->id,
                   (long long)brand->image);
    json_set_str(out, "name", brand->name);
    json_set_str(out, "primary", brand->primary[0] != '\0' ? brand->primary : NULL);
    json_set_str(out, "background", brand->background[0] != '\0' ? brand->background : NULL);
    json_set_str(out, "logo", brand->logo > 0 ? logo : NULL);
    json_set_str(out, "image", brand->image > 0 ? image : NULL);
    return out;
}

/* ---- links ---- */

static const char *const link_names[EVENT_LINKS + 1] = {
    [EVENT_LINK_SELLER] = "seller",   [EVENT_LINK_HELP] = "help",
    [EVENT_LINK_TERMS] = "terms",     [EVENT_LINK_REFUNDS] = "refunds",
    [EVENT_LINK_PRIVACY] = "privacy", [EVENT_LINKS] = NULL,
};

const char *event_link_name(enum event_link link)
{
    return link_names[link];
}

/* An address that a page may link to, of characters that need no escaping in a header or an attribute. */
static bool is_link(const char *text)
{
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c > 126 || strchr("\"'<>\\^`{|}", *c))
            return false;
    }
    return (strncmp(text, "https://", 8) == 0 && text[8] != '\0') ||
           (strncmp(text, "mailto:", 7) == 0 && strchr(text, '@'));
}

/* Reads `links`. Only the members that it has are changed; null removes one, and `links` null removes all of them. */
enum status event_read_links(struct event *event, const struct json *body, struct json_error *error)
{
    const struct json *object = json_get(body, "links");
    if (!object)
        return ST_OK;
    if (json_is_null(object)) {
        memset(event->links, 0, sizeof(event->links));
        return ST_OK;
    }
    if (!json_is_object(object))
        return json_refuse(error, "links", "not-an-object", "links must be an object.");
    enum status st = json_known_keys(object, link_names, error);
    for (size_t i = 0; i < EVENT_LINKS && st == ST_OK; i++) {
        const char *text = event_field_is_null(object, link_names[i]) ? "" : NULL;
        st = json_read_str(object, link_names[i], EVENT_LINK_MAX, &text, error);
        if (st == ST_OK && text && *text && !is_link(text))
            st = json_refuse(error, link_names[i], "not-a-link", "A link is https://… or mailto:…");
        if (st == ST_OK && text)
            (void)snprintf(event->links[i], sizeof(event->links[i]), "%s", text);
    }
    return st == ST_OK ? ST_OK : json_refuse_in(error, "links");
}

enum status event_read_login_url(struct event *event, const struct json *body,
                                 struct json_error *error)
{
    const char *text = event_field_is_null(body, "loginUrl") ? "" : NULL;
    const enum status st = json_read_str(body, "loginUrl", EVENT_LINK_MAX, &text, error);
    if (st != ST_OK || !text)
        return st;
    if (*text && (!is_link(text) || strncmp(text, "https://", 8) != 0 || strchr(text, '#')))
        return json_refuse(error, "loginUrl", "not-a-link",
                           "loginUrl is https://… without a fragment.");
    (void)snprintf(event->login_url, sizeof(event->login_url), "%s", text);
    return ST_OK;
}

bool event_row_links(struct event *event, const struct json *row)
{
    const struct json *object = json_get(row, "links");
    for (size_t i = 0; i < EVENT_LINKS; i++) {
        if (json_str(object, link_names[i]) &&
            !event_copy_text(event->links[i], sizeof(event->links[i]), object, link_names[i]))
            return false;
    }
    return !json_str(row, "loginUrl") ||
           event_copy_text(event->login_url, sizeof(event->login_url), row, "loginUrl");
}

struct json *event_write_links(const struct event *event)
{
    struct json *out = json_new_object();
    for (size_t i = 0; i < EVENT_LINKS; i++)
        json_set_str(out, link_names[i], event->links[i][0] != '\0' ? event->links[i] : NULL);
    return out;
}
