/*
 * samples - memories and changes for tests, and short ways to say what is expected of them.
 */
#ifndef HOLDFAST_TESTS_MODEL_SAMPLES_H
#define HOLDFAST_TESTS_MODEL_SAMPLES_H

#include "model/change.h"
#include "model/memory.h"
#include "support/unit.h"

#define SAMPLE_ID "0190f7a2-5c1e-7abc-8def-0123456789ab"
#define SAMPLE_SESSION "0190f7a2-5c1e-7abc-8def-00000000cafe"
#define SAMPLE_ORIGIN "0190f7a2-5c1e-7abc-8def-00000000beef"
#define SAMPLE_TIME "2026-11-22T18:18:43.000001Z"
#define SAMPLE_US 1795371523000001LL

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* assert_ok and assert_refused with an err of their own: `OK(change_read_record(r, &c, &err));` */
#define OK(call)                                                                                   \
    do {                                                                                           \
        struct err err = ERR_INIT;                                                                 \
        assert_ok((call), &err);                                                                   \
    } while (0)
#define REFUSED(call, code, part)                                                                  \
    do {                                                                                           \
        struct err err = ERR_INIT;                                                                 \
        assert_refused((call), &err, (code), (part));                                              \
    } while (0)

static inline json_t *sample_json(const char *text)
{
    json_t *value = NULL;

    OK(json_parse(str_of(text), &value, &err));
    return value;
}

static inline struct uuid sample_uuid(const char *text)
{
    struct uuid uuid = {{0}};

    OK(uuid_parse(str_of(text), &uuid, &err));
    return uuid;
}

/* count times the text, as a heap string. */
static inline char *sample_repeat(const char *text, size_t count)
{
    size_t len = strlen(text);
    char *repeated = xmalloc(count * len + 1);

    for (size_t i = 0; i < count; i++) {
        memcpy(repeated + i * len, text, len);
    }
    repeated[count * len] = '\0';
    return repeated;
}

#endif
