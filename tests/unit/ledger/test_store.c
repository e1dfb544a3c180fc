/* The store on its own: bulk imports, sealing, marks, rollbacks. */
#include "ledger/chain.h"

struct place {
    char path[64];
    struct env_fake env;
    struct chain a;
    struct store *store;
};

static int setup(void **state)
{
    struct place *place = xcalloc(1, sizeof(*place));

    (void)snprintf(place->path, sizeof(place->path), "%s/hf-store-XXXXXX", home_tmp());
    assert_non_null(mkdtemp(place->path));
    env_fake_init(&place->env, HOME_NOW_US, 7);
    chain_init(&place->a, 1);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    store_close(place->store);
    assert_ok(file_remove_tree(place->path, &err), &err);
    chain_done(&place->a);
    free(place);
    return 0;
}

static void open_store(struct place *place, enum store_mode mode)
{
    struct err err = ERR_INIT;

    assert_ok(store_open(place->path, mode, &place->env.env, &place->store, &err), &err);
}

static void close_store(struct place *place)
{
    store_close(place->store);
    place->store = NULL;
}

static void begin(struct place *place)
{
    struct err err = ERR_INIT;

    assert_ok(store_begin(place->store, &err), &err);
}

static void commit(struct place *place)
{
    struct err err = ERR_INIT;

    assert_ok(store_commit(place->store, &err), &err);
}

static void take(struct place *place, const struct change *change)
{
    struct err err = ERR_INIT;
    bool new = false;

    assert_ok(store_import(place->store, change, &new, &err), &err);
    assert_true(new);
}

static uint64_t head_of(struct place *place)
{
    struct sha256 hash;

    return store_head(place->store, &place->a.origin, &hash);
}

static struct ledger_counts look(struct place *place)
{
    struct verify_result result;
    struct ledger_counts counts;
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(read_folder(place->path, &reader, &err), &err);
    assert_ok(read_verify(reader, &result, &err), &err);
    assert_true(result.ok);
    assert_ok(read_counts(reader, &counts, &err), &err);
    read_end(reader);
    return counts;
}

/* ---- bulk ---- */

static void a_bulk_import_is_whole_once_it_is_sealed(void **state)
{
    struct place *place = *state;
    unsigned batch = unit_times(500);
    unsigned memories = 10 * batch;
    unsigned changes = memories + (memories + 2) / 3;
    struct err err = ERR_INIT;

    open_store(place, STORE_BULK);
    for (unsigned i = 0; i < 10; i++) {
        begin(place);
        for (unsigned j = 0; j < batch; j++) {
            unsigned n = i * batch + j;
            struct uuid session = id_of(10000 + n % 7);
            take(place, chain_memory(&place->a, PUT(id_of(n), "first", 1, .session = session)));
            if (n % 3 == 0) {
                take(place,
                     chain_memory(&place->a, PUT(id_of(n / 2), "second", 2 + n,
                                                 .session = id_of(20000), .deleted = n % 2 == 0)));
            }
        }
        commit(place);
    }
    assert_int_equal(head_of(place), changes);
    assert_ok(store_seal(place->store, &err), &err);
    close_store(place);
    struct ledger_counts counts = look(place);
    assert_int_equal(counts.changes, changes);
    assert_int_equal(counts.memories + counts.deleted, memories);
    open_store(place, STORE_LIVE);
    uint64_t live;
    uint64_t deleted;
    store_counts(place->store, &live, &deleted);
    assert_int_equal(live, counts.memories);
    assert_int_equal(deleted, counts.deleted);
    assert_int_equal(store_live(place->store, "p"), counts.memories);
}

static void an_unsealed_copy_is_never_opened_again(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    open_store(place, STORE_BULK);
    begin(place);
    take(place, chain_memory(&place->a, PUT(id_of(1), "x", 1)));
    commit(place);
    close_store(place);
    assert_refused(store_open(place->path, STORE_LIVE, &place->env.env, &place->store, &err), &err,
                   ERR_CORRUPT, "never finished");
    assert_refused(store_open(place->path, STORE_BULK, &place->env.env, &place->store, &err), &err,
                   ERR_CORRUPT, "never finished");
}

