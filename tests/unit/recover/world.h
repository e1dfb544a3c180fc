/*
 * world - a home, a file vault beside it, and recoveries in one line, for the tests of recover.
 */
#ifndef HOLDFAST_TESTS_UNIT_RECOVER_WORLD_H
#define HOLDFAST_TESTS_UNIT_RECOVER_WORLD_H

#include "ledger/home.h"
#include "recover/recover.h"

struct world {
    struct home home; /* first: the helpers of ledger/home.h take it */
    char *root;       /* holds home and vault */
    char *vault_path;
    char *vault_spec;
    struct vault *vault;
    struct index *index; /* NULL: none was started */
    struct wake *cancel;
    struct uuid left_out; /* an origin that is not sent; nil: none */
    uint64_t gaps[4];     /* of this installation's changes: what the vault can't take */
};

#define MINUTE_MS (60 * 1000)

/* ---- the vault ---- */

static inline void vault_open_on(struct world *world, bool read_only)
{
    struct err err = ERR_INIT;
    struct vault_options options = {.name = "test",
                                    .target = world->vault_path,
                                    .installation = ledger_origin(world->home.ledger),
                                    .env = &world->home.env.env,
                                    .read_only = read_only};

    assert_ok(vault_file_ops.open(&options, &world->vault, &err), &err);
}

static inline void vault_shut(struct world *world)
{
    if (world->vault != NULL) {
        world->vault->ops->close(world->vault);
        world->vault = NULL;
    }
}

struct sending {
    struct vault_item items[500];
    size_t count;
    struct world *world;
    struct uuid origin;
};

static inline void send_items(struct sending *sending)
{
    struct err err = ERR_INIT;
    struct vault *vault = sending->world->vault;
    struct vault_batch batch = {sending->origin, sending->items, sending->count};

    if (sending->count > 0) {
        assert_ok(vault->ops->append(vault, &batch, deadline_in(60000), &err), &err);
    }
    for (size_t i = 0; i < sending->count; i++) {
        free((void *)(uintptr_t)sending->items[i].record.ptr);
    }
    sending->count = 0;
}

static inline bool is_gap(const struct world *world, uint64_t seq)
{
    for (size_t i = 0; i < sizeof(world->gaps) / sizeof(world->gaps[0]); i++) {
        if (world->gaps[i] == seq) {
            return true;
        }
    }
    return false;
}

static inline int send_change(void *arg, const struct change *change, struct err *err)
{
    struct sending *sending = arg;
    struct uuid own = ledger_origin(sending->world->home.ledger);
    struct vault_item *item = &sending->items[sending->count++];

    (void)err;
    *item = (struct vault_item){.seq = change->seq, .prev = change->prev, .hash = change->hash};
    if (!uuid_eq(&own, &change->origin) || !is_gap(sending->world, change->seq)) {
        item->record =
            (struct str){xstrndup(change->record.ptr, change->record.len), change->record.len};
    }
    if (sending->count == sizeof(sending->items) / sizeof(sending->items[0])) {
        send_items(sending);
    }
    return 0;
}

/* Everything that the ledger has is in the vault afterwards. */
static inline void sync_all(struct world *world)
{
    AUTO(free_ptr) struct head *heads = NULL;
    AUTO(free_ptr) struct sending *sending = xcalloc(1, sizeof(*sending));
    struct reader *reader;
    struct err err = ERR_INIT;
    size_t count;

    vault_shut(world);
    vault_open_on(world, false);
    assert_ok(read_begin(world->home.ledger, &reader, &err), &err);
    assert_ok(read_heads(reader, &heads, &count, &err), &err);
    sending->world = world;
    for (size_t i = 0; i < count; i++) {
        if (uuid_eq(&heads[i].origin, &world->left_out)) {
            continue;
        }
        sending->origin = heads[i].origin;
        assert_ok(read_changes(reader, &heads[i].origin, 0, SIZE_MAX, send_change, sending, &err),
                  &err);
        send_items(sending);
    }
    read_end(reader);
    vault_shut(world);
}

/* ---- life ---- */

static inline void index_on(struct world *world)
{
    struct err err = ERR_INIT;

    assert_ok(index_start(world->home.ledger, &world->index, &err), &err);
}

