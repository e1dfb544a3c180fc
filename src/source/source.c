#include "source/source.h"

#include "base/wake.h"
#include "ledger/read.h"

/* Every driver there is: adding one is its files and a line here. */
static const struct source_ops *const drivers[] = {
    &source_files_ops,
    &source_postgres_ops,
    &source_sqlite_ops,
};

int source_driver(const char *kind, const struct source_ops **ret, struct err *err)
{
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        if (strcmp(drivers[i]->kind, kind) == 0) {
            *ret = drivers[i];
            return 0;
        }
    }
    return err_set(err, ERR_CONFIG, "source kind is \"%.64s\"; allowed are files, postgres, sqlite",
                   kind);
}

int source_cancelled(const struct source_options *options, struct err *err)
{
    return options->cancel != NULL && wake_cancelled(options->cancel)
               ? err_set(err, ERR_CANCELLED, "source %s: cancelled", options->name)
               : 0;
}

void source_restore_done(struct source_restore *restore)
{
    for (size_t i = 0; i < restore->table_count; i++) {
        free(restore->tables[i].table);
    }
    restore->table_count = 0;
    buf_done(&restore->sql);
}

int source_kept(struct ledger *ledger, const char *name, char **ret, struct err *err)
{
    struct reader *reader = NULL;

    *ret = NULL;
    if (read_begin(ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = read_source_position(reader, name, ret, err);
    read_end(reader);
    if (rc == -ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        return 0;
    }
    return rc;
}

const char *mapping_id(const struct source_mapping *mapping)
{
    return mapping->id != NULL ? mapping->id : "id";
}

const char *mapping_content(const struct source_mapping *mapping)
{
    return mapping->content != NULL ? mapping->content : "content";
}

const char *mapping_project(const struct source_mapping *mapping)
{
    return mapping->project != NULL ? mapping->project : "project_id";
}

bool mapping_ignores(const struct source_mapping *mapping, const char *column)
{
    for (size_t i = 0; i < mapping->ignored_count; i++) {
        if (strcmp(mapping->ignored[i], column) == 0) {
            return true;
        }
    }
    return false;
}

bool mapping_is_memories(const struct source_mapping *mapping)
{
    const char *dot = strrchr(mapping->table, '.');

    return strcmp(dot == NULL ? mapping->table : dot + 1, "memories") == 0;
}

void mapping_done(struct source_mapping *mapping)
{
    free(mapping->table);
    free(mapping->id);
    free(mapping->content);
    free(mapping->project);
    for (size_t i = 0; i < mapping->ignored_count; i++) {
        free(mapping->ignored[i]);
    }
    *mapping = (struct source_mapping){.table = NULL};
}
