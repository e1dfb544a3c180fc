#include "source/definition.h"

struct reading {
    struct definitions *all;
    const char *actor;
};

static int note_definition(void *arg, const struct change *change, const struct memory *memory,
                           bool held, struct err *err)
{
    struct reading *reading = arg;
    struct definitions *all = reading->all;

    (void)err;
    if (!held && memory->deleted_us == TIME_NONE && strcmp(change->source, reading->actor) == 0) {
        all->items = xrealloc(all->items, (all->count + 1) * sizeof(*all->items));
        all->items[all->count++] = xstrdup(memory->content);
    }
    return 0;
}

int definitions_read(struct reader *reader, const char *source, const char *table,
                     struct definitions *ret, struct err *err)
{
    struct uuid id = definition_id(source, table);
    AUTO(free_ptr) char *actor = definition_actor(source);
    struct reading reading = {.all = ret, .actor = actor};

    *ret = (struct definitions){.items = NULL};
    if (read_history(reader, &id, note_definition, &reading, err) < 0 &&
        err->code != ERR_NOT_FOUND) {
        return -(int)err->code;
    }
    err->code = ERR_NONE;
    return 0;
}

void definitions_done(struct definitions *definitions)
{
    for (size_t i = 0; i < definitions->count; i++) {
        free(definitions->items[i]);
    }
    free(definitions->items);
    *definitions = (struct definitions){.items = NULL};
}

int definition_read(struct reader *reader, const char *source, const char *table, char **ret,
                    struct err *err)
{
    AUTO(definitions_done) struct definitions all;

    *ret = NULL;
    if (definitions_read(reader, source, table, &all, err) < 0) {
        return -(int)err->code;
    }
    if (all.count == 0) {
        return err_set(err, ERR_NOT_FOUND,
                       "table %s does not exist, and how it was made was never captured: create "
                       "it, and restore again",
                       table);
    }
    *ret = xstrdup(all.items[all.count - 1]);
    return 0;
}
