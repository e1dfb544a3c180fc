/* Answers for people. Programs use --json. */
#include "cli/cli.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

void print_safe(FILE *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) { /* the terminal's other controls */
            (void)fprintf(out, "\\x%02x", *++c);
        } else if ((*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f) {
            (void)fprintf(out, "\\x%02x", *c);
        } else {
            (void)fputc(*c, out);
        }
    }
}

/* "2026-11-22 18:18" of an RFC 3339 text. */
static void print_time(const char *time)
{
    (void)printf("%.10s %.5s", time, strlen(time) > 16 ? time + 11 : "");
}

static void print_memory(const json_t *m)
{
    size_t i;
    const json_t *tag;

    (void)printf("%s  v%lld  %s  %s  ", text_of(m, "id"), number_of(m, "sync_version"),
                 text_of(m, "memory_type"), text_of(m, "sync_status"));
    print_time(text_of(m, "updated_at"));
    (void)printf("\nproject %s", text_of(m, "project_id"));
    if (text_of(m, "session_id")[0]) {
        (void)printf("  session %s", text_of(m, "session_id"));
    }
    json_array_foreach (json_object_get(m, "tags"), i, tag) {
        (void)printf("%s", i ? ", " : "  tags ");
        print_safe(stdout, json_string_value(tag));
    }
    if (text_of(m, "deleted_at")[0]) {
        (void)printf("\ndeleted %s (its content is kept: holdfast recover --memory %s --at TIME)",
                     text_of(m, "deleted_at"), text_of(m, "id"));
    }
    (void)printf("\n\n");
    print_safe(stdout, text_of(m, "content"));
    (void)putchar('\n');
}

static void print_hit(const json_t *m, uint64_t number)
{
    (void)printf("%2llu. %5.2f  %s  ", (unsigned long long)number,
                 json_real_value(json_object_get(m, "score")), text_of(m, "project_id"));
    print_time(text_of(m, "created_at"));
    (void)printf("  %s\n    ", text_of(m, "id"));
    AUTO(free_ptr) char *snippet = xstrdup(text_of(m, "snippet"));
    for (char *c = strchr(snippet, '\n'); c; c = strchr(c, '\n')) {
        *c = ' ';
    }
    print_safe(stdout, snippet);
    (void)putchar('\n');
}

static void print_change(const json_t *c)
{
    print_time(text_of(c, "at"));
    (void)printf("  %-7s %-7s %s v%lld  %s  %s\n", text_of(c, "kind"), text_of(c, "op"),
                 text_of(c, "id"), number_of(c, "version"), text_of(c, "project_id"),
                 text_of(c, "source"));
}

static void print_version(const json_t *m)
{
    const json_t *change = json_object_get(m, "change");

    (void)printf("v%lld  %s  ", number_of(m, "sync_version"), text_of(change, "op"));
    print_time(text_of(change, "at"));
    (void)printf("  by %s%s\n", text_of(change, "source"),
                 json_is_true(json_object_get(change, "held")) ? "  (held back)" : "");
    print_safe(stdout, text_of(m, "content"));
    (void)printf("\n\n");
}

static void print_session(const json_t *s)
{
    (void)printf("%s  ", text_of(s, "id"));
    print_time(text_of(s, "started_at"));
    (void)printf(" - ");
    if (text_of(s, "ended_at")[0]) {
        print_time(text_of(s, "ended_at"));
    } else {
        (void)printf("open            ");
    }
    (void)printf("  %s  %lld memories", text_of(s, "project_id"), number_of(s, "memory_count"));
    if (text_of(s, "summary")[0]) {
        (void)printf("\n    ");
    }
    print_safe(stdout, text_of(s, "summary"));
    (void)putchar('\n');
}

static void print_alert(const json_t *a)
{
    (void)printf("%s  %s  %s\n  ", text_of(a, "id"), text_of(a, "state"), text_of(a, "rule"));
    print_safe(stdout, text_of(a, "summary"));
    if (strcmp(text_of(a, "state"), "open") == 0) {
        (void)printf("\n  put it back:  holdfast resolve %s --revert\n  it was meant: holdfast "
                     "resolve %s --accept",
                     text_of(a, "id"), text_of(a, "id"));
    }
    (void)printf("\n\n");
}

