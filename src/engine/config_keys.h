/*
 * config_keys - the table of configuration keys, and the parser apart from file and environment.
 * Internal to engine/.
 */
#ifndef HOLDFAST_ENGINE_CONFIG_KEYS_H
#define HOLDFAST_ENGINE_CONFIG_KEYS_H

#include "engine/config.h"

enum config_type {
    KEY_TEXT,        /* char * */
    KEY_URL,         /* char * */
    KEY_CHOICE,      /* an enum in the order of choices */
    KEY_CHOICE_BOOL, /* bool: the second choice */
    KEY_BOOL,        /* bool */
    KEY_COUNT,       /* uint64_t within min..max */
    KEY_SHARE,       /* double 0..1 */
    KEY_DURATION,    /* int64_t milliseconds within min..max */
};

struct config_key {
    const char *section;
    const char *name;
    enum config_type type;
    size_t offset; /* in struct config */
    double min, max;
    const char *const *choices;
    const char *env; /* overrides the file; a duration there is in seconds */
};

extern const struct config_key config_keys[];
extern const size_t config_keys_count;

/* Read text over what *config holds already; path is for messages, and what relative vault paths
 * are relative to. */
int config_parse(const char *path, struct str text, struct config *config, struct err *err)
    MUST_CHECK;

/* The key by which a vault of this kind is placed ("path", "url"); static. NULL: no such kind. */
const char *config_vault_key(const char *kind);

/* A name that no vault has: the kind, or the kind and a number. Heap. */
char *config_free_name(const struct config *config, const char *kind, size_t kind_len);

#endif
