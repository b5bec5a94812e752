/* SPDX-License-Identifier: MIT */
/*
 * proxy_pages: the pages that nginx has of its own, in the languages of the service.
 *
 * Why this way: they are shown when nobody else can answer, so they need no file and no other server. The text is in a quoted
 * word of nginx's language, so it has no double quote, backslash or dollar sign. Called by: proxy_config.
 */
#include "proxy/proxy_pages.h"

struct texts {
    const char *match, *lang, *title, *lead;
};

static const struct texts busy[] = {
    {"default", "en", "One moment, please",
     "The waiting room does not answer right now. This page tries again by itself. Your place is "
     "kept."},
    {"~*^ko", "ko", "잠시만 기다려 주세요",
     "지금 대기실이 응답하지 않습니다. 이 페이지가 자동으로 다시 시도합니다. 대기 순번은 "
     "유지됩니다."},
    {"~*^ja", "ja", "しばらくお待ちください",
     "現在、待合室が応答していません。このページは自動的に再試行します。順番はそのままです。"},
};

/* The same, after a form was sent. */
static const struct texts unsent[] = {
    {"default", "en", "What you sent was not passed on",
     "The waiting room does not answer right now, so the shop did not get it. Your place is kept. "
     "Go back, and send it again in a moment."},
    {"~*^ko", "ko", "보낸 내용이 전달되지 않았습니다",
     "지금 대기실이 응답하지 않아 상점에 전달되지 않았습니다. 대기 순번은 유지됩니다. 뒤로 돌아가 "
     "잠시 후 다시 보내 주세요."},
    {"~*^ja", "ja", "送信した内容は届いていません",
     "現在、待合室が応答していないため、ショップには届いていません。順番はそのままです。前のページ"
     "に"
     "戻り、しばらくしてからもう一度送信してください。"},
};

static const struct texts down[] = {
    {"default", "en", "The shop does not answer",
     "You are in, but the shop cannot be reached right now. Try again in a moment. If you have "
     "just "
     "sent an order, check whether it arrived before you send it again."},
    {"~*^ko", "ko", "상점이 응답하지 않습니다",
     "입장하셨지만 지금 상점에 연결할 수 없습니다. 잠시 후 다시 시도해 주세요. 방금 주문을 "
     "보냈다면 다시 보내기 전에 접수되었는지 확인해 주세요."},
    {"~*^ja", "ja", "ショップが応答していません",
     "入場済みですが、現在ショップに接続できません。しばらくしてからもう一度お試しください。注文を"
     "送信した直後の場合は、再送信する前に届いているかご確認ください。"},
};

static void add_texts(struct buf *out, const char *name, const struct texts *texts, size_t count,
                      const char *head)
{
    buf_printf(out, "    map $http_accept_language %s {\n", name);
    for (size_t i = 0; i < count; i++)
        buf_printf(out,
                   "        %s \"<!DOCTYPE html><html lang='%s'><head><meta charset='utf-8'>%s"
                   "<meta name='viewport' content='width=device-width,initial-scale=1'>"
                   "<meta name='robots' content='noindex'><title>%s</title><style>"
                   ":root{color-scheme:light dark}body{font:1.05rem/1.6 system-ui,sans-serif;"
                   "max-width:34rem;margin:18vh auto 0;padding:0 1.5rem}</style></head>"
                   "<body><main><h1>%s</h1><p>%s</p></main></body></html>\";\n",
                   texts[i].match, texts[i].lang, head, texts[i].title, texts[i].title,
                   texts[i].lead);
    buf_add_str(out, "    }\n");
}

void proxy_pages_write(struct buf *out)
{
    buf_add_str(out,
                "\n    # What is said while nobody else can answer. Only a GET is loaded again.\n"
                "    map $request_method $tiketi_busy {\n        default $tiketi_unsent;\n"
                "        GET $tiketi_moment;\n        HEAD $tiketi_moment;\n    }\n");
    add_texts(out, "$tiketi_moment", busy, sizeof(busy) / sizeof(busy[0]),
              "<meta http-equiv='refresh' content='5'>");
    add_texts(out, "$tiketi_unsent", unsent, sizeof(unsent) / sizeof(unsent[0]), "");
    add_texts(out, "$tiketi_down", down, sizeof(down) / sizeof(down[0]), "");
}

static void add_location(struct buf *out, const char *name, int code, const char *text,
                         const char *retry)
{
    buf_printf(out,
               "\n        location @%s {\n            charset utf-8;\n            add_header "
               "Retry-After %s always;\n"
               "            add_header Cache-Control no-store always;\n"
               "            return %d $%s;\n        }\n",
               name, retry, code, text);
}

void proxy_pages_locations(struct buf *out)
{
    add_location(out, "tiketi_busy", 503, "tiketi_busy", "$tiketi_later");
    add_location(out, "tiketi_down", 502, "tiketi_down", "5");
}
