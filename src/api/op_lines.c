/*
 * remember_lines: a stream of memory objects, one a line. Lines are parsed in batches while the
 * batch before is being written on a thread of its own, so that both cores work.
 */
#include <pthread.h>

#include "api/handlers.h"

#define LINES_BATCH 2000 /* memories in one ledger_write */
#define LINE_MAX_BYTES SERVER_LINE_MAX
#define SERVER_LINE_MAX                                                                            \
    ((size_t)2 * 1024 * 1024) /* bytes of one line: the largest memory escaped, and room */

struct batch {
    struct memory *memories;
    struct draft *drafts;
    struct written *written;
    uint64_t *numbers; /* line numbers */
    bool *joins;       /* the line names no session: it is of the caller's */
    size_t count;
    size_t capacity;
};

struct import {
    const struct op_call *call;
    struct op_reply *reply;
    char *project; /* of lines that name none */
    bool atomic;
    bool quiet;
    uint64_t imported, unchanged, failed, held;
    struct batch batches[2];
    struct batch *writing; /* on the thread; NULL when none runs */
    pthread_t thread;
    int thread_rc;
    struct err thread_err;
};

static void batch_reset(struct batch *batch)
{
    written_done(batch->written, batch->count);
    for (size_t i = 0; i < batch->count; i++) {
        memory_done(&batch->memories[i]);
    }
    batch->count = 0;
}

static void batch_done(struct batch *batch)
{
    batch_reset(batch);
    free(batch->memories);
    free(batch->drafts);
    free(batch->written);
    free(batch->numbers);
    free(batch->joins);
}

static struct memory *batch_next(struct batch *batch)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : LINES_BATCH;
        batch->memories = xrealloc(batch->memories, batch->capacity * sizeof(*batch->memories));
        batch->drafts = xrealloc(batch->drafts, batch->capacity * sizeof(*batch->drafts));
        batch->written = xrealloc(batch->written, batch->capacity * sizeof(*batch->written));
        batch->numbers = xrealloc(batch->numbers, batch->capacity * sizeof(*batch->numbers));
        batch->joins = xrealloc(batch->joins, batch->capacity * sizeof(*batch->joins));
    }
    batch->written[batch->count] = (struct written){.code = ERR_NONE}; /* not written yet */
    return &batch->memories[batch->count];
}

/* One bad line: told by its number; with atomic it is the end. */
static int line_failed(struct import *import, uint64_t number, const struct err *why,
                       struct err *err)
{
    if (import->atomic) {
        return err_set(err, why->code, "line %llu: %s; nothing was imported (atomic)",
                       (unsigned long long)number, why->message);
    }
    import->failed++;
    AUTO(json_unref)
    json_t *answer = json_pack("{s:I,s:s,s:s}", "line", (json_int_t)number, "error",
                               err_name((int)why->code), "message", why->message);
    return spool_add_json(&import->reply->lines, answer, err);
}

static int line_written(struct import *import, uint64_t number, const struct written *written,
                        struct err *err)
{
    char id[UUID_TEXT_MAX];

    if (written->code != ERR_NONE) {
        struct err why = ERR_INIT;
        (void)err_set(&why, written->code, "%s",
                      written->message ? written->message : err_meaning((int)written->code));
        return line_failed(import, number, &why, err);
    }
    import->unchanged += written->unchanged;
    import->imported += !written->unchanged;
    import->held += written->held;
    if (import->quiet) {
        return 0;
    }
    uuid_format(&written->id, id);
    AUTO(json_unref)
    json_t *answer = json_pack("{s:s,s:I,s:I,s:s}", "id", id, "seq", (json_int_t)written->seq,
                               "sync_version", (json_int_t)written->version, "sync_status",
                               sync_status_of(import->call->engine, written->seq, written->held));
    return spool_add_json(&import->reply->lines, answer, err);
}

static void *write_batch(void *arg)
{
    struct import *import = arg;
    struct batch *batch = import->writing;

    import->thread_rc = ledger_write(import->call->engine->ledger, batch->drafts, batch->count,
                                     import->atomic, batch->written, &import->thread_err);
    return NULL;
}

/* Wait for the batch that is being written and answer for its lines. */
static int batch_finish(struct import *import, struct err *err)
{
    struct batch *batch = import->writing;
    int rc = 0;

    if (!batch) {
        return 0;
    }
    pthread_join(import->thread, NULL);
    import->writing = NULL;
    if (import->thread_rc != 0) {
        return err_copy(err, &import->thread_err);
    }
    for (size_t i = 0; i < batch->count && rc == 0; i++) {
        rc = line_written(import, batch->numbers[i], &batch->written[i], err);
    }
    batch_reset(batch);
    return rc;
}

