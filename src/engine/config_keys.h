/*
 * config_keys - the table of configuration keys, and the parser apart from file and environment.
 * Internal to engine/.
 */
#ifndef HOLDFAST_ENGINE_CONFIG_KEYS_H
#define HOLDFAST_ENGINE_CONFIG_KEYS_H

#include <yaml.h>

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

/* ---- reading the file: shared by its sections (config.c, config_sources.c) ---- */

struct config_loading {
    const char *path;
    yaml_document_t *document;
    struct config *config;
};

/* Put file and line of the node before the message. */
int config_at_line(const struct config_loading *l, const yaml_node_t *node, struct err *err);
const char *config_scalar(const yaml_node_t *node); /* NULL: it is no scalar */
/* A mapping's next pair, with duplicates refused. */
int config_pair_at(const struct config_loading *l, const yaml_node_t *mapping,
                   const yaml_node_pair_t *pair, const yaml_node_t **ret_key,
                   const yaml_node_t **ret_value, struct err *err) MUST_CHECK;
bool config_name_ok(const char *name);
/* Put a value that came as text where its key's row says: struct config, or of guard's rules also a
 * struct config_guard. The message continues the key's name, which config_name_value puts before
 * it.
 */
int config_set_value(void *field, const struct config_key *key, const char *text, bool from_env,
                     struct err *err) MUST_CHECK;
void config_name_value(struct err *err, const char *name);

/* The section guard: of a source. */
int config_load_guard(const struct config_loading *l, const yaml_node_t *node,
                      struct config_source *source, struct err *err) MUST_CHECK;
/* When all is read: what it does not give is the section guard's. */
void config_complete_guard(const struct config *config, struct config_source *source);

int config_load_sources(const struct config_loading *l, const yaml_node_t *node, struct err *err)
    MUST_CHECK;
/* DATABASE_URL is a source, unless the file has it already; and what a source lacks is filled in.
 */
int config_sources_environment(struct config *config, struct err *err) MUST_CHECK;
void config_sources_done(struct config *config);

/* Read text over what *config holds already; path is for messages, and what relative vault paths
 * are relative to. */
int config_parse(const char *path, struct str text, struct config *config, struct err *err)
    MUST_CHECK;

/* The key by which a vault of this kind is placed ("path", "url"); static. NULL: no such kind. */
const char *config_vault_key(const char *kind);

/* A name that no vault has: the kind, or the kind and a number. Heap. */
char *config_free_name(const struct config *config, const char *kind, size_t kind_len);

#endif
