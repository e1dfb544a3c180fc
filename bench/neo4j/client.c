/*
 * client - the graph vault's statements through libholdfast-bolt: what client.py and client.go do
 * with the official drivers. bench/neo4j_figures.py runs the three in turn.
 *
 *   client statements            all statements as one JSON document, which the others use
 *   client write FOLDER URI BATCH    the memories of FOLDER, BATCH a transaction
 *   client read FOLDER URI STATEMENT    all records that it gives, each field taken out
 *
 * FOLDER has rows.jsonl (a memory a line) and vectors.f32 (DIMENSIONS little-endian floats each);
 * NEO4J_PASSWORD is in the environment. Printed is one JSON document: how many, the seconds and the
 * CPU seconds (user and system, all threads) of the work itself: from the first request on a
 * connection that is open, with the memories in memory, to the last reply.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <holdfast/bolt.h>
#include <jansson.h>

#include "vault/neo4j_statement.h"

#define DIMENSIONS 384
#define WAIT_MS 300000
#define TX_IN_FLIGHT 2 /* one is worked on, one waits at the server */

/* What is asked for by `read`; not said by the vault, so not in its list. */
#define READ_PLAIN                                                                                 \
    "MATCH (m:Memory) WHERE m.content IS NOT NULL RETURN m.id AS id, m.content AS content,"        \
    " m.memory_type AS type, m.source_project AS project, m.session_id AS session, m.tags AS "     \
    "tags,"                                                                                        \
    " m.importance AS importance, m.created_at AS created_at"
#define READ_VECTORS READ_PLAIN ", m.embedding AS embedding"

struct row {
    int64_t seq;
    int64_t at_us;
    struct bolt_string id;
    struct bolt_string project_id;
    struct bolt_string session_id;
    struct bolt_string content;
    struct bolt_string prev;
    struct bolt_string hash;
    struct bolt_string record;
    const float *vector;
};

struct rows {
    struct row *items;
    size_t count;
    json_t **lines; /* hold the texts */
    float *vectors;
    struct bolt_string origin;
};

struct work {
    double began_s;
    double cpu_s;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "client: %s: %s\n", what, why);
    exit(1);
}

static void must(int rc, const char *what, const struct bolt_error *error)
{
    if (rc < 0) {
        fail(what, error->message);
    }
}

/* ---- the clock ---- */

static double seconds_of(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static double cpu_s(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage); /* it fails for bad arguments only */
    return seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
}

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* always there */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct work work_begin(void)
{
    return (struct work){now_s(), cpu_s()};
}

static void work_end(const struct work *work, size_t count, double sum)
{
    printf("{\"count\":%zu,\"elapsed_s\":%.6f,\"cpu_s\":%.6f,\"sum\":%.3f}\n", count,
           now_s() - work->began_s, cpu_s() - work->cpu_s, sum);
}

/* ---- the memories ---- */

static struct bolt_string text_of(const json_t *line, const char *key)
{
    const json_t *value = json_object_get(line, key);

    return (struct bolt_string){json_string_value(value), json_string_length(value)};
}

static void load_rows(const char *folder, struct rows *rows)
{
    char path[4096];
    json_error_t why;
    size_t room = 0;

    (void)snprintf(path, sizeof(path), "%s/rows.jsonl", folder);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail(path, "can't be read");
    }
    for (;;) {
        json_t *line = json_loadf(file, JSON_DISABLE_EOF_CHECK, &why);
        if (line == NULL) {
            break;
        }
        if (rows->count == room) {
            room = room == 0 ? 1024 : 2 * room;
            rows->items = realloc(rows->items, room * sizeof(*rows->items));
            rows->lines = realloc(rows->lines, room * sizeof(json_t *));
            if (rows->items == NULL || rows->lines == NULL) {
                fail(path, "no memory");
            }
        }
        rows->lines[rows->count] = line;
        rows->origin = text_of(line, "origin");
        rows->items[rows->count++] = (struct row){
            .seq = json_integer_value(json_object_get(line, "seq")),
            .at_us = json_integer_value(json_object_get(line, "at_us")),
            .id = text_of(line, "id"),
            .project_id = text_of(line, "project_id"),
            .session_id = text_of(line, "session_id"),
            .content = text_of(line, "content"),
            .prev = text_of(line, "prev"),
            .hash = text_of(line, "hash"),
            .record = text_of(line, "record"),
        };
    }
    (void)fclose(file);
}

