/* SPDX-License-Identifier: MIT */
/*
 * api_assets: the files that pages load: scripts, styles, pictures; embedded from build/web (src/web.sh).
 *
 * Why this way: all files are below one hash of the whole of it, so browsers and a CDN (ASSETS_URL) may keep everything
 * for ever: a page of another version links to another hash. A URL with another hash is 404 and not cached: while pods
 * are replaced, a page of a new pod may ask an old one. Templates and messages are not served: only files with a
 * content type in the table below are. What browsers and crawlers look for at the root stands there too, for a day, and turn.js for five minutes. The compressed copies are made by the build, so that they cost nothing here.
 * Called by: api's route table. Owns nothing; needs no backend.
 */
#include "api/api_internal.h"

#include "base/embed.h"

#include <stdio.h>
#include <string.h>

#define FOR_EVER     "public, max-age=31536000, immutable"
#define A_DAY        "public, max-age=86400"
#define FIVE_MINUTES "public, max-age=300"

static const struct {
    const char *extension, *type;
} types[] = {
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
    {".webmanifest", "application/manifest+json"},
};

static const char *type_of(const char *name)
{
    const char *extension = strrchr(name, '.');
    for (size_t i = 0; extension && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].extension, extension) == 0)
            return types[i].type;
    }
    return NULL;
}

/* Answers with the file, in the best coding that the client accepts. */
static void answer_file(struct api_call *call, const struct embed *file, const char *type,
                        const char *cache_control)
{
    const char *coding = NULL, *data = file->data;
    size_t len = file->len;
    char etag[24];
    if (file->br && api_accepts(call, "br"))
        coding = "br", data = file->br, len = file->br_len;
    else if (file->gz && api_accepts(call, "gzip"))
        coding = "gzip", data = file->gz, len = file->gz_len;
    (void)snprintf(etag, sizeof(etag), "\"%s%s%s\"", file->hash, coding ? "-" : "",
                   coding ? coding : "");
    http_req_add_header(call->req, "Vary", "Accept-Encoding");
    if (coding)
        http_req_add_header(call->req, "Content-Encoding", coding);
    if (!api_not_modified(call, etag, cache_control))
        api_answer_static(call, type, data, len);
}

/* Browsers ask for modules of another origin with CORS, which allows one header. */
static void allow_origins(struct api_call *call)
{
    if (!call->origin_allowed)
        http_req_add_header(call->req, "Access-Control-Allow-Origin", "*");
}

static enum status asset_start(struct api_call *call)
{
    const char *rest = http_req_path(call->req) + strlen("/assets/"); /* "<hash>/<name>" */
    const size_t hash_len = strlen(embed_web_hash);
    const struct embed *asset = NULL;
    if (strncmp(rest, embed_web_hash, hash_len) == 0 && rest[hash_len] == '/')
        asset = embed_find(embed_web, embed_web_count, rest + hash_len + 1);
    const char *type = asset ? type_of(asset->name) : NULL;
    if (!type) {
        api_problem(call, 404, "not-found", "There is no such asset in this version.", NULL);
        return ST_OK;
    }
    if (call->api->config->assets_url)
        allow_origins(call);
    if (strstr(asset->name, "_worker."))
        http_req_add_header(call->req, "Service-Worker-Allowed",
                            *api_prefix(call->api) ? api_prefix(call->api) : "/");
    answer_file(call, asset, type, FOR_EVER);
    return ST_OK;
}

/* A file by the name that browsers and crawlers know. */
static enum status root_start(struct api_call *call)
{
    const struct embed *file = embed_find(embed_web, embed_web_count, http_req_path(call->req) + 1);
    if (!file)
        return ST_NOT_FOUND;
    answer_file(call, file, type_of(file->name), A_DAY);
    return ST_OK;
}

/* The module for the pages of shops: they name it, so its URL stays, and it asks the host that it came from. */
static enum status turn_start(struct api_call *call)
{
    const struct embed *file = embed_find(embed_web, embed_web_count, "turn.js");
    if (!file)
        return ST_NOT_FOUND;
    allow_origins(call);
    answer_file(call, file, type_of(file->name), FIVE_MINUTES);
    return ST_OK;
}

const struct api_route api_asset_routes[] = {
    {"GET", "/assets/{path*}", AUTH_NONE, 0, asset_start, API_BODY_NONE},
    {"GET", "/turn.js", AUTH_NONE, 0, turn_start, API_BODY_NONE},
    {0},
};

const struct api_route api_root_routes[] = {
    {"GET", "/favicon.ico", AUTH_NONE, 0, root_start, API_BODY_NONE},
    {"GET", "/icon.svg", AUTH_NONE, 0, root_start, API_BODY_NONE},
    {"GET", "/icon-512.png", AUTH_NONE, 0, root_start, API_BODY_NONE},
    {"GET", "/apple-touch-icon.png", AUTH_NONE, 0, root_start, API_BODY_NONE},
    {"GET", "/manifest.webmanifest", AUTH_NONE, 0, root_start, API_BODY_NONE},
    {"GET", "/robots.txt", AUTH_NONE, 0, root_start, API_BODY_NONE},
    {0},
};
