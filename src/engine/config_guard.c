/* The guard: thresholds of a source's own, and what is off. */
#include "engine/config_keys.h"

_Static_assert(CONFIG_SOURCES_MAX <= GUARD_SOURCES_MAX, "each source may have its thresholds");

/* ---- which keys ---- */

/* The keys of the section guard that say what is judged; all others are not a source's to have. */
static bool is_rule(const struct config_key *key)
{
    size_t first = offsetof(struct config, guard.rules);

    return strcmp(key->section, "guard") == 0 && key->offset >= first &&
           key->offset < first + sizeof(struct guard_options);
}

static size_t rule_offset(const struct config_key *key)
{
    return key->offset - offsetof(struct config, guard.rules);
}

static void *rule_field(struct guard_options *rules, const struct config_key *key)
{
    return (char *)rules + rule_offset(key);
}

static const void *rule_value(const struct guard_options *rules, const struct config_key *key)
{
    return (const char *)rules + rule_offset(key);
}

static size_t rule_size(const struct config_key *key)
{
    return key->type == KEY_BOOL ? sizeof(bool) : sizeof(uint64_t);
}

static const struct config_key *find_rule(const char *name)
{
    for (size_t i = 0; i < config_keys_count; i++) {
        if (is_rule(&config_keys[i]) && strcmp(config_keys[i].name, name) == 0) {
            return &config_keys[i];
        }
    }
    return NULL;
}

static uint64_t bit_of(const struct config_key *key)
{
    return UINT64_C(1) << (key - config_keys);
}

/* ---- the file ---- */

static int unknown_rule(const struct config_loading *l, const yaml_node_t *key, struct err *err)
{
    AUTO(buf_done) struct buf known = BUF_INIT(1024);

    for (size_t i = 0; i < config_keys_count; i++) {
        if (is_rule(&config_keys[i]) &&
            buf_printf(&known, err, "%s%s", known.len > 0 ? ", " : "", config_keys[i].name) != 0) {
            break; /* the list is cut; the message is as good */
        }
    }
    (void)err_set(err, ERR_CONFIG,
                  "unknown key \"sources[].guard.%.64s\"; a source's guard knows " STR_FMT,
                  config_scalar(key), STR_ARG(buf_str(&known)));
    return config_at_line(l, key, err);
}

static int load_rule(const struct config_loading *l, const yaml_node_t *key,
                     const yaml_node_t *value, struct config_guard *guard, struct err *err)
{
    const struct config_key *row = find_rule(config_scalar(key));

    if (row == NULL) {
        return unknown_rule(l, key, err);
    }
    int rc = config_scalar(value) != NULL ? config_set_value(rule_field(&guard->rules, row), row,
                                                             config_scalar(value), false, err)
                                          : err_set(err, ERR_CONFIG, "must be one value");
    if (rc != 0) {
        AUTO(free_ptr) char *name = xprintf("sources[].guard.%s", row->name);
        config_name_value(err, name);
        return config_at_line(l, value, err);
    }
    guard->given |= bit_of(row);
    return 0;
}

int config_load_guard(const struct config_loading *l, const yaml_node_t *node,
                      struct config_source *source, struct err *err)
{
    if (node->type == YAML_SCALAR_NODE && *config_scalar(node) == '\0') {
        return 0; /* a section with everything commented out */
    }
    if (node->type != YAML_MAPPING_NODE) {
        (void)err_set(err, ERR_CONFIG, "a source's \"guard\" must hold keys, indented below it");
        return config_at_line(l, node, err);
    }
    source->guard = xcalloc(1, sizeof(*source->guard));
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = NULL;
        const yaml_node_t *value = NULL;
        if (config_pair_at(l, node, pair, &key, &value, err) != 0 ||
            load_rule(l, key, value, source->guard, err) != 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

void config_complete_guard(const struct config *config, struct config_source *source)
{
    for (size_t i = 0; i < config_keys_count && source->guard != NULL; i++) {
        const struct config_key *key = &config_keys[i];
        if (is_rule(key) && (source->guard->given & bit_of(key)) == 0) {
            memcpy(rule_field(&source->guard->rules, key), rule_value(&config->guard.rules, key),
                   rule_size(key));
        }
    }
}

size_t config_guard_sources(const struct config *config,
                            struct guard_source ret[CONFIG_SOURCES_MAX])
{
    for (size_t i = 0; i < config->source_count; i++) {
        const struct config_source *source = &config->sources[i];
        ret[i] = (struct guard_source){source->name, source->guard != NULL ? source->guard->rules
                                                                           : config->guard.rules};
    }
    return config->source_count;
}

/* ---- in words ---- */

/* "10m": in the largest unit that it is a whole number of. */
static char *duration_text(int64_t ms)
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (ms % units[i].ms == 0) {
            return xprintf("%lld%s", (long long)(ms / units[i].ms), units[i].unit);
        }
    }
    return xprintf("%lldms", (long long)ms);
}