static void print_event(const json_t *e)
{
    (void)printf("%s  %s  %s  %s  %lld changes to seq %lld in %.1f ms  ", text_of(e, "at"),
                 text_of(e, "vault"), text_of(e, "direction"), text_of(e, "result"),
                 number_of(e, "count"), number_of(e, "to_seq"),
                 (double)number_of(e, "duration_us") / 1000);
    print_safe(stdout, text_of(e, "error"));
    (void)putchar('\n');
}

static void print_check(const json_t *c)
{
    bool ok = json_is_true(json_object_get(c, "ok"));

    (void)printf("%s %s: ", ok ? "ok  " : "LOOK", text_of(c, "check"));
    print_safe(stdout, text_of(c, "detail"));
    if (!ok && text_of(c, "advice")[0]) {
        (void)printf("\n     -> %s", text_of(c, "advice"));
    }
    (void)putchar('\n');
}

void print_line(const struct op *op, const json_t *line, uint64_t number)
{
    if (strcmp(op->name, "recall") == 0) {
        print_hit(line, number);
    } else if (strcmp(op->name, "history") == 0) {
        print_version(line);
    } else if (strcmp(op->name, "log") == 0) {
        print_change(line);
    } else if (strcmp(op->name, "list_sessions") == 0) {
        print_session(line);
    } else if (strcmp(op->name, "check_destruction") == 0) {
        print_alert(line);
    } else if (strcmp(op->name, "sync_events") == 0) {
        print_event(line);
    } else if (strcmp(op->name, "doctor") == 0) {
        print_check(line);
    } else if (strcmp(op->name, "list_projects") == 0) {
        (void)printf("%-40s %8lld memories\n", text_of(line, "id"),
                     number_of(line, "memory_count"));
    } else {
        (void)json_dumpf(line, stdout, JSON_COMPACT | JSON_SORT_KEYS), (void)putchar('\n');
    }
}

void print_end(const struct op *op, uint64_t lines)
{
    if (lines) {
        return;
    }
    if (strcmp(op->name, "recall") == 0) {
        (void)printf("Nothing found here. In all projects: --all-projects\n");
    }
    if (strcmp(op->name, "check_destruction") == 0) {
        (void)printf("No alert is open.\n");
    }
    if (strcmp(op->name, "dead_letters") == 0) {
        (void)printf("No dead letters.\n");
    }
}

static void print_mirror(const json_t *m)
{
    (void)printf("\n  written into it: %lld rows, %lld marked as safe", number_of(m, "written"),
                 number_of(m, "marked"));
    if (number_of(m, "waiting") > 0) {
        (void)printf(", %lld waiting (for %lld ms)", number_of(m, "waiting"),
                     number_of(m, "lag_ms"));
    }
    if (number_of(m, "refused") > 0) {
        (void)printf(", %lld refused", number_of(m, "refused"));
    }
    if (text_of(m, "error")[0]) {
        (void)printf("\n  ");
        print_safe(stdout, text_of(m, "error"));
    }
}

static void print_sources(const json_t *sources)
{
    size_t i;
    const json_t *s;

    json_array_foreach (sources, i, s) {
        (void)printf("source %s (%s): %s%s%s", text_of(s, "name"), text_of(s, "kind"),
                     text_of(s, "state"), text_of(s, "position")[0] ? ", at " : "",
                     text_of(s, "position"));
        if (strcmp(text_of(s, "capture"), "outbox") == 0) {
            (void)printf("\n  by an outbox; " SOURCE_OUTBOX_IS_WEAKER);
        }
        if (text_of(s, "fence")[0]) {
            (void)printf("\n  fenced: UPDATE, DELETE, TRUNCATE and DROP are refused until a person "
                         "decides: holdfast resolve %s",
                         text_of(s, "fence"));
        }
        if (text_of(s, "guard")[0]) {
            (void)printf("\n  its guard: %s", text_of(s, "guard"));
        }
        if (json_is_object(json_object_get(s, "mirror"))) {
            print_mirror(json_object_get(s, "mirror"));
        }
        if (text_of(s, "error")[0]) {
            (void)printf("\n  ");
        }
        print_safe(stdout, text_of(s, "error"));
        (void)putchar('\n');
    }
}

