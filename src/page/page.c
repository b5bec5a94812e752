/* SPDX-License-Identifier: MIT */
/*
 * page: fills HTML templates.
 *
 * Why this way: values are escaped unless the template asks for HTML, so a template that forgets something
 * is safe. The only condition is whether there is a value. A section that is not shown is parsed all the
 * same, so that a malformed template is found whatever the values are.
 * Called by: api_page and provider_page. Pure; fuzzed by test/fuzz/fuzz_page.c.
 */
#include "page/page.h"

#include <stdbool.h>
#include <string.h>

struct section {
    char name[PAGE_NAME_MAX + 1];
    bool shown; /* this section is shown, and so are all sections around it */
};

void page_escape(struct buf *out, const char *text)
{
    for (;;) {
        const size_t plain = strcspn(text, "&<>\"'");
        buf_add(out, text, plain);
        text += plain;
        switch (*text++) {
        case '&':
            buf_add_str(out, "&amp;");
            break;
        case '<':
            buf_add_str(out, "&lt;");
            break;
        case '>':
            buf_add_str(out, "&gt;");
            break;
        case '"':
            buf_add_str(out, "&quot;");
            break;
        case '\'':
            buf_add_str(out, "&#39;");
            break;
        default:
            return;
        }
    }
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

/* Reads a tag such as "{{#name}}" at `text`: its kind ('#' here; '\0': a plain value) and its name. Returns
 * the length of the tag; 0: it is malformed. */
static size_t read_tag(const char *text, size_t len, char *ret_kind, char name[PAGE_NAME_MAX + 1])
{
    size_t at = 2, name_len = 0;
    *ret_kind = '\0';
    if (at < len && text[at] != '\0' && strchr("&#^/>", text[at]))
        *ret_kind = text[at++];
    while (at < len && name_len < PAGE_NAME_MAX && is_name_char(text[at]))
        name[name_len++] = text[at++];
    name[name_len] = '\0';
    if (name_len == 0 || len - at < 2 || text[at] != '}' || text[at + 1] != '}')
        return 0;
    return at + 2;
}

/* Enters the section of {{#name}} or {{^name}}, or leaves it at {{/name}}. sections[0] is the template. */
static enum status change_section(const struct page_source *source, struct section *sections,
                                  unsigned *open, char kind, const char *name)
{
    if (kind == '/') {
        if (*open == 0 || strcmp(sections[*open].name, name) != 0)
            return ST_INVALID;
        (*open)--;
        return ST_OK;
    }
    if (*open == PAGE_DEPTH_MAX)
        return ST_INVALID;
    const char *value = source->value(source->arg, name);
    const bool present = value && *value;
    const bool shown = sections[*open].shown && present == (kind == '#');
    struct section *section = &sections[++*open];
    memcpy(section->name, name, strlen(name) + 1);
    section->shown = shown;
    return ST_OK;
}

static enum status fill(struct buf *out, const struct page_source *source, unsigned depth,
                        const char *text, size_t len);

static enum status fill_part(struct buf *out, const struct page_source *source, unsigned depth,
                             const char *name)
{
    size_t len = 0;
    const char *text = source->part ? source->part(source->arg, name, &len) : NULL;
    if (!text || depth == PAGE_DEPTH_MAX)
        return ST_INVALID;
    return fill(out, source, depth + 1, text, len);
}

/* {{&name}} adds the value as it is, {{name}} adds it escaped. */
static void fill_value(struct buf *out, const struct page_source *source, char kind,
                       const char *name)
{
    const char *value = source->value(source->arg, name);
    if (value && kind == '&')
        buf_add_str(out, value);
    else if (value)
        page_escape(out, value);
}

/* Fills one template. `depth`: 0 for the page, 1 for a template that it includes, and so on. */
static enum status fill(struct buf *out, const struct page_source *source, unsigned depth,
                        const char *text, size_t len)
{
    struct section sections[PAGE_DEPTH_MAX + 1] = {{.shown = true}};
    unsigned open = 0;
    const char *end = text + len;
    for (;;) {
        const bool shown = sections[open].shown;
        const char *tag = memmem(text, (size_t)(end - text), "{{", 2);
        char kind, name[PAGE_NAME_MAX + 1];
        enum status st = ST_OK;
        if (shown)
            buf_add(out, text, (size_t)((tag ? tag : end) - text));
        if (!tag)
            return open == 0 ? buf_status(out) : ST_INVALID;
        const size_t tag_len = read_tag(tag, (size_t)(end - tag), &kind, name);
        if (tag_len == 0)
            return ST_INVALID;
        text = tag + tag_len;
        if (kind == '#' || kind == '^' || kind == '/') {
            st = change_section(source, sections, &open, kind, name);
        } else if (shown && kind == '>') {
            st = fill_part(out, source, depth, name);
        } else if (shown) {
            fill_value(out, source, kind, name);
        }
        if (st != ST_OK)
            return st;
    }
}

enum status page_fill(struct buf *out, const char *text, size_t len,
                      const struct page_source *source)
{
    return fill(out, source, 0, text, len);
}