/* The sessions of lines that name none: begun here, when nothing is wrong with any line of an
 * atomic import. */
static int join_sessions(struct import *import, struct batch *batch, struct err *err)
{
    struct tracker *tracker = import->call->engine->tracker;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < batch->count; i++) {
        struct memory *memory = &batch->memories[i];
        if (batch->joins[i]) {
            rc = tracker_current(tracker, &import->call->caller->agent, memory->project_id,
                                 &memory->session_id, err);
        }
    }
    return rc;
}

static int batch_start(struct import *import, struct batch *batch, struct err *err)
{
    if (batch_finish(import, err) != 0 || join_sessions(import, batch, err) != 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < batch->count; i++) {
        batch->drafts[i] = (struct draft){.kind = KIND_MEMORY,
                                          .op = OP_PUT,
                                          .memory = &batch->memories[i],
                                          .source = import->call->caller->source};
    }
    import->writing = batch;
    int rc = pthread_create(&import->thread, NULL, write_batch, import);
    if (rc != 0) {
        import->writing = NULL;
        return err_errno(err, ERR_INTERNAL, rc, "can't start a thread for the import");
    }
    return 0;
}

static int line_parse(struct import *import, struct str line, struct memory *ret, bool *ret_joins,
                      struct err *err)
{
    AUTO(json_unref) json_t *object = NULL;

    if (!line.ptr) {
        return err_set(err, ERR_LIMIT, "it has %zu bytes; at most %zu are allowed", line.len,
                       LINE_MAX_BYTES);
    }
    if (json_parse(line, &object, err) != 0 || memory_from_json(object, ret, err) != 0) {
        return -(int)err->code;
    }
    int rc = 0;
    if (!ret->project_id) {
        if (!import->project) {
            rc = call_project(import->call, &import->project, NULL, err);
        }
        ret->project_id = rc == 0 ? xstrdup(import->project) : NULL;
    }
    /* Left out means "mine" in that project; null means that it has none. */
    *ret_joins = !json_object_get(object, "session_id") && !json_object_get(object, "id");
    if (rc != 0) {
        memory_done(ret);
    }
    return rc;
}

static int import_lines(struct import *import, struct err *err)
{
    struct spool_lines lines;
    struct batch *batch = &import->batches[0];
    struct str line;
    bool more = false;
    int rc;

    spool_lines_init(&lines, import->call->body, LINE_MAX_BYTES);
    while ((rc = spool_lines_next(&lines, &line, &more, err)) == 0 && more) {
        struct err why = ERR_INIT;
        if (line.ptr && strspn(line.ptr, " \t\r\n") >= line.len) {
            continue;
        }
        struct memory *memory = batch_next(batch);
        if (line_parse(import, line, memory, &batch->joins[batch->count], &why) != 0) {
            if ((rc = line_failed(import, lines.number, &why, err)) != 0) {
                break;
            }
            continue;
        }
        batch->numbers[batch->count++] = lines.number;
        if (import->atomic && batch->count > LEDGER_REQUEST_MAX) {
            rc = err_set(err, ERR_LIMIT,
                         "an atomic import takes at most %d memories; nothing was imported",
                         LEDGER_REQUEST_MAX);
            break;
        }
        if (import->atomic || batch->count < LINES_BATCH) {
            continue;
        }
        if ((rc = batch_start(import, batch, err)) != 0) {
            break;
        }
        batch = batch == &import->batches[0] ? &import->batches[1] : &import->batches[0];
    }
    spool_lines_done(&lines);
    if (rc == 0 && batch->count) {
        rc = batch_start(import, batch, err);
    }
    return rc;
}

int op_remember_lines(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct import import = {.call = call,
                            .reply = reply,
                            .atomic = call_bool(call, "atomic"),
                            .quiet = call_bool(call, "quiet")};
    struct err late = ERR_INIT;

    if (engine_may_write(call->engine, err) != 0) {
        return -(int)err->code;
    }
    int rc = import_lines(&import, err);
    if (batch_finish(&import, rc == 0 ? err : &late) != 0 && rc == 0) {
        rc = -(int)err->code;
    }
    batch_done(&import.batches[0]);
    batch_done(&import.batches[1]);
    free(import.project);
    if (rc != 0) {
        return rc;
    }
    AUTO(json_unref)
    json_t *counts = json_pack("{s:I,s:I,s:I,s:I}", "imported", (json_int_t)import.imported,
                               "unchanged", (json_int_t)import.unchanged, "failed",
                               (json_int_t)import.failed, "held", (json_int_t)import.held);
    return import.quiet ? spool_add_json(&reply->lines, counts, err) : 0;
}