static void print_restore(const json_t *r)
{
    bool dry_run = json_is_true(json_object_get(r, "dry_run"));
    bool is_files = strcmp(text_of(r, "kind"), "files") == 0;
    const char *insert = is_files ? (dry_run ? "files to write" : "files written")
                                  : (dry_run ? "rows to insert" : "rows inserted");
    const char *update =
        is_files ? (dry_run ? "to put back" : "put back") : (dry_run ? "to update" : "updated");
    size_t i;
    const json_t *t;

    if (dry_run) {
        print_safe(stdout, text_of(r, "sql"));
        (void)putchar('\n');
    }
    json_array_foreach (json_object_get(r, "tables"), i, t) {
        (void)printf("%s%s: %lld %s, %lld %s, %lld as they should be", text_of(t, "table"),
                     json_is_true(json_object_get(t, "created")) ? " (made again)" : "",
                     number_of(t, "inserted"), insert, number_of(t, "updated"), update,
                     number_of(t, "same"));
        if (number_of(t, "kept")) {
            (void)printf(", %lld left alone: somebody else changed them since",
                         number_of(t, "kept"));
        }
        if (number_of(t, "lost")) {
            (void)printf(", %lld not put back: a value was too large ever to be kept",
                         number_of(t, "lost"));
        }
        (void)putchar('\n');
    }
    if (dry_run) {
        (void)printf("Nothing was changed. Do it: holdfast restore %s\n", text_of(r, "source"));
    }
}

static void print_status(const json_t *s)
{
    size_t i;
    const json_t *v;

    (void)printf(
        "%s%s\n",
        json_is_true(json_object_get(s, "healthy")) ? "All is well."
                                                    : "Something needs a look: holdfast doctor",
        json_is_true(json_object_get(s, "paused")) ? " Sync is paused (holdfast resume)." : "");
    (void)printf("memories %lld (%lld deleted), changes %lld, sessions %lld, projects %lld\n",
                 number_of(s, "memories"), number_of(s, "deleted"), number_of(s, "changes"),
                 number_of(s, "sessions"), number_of(s, "projects"));
    (void)printf("alerts open %lld, waiting to be sent %lld, dead letters %lld\n",
                 number_of(s, "alerts_open"), number_of(s, "queue_size"),
                 number_of(s, "failed_count"));
    json_array_foreach (json_object_get(s, "vaults"), i, v) {
        (void)printf("vault %s (%s): %s, has %lld of %lld, lag %lld ms", text_of(v, "name"),
                     text_of(v, "kind"),
                     json_is_true(json_object_get(v, "connected")) ? "connected"
                     : text_of(v, "error")[0] || json_is_true(json_object_get(v, "paused"))
                         ? "NOT connected"
                         : "connecting",
                     number_of(v, "acked_seq"), number_of(v, "head_seq"), number_of(v, "lag_ms"));
        if (text_of(v, "error")[0]) {
            (void)printf("\n  ");
        }
        print_safe(stdout, text_of(v, "error"));
        if (number_of(v, "elsewhere") > 0) {
            (void)printf("\n  it holds %lld changes of other installations that are not here: "
                         "holdfast recover --from %s --dry-run shows what comes back",
                         number_of(v, "elsewhere"), text_of(v, "name"));
        }
        (void)putchar('\n');
    }
    if (json_array_size(json_object_get(s, "vaults")) == 0) {
        (void)printf("no vault: holdfast init --vault file:PATH\n");
    }
    print_sources(json_object_get(s, "sources"));
}

