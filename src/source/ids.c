#include "source/ids.h"

#include <pthread.h>

#include "ledger/read.h"

#define NAME "memories"
#define KEPT_AS "/" NAME /* beside the positions of sources, none of which can be called so */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* one claim at a time */

bool ids_of_key(struct str key, struct uuid *ret)
{
    char text[UUID_TEXT_MAX];
    struct err err = ERR_INIT;
    struct uuid id;

    if (uuid_parse(key, &id, &err) < 0 || uuid_is_nil(&id)) {
        return false;
    }
    uuid_format(&id, text);
    if (!str_eq_c(key, text)) {
        return false;
    }
    *ret = id;
    return true;
}

/* ---- what the rows tell ---- */

struct looking {
    const char *claim; /* "SOURCE TABLE" */
    char *holder;      /* heap: whose rows keep their ids; NULL: nobody's do */
};

static int note_row(void *arg, const struct memory *memory, const struct last_state *state,
                    struct err *err)
{
    struct looking *looking = arg;
    const json_t *of = json_object_get(metadata_tree(memory->metadata), "source");
    const char *name = json_string_value(json_object_get(of, "name"));
    const char *table = json_string_value(json_object_get(of, "table"));
    const char *key = json_string_value(json_object_get(of, "key"));
    struct uuid id;

    (void)state;
    (void)err;
    if (name == NULL || table == NULL || key == NULL || !ids_of_key(str_of(key), &id) ||
        !uuid_eq(&id, &memory->id)) {
        return 0;
    }
    AUTO(free_ptr) char *holder = xprintf("%s %s", name, table);
    if (looking->holder == NULL || strcmp(holder, looking->claim) == 0) {
        free(looking->holder);
        looking->holder = xstrdup(holder);
    }
    return 0;
}

static int find_holder(struct ledger *ledger, const char *claim, char **ret, struct err *err)
{
    struct looking looking = {.claim = claim};
    struct reader *reader = NULL;

    if (read_begin(ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = read_source_position(reader, KEPT_AS, ret, err);
    if (rc < 0 && err->code == ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        rc = read_last_all(reader, note_row, &looking, err);
        *ret = looking.holder;
    }
    read_end(reader);
    return rc;
}

/* ---- the claim ---- */

static int claim_first(struct ledger *ledger, const char *claim, bool *ret_keeps, struct err *err)
{
    AUTO(free_ptr) char *holder = NULL;

    if (find_holder(ledger, claim, &holder, err) < 0) {
        return -(int)err->code;
    }
    *ret_keeps = holder == NULL || strcmp(holder, claim) == 0;
    struct source_position kept = {.source = KEPT_AS, .text = *ret_keeps ? claim : holder};
    return ledger_write_source(ledger, NULL, 0, &kept, NULL, err);
}

int ids_claim(struct ledger *ledger, const char *source, const char *table, bool *ret_keeps,
              struct err *err)
{
    const char *dot = strrchr(table, '.');

    *ret_keeps = false;
    if (strcmp(dot == NULL ? table : dot + 1, NAME) != 0) {
        return 0;
    }
    AUTO(free_ptr) char *claim = xprintf("%s %s", source, table);
    (void)pthread_mutex_lock(&mutex);
    int rc = claim_first(ledger, claim, ret_keeps, err);
    (void)pthread_mutex_unlock(&mutex);
    return rc;
}