static void load_vectors(const char *folder, struct rows *rows)
{
    char path[4096];
    size_t count = rows->count * DIMENSIONS;

    (void)snprintf(path, sizeof(path), "%s/vectors.f32", folder);
    FILE *file = fopen(path, "rb");
    rows->vectors = calloc(count + 1, sizeof(float));
    if (file == NULL || rows->vectors == NULL ||
        fread(rows->vectors, sizeof(float), count, file) != count) {
        fail(path, "can't be read");
    }
    (void)fclose(file);
    for (size_t i = 0; i < rows->count; i++) {
        rows->items[i].vector = rows->vectors + i * DIMENSIONS;
    }
}

static void rows_done(struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        json_decref(rows->lines[i]);
    }
    free(rows->lines);
    free(rows->items);
    free(rows->vectors);
}

/* ---- parameters: as the vault makes them ---- */

typedef void pack_fn(struct bolt_packer *p, const struct rows *rows, const struct row *row);

static void put_text(struct bolt_packer *p, const char *key, const char *text)
{
    bolt_pack_key(p, key);
    bolt_pack_text(p, text);
}

static void put_string(struct bolt_packer *p, const char *key, struct bolt_string text)
{
    bolt_pack_key(p, key);
    bolt_pack_string(p, text.data, text.size);
}

static void put_integer(struct bolt_packer *p, const char *key, int64_t value)
{
    bolt_pack_key(p, key);
    bolt_pack_integer(p, value);
}

static void put_time(struct bolt_packer *p, const char *key, int64_t us)
{
    bolt_pack_key(p, key);
    bolt_pack_datetime(p, us / 1000000, us % 1000000 * 1000, 0);
}

static void pack_added(struct bolt_packer *p, const struct rows *rows, const struct row *row)
{
    (void)rows;
    bolt_pack_map(p, 11);
    put_integer(p, "seq", row->seq);
    put_text(p, "op", "put");
    put_string(p, "id", row->id);
    put_integer(p, "version", 1);
    put_time(p, "at", row->at_us);
    put_text(p, "source", "bench");
    put_string(p, "project_id", row->project_id);
    put_string(p, "session_id", row->session_id);
    put_string(p, "prev", row->prev);
    put_string(p, "hash", row->hash);
    put_string(p, "record", row->record);
}

static void put_place(struct bolt_packer *p, const struct rows *rows, const struct row *row)
{
    put_string(p, "id", row->id);
    put_string(p, "origin", rows->origin);
    put_integer(p, "seq", row->seq);
}

static void pack_shown(struct bolt_packer *p, const struct rows *rows, const struct row *row)
{
    bolt_pack_map(p, 5);
    put_place(p, rows, row);
    put_integer(p, "sync_version", 1);
    bolt_pack_key(p, "fields");
    bolt_pack_map(p, 12);
    put_string(p, "content", row->content);
    put_text(p, "memory_type", "learning");
    bolt_pack_key(p, "importance");
    bolt_pack_float(p, 0.5);
    put_string(p, "source_project", row->project_id);
    put_string(p, "session_id", row->session_id);
    bolt_pack_key(p, "tags");
    bolt_pack_list(p, 2);
    bolt_pack_text(p, "bench");
    bolt_pack_text(p, "speed");
    put_text(p, "scope", "project");
    put_text(p, "metadata", "{}");
    put_text(p, "task_id", NULL);
    put_time(p, "created_at", row->at_us);
    put_time(p, "updated_at", row->at_us);
    put_text(p, "deleted_at", NULL);
}

