/* SPDX-License-Identifier: MIT */
/*
 * page: fills the templates of the pages.
 *
 * Why this way: a page is text with holes. Every hole is escaped unless the template says that it
 * takes HTML, so that forgetting is safe; there is no logic but "is there a value". One pass; a
 * section without a value is walked too, with its output switched off, so that what is malformed is
 * found whatever the values are. Called by: api_page. Pure; fuzzed by test/fuzz/fuzz_page.c.
 */
#include "page/page.h"

#include <string.h>

struct filling {
    struct buf *out;
    const struct page_source *source;
    unsigned depth; /* of templates in templates */
};

struct section {
    char name[PAGE_NAME_MAX + 1];
    bool shown; /* together with all around it */
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

/* "{{#name}}" at `text`: its kind ('\0': a plain value) and name. Returns its length; 0: malformed. */
static size_t read_tag(const char *text, size_t len, char *ret_kind, char name[PAGE_NAME_MAX + 1])
{
    size_t at = 2, name_len = 0;
    *ret_kind = '\0';
    if (at < len && strchr("&#^/>", text[at]) != NULL && text[at] != '\0')
        *ret_kind = text[at++];
    while (at < len && name_len < PAGE_NAME_MAX && is_name_char(text[at]))
        name[name_len++] = text[at++];
    name[name_len] = '\0';
    if (name_len == 0 || len - at < 2 || text[at] != '}' || text[at + 1] != '}')
        return 0;
    return at + 2;
}

static enum status fill(const struct filling *filling, const char *text, size_t len);

static enum status fill_part(const struct filling *filling, const char *name)
{
    const struct page_source *source = filling->source;
    struct filling inner = *filling;
    size_t len = 0;
    const char *text = source->part != NULL ? source->part(source->arg, name, &len) : NULL;
    if (text == NULL || ++inner.depth > PAGE_DEPTH_MAX)
        return ST_INVALID;
    return fill(&inner, text, len);
}

static void fill_value(const struct filling *filling, char kind, const char *name)
{
    const char *value = filling->source->value(filling->source->arg, name);
    if (value == NULL)
        return;
    if (kind == '&')
        buf_add_str(filling->out, value);
    else
        page_escape(filling->out, value);
}

/* Opens or closes a section. sections[0] is the whole text. */
static enum status turn(const struct filling *filling, struct section *sections, unsigned *open,
                        char kind, const char *name)
{
    if (kind == '/') {
        if (*open == 0 || strcmp(sections[*open].name, name) != 0)
            return ST_INVALID;
        (*open)--;
        return ST_OK;
    }
    if (*open == PAGE_DEPTH_MAX)
        return ST_INVALID;
    const char *value = filling->source->value(filling->source->arg, name);
    const bool there = value != NULL && *value != '\0';
    const bool shown = sections[*open].shown && there == (kind == '#');
    struct section *section = &sections[++*open];
    memcpy(section->name, name, strlen(name) + 1);
    section->shown = shown;
    return ST_OK;
}

static enum status fill(const struct filling *filling, const char *text, size_t len)
{
    struct section sections[PAGE_DEPTH_MAX + 1] = {{.shown = true}};
    unsigned open = 0;
    const char *end = text + len;
    for (;;) {
        const char *tag = memmem(text, (size_t)(end - text), "{{", 2);
        char kind, name[PAGE_NAME_MAX + 1];
        enum status st = ST_OK;
        if (sections[open].shown)
            buf_add(filling->out, text, (size_t)((tag != NULL ? tag : end) - text));
        if (tag == NULL)
            return open == 0 ? buf_status(filling->out) : ST_INVALID;
        const size_t tag_len = read_tag(tag, (size_t)(end - tag), &kind, name);
        if (tag_len == 0)
            return ST_INVALID;
        if (kind == '#' || kind == '^' || kind == '/')
            st = turn(filling, sections, &open, kind, name);
        else if (sections[open].shown && kind == '>')
            st = fill_part(filling, name);
        else if (sections[open].shown)
            fill_value(filling, kind, name);
        if (st != ST_OK)
            return st;
        text = tag + tag_len;
    }
}

enum status page_fill(struct buf *out, const char *text, size_t len,
                      const struct page_source *source)
{
    const struct filling filling = {.out = out, .source = source};
    return fill(&filling, text, len);
}