static void a_sealed_copy_can_be_caught_up_in_bulk(void **state)
{
    struct place *place = *state;
    struct uuid origin = id_of(5);
    struct err err = ERR_INIT;
    bool new;

    open_store(place, STORE_BULK);
    struct uuid none = store_origin(place->store);
    assert_true(uuid_is_nil(&none));
    assert_ok(store_set_origin(place->store, &origin, &err), &err);
    begin(place);
    take(place, chain_memory(&place->a, PUT(id_of(1), "x", 1)));
    commit(place);
    assert_ok(store_seal(place->store, &err), &err);
    close_store(place);
    open_store(place, STORE_BULK);
    begin(place);
    assert_ok(store_import(place->store, &place->a.change, &new, &err), &err);
    assert_false(new);
    take(place, chain_memory(&place->a, PUT(id_of(1), "y", 2)));
    take(place, chain_memory(&place->a, PUT(id_of(2), "z", 1)));
    commit(place);
    assert_ok(store_seal(place->store, &err), &err);
    close_store(place);
    assert_int_equal(look(place).memories, 2);
    open_store(place, STORE_LIVE);
    struct uuid found = store_origin(place->store);
    assert_true(uuid_eq(&found, &origin));
}

static void a_bulk_store_that_failed_refuses_all_that_follows(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;
    bool new;

    open_store(place, STORE_BULK);
    begin(place);
    place->a.seq = 5;
    assert_refused(
        store_import(place->store, chain_memory(&place->a, PUT(id_of(1), "x", 1)), &new, &err),
        &err, ERR_CORRUPT, "a gap");
    store_rollback(place->store);
    assert_refused(store_begin(place->store, &err), &err, ERR_IO, "unfinished");
    assert_refused(store_seal(place->store, &err), &err, ERR_IO, "unfinished");
}

static void a_seal_that_memory_has_no_room_for_is_none(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    open_store(place, STORE_BULK);
    fault_set("ledger.sql.text:1");
    assert_refused(store_seal(place->store, &err), &err, ERR_INTERNAL, "out of memory");
    fault_set(NULL);
}

static void a_ledger_that_memory_has_no_room_for_is_not_opened(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    fault_set("ledger.sql.text:1");
    assert_refused(store_open(place->path, STORE_LIVE, &place->env.env, &place->store, &err), &err,
                   ERR_INTERNAL, "out of memory");
    fault_set(NULL);
    open_store(place, STORE_LIVE);
}

static void a_failed_fsync_is_no_seal(void **state)
{
#ifdef HOLDFAST_FAULTS
    struct place *place = *state;
    struct err err = ERR_INIT;

    open_store(place, STORE_BULK);
    fault_set("ledger.seal.fsync:1");
    assert_refused(store_seal(place->store, &err), &err, ERR_IO, "");
    fault_set(NULL);
    close_store(place);
    assert_refused(store_open(place->path, STORE_LIVE, &place->env.env, &place->store, &err), &err,
                   ERR_CORRUPT, "never finished");
#else
    (void)state;
    skip();
#endif
}

/* More ids than are kept in memory: the index takes over in the middle. */
static void the_index_takes_over_from_the_map(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    open_store(place, STORE_BULK);
    assert_true(place->store->ids_in_map);
    begin(place);
    take(place, chain_memory(&place->a, PUT(id_of(1), "x", 1)));
    place->store->ids.count = IDMAP_MAX; /* as if there were four million */
    take(place, chain_memory(&place->a, PUT(id_of(2), "x", 1)));
    assert_false(place->store->ids_in_map);
    take(place, chain_memory(&place->a, PUT(id_of(1), "y", 2)));
    commit(place);
    assert_ok(store_seal(place->store, &err), &err);
    close_store(place);
    assert_int_equal(look(place).memories, 2);
}

/* A session after a session: more blocks than are cached. */
static void more_sessions_than_are_cached_are_no_problem(void **state)
{
    struct place *place = *state;
    unsigned count = unit_times(BLOCKS_CACHED_MAX + 100);
    struct err err = ERR_INIT;

    open_store(place, STORE_BULK);
    begin(place);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < count; i++) {
            take(place, chain_memory(&place->a, PUT(id_of(i * 2 + round), "x", 1,
                                                    .session = id_of(1000000 + i))));
        }
    }
    commit(place);
    assert_ok(store_seal(place->store, &err), &err);
    close_store(place);
    assert_int_equal(look(place).memories, 2 * count);
}

/* ---- marks and rollbacks ---- */

static void a_rollback_takes_heads_and_counts_back(void **state)
{
    struct place *place = *state;

    open_store(place, STORE_LIVE);
    begin(place);
    take(place, chain_memory(&place->a, PUT(id_of(1), "x", 1)));
    commit(place);
    struct chain before = place->a;
    begin(place);
    take(place, chain_memory(&place->a, PUT(id_of(1), "x", 2, .deleted = true)));
    take(place, chain_memory(&place->a, PUT(id_of(2), "x", 1, .project = "q")));
    assert_int_equal(store_live(place->store, "p"), 0);
    store_rollback(place->store);
    assert_int_equal(head_of(place), 1);
    assert_int_equal(store_live(place->store, "p"), 1);
    assert_int_equal(store_live(place->store, "q"), 0);
    place->a.seq = before.seq;
    place->a.hash = before.hash;
    begin(place);
    take(place, chain_memory(&place->a, PUT(id_of(3), "x", 1)));
    commit(place);
    close_store(place);
    assert_int_equal(look(place).memories, 2);
}

