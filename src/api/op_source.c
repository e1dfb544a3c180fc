/* Sources: restore. */
#include "api/handlers.h"

#include "engine/sources.h"

static json_t *tables_to_json(const struct source_restore *restore)
{
    json_t *tables = json_array();

    for (size_t i = 0; i < restore->table_count; i++) {
        const struct source_restore_table *t = &restore->tables[i];
        json_array_append_new(
            tables, json_pack("{s:s,s:b,s:I,s:I,s:I,s:I,s:I}", "table", t->table, "created",
                              t->created, "inserted", (json_int_t)t->inserted, "updated",
                              (json_int_t)t->updated, "kept", (json_int_t)t->kept, "same",
                              (json_int_t)t->same, "lost", (json_int_t)t->lost));
    }
    return tables;
}

static json_t *restore_to_json(const struct source_restore *restore, const char *name,
                               const char *kind)
{
    uint64_t restored = 0;
    uint64_t kept = 0;

    for (size_t i = 0; i < restore->table_count; i++) {
        restored += restore->tables[i].inserted + restore->tables[i].updated;
        kept += restore->tables[i].kept;
    }
    return json_pack("{s:s,s:s,s:b,s:I,s:I,s:o,s:s%}", "source", name, "kind", kind, "dry_run",
                     restore->dry_run, "restored", (json_int_t)restored, "kept", (json_int_t)kept,
                     "tables", tables_to_json(restore), "sql",
                     restore->sql.data == NULL ? "" : restore->sql.data, restore->sql.len);
}

int op_restore(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct source_restore restore = {.dry_run = call_bool(call, "dry_run"),
                                     .only_table = call_text(call, "table")};
    struct source_options options;
    const struct source_ops *driver = NULL;
    struct source *source = NULL;

    if (call_time(call, "at", &restore.at_us, err) != 0 ||
        sources_find(&call->engine->config, call_text(call, "source"), &options, &driver, err) !=
            0) {
        return -(int)err->code;
    }
    options.ledger = call->engine->ledger;
    options.cancel = call->shutdown;
    int rc = driver->open(&options, &source, err);
    if (rc == 0) {
        rc = driver->restore(source, &restore, err);
        driver->close(source);
    }
    if (rc == 0) {
        reply->document = restore_to_json(&restore, options.name, driver->kind);
    }
    source_restore_done(&restore);
    return rc == 0 ? 0 : err_context(err, "source %s", options.name);
}