static void print_recovery(const json_t *r)
{
    const char *project;
    json_t *p;

    (void)printf("%s %lld memories from %s in %lld ms (%lld already here, %lld conflicts).\n",
                 json_is_true(json_object_get(r, "dry_run")) ? "Would recover" : "Recovered",
                 number_of(r, "recovered_count"), text_of(r, "from"), number_of(r, "duration_ms"),
                 number_of(r, "skipped_count"), number_of(r, "conflict_count"));
    if (number_of(r, "taken_away_count") + number_of(r, "overwritten_count")) {
        (void)printf("It %s %lld memories and %s %lld.\n",
                     json_is_true(json_object_get(r, "dry_run")) ? "would take away" : "took away",
                     number_of(r, "taken_away_count"),
                     json_is_true(json_object_get(r, "dry_run")) ? "overwrite" : "overwrote",
                     number_of(r, "overwritten_count"));
    }
    json_object_foreach (json_object_get(r, "projects"), project, p) {
        (void)printf("  ");
        print_safe(stdout, project);
        (void)printf(
            ": %lld (%lld new, %lld newer, %lld taken back), %lld skipped, %lld conflicts; "
            "%lld taken away, %lld overwritten\n",
            number_of(p, "recovered"), number_of(p, "new"), number_of(p, "newer"),
            number_of(p, "taken_back"), number_of(p, "skipped"), number_of(p, "conflicts"),
            number_of(p, "taken_away"), number_of(p, "overwritten"));
    }
    size_t i;
    json_t *gap;
    json_array_foreach (json_object_get(r, "damage"), i, gap) {
        (void)printf("  DAMAGED in the vault: ");
        print_safe(stdout, text_of(gap, "where"));
        if (number_of(gap, "to") >= number_of(gap, "from")) {
            (void)printf(" (changes %lld to %lld of origin %s are lost there)",
                         number_of(gap, "from"), number_of(gap, "to"), text_of(gap, "origin"));
        }
        (void)putchar('\n');
    }
    json_array_foreach (json_object_get(r, "gaps"), i, gap) {
        (void)printf("  not in the vault: changes %lld to %lld of origin %s, which it never could "
                     "take or has lost; everything else is here. They may be in another vault.\n",
                     number_of(gap, "from"), number_of(gap, "to"), text_of(gap, "origin"));
    }
    if (!json_is_true(json_object_get(r, "dry_run")) && number_of(r, "recovered_count")) {
        (void)printf("Take it back with: holdfast recover --undo\n");
    }
}

static void print_undo(const json_t *r)
{
    (void)printf("The recovery of %lld memories was taken back in %lld ms: they are as they were "
                 "before it, but for what was written since.\n",
                 number_of(r, "recovered_count"), number_of(r, "duration_ms"));
}

static void print_verify(const json_t *v)
{
    const json_t *bad = json_object_get(v, "first_bad");

    (void)printf("%s: %lld changes checked.\n",
                 json_is_true(json_object_get(v, "ok")) ? "Intact" : "DAMAGED",
                 number_of(v, "changes"));
    if (json_is_object(bad)) {
        (void)printf("First bad: ");
        if (text_of(bad, "origin")[0]) {
            (void)printf("origin %s, seq %lld: ", text_of(bad, "origin"), number_of(bad, "seq"));
        }
        print_safe(stdout, text_of(bad, "reason"));
        (void)putchar('\n');
    }
}

void print_document(const struct op *op, const json_t *d)
{
    if (strcmp(op->name, "remember") == 0) {
        (void)printf("Remembered %s (version %lld, %s).\n", text_of(d, "id"),
                     number_of(d, "sync_version"), text_of(d, "sync_status"));
    } else if (strcmp(op->name, "forget") == 0) {
        (void)printf("Forgotten %s (%s). Every version is kept: holdfast show %s --history\n",
                     text_of(d, "id"), text_of(d, "sync_status"), text_of(d, "id"));
    } else if (strcmp(op->name, "get_memory") == 0) {
        print_memory(d);
    } else if (strcmp(op->name, "get_sync_status") == 0) {
        print_status(d);
    } else if (strcmp(op->name, "recover") == 0) {
        print_recovery(d);
    } else if (strcmp(op->name, "recover_undo") == 0) {
        print_undo(d);
    } else if (strcmp(op->name, "restore") == 0) {
        print_restore(d);
    } else if (strcmp(op->name, "verify") == 0) {
        print_verify(d);
    } else if (strcmp(op->name, "sync_now") == 0) {
        (void)printf("Synced %lld changes in %lld ms; %lld wait, %lld dead letters.\n",
                     number_of(d, "synced"), number_of(d, "duration_ms"),
                     number_of(d, "queue_size"), number_of(d, "failed"));
    } else if (strcmp(op->name, "current_project") == 0) {
        (void)printf("%s (by %s)\n", text_of(d, "project_id"), text_of(d, "because"));
    } else if (strcmp(op->name, "pause_sync") == 0) {
        (void)printf(
            "Sync is paused; memories are still kept in the ledger. Go on with: holdfast resume\n");
    } else if (strcmp(op->name, "resume_sync") == 0) {
        (void)printf("Sync goes on.\n");
    } else {
        (void)json_dumpf(d, stdout, JSON_INDENT(2) | JSON_SORT_KEYS), (void)putchar('\n');
    }
}
