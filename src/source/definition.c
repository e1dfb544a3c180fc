#include "source/definition.h"

struct last_definition {
    char *actor;
    char *sql; /* heap; NULL: there is none */
};

static int note_definition(void *arg, const struct change *change, const struct memory *memory,
                           bool held, struct err *err)
{
    struct last_definition *last = arg;

    (void)err;
    if (!held && memory->deleted_us == TIME_NONE && strcmp(change->source, last->actor) == 0) {
        free(last->sql);
        last->sql = xstrdup(memory->content);
    }
    return 0;
}

int definition_read(struct reader *reader, const char *source, const char *table, char **ret,
                    struct err *err)
{
    struct uuid id = definition_id(source, table);
    AUTO(free_ptr) char *actor = definition_actor(source);
    struct last_definition last = {.actor = actor};

    *ret = NULL;
    if (read_history(reader, &id, note_definition, &last, err) < 0) {
        free(last.sql);
        return -(int)err->code;
    }
    if (last.sql == NULL) {
        return err_set(err, ERR_NOT_FOUND,
                       "table %s does not exist, and how it was made was never captured: create "
                       "it, and restore again",
                       table);
    }
    *ret = last.sql;
    return 0;
}