static inline void world_close(struct world *world)
{
    vault_shut(world);
    index_stop(world->index);
    world->index = NULL;
    home_close(&world->home);
}

static inline int world_setup(void **state)
{
    struct world *world = xcalloc(1, sizeof(*world));
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    world->root = xprintf("%s/hf-recover-XXXXXX", tmp);
    assert_non_null(mkdtemp(world->root));
    (void)snprintf(world->home.path, sizeof(world->home.path), "%s/home", world->root);
    world->vault_path = path_join(world->root, "vault");
    world->vault_spec = xprintf("file:%s", world->vault_path);
    env_fake_init(&world->home.env, HOME_NOW_US, 42);
    home_open(&world->home);
    *state = world;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;
    struct err err = ERR_INIT;

    world_close(world);
    assert_ok(file_remove_tree(world->root, &err), &err);
    free(world->vault_path);
    free(world->vault_spec);
    free(world->root);
    free(world);
    return 0;
}

/* rm -rf of the home, and a home made anew in its place. */
static inline void wreck(struct world *world)
{
    struct err err = ERR_INIT;

    world_close(world);
    assert_ok(file_remove_tree(world->home.path, &err), &err);
    home_open(&world->home);
}

static inline void restart(struct world *world)
{
    struct err err = ERR_INIT;

    world_close(world);
    assert_ok(recover_clean(world->home.path, &err), &err);
    home_open(&world->home);
}

/* ---- memories ---- */

struct text {
    unsigned id;
    const char *project;
    unsigned session; /* 0: none */
    const char *content;
};

static inline int put_text_result(struct world *world, struct text text, struct err *err)
{
    AUTO(memory_done) struct memory memory = memory_of(text.content);
    struct written written;

    free(memory.project_id);
    memory.project_id = xstrdup(text.project);
    memory.id = id_of(text.id);
    if (text.session != 0) {
        memory.session_id = id_of(1000000 + text.session);
    }
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = "test"};
    int result = ledger_write(world->home.ledger, &draft, 1, false, &written, err);
    if (result == 0 && written.code != ERR_NONE) {
        result = err_set(err, written.code, "%s", written.message);
    }
    written_done(&written, 1);
    return result;
}

static inline void put_text(struct world *world, struct text text)
{
    struct err err = ERR_INIT;

    assert_ok(put_text_result(world, text, &err), &err);
}

/* Memories 1..count: odd ones in project "odd", even ones in "even", a session for each ten. */
static inline void put_many(struct world *world, unsigned count)
{
    for (unsigned i = 1; i <= count; i++) {
        AUTO(free_ptr) char *content = xprintf("memory number %u", i);
        put_text(world, (struct text){i, i % 2 == 1 ? "odd" : "even", 1 + i / 10, content});
    }
}

/* ---- what there is, as one hash for each memory ---- */

struct snapshot {
    struct sha256 hash; /* over all of them in order */
    size_t memories;    /* alive */
    size_t deleted;
};

static inline int snap_memory(void *arg, const struct memory *memory,
                              const struct memory_state *state, struct err *err)
{
    struct snapshot *snapshot = arg;
    AUTO(json_unref) json_t *object = memory_to_json(memory);
    AUTO(buf_done) struct buf text = BUF_INIT(4 * CHANGE_RECORD_MAX);

    (void)state;
    assert_ok(json_canonical(object, &text, err), err);
    snapshot->hash =
        sha256_of2(snapshot->hash.bytes, sizeof(snapshot->hash.bytes), text.data, text.len);
    snapshot->memories += memory->deleted_us == TIME_NONE ? 1 : 0;
    snapshot->deleted += memory->deleted_us == TIME_NONE ? 0 : 1;
    return 0;
}

static inline struct snapshot snap_of(struct reader *reader)
{
    struct memory_filter filter = MEMORY_FILTER_INIT;
    struct snapshot snapshot = {.memories = 0};
    struct err err = ERR_INIT;

    filter.with_deleted = true;
    assert_ok(read_memories(reader, &filter, snap_memory, &snapshot, &err), &err);
    return snapshot;
}

static inline struct snapshot snap(struct world *world)
{
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(read_begin(world->home.ledger, &reader, &err), &err);
    struct snapshot snapshot = snap_of(reader);
    read_end(reader);
    return snapshot;
}