static char *value_text(const struct config_key *key, const void *value)
{
    switch (key->type) {
    case KEY_BOOL:
        return xstrdup(*(const bool *)value ? "true" : "false");
    case KEY_SHARE:
        return xprintf("%g", *(const double *)value);
    case KEY_DURATION:
        return duration_text(*(const int64_t *)value);
    case KEY_TEXT:
    case KEY_URL:
    case KEY_CHOICE:
    case KEY_CHOICE_BOOL:
    case KEY_COUNT:
        break; /* no rule is of another type */
    }
    return xprintf("%llu", (unsigned long long)*(const uint64_t *)value);
}

char *config_guard_text(const struct config *config, const struct config_source *source)
{
    char *text = NULL;

    for (size_t i = 0; i < config_keys_count && source->guard != NULL; i++) {
        const struct config_key *key = &config_keys[i];
        if (!is_rule(key) || memcmp(rule_value(&source->guard->rules, key),
                                    rule_value(&config->guard.rules, key), rule_size(key)) == 0) {
            continue;
        }
        AUTO(free_ptr) char *value = value_text(key, rule_value(&source->guard->rules, key));
        char *longer = xprintf("%s%s%s %s", text == NULL ? "" : text, text == NULL ? "" : ", ",
                               key->name, value);
        free(text);
        text = longer;
    }
    return text;
}

/* ---- what is off ---- */

/* One sentence more; takes both, and either may be NULL. */
static char *and_then(char *text, char *sentence)
{
    if (text == NULL || sentence == NULL) {
        return text == NULL ? sentence : text;
    }
    char *both = xprintf("%s %s", text, sentence);
    free(text);
    free(sentence);
    return both;
}

static char *rules_off(const struct guard_options *rules, const struct guard_options *unless,
                       const char *where)
{
    AUTO(free_ptr) char *blind = guard_blind(rules, unless);

    if (!rules->enabled) {
        return unless != NULL && !unless->enabled
                   ? NULL
                   : xprintf("The guard was switched off in the configuration%s: destruction is no "
                             "longer held back%s.",
                             where, unless != NULL ? " there" : "");
    }
    return blind == NULL
               ? NULL
               : xprintf("The configuration sets thresholds%s at which rules of the guard "
                         "never trip: %s. Destruction that they would see is no longer "
                         "held back.",
                         where, blind);
}

char *config_guard_off(const struct config *config)
{
    char *text =
        config->guard.allow_yes
            ? xstrdup("The configuration sets guard.allow_yes: whoever adds --yes resolves "
                      "alerts, and has a recovery take memories away, with no person at a "
                      "terminal.")
            : NULL;

    text = and_then(text, rules_off(&config->guard.rules, NULL, ""));
    for (size_t i = 0; i < config->source_count; i++) {
        const struct config_source *source = &config->sources[i];
        if (source->guard != NULL) {
            AUTO(free_ptr) char *where = xprintf(" for source %s", source->name);
            text = and_then(text, rules_off(&source->guard->rules, &config->guard.rules, where));
        }
    }
    return text;
}
