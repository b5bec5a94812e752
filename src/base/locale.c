/* SPDX-License-Identifier: MIT */
/*
 * locale: numbers, amounts of money, times and plural forms as each language of the pages writes them.
 *
 * Why this way: the same text is written by the server into the page and later by the script into the same
 * element. ICU and the browser's Intl take it from the same rules, so neither has rules of its own.
 * Opening a format costs 50 to 100 us, using it about 1 us; so the formats are kept. Date formats are not safe
 * to share between threads, so one mutex guards all of them.
 * Called by: the pages of api and provider; queue checks the names of zones. Owns: the open formats, which
 * are never closed, but for date formats of zones that are no longer asked for.
 */
#include "base/locale.h"

#include "base/memory.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ucal.h>
#include <unicode/ucurr.h>
#include <unicode/udat.h>
#include <unicode/udatpg.h>
#include <unicode/uenum.h>
#include <unicode/unorm2.h>
#include <unicode/unumberformatter.h>
#include <unicode/upluralrules.h>
#include <unicode/ustring.h>

#define TEXT_UNITS     192 /* UTF-16 units of a formatted text */
#define CURRENCIES     64  /* open formats of amounts */
#define DATE_FORMATS   128
#define KEYWORD_LENGTH 16

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static UNumberFormatter *numbers[LANGUAGE_COUNT];
static UFormattedNumber *formatted; /* the result of the last number, used again */
static UPluralRules *plurals[LANGUAGE_COUNT];
static struct currency_format {
    char currency[4];
    enum language language;
    UNumberFormatter *format; /* NULL: the slot is free */
} currencies[CURRENCIES];
static struct date_format {
    char zone[LOCALE_ZONE_SIZE];
    enum language language;
    enum locale_form form;
    UDateFormat *format; /* NULL: the slot is free */
} dates[DATE_FORMATS];
static unsigned next_currency, next_date; /* the slots that are replaced next */

static void add_text(struct buf *out, const UChar *text, int32_t len)
{
    char utf8[TEXT_UNITS * 3 + 1];
    int32_t bytes = 0;
    UErrorCode error = U_ZERO_ERROR;
    u_strToUTF8(utf8, sizeof(utf8), &bytes, text, len, &error);
    if (U_SUCCESS(error))
        buf_add(out, utf8, (size_t)bytes);
}

/* ---- numbers ---- */

static UNumberFormatter *open_number(const char *skeleton, enum language language)
{
    UChar wide[64];
    UErrorCode error = U_ZERO_ERROR;
    u_uastrcpy(wide, skeleton);
    UNumberFormatter *format =
        unumf_openForSkeletonAndLocale(wide, -1, language_code(language), &error);
    return U_SUCCESS(error) ? format : NULL;
}

/* Writes a decimal number, such as "-12345E-2", with the mutex held. False: it cannot be written. */
static bool write_number(struct buf *out, const UNumberFormatter *format, const char *decimal)
{
    UErrorCode error = U_ZERO_ERROR;
    UChar text[TEXT_UNITS];
    if (!formatted)
        formatted = unumf_openResult(&error);
    if (!format || U_FAILURE(error))
        return false;
    unumf_formatDecimal(format, decimal, -1, formatted, &error);
    const int32_t len = unumf_resultToString(formatted, text, TEXT_UNITS, &error);
    if (U_FAILURE(error))
        return false;
    add_text(out, text, len);
    return true;
}

void locale_number(struct buf *out, enum language language, uint64_t n)
{
    char decimal[24];
    (void)snprintf(decimal, sizeof(decimal), "%" PRIu64, n);
    pthread_mutex_lock(&mutex);
    if (!numbers[language])
        numbers[language] = open_number("", language);
    if (!write_number(out, numbers[language], decimal))
        buf_add_str(out, decimal);
    pthread_mutex_unlock(&mutex);
}

