#include "source/earlier.h"

#include "source/row_origin.h"

struct seeking {
    const char *source;
    const char *table;
    const struct source_mapping *mapping;
    const char *column;
    struct earlier *found;
};

static int note_version(void *arg, const struct change *change, const struct memory *memory,
                        bool held, struct err *err)
{
    struct seeking *seeking = arg;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct row_value value;

    (void)change;
    (void)err;
    if (held || memory->deleted_us != TIME_NONE ||
        !row_of_memory(memory, seeking->source, seeking->table, &origin) ||
        !row_value(memory, &origin, seeking->mapping, seeking->column, &value)) {
        return 0;
    }
    earlier_done(seeking->found);
    if (value.text.ptr != NULL) {
        seeking->found->text = xstrndup(value.text.ptr, value.text.len);
        value.text.ptr = seeking->found->text;
    }
    value.column = seeking->column;
    seeking->found->value = value;
    seeking->found->is_known = true;
    return 0;
}

int earlier_read(struct reader *reader, const struct memory *memory, const char *source,
                 const struct source_mapping *mapping, const char *column, struct earlier *ret,
                 struct err *err)
{
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};

    *ret = (struct earlier){.is_known = false};
    if (!row_of_memory(memory, source, NULL, &origin)) {
        return 0;
    }
    struct seeking seeking = {.source = source,
                              .table = origin.table,
                              .mapping = mapping,
                              .column = column,
                              .found = ret};
    return read_history(reader, &memory->id, note_version, &seeking, err);
}

void earlier_done(struct earlier *earlier)
{
    free(earlier->text);
    *earlier = (struct earlier){.is_known = false};
}
