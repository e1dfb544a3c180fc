/*
 * Which tables have triggers that fit, and had some when somebody looked last.
 *
 * Triggers that are gone though their table is as it was are an alert. Where the table itself was
 * altered, or made anew, its owner went on with his work: that is told in the source's status.
 */
#include "source/sqlite_internal.h"

#define NEVER "-" /* had no triggers */
#define REMEDY "holdfast init sqlite %s --triggers"

/* Names of tables, for a sentence: some of them. */
struct names {
    char text[200];
    size_t count;
};

static void add_name(struct names *names, const char *name)
{
    size_t len = strlen(names->text);

    if (len + strlen(name) + 8 < sizeof(names->text)) {
        (void)snprintf(names->text + len, sizeof(names->text) - len, "%s%s", len == 0 ? "" : ", ",
                       name);
    } else if (len + 6 < sizeof(names->text) && strstr(names->text, "...") == NULL) {
        memcpy(names->text + len, ", ...", 6);
    }
    names->count++;
}

/* ---- what the ledger knows ---- */

/* Beside the source's position, whose name has no slash. A table's name may be of any length. */
static char *state_name(const struct source_options *options, const char *table)
{
    char tag[LITE_TAG_LEN + 1];

    sqlite_tag(table, strlen(table), tag);
    return xprintf("%s/%s", options->name, tag);
}

/* Heap. */
static int read_had(const struct source_options *options, const char *table, char **ret,
                    struct err *err)
{
    AUTO(free_ptr) char *name = state_name(options, table);
    int rc = sqlite_took(source_kept(options->ledger, name, ret, err), err);

    *ret = rc == 0 && *ret == NULL ? xstrdup(NEVER) : *ret;
    return rc;
}

int sqlite_guarded_had(const struct source_options *options, const char *table, bool *ret,
                       struct err *err)
{
    AUTO(free_ptr) char *had = NULL;

    int rc = read_had(options, table, &had, err);
    *ret = rc == 0 && strcmp(had, NEVER) != 0;
    return rc;
}

static int keep_had(struct sqlite *sq, struct sqlite_table *table, const char *now, struct err *err)
{
    AUTO(free_ptr) char *name = state_name(sq->options, table->name);
    struct source_position position = {.source = name, .text = now};

    if (strcmp(table->had, now) == 0) {
        return 0;
    }
    if (ledger_write_source(sq->options->ledger, NULL, 0, &position, NULL, err) < 0) {
        return sqlite_took(-(int)err->code, err);
    }
    free(table->had);
    table->had = xstrdup(now);
    return 0;
}

/* ---- one table ---- */

/* Of the statement by which the table was made: another one is another table. */
static int digest_made(struct sqlite *sq, struct sqlite_table *table, struct err *err)
{
    AUTO(free_ptr) char *sql = NULL;

    if (sqlite_sql_of(sq->db, "table", table->name, &sql, err) < 0) {
        return -(int)err->code;
    }
    sqlite_tag(sql == NULL ? "" : sql, sql == NULL ? 0 : strlen(sql), table->made);
    return 0;
}

static void note_too_wide(struct sqlite *sq, const struct sqlite_table *table)
{
    AUTO(free_ptr)
    char *note = xprintf("table %s has too many columns for triggers (at most %d): what is done "
                         "there is found by comparison alone",
                         table->name, LITE_OUTBOX_COLUMNS_MAX - 1);

    sq->events->on_note(sq->events->arg, note);
}

/* lost: those that are taken away; without: all that should be there, and are not. */
struct findings {
    struct names lost;
    struct names without;
};

static int check_table(struct sqlite *sq, struct sqlite_table *table, struct findings *findings,
                       struct err *err)
{
    if (sqlite_triggers_fit(sq->db, &table->shape, sq->outbox.columns, &table->has_triggers, err) <
            0 ||
        digest_made(sq, table, err) < 0 ||
        (table->had == NULL && read_had(sq->options, table->name, &table->had, err) < 0)) {
        return -(int)err->code;
    }
    sqlite_shape_tag(&table->shape, table->tag);
    if (!table->has_triggers && strcmp(table->had, table->made) == 0) {
        add_name(&findings->lost, table->name);
    }
    if (!sqlite_shape_fits(&table->shape)) {
        note_too_wide(sq, table);
    } else if (!table->has_triggers) {
        add_name(&findings->without, table->name);
    }
    return 0;
}

/* ---- all of them ---- */

static int tell_lost(struct sqlite *sq, const struct names *lost, struct err *err)
{
    AUTO(free_ptr)
    char *text = xprintf("The triggers on %s of source %s are gone, or were altered. What is done "
                         "there is found by comparison alone, without the versions in between; to "
                         "make them again: " REMEDY,
                         lost->text, sq->options->name, sq->watch.path);

    return sqlite_took(intake_alert(&sq->intake, "source_unguarded", text, err), err);
}

/* *ret NULL: all is as it should be; heap. */
static int say_trouble(struct sqlite *sq, const struct names *without, char **ret, struct err *err)
{
    const char *path = sq->watch.path;
    AUTO(free_ptr) char *outbox = NULL;
    int64_t triggers = 0;

    if (sqlite_sql_of(sq->db, "table", LITE_OUTBOX, &outbox, err) < 0 ||
        sqlite_ask(sq->db,
                   "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND " LITE_OURS(""),
                   &triggers, err) < 0) {
        return -(int)err->code;
    }
    *ret = triggers == 0 ? xprintf("there are no triggers in the file: " REMEDY, path)
           : outbox == NULL
               ? xprintf("the triggers write into " LITE_OUTBOX ", which is gone, so that its "
                         "application can't write: " REMEDY ", or --remove",
                         path)
           : without->count > 0
               ? xprintf("no triggers, or none that fit, are on %s: " REMEDY, without->text, path)
               : NULL;
    return 0;
}

/* When the alert is journaled: else the next start would raise it once more, or never. */
static int keep_all(struct sqlite *sq, struct err *err)
{
    for (size_t i = 0; i < sq->table_count; i++) {
        struct sqlite_table *table = &sq->tables[i];
        if (table->is_there &&
            keep_had(sq, table, table->has_triggers ? table->made : NEVER, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

int sqlite_guarded_check(struct sqlite *sq, struct err *err)
{
    struct findings findings = {.lost = {.count = 0}};

    if (!sq->options->triggers) {
        return 0;
    }
    if (sqlite_outbox_columns(sq->db, &sq->outbox.columns, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < sq->table_count; i++) {
        struct sqlite_table *table = &sq->tables[i];
        table->has_triggers = false;
        if (table->is_there && check_table(sq, table, &findings, err) < 0) {
            return -(int)err->code;
        }
    }
    if ((findings.lost.count > 0 && tell_lost(sq, &findings.lost, err) < 0) ||
        keep_all(sq, err) < 0) {
        return -(int)err->code;
    }
    free(sq->outbox.trouble);
    sq->outbox.trouble = NULL;
    return say_trouble(sq, &findings.without, &sq->outbox.trouble, err);
}
