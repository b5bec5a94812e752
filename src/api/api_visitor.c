/* SPDX-License-Identifier: MIT */
/*
 * api_visitor: does a person look at the page that is loaded?
 *
 * Why this way: a place, and the claim of a turn, need a person who waits for it. Browsers say in headers when they load
 * a page ahead of a click, or as a part of another page; programs that make previews, and crawlers, say who they are. What
 * says nothing counts as a person.
 * Called by: api_wait, api_buy, the gate. Owns nothing.
 */
#include "api/api_page.h"

#include <string.h>
#include <strings.h>

bool api_loaded_ahead(const struct api_call *call)
{
    static const char *const headers[] = {"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        const char *value = http_req_header(call->req, headers[i]);
        if (value && (strcasestr(value, "prefetch") || strcasestr(value, "prerender") ||
                      strcasestr(value, "preview")))
            return true;
    }
    return false;
}

/* Is it loaded as a part of another page: as an image, in a frame, by a script? Browsers say so; others say nothing. */
static bool is_part(const struct api_call *call)
{
    const char *dest = http_req_header(call->req, "Sec-Fetch-Dest");
    return dest && strcasecmp(dest, "document") != 0;
}

/* Does User-Agent name a program that makes previews of links, or a crawler? A token is in no browser's name: phones are
 * called "CUBOT", and "WhatsApp/", not "WhatsApp", is what the preview has. docs/http-api.md has the list as well. */
static bool is_robot(const struct api_call *call)
{
    static const char *const tokens[] = {
        /* previews */
        "facebookexternalhit", "Facebot", "meta-externalagent", "Twitterbot", "LinkedInBot",
        "Slackbot", "Slack-ImgProxy", "Discordbot", "TelegramBot", "WhatsApp/", "SkypeUriPreview",
        "line-poker", "kakaotalk-scrap", "redditbot", "Pinterestbot", "Snap URL Preview",
        "Mastodon/", "Cardyb", "Iframely", "Embedly", "Google-PageRenderer",
        /* crawlers */
        "Googlebot", "AdsBot-Google", "Google-InspectionTool", "GoogleOther", "bingbot",
        "BingPreview", "Applebot", "DuckDuckBot", "YandexBot", "Baiduspider", "Bytespider", "Yeti/",
        "Daum/", "PetalBot", "Amazonbot", "AhrefsBot", "SemrushBot", "MJ12bot", "GPTBot",
        "OAI-SearchBot", "ClaudeBot", "PerplexityBot", "CCBot"};
    const char *agent = http_req_header(call->req, "User-Agent");
    for (size_t i = 0; agent && i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        if (strcasestr(agent, tokens[i]))
            return true;
    }
    return false;
}

bool api_loaded_by_person(const struct api_call *call)
{
    return !api_loaded_ahead(call) && !is_part(call) && !(call->new_guest && is_robot(call));
}