static void pack_in_session(struct bolt_packer *p, const struct rows *rows, const struct row *row)
{
    bolt_pack_map(p, 5);
    put_place(p, rows, row);
    put_string(p, "session_id", row->session_id);
    put_string(p, "project_id", row->project_id);
}

static void pack_embedding(struct bolt_packer *p, const struct rows *rows, const struct row *row)
{
    bolt_pack_map(p, 7);
    put_string(p, "id", row->id);
    put_string(p, "origin", rows->origin);
    put_integer(p, "version", 1);
    put_time(p, "at", row->at_us);
    put_text(p, "model", "bench");
    put_text(p, "digest", "bench");
    bolt_pack_key(p, "vector");
    bolt_pack_floats(p, row->vector, DIMENSIONS);
}

static void pack_id(struct bolt_packer *p, const struct rows *rows, const struct row *row)
{
    bolt_pack_map(p, 3);
    put_place(p, rows, row);
}

/* A transaction: what the vault says of new memories that have embeddings. */
static const struct {
    enum neo4j_statement statement;
    pack_fn *pack; /* NULL: of the origin alone */
} statements[] = {
    {NEO4J_ORIGIN_LOCK, NULL},
    {NEO4J_ADD_OF_MEMORY, pack_added},
    {NEO4J_SHOW_MEMORY, pack_shown},
    {NEO4J_SHOW_IN_SESSION, pack_in_session},
    {NEO4J_SHOW_EMBEDDING, pack_embedding},
    {NEO4J_COUNT_SESSIONS, pack_id},
};

/* ---- write ---- */

static struct bolt_connection *open_connection(const char *uri)
{
    struct bolt_error error;
    struct bolt_connection *connection = NULL;
    struct bolt_options options = {
        .uri = uri,
        .auth = {.scheme = "basic", .principal = "neo4j", .credentials = getenv("NEO4J_PASSWORD")},
        .fetch_size = BOLT_ALL,
    };

    must(bolt_open(&options, bolt_deadline_in(WAIT_MS), &connection, &error), "open", &error);
    return connection;
}

static void pack_rows(struct bolt_packer *p, pack_fn *pack, const struct rows *rows, size_t from,
                      size_t to)
{
    bolt_packer_reset(p);
    bolt_pack_map(p, 4);
    put_string(p, "origin", rows->origin);
    put_integer(p, "copy", 1);
    put_text(p, "kind", "memory");
    bolt_pack_key(p, "rows");
    bolt_pack_list(p, pack == NULL ? 0 : to - from);
    for (size_t i = from; pack != NULL && i < to; i++) {
        pack(p, rows, &rows->items[i]);
    }
}

static void send_transaction(struct bolt_connection *c, struct bolt_packer *p,
                             const struct rows *rows, size_t from, size_t to)
{
    static const struct bolt_tx_options OPTIONS = {.mode = BOLT_WRITE, .database = "neo4j"};
    struct bolt_error error;

    must(bolt_send_begin(c, &OPTIONS, NULL, &error), "begin", &error);
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        pack_rows(p, statements[i].pack, rows, from, to);
        must(bolt_send_run(c, neo4j_statement_text(statements[i].statement), p, NULL, NULL, &error),
             "run", &error);
        must(bolt_send_discard(c, BOLT_ALL, BOLT_LAST_QUERY, NULL, &error), "discard", &error);
    }
    must(bolt_send_commit(c, NULL, &error), "commit", &error);
}

static void await_commit(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_reply reply;

    do {
        must(bolt_receive(c, &reply, bolt_deadline_in(WAIT_MS), &error), "write", &error);
    } while (reply.request != BOLT_REQUEST_COMMIT);
}

