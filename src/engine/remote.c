/* Recall from a vault that ranks by itself: its hits, shown as those of the index are. */
#include <stdlib.h>

#include "engine/engine.h"
#include "search/question.h"

/* No: also of a spec that is none, which opening it will tell. */
static bool lacks_search(const char *spec)
{
    const struct vault_ops *ops = NULL;
    const char *target = NULL;
    struct err none = ERR_INIT;

    return vault_driver(spec, &ops, &target, &none) == 0 && (ops->caps & VAULT_CAP_SEARCH) == 0;
}

/* The vault that was named, if it can; else the first that can. */
static int choose(const struct engine *engine, const char *name, const char **ret, struct err *err)
{
    const struct config_vault *named = engine_vault(engine, name);

    if (name != NULL) {
        *ret = name;
        return lacks_search(named == NULL ? name : named->spec)
                   ? err_set(err, ERR_USAGE,
                             "vault %s has no search of its own; to search the ledger, leave out "
                             "--remote and --from",
                             name)
                   : 0;
    }
    for (size_t i = 0; i < engine->config.vault_count; i++) {
        if (!lacks_search(engine->config.vaults[i].spec)) {
            *ret = engine->config.vaults[i].name;
            return 0;
        }
    }
    return err_set(err, ERR_USAGE,
                   "no vault that can search is configured; set NEO4J_URI, or say which one: "
                   "--from neo4j:bolt://HOST:7687");
}

/* What the vault found, with snippets; its memories are taken over. */
static struct search_hit *show(struct question *question, struct vault_hit *found, size_t count)
{
    struct search_hit *hits = xcalloc(count, sizeof(*hits));

    for (size_t i = 0; i < count; i++) {
        struct str content = {found[i].memory.content, found[i].memory.content_len};
        hits[i] = (struct search_hit){
            .memory = found[i].memory,
            .state = {.origin = found[i].origin, .seq = found[i].seq},
            .score = found[i].score,
            .snippet = question_snippet(question, content),
        };
        memory_init(&found[i].memory);
    }
    return hits;
}

static int ask(struct vault *vault, const struct search_query *query, const float *vector,
               size_t dimensions, struct deadline deadline, struct search_hit **ret_hits,
               size_t *ret_count, struct err *err)
{
    struct question *question = NULL;
    struct vault_hit *found = NULL;
    size_t count = 0;

    int rc = question_new(query->text, &question, err);
    if (rc < 0) {
        return rc;
    }
    const struct query_terms *terms = question_terms(question);
    struct vault_query asked = {.texts = (const char *const *)terms->typed,
                                .text_count = terms->typed_count,
                                .vector = vector,
                                .dimensions = dimensions,
                                .filter = &query->filter,
                                .limit = query->limit};
    rc = vault->ops->search(vault, &asked, &found, &count, deadline, err);
    if (rc == 0) {
        *ret_hits = show(question, found, count);
        *ret_count = count;
    }
    vault_hits_free(found, count);
    question_free(question);
    return rc;
}

int engine_search_vault(struct engine *engine, const char *name_or_spec,
                        const struct search_query *query, const float *vector, size_t dimensions,
                        struct deadline deadline, struct search_hit **ret_hits, size_t *ret_count,
                        struct err *err)
{
    AUTO(free_ptr) char *spec = NULL;
    struct vault *vault = NULL;
    const char *name = NULL;

    if (choose(engine, name_or_spec, &name, err) < 0 ||
        engine_open_vault(engine, name, true, deadline, &vault, &spec, err) < 0) {
        return -(int)err->code;
    }
    int rc = ask(vault, query, vector, dimensions, deadline, ret_hits, ret_count, err);
    vault->ops->close(vault);
    return rc < 0 ? err_context(err, "vault %s", name) : 0;
}
