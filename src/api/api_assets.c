/* SPDX-License-Identifier: MIT */
/*
 * api_assets: the files that pages load: scripts, styles, messages; embedded from web/.
 *
 * Why this way: all files are below one hash of the whole of web/, so modules can import one another by
 * relative names and browsers may keep everything for ever: a page of another version links to another
 * hash. A URL with another hash is 404 and not cached: while pods are replaced, a page of a new pod may ask
 * an old one. Templates are not served: only files with a content type in the table below are.
 * Called by: api's route table. Owns nothing; needs no backend.
 */
#include "api/api_internal.h"

#include "base/embed.h"

#include <stdio.h>
#include <string.h>

#define FOR_EVER "public, max-age=31536000, immutable"

static const struct {
    const char *extension, *type;
} types[] = {
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
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

/* Finds the file of "/assets/<hash>/<name>"; NULL: another version's hash, or no such file. */
static const struct embed *find_asset(const char *path)
{
    const char *rest = path + strlen("/assets/");
    const size_t hash_len = strlen(embed_web_hash);
    if (strncmp(rest, embed_web_hash, hash_len) != 0 || rest[hash_len] != '/')
        return NULL;
    return embed_find(embed_web, embed_web_count, rest + hash_len + 1);
}

/* Does Accept-Encoding name gzip with a weight above 0? */
static bool accepts_gzip(struct api_call *call)
{
    const char *accepted = http_req_header(call->req, "Accept-Encoding");
    const char *gzip = accepted ? strstr(accepted, "gzip") : NULL;
    if (!gzip)
        return false;
    const char *weight = gzip + strlen("gzip");
    weight += strspn(weight, " ;");
    if (strncmp(weight, "q=0", 3) != 0)
        return true;
    weight += 3 + strspn(weight + 3, ".0");
    return *weight >= '1' && *weight <= '9'; /* q=0.5 */
}

static enum status asset_start(struct api_call *call)
{
    const struct embed *asset = find_asset(http_req_path(call->req));
    const char *type = asset ? type_of(asset->name) : NULL;
    char etag[24];
    if (!type) {
        api_problem(call, 404, "not-found", "There is no such asset in this version.", NULL);
        return ST_OK;
    }
    const bool gzip = asset->gz && accepts_gzip(call);
    (void)snprintf(etag, sizeof(etag), "\"%s%s\"", asset->hash, gzip ? "-gz" : "");
    http_req_add_header(call->req, "X-Content-Type-Options", "nosniff");
    http_req_add_header(call->req, "Vary", "Accept-Encoding");
    if (gzip)
        http_req_add_header(call->req, "Content-Encoding", "gzip");
    if (api_not_modified(call, etag, FOR_EVER))
        return ST_OK;
    api_answer_static(call, type, gzip ? asset->gz : asset->data,
                      gzip ? asset->gz_len : asset->len);
    return ST_OK;
}

const struct api_route api_asset_routes[] = {
    {"GET", "/assets/{path*}", AUTH_NONE, 0, asset_start, API_BODY_NONE},
    {0},
};
