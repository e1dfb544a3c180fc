#include "vault/vault.h"

/* Every driver there is: adding one is its file and a line here. */
static const struct vault_ops *const drivers[] = {
    &vault_file_ops,
    &vault_neo4j_ops,
};

#define DRIVERS (sizeof(drivers) / sizeof(drivers[0]))
#define KINDS_MAX 256 /* bytes of the list of kinds in a message */

static int unknown_kind(const char *spec, struct err *err)
{
    AUTO(buf_done) struct buf kinds = BUF_INIT(KINDS_MAX);

    for (size_t i = 0; i < DRIVERS; i++) {
        if (buf_printf(&kinds, err, "%s%s:", i == 0 ? "" : ", ", drivers[i]->kind) < 0) {
            break; /* the list is cut; the message is as good */
        }
    }
    return err_set(err, ERR_CONFIG,
                   "\"%.200s\" names no vault; it must begin with one of: " STR_FMT, spec,
                   STR_ARG(buf_str(&kinds)));
}

int vault_driver(const char *spec, const struct vault_ops **ret, const char **ret_target,
                 struct err *err)
{
    const char *colon = strchr(spec, ':');
    struct str kind = {spec, colon == NULL ? 0 : (size_t)(colon - spec)};

    for (size_t i = 0; i < DRIVERS; i++) {
        if (colon != NULL && str_eq_c(kind, drivers[i]->kind)) {
            *ret = drivers[i];
            *ret_target = colon + 1;
            return 0;
        }
    }
    return unknown_kind(spec, err);
}

void vault_hits_free(struct vault_hit *hits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memory_done(&hits[i].memory);
    }
    free(hits);
}

void vault_damages_free(struct vault_damage *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(items[i].where);
    }
    free(items);
}

char *vault_spec_shown(const char *spec)
{
    const char *begin = strstr(spec, "://");
    const char *end = strrchr(spec, '@');

    return begin == NULL || end == NULL || end < begin
               ? xstrdup(spec)
               : xprintf("%.*s***%s", (int)(begin + 3 - spec), spec, end);
}