const char *locale_plural(enum language language, uint64_t n)
{
    static const char *const keywords[] = {"zero", "one", "two", "few", "many"};
    UErrorCode error = U_ZERO_ERROR;
    UChar wide[KEYWORD_LENGTH];
    char keyword[KEYWORD_LENGTH] = "";
    pthread_mutex_lock(&mutex);
    if (!plurals[language])
        plurals[language] = uplrules_open(language_code(language), &error);
    if (U_SUCCESS(error))
        (void)uplrules_select(plurals[language], (double)n, wide, KEYWORD_LENGTH, &error);
    pthread_mutex_unlock(&mutex);
    if (U_SUCCESS(error))
        u_austrncpy(keyword, wide, sizeof(keyword) - 1);
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        if (strcmp(keyword, keywords[i]) == 0)
            return keywords[i];
    }
    return "other";
}

/* ---- searching ---- */

void locale_fold(struct buf *out, const char *text)
{
    UErrorCode error = U_ZERO_ERROR;
    const size_t len = strlen(text);
    const UNormalizer2 *fold = unorm2_getNFKCCasefoldInstance(&error);
    UChar *wide = xcalloc(2 * len + 1, sizeof(*wide));
    UChar *folded = xcalloc(18 * len + 1, sizeof(*folded)); /* U+FDFA becomes 18 units */
    char *utf8 = xcalloc(3 * (18 * len) + 1, 1);
    int32_t units = 0, bytes = 0;
    u_strFromUTF8WithSub(wide, (int32_t)len + 1, &units, text, (int32_t)len, 0xfffd, NULL, &error);
    if (U_SUCCESS(error))
        units = unorm2_normalize(fold, wide, units, folded, (int32_t)(18 * len + 1), &error);
    u_strToUTF8(utf8, (int32_t)(3 * (18 * len) + 1), &bytes, folded, units, &error);
    if (U_SUCCESS(error))
        buf_add(out, utf8, (size_t)bytes);
    free(utf8);
    free(folded);
    free(wide);
}

/* ---- money ---- */

static bool is_currency(const char *code)
{
    return strlen(code) == 3 && strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3;
}

/* The decimals of ISO 4217, which shops and payment providers count in. CLDR has others for a dozen currencies
 * whose coins are out of use (IQD: none). web/i18n.js has the same list. */
static int decimals_of(const char *currency)
{
    static const char none[] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
    static const char three[] = "BHD IQD JOD KWD LYD OMR TND";
    if (!is_currency(currency))
        return 2;
    return strstr(none, currency) ? 0 : strstr(three, currency) ? 3 : 2;
}

int locale_currency_decimals(const char *code)
{
    UErrorCode failed = U_ZERO_ERROR;
    UChar wide[4];
    bool known = false;
    if (!is_currency(code))
        return -1;
    u_charsToUChars(code, wide, 4);
    if (ucurr_getNumericCode(wide) == 0) /* CLDR knows a few that ISO does not: CNH */
        return -1;
    UEnumeration *list =
        ucurr_openISOCurrencies(UCURR_COMMON | UCURR_NON_DEPRECATED, &failed); /* 155 of them */
    for (const char *each; !known && (each = uenum_next(list, NULL, &failed));)
        known = strcmp(each, code) == 0;
    uenum_close(list);
    return known ? decimals_of(code) : -1;
}

static UNumberFormatter *money_format(enum language language, const char *currency)
{
    static const char *const precision[] = {"precision-integer", "", ".00", ".000"};
    char skeleton[48];
    for (size_t i = 0; i < CURRENCIES; i++) {
        if (currencies[i].format && currencies[i].language == language &&
            strcmp(currencies[i].currency, currency) == 0)
            return currencies[i].format;
    }
    (void)snprintf(skeleton, sizeof(skeleton), "currency/%s %s", currency,
                   precision[decimals_of(currency)]);
    UNumberFormatter *format = open_number(skeleton, language);
    if (!format)
        return NULL;
    struct currency_format *slot = &currencies[next_currency++ % CURRENCIES];
    unumf_close(slot->format);
    memcpy(slot->currency, currency, sizeof(slot->currency));
    slot->language = language;
    slot->format = format;
    return format;
}

void locale_money(struct buf *out, enum language language, int64_t amount, const char *currency)
{
    char decimal[32];
    const bool known = is_currency(currency);
    (void)snprintf(decimal, sizeof(decimal), "%" PRId64 "E-%d", amount, decimals_of(currency));
    pthread_mutex_lock(&mutex);
    bool written = known && write_number(out, money_format(language, currency), decimal);
    pthread_mutex_unlock(&mutex);
    if (!written)
        buf_printf(out, "%" PRId64 " %s", amount, currency);
}