static void a_mark_is_a_point_to_return_to(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    open_store(place, STORE_LIVE);
    begin(place);
    take(place, chain_memory(&place->a, PUT(id_of(1), "x", 1)));
    struct chain before = place->a;
    assert_ok(store_mark(place->store, &err), &err);
    take(place, chain_memory(&place->a, PUT(id_of(2), "x", 1, .session = id_of(77))));
    assert_ok(store_return_to_mark(place->store, &err), &err);
    assert_int_equal(head_of(place), 1);
    place->a.seq = before.seq;
    place->a.hash = before.hash;
    assert_ok(store_mark(place->store, &err), &err);
    take(place, chain_memory(&place->a, PUT(id_of(3), "x", 1)));
    assert_ok(store_unmark(place->store, &err), &err);
    commit(place);
    assert_int_equal(store_live(place->store, "p"), 2);
    close_store(place);
    assert_int_equal(look(place).changes, 2);
}

/* ---- what imports may bring ---- */

static void there_may_be_so_many_origins_and_no_more(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;
    bool new;

    open_store(place, STORE_BULK);
    begin(place);
    for (unsigned i = 0; i <= ORIGINS_MAX; i++) {
        struct chain chain;
        chain_init(&chain, 1);
        chain.origin = id_of(i + 1);
        const struct change *change = chain_memory(&chain, PUT(id_of(i), "x", 1));
        if (i < ORIGINS_MAX) {
            take(place, change);
        } else {
            assert_refused(store_import(place->store, change, &new, &err), &err, ERR_LIMIT,
                           "4096 installations");
        }
        chain_done(&chain);
    }
}

static void a_body_that_is_none_is_refused(void **state)
{
    struct place *place = *state;
    static const char *const bodies[] = {"{\"updated_at\":5}", "{\"updated_at\":\"yesterday\"}"};
    struct err err = ERR_INIT;
    bool new;

    open_store(place, STORE_LIVE);
    begin(place);
    for (size_t i = 0; i < 2; i++) {
        struct chain chain;
        struct change change = {.kind = KIND_MEMORY,
                                .op = OP_PUT,
                                .version = 1,
                                .at_us = HOME_NOW_US,
                                .project_id = "p"};
        struct uuid id = id_of(1);
        chain_init(&chain, 2);
        uuid_format(&id, change.id);
        assert_ok(buf_add_c(&chain.body, bodies[i], &err), &err);
        assert_refused(store_import(place->store, chain_next(&chain, change), &new, &err), &err,
                       ERR_CORRUPT, "change 1 of origin");
        chain_done(&chain);
    }
    assert_int_equal(store_rows_written(place->store) > 0, true);
}

/* A tombstone that says only that: the time is the change's. */
static void a_bare_tombstone_is_a_deletion(void **state)
{
    struct place *place = *state;
    struct change change = {.kind = KIND_MEMORY,
                            .op = OP_DELETE,
                            .version = 2,
                            .at_us = HOME_NOW_US + 7,
                            .project_id = "p"};
    struct uuid id = id_of(1);
    struct err err = ERR_INIT;

    open_store(place, STORE_LIVE);
    begin(place);
    take(place, chain_memory(&place->a, PUT(id_of(1), "x", 1)));
    uuid_format(&id, change.id);
    buf_reset(&place->a.body);
    assert_ok(buf_add_c(&place->a.body, "{}", &err), &err);
    take(place, chain_next(&place->a, change));
    commit(place);
    assert_int_equal(store_live(place->store, "p"), 0);
    close_store(place);
    assert_int_equal(look(place).deleted, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bulk_import_is_whole_once_it_is_sealed),
        TEST(an_unsealed_copy_is_never_opened_again),
        TEST(a_sealed_copy_can_be_caught_up_in_bulk),
        TEST(a_bulk_store_that_failed_refuses_all_that_follows),
        TEST(a_seal_that_memory_has_no_room_for_is_none),
        TEST(a_ledger_that_memory_has_no_room_for_is_not_opened),
        TEST(a_failed_fsync_is_no_seal),
        TEST(the_index_takes_over_from_the_map),
        TEST(more_sessions_than_are_cached_are_no_problem),
        TEST(a_rollback_takes_heads_and_counts_back),
        TEST(a_mark_is_a_point_to_return_to),
        TEST(there_may_be_so_many_origins_and_no_more),
        TEST(a_body_that_is_none_is_refused),
        TEST(a_bare_tombstone_is_a_deletion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