static void run_write(const char *folder, const char *uri, size_t batch)
{
    struct rows rows = {.count = 0};
    struct bolt_packer packer;
    size_t in_flight = 0;

    load_rows(folder, &rows);
    load_vectors(folder, &rows);
    struct bolt_connection *c = open_connection(uri);
    bolt_packer_init(&packer, 0);
    struct work work = work_begin();
    for (size_t from = 0; from < rows.count; from += batch) {
        size_t left = rows.count - from;
        send_transaction(c, &packer, &rows, from, from + (left < batch ? left : batch));
        if (++in_flight == TX_IN_FLIGHT) {
            await_commit(c);
            in_flight--;
        }
    }
    for (; in_flight > 0; in_flight--) {
        await_commit(c);
    }
    work_end(&work, rows.count, 0);
    bolt_packer_done(&packer);
    bolt_close(c);
    rows_done(&rows);
}

/* ---- read ---- */

/* Every field as what a program uses: texts as they lie there, a time, numbers in an array. */
static double take_record(const struct bolt_record *record)
{
    float vector[DIMENSIONS];
    struct bolt_time created;
    struct bolt_value tag;
    double sum = 0;

    for (size_t i = 0; i < record->count; i++) {
        const struct bolt_value *value = &record->values[i];
        if (value->type == BOLT_STRING) {
            sum += value->count;
        } else if (value->type == BOLT_FLOAT) {
            sum += value->as.real;
        } else if (bolt_value_time(value, &created)) {
            sum += (double)(created.seconds % 1000);
        } else if (bolt_list_floats(value, vector, DIMENSIONS)) {
            sum += (double)vector[0] + (double)vector[DIMENSIONS - 1];
        } else {
            struct bolt_iter iter = bolt_iter_of(value);
            while (bolt_iter_next(&iter, &tag)) {
                sum += (double)bolt_value_string(&tag).size;
            }
        }
    }
    return sum;
}

static void run_read(const char *uri, const char *query)
{
    static const struct bolt_tx_options OPTIONS = {.mode = BOLT_READ, .database = "neo4j"};
    struct bolt_error error;
    struct bolt_record record;
    struct bolt_connection *c = open_connection(uri);
    int64_t deadline = bolt_deadline_in(WAIT_MS);
    size_t count = 0;
    double sum = 0;
    int rc;

    struct work work = work_begin();
    must(bolt_run(c, query, NULL, &OPTIONS, deadline, &error), "run", &error);
    while ((rc = bolt_next(c, &record, deadline, &error)) == 1) {
        sum += take_record(&record);
        count++;
    }
    must(rc, "read", &error);
    work_end(&work, count, sum);
    bolt_close(c);
}

/* ---- statements ---- */

static void print_statements(void)
{
    json_t *all = json_object();
    json_t *transaction = json_array();

    for (int i = 0; i < NEO4J_STATEMENTS; i++) {
        json_object_set_new(all, neo4j_statement_name((enum neo4j_statement)i),
                            json_string(neo4j_statement_text((enum neo4j_statement)i)));
    }
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        json_array_append_new(transaction,
                              json_string(neo4j_statement_name(statements[i].statement)));
    }
    json_object_set_new(all, "READ_PLAIN", json_string(READ_PLAIN));
    json_object_set_new(all, "READ_VECTORS", json_string(READ_VECTORS));
    json_object_set_new(all, "TRANSACTION", transaction);
    (void)json_dumpf(all, stdout, JSON_INDENT(1));
    json_decref(all);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "statements") == 0) {
        print_statements();
    } else if (argc == 5 && strcmp(what, "write") == 0) {
        run_write(argv[2], argv[3], strtoul(argv[4], NULL, 10));
    } else if (argc == 5 && strcmp(what, "read") == 0) {
        run_read(argv[3], strcmp(argv[4], "READ_VECTORS") == 0 ? READ_VECTORS : READ_PLAIN);
    } else {
        fprintf(stderr, "usage: client statements | write FOLDER URI BATCH | read FOLDER URI "
                        "READ_PLAIN|READ_VECTORS\n");
        return 2;
    }
    return 0;
}