/* ---- time zones ---- */

bool locale_is_zone(const char *name)
{
    UChar wide[LOCALE_ZONE_SIZE], canonical[128];
    UErrorCode error = U_ZERO_ERROR;
    UBool of_system = false;
    if (strcmp(name, "UTC") == 0)
        return true;
    if (strlen(name) >= LOCALE_ZONE_SIZE || !strchr(name, '/') || strncmp(name, "SystemV/", 8) == 0)
        return false;
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c > 126 || (unsigned char)*c < 33)
            return false;
    }
    u_uastrcpy(wide, name);
    (void)ucal_getCanonicalTimeZoneID(wide, -1, canonical, 128, &of_system, &error);
    return U_SUCCESS(error) && of_system;
}

/* ---- times ---- */

/* The pattern of a language for these fields, such as "yMMMd", which it puts into its own order. */
static UDateFormat *open_fields(const char *fields, enum language language, const UChar *zone,
                                UErrorCode *error)
{
    UChar wide[16], pattern[64];
    u_uastrcpy(wide, fields);
    UDateTimePatternGenerator *patterns = udatpg_open(language_code(language), error);
    const int32_t len = udatpg_getBestPattern(patterns, wide, -1, pattern, 64, error);
    udatpg_close(patterns);
    return udat_open(UDAT_PATTERN, UDAT_PATTERN, language_code(language), zone, -1, pattern, len,
                     error);
}

static UDateFormat *open_date(enum language language, const char *zone, enum locale_form form)
{
    static const char *const fields[LOCALE_FORMS] = {
        [LOCALE_MONTH] = "LLL", [LOCALE_WEEKDAY] = "ccc"};
    static const char *const patterns[LOCALE_FORMS] = {[LOCALE_DAY] = "d", [LOCALE_ZONE] = "zzzz"};
    const char *code = language_code(language);
    UErrorCode error = U_ZERO_ERROR;
    UChar wide[LOCALE_ZONE_SIZE], pattern[8];
    UDateFormat *format;
    u_uastrcpy(wide, *zone ? zone : "UTC");
    if (fields[form]) {
        format = open_fields(fields[form], language, wide, &error);
    } else if (patterns[form]) {
        u_uastrcpy(pattern, patterns[form]);
        format = udat_open(UDAT_PATTERN, UDAT_PATTERN, code, wide, -1, pattern, -1, &error);
    } else {
        format = udat_open(form == LOCALE_DATE ? UDAT_NONE : UDAT_SHORT,
                           form == LOCALE_FULL   ? UDAT_FULL
                           : form == LOCALE_DATE ? UDAT_MEDIUM
                                                 : UDAT_NONE,
                           code, wide, -1, NULL, 0, &error);
    }
    return U_SUCCESS(error) ? format : NULL;
}

static UDateFormat *date_format(enum language language, const char *zone, enum locale_form form)
{
    for (size_t i = 0; i < DATE_FORMATS; i++) {
        const struct date_format *slot = &dates[i];
        if (slot->format && slot->language == language && slot->form == form &&
            strcmp(slot->zone, zone) == 0)
            return slot->format;
    }
    UDateFormat *format = open_date(language, zone, form);
    if (!format)
        return NULL;
    struct date_format *slot = &dates[next_date++ % DATE_FORMATS];
    udat_close(slot->format);
    *slot = (struct date_format){.language = language, .form = form, .format = format};
    (void)snprintf(slot->zone, sizeof(slot->zone), "%s", zone);
    return format;
}

void locale_time(struct buf *out, enum language language, const char *zone, int64_t ms,
                 enum locale_form form)
{
    UChar text[TEXT_UNITS];
    UErrorCode error = U_ZERO_ERROR;
    pthread_mutex_lock(&mutex);
    UDateFormat *format = date_format(language, zone, form);
    const int32_t len = format ? udat_format(format, (UDate)ms, text, TEXT_UNITS, NULL, &error) : 0;
    pthread_mutex_unlock(&mutex);
    if (U_SUCCESS(error))
        add_text(out, text, len);
}