static inline void assert_same_state(struct snapshot a, struct snapshot b)
{
    assert_int_equal(a.memories, b.memories);
    assert_int_equal(a.deleted, b.deleted);
    assert_memory_equal(&a.hash, &b.hash, sizeof(a.hash));
}

/* The head of an origin; must be there. */
static inline struct head head_of(struct world *world, const struct uuid *origin)
{
    AUTO(free_ptr) struct head *heads = NULL;
    struct head found = {.seq = 0};
    struct reader *reader;
    struct err err = ERR_INIT;
    size_t count;

    assert_ok(read_begin(world->home.ledger, &reader, &err), &err);
    assert_ok(read_heads(reader, &heads, &count, &err), &err);
    read_end(reader);
    for (size_t i = 0; i < count; i++) {
        if (uuid_eq(&heads[i].origin, origin)) {
            found = heads[i];
        }
    }
    return found;
}

/* Nothing but the live ledger is left of a recovery. */
static inline void assert_staging_empty(struct world *world)
{
    AUTO(free_ptr) char *staging = path_join(world->home.path, "staging");
    AUTO(free_ptr) char *command = xprintf("test -z \"$(ls -A '%s' 2>/dev/null)\"", staging);

    assert_int_equal(system(command), 0);
}

/* ---- recoveries ---- */

static inline struct recover_request all(void)
{
    return (struct recover_request){
        .since_us = TIME_NONE, .at_us = TIME_NONE, .source = "test:recover"};
}

static inline int run_recovery(struct world *world, const struct recover_request *request,
                               struct recover_report *ret, struct err *err)
{
    if (world->vault == NULL) {
        vault_open_on(world, true);
    }
    struct recover_context context = {.ledger = world->home.ledger,
                                      .index = world->index,
                                      .vault = world->vault,
                                      .vault_spec = world->vault_spec,
                                      .cancel = world->cancel};
    int result = recover_run(&context, request, ret, err);
    vault_shut(world);
    return result;
}

/* It must succeed. recover_report_done is the caller's. */
static inline struct recover_report recovered(struct world *world,
                                              const struct recover_request *request)
{
    struct recover_report report;
    struct err err = ERR_INIT;

    assert_ok(run_recovery(world, request, &report, &err), &err);
    assert_staging_empty(world);
    (void)assert_verifies(&world->home);
    return report;
}

/* Recover, and expect these counts. */
static inline struct uuid expect_counts(struct world *world, const struct recover_request *request,
                                        uint64_t recovered_count, uint64_t skipped,
                                        uint64_t conflicts)
{
    AUTO(recover_report_done) struct recover_report report = recovered(world, request);
    uint64_t sum = 0;

    for (size_t i = 0; i < report.project_count; i++) {
        const struct recover_project *project = &report.projects[i];
        assert_int_equal(project->recovered, project->fresh + project->newer + project->taken_back);
        sum += project->recovered;
    }
    assert_int_equal(sum, report.recovered_count);
    assert_int_equal(report.recovered_count, recovered_count);
    assert_int_equal(report.skipped_count, skipped);
    assert_int_equal(report.conflict_count, conflicts);
    return report.id;
}

/* The same by a dry run first, which changes nothing. */
static inline struct uuid expect_planned(struct world *world, struct recover_request request,
                                         uint64_t recovered_count, uint64_t skipped,
                                         uint64_t conflicts)
{
    struct snapshot before = snap(world);
    uint64_t changes = assert_verifies(&world->home);

    request.dry_run = true;
    struct uuid id = expect_counts(world, &request, recovered_count, skipped, conflicts);
    assert_true(uuid_is_nil(&id));
    assert_same_state(before, snap(world));
    assert_int_equal(assert_verifies(&world->home), changes);
    request.dry_run = false;
    return expect_counts(world, &request, recovered_count, skipped, conflicts);
}

static inline void undo(struct world *world, const struct uuid *id, uint64_t expected)
{
    struct recover_report report;
    struct err err = ERR_INIT;

    assert_ok(recover_undo(world->home.ledger, id, "test:undo", NULL, &report, &err), &err);
    assert_int_equal(report.recovered_count, expected);
    recover_report_done(&report);
    (void)assert_verifies(&world->home);
}

#endif
