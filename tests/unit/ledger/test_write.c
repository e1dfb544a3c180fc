/* What ledger_write promises: versions, numbers, conflicts, what is unchanged, all or nothing. */
#include "ledger/home.h"

static const struct uuid nil;

/* ---- memories ---- */

static void a_memory_can_be_read_back(void **state)
{
    struct written written = put(*state, nil, "the harbour is closed on Sundays");

    assert_false(uuid_is_nil(&written.id));
    assert_int_equal(written.version, 1);
    assert_content(*state, written.id, "the harbour is closed on Sundays");
}

static void a_project_not_seen_before_is_journaled_first(void **state)
{
    struct written first = put(*state, nil, "one");
    struct written second = put(*state, nil, "two");

    assert_int_equal(first.seq, 2); /* the project is 1 */
    assert_int_equal(second.seq, 3);
    assert_int_equal(assert_verifies(*state), 3);
}

static void a_session_not_seen_before_is_journaled_too(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("in a session");
    AUTO(session_done) struct session session;
    struct reader *reader;
    struct err err = ERR_INIT;

    memory.session_id = id_of(77);
    assert_int_equal(put_memory(*state, &memory).seq, 3);
    struct home *home = *state;
    session_init(&session);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_session(reader, &memory.session_id, &session, &err), &err);
    read_end(reader);
    assert_string_equal(session.project_id, "p");
    assert_int_equal(session.started_us, HOME_NOW_US);
    assert_int_equal(session.memory_count, 1);
    assert_int_equal(session.version, 1);
}

static void a_put_of_what_is_there_is_unchanged(void **state)
{
    struct written first = put(*state, id_of(1), "same");
    struct written second = put(*state, id_of(1), "same");

    assert_false(first.unchanged);
    assert_true(second.unchanged);
    assert_int_equal(second.seq, first.seq);
    assert_int_equal(second.version, 1);
    assert_int_equal(counts_of(*state).changes, 2);
}

static void a_put_keeps_created_at_and_moves_updated_at(void **state)
{
    AUTO(memory_done) struct memory memory;
    struct home *home = *state;

    put(home, id_of(1), "one");
    env_fake_advance_ms(&home->env, 1000);
    put(home, id_of(1), "two");
    memory_init(&memory);
    get(home, id_of(1), &memory);
    assert_int_equal(memory.version, 2);
    assert_int_equal(memory.created_us, HOME_NOW_US);
    assert_int_equal(memory.updated_us, HOME_NOW_US + 1000000);
}

static void an_explicit_version_must_be_higher_than_the_current_one(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("first");
    struct written written;

    memory.id = id_of(1);
    memory.version = 5;
    assert_int_equal(put_memory(*state, &memory).version, 5);
    change_content(&memory, "second");
    written = try_put(*state, &memory);
    assert_refused_draft(&written, ERR_CONFLICT, "sync_version 5 is not above the current 5");
    memory.version = 4;
    written = try_put(*state, &memory);
    assert_refused_draft(&written, ERR_CONFLICT, "current 5");
    memory.version = 9;
    assert_int_equal(put_memory(*state, &memory).version, 9);
    memory.version = 0;
    change_content(&memory, "third");
    assert_int_equal(put_memory(*state, &memory).version, 10);
}

static void an_old_version_that_says_the_same_is_unchanged(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("again");

    memory.id = id_of(1);
    memory.version = 5;
    put_memory(*state, &memory);
    memory.version = 3;
    assert_true(put_memory(*state, &memory).unchanged);
}

static void the_highest_version_that_may_be_given_leaves_room_for_more(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("high");

    memory.id = id_of(1);
    memory.version = VERSION_GIVEN_MAX;
    assert_int_equal(put_memory(*state, &memory).version, VERSION_GIVEN_MAX);
    memory.version = 0;
    change_content(&memory, "one more");
    assert_int_equal(put_memory(*state, &memory).version, VERSION_GIVEN_MAX + 1);
    assert_int_equal(delete_of(*state, id_of(1)).version, VERSION_GIVEN_MAX + 2);
}

static void a_version_past_that_is_refused_for_what_is_new_and_what_is_there(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("too high");
    struct written written;

    memory.id = id_of(1);
    memory.version = VERSION_GIVEN_MAX + 1;
    written = try_put(*state, &memory);
    assert_refused_draft(&written, ERR_INVALID,
                         "sync_version is 4503599627370497; 1 to 4503599627370496");
    put(*state, id_of(1), "there");
    written = try_put(*state, &memory);
    assert_refused_draft(&written, ERR_INVALID,
                         "sync_version is 4503599627370497; 1 to 4503599627370496");
    assert_content(*state, id_of(1), "there");
}

/* ---- deletions ---- */

static void a_delete_leaves_a_tombstone(void **state)
{
    AUTO(memory_done) struct memory memory;

    put(*state, id_of(1), "gone soon");
    struct written deleted = delete_of(*state, id_of(1));

    assert_int_equal(deleted.version, 2);
    assert_content(*state, id_of(1), NULL);
    assert_true(delete_of(*state, id_of(1)).unchanged);
    assert_int_equal(counts_of(*state).deleted, 1);
    assert_int_equal(counts_of(*state).memories, 0);
    memory_init(&memory);
    get(*state, id_of(1), &memory);
    assert_string_equal(memory.content, "gone soon");
    assert_int_equal(memory.deleted_us, HOME_NOW_US);
}

static void deleting_what_never_was_is_refused(void **state)
{
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_DELETE, .id = id_of(3), .source = "test"};
    struct home *home = *state;
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_NOT_FOUND, "01900000");
}

static void a_deleted_memory_can_be_put_back(void **state)
{
    put(*state, id_of(1), "back and forth");
    delete_of(*state, id_of(1));
    assert_int_equal(put(*state, id_of(1), "back and forth").version, 3);
    assert_content(*state, id_of(1), "back and forth");
    assert_int_equal(counts_of(*state).memories, 1);
    assert_int_equal(counts_of(*state).deleted, 0);
    assert_verifies(*state);
}

static void a_put_with_deleted_at_is_a_deletion(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("imported as deleted");

    memory.id = id_of(1);
    memory.deleted_us = HOME_NOW_US - 5;
    put_memory(*state, &memory);
    assert_content(*state, id_of(1), NULL);
    assert_int_equal(counts_of(*state).deleted, 1);
    assert_true(put_memory(*state, &memory).unchanged);
}

/* ---- what a draft must have ---- */

static void wrong_drafts_are_refused_and_leave_nothing(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("fine");
    AUTO(free_ptr) char *long_source = xcalloc(1, SOURCE_MAX_BYTES + 2);
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = ""};
    struct written written;
    struct err err = ERR_INIT;
    struct home *home = *state;

    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "source");
    memset(long_source, 's', SOURCE_MAX_BYTES + 1);
    draft.source = long_source;
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_LIMIT, "source");
    draft.source = "test";
    memory.importance = 1.5;
    written = try_put(home, &memory);
    assert_refused_draft(&written, ERR_INVALID, "importance");
    memory.importance = 0.5;
    memory.created_us = TIMESTAMP_MAX_US + 1;
    written = try_put(home, &memory);
    assert_refused_draft(&written, ERR_INVALID, "time");
    memory.created_us = TIME_NONE;
    memory.content_len = 0;
    written = try_put(home, &memory);
    assert_int_not_equal(written.code, ERR_NONE);
    written_done(&written, 1);
    memory.content_len = 4;
    memory.type = MEMORY_TYPES;
    written = try_put(home, &memory);
    assert_refused_draft(&written, ERR_INVALID, "memory_type");
    draft = (struct draft){.kind = KIND_EMBEDDING, .source = "test"};
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "not written by drafts");
    draft = (struct draft){.kind = KIND_MEMORY, .source = "test"};
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "needs content");
    assert_int_equal(counts_of(home).changes, 0);
    assert_int_equal(counts_of(home).projects, 0);
}

/* The source of exactly the limit passes. */
static void the_longest_source_is_kept(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("fine");
    char source[SOURCE_MAX_BYTES + 1] = "";
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = source};
    struct written written;
    struct err err = ERR_INIT;

    memset(source, 's', SOURCE_MAX_BYTES);
    assert_ok(write_draft(*state, &draft, &written, &err), &err);
    assert_int_equal(written.code, ERR_NONE);
}

/* References may be more than a record holds: refused before its project is journaled. */
static void a_memory_too_large_for_a_record_leaves_nothing(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("many references");
    AUTO(free_ptr) char *context = xcalloc(1, MEMORY_REFERENCE_CONTEXT_MAX_BYTES + 1);
    struct written written;

    memset(context, '"', MEMORY_REFERENCE_CONTEXT_MAX_BYTES);
    memory.references = json_array();
    for (int i = 0; i < 8 * MEMORY_REFERENCES_MAX; i++) {
        json_array_append_new(memory.references,
                              json_pack("{s:s,s:s}", "id", "01900000-0000-7000-8000-000000000001",
                                        "context", context));
    }
    written = try_put(*state, &memory);
    assert_refused_draft(&written, ERR_LIMIT, "");
    assert_int_equal(counts_of(*state).changes, 0);
}

/* ---- sessions and projects ---- */

static void sessions_have_versions_and_may_be_unchanged(void **state)
{
    struct home *home = *state;
    char project[] = "p";
    char summary[] = "we fixed the harbour";
    struct session session;

    session_init(&session);
    session.project_id = project;
    struct written first = put_session(home, &session);
    assert_false(uuid_is_nil(&first.id));
    assert_int_equal(first.version, 1);
    session.id = first.id;
    session.started_us = HOME_NOW_US;
    assert_true(put_session(home, &session).unchanged);
    session.summary = summary;
    session.ended_us = HOME_NOW_US + 1;
    assert_int_equal(put_session(home, &session).version, 2);
    session.version = 2;
    session.summary = NULL;
    struct draft draft = {.kind = KIND_SESSION, .session = &session, .source = "test"};
    struct written written;
    struct err err = ERR_INIT;
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_CONFLICT, "current 2");
    assert_int_equal(counts_of(home).sessions, 1);
    assert_int_equal(counts_of(home).projects, 1);
}

static void projects_have_versions_and_may_be_unchanged(void **state)
{
    struct home *home = *state;
    char id[] = "harbour";
    char name[] = "The Harbour";
    struct project project;
    struct written written;
    struct err err = ERR_INIT;

    project_init(&project);
    project.id = id;
    struct draft draft = {.kind = KIND_PROJECT, .project = &project, .source = "test"};
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_int_equal(written.version, 1);
    project.created_us = HOME_NOW_US;
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_true(written.unchanged);
    project.name = name;
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_int_equal(written.version, 2);
    project.id = NULL;
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "needs an id");
    draft = (struct draft){.kind = KIND_SESSION, .source = "test"};
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "needs a project_id");
}

/* ---- many at once ---- */

static void each_draft_fails_by_itself(void **state)
{
    struct home *home = *state;
    AUTO(memory_done) struct memory memory = memory_of("good");
    struct draft drafts[3] = {
        {.kind = KIND_MEMORY, .memory = &memory, .source = "test"},
        {.kind = KIND_MEMORY, .op = OP_DELETE, .id = id_of(9), .source = "test"},
        {.kind = KIND_MEMORY, .memory = &memory, .source = "test"},
    };
    struct written written[3];
    struct err err = ERR_INIT;

    assert_ok(ledger_write(home->ledger, drafts, 3, false, written, &err), &err);
    assert_int_equal(written[0].code, ERR_NONE);
    assert_int_equal(written[1].code, ERR_NOT_FOUND);
    assert_int_equal(written[2].code, ERR_NONE);
    assert_int_equal(written[2].seq, written[0].seq + 1);
    written_done(written, 3);
    assert_int_equal(counts_of(home).memories, 2);
}

static void an_atomic_request_is_whole_or_nothing(void **state)
{
    struct home *home = *state;
    AUTO(memory_done) struct memory memory = memory_of("good");
    AUTO(memory_done) struct memory elsewhere = memory_of("in a project of its own");
    struct draft drafts[3] = {
        {.kind = KIND_MEMORY, .memory = &memory, .source = "test"},
        {.kind = KIND_MEMORY, .memory = &elsewhere, .source = "test"},
        {.kind = KIND_MEMORY, .op = OP_DELETE, .id = id_of(9), .source = "test"},
    };
    struct written written[3];
    struct err err = ERR_INIT;

    free(elsewhere.project_id);
    elsewhere.project_id = xstrdup("elsewhere");
    put(home, id_of(1), "before");
    assert_ok(ledger_write(home->ledger, drafts, 3, true, written, &err), &err);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(written[i].code, ERR_NOT_FOUND);
    }
    assert_non_null(strstr(written[0].message, "draft 2"));
    assert_null(strstr(written[2].message, "draft 2"));
    written_done(written, 3);
    assert_int_equal(counts_of(home).memories, 1);
    assert_int_equal(counts_of(home).projects, 1);
    assert_int_equal(put(home, nil, "after").seq, 3);
    assert_int_equal(assert_verifies(home), 3);
    drafts[2] = drafts[0];
    assert_ok(ledger_write(home->ledger, drafts, 3, true, written, &err), &err);
    assert_int_equal(written[2].code, ERR_NONE);
    assert_int_equal(counts_of(home).memories, 5);
    assert_verifies(home);
}

static void the_number_of_drafts_is_limited(void **state)
{
    struct home *home = *state;
    AUTO(memory_done) struct memory memory = memory_of("m");
    struct draft *drafts = xcalloc(LEDGER_REQUEST_MAX + 1, sizeof(*drafts));
    struct written *written = xcalloc(LEDGER_REQUEST_MAX + 1, sizeof(*written));
    size_t some = unit_times(10000);
    size_t most = unit_times(LEDGER_REQUEST_MAX);
    struct err err = ERR_INIT;

    for (int i = 0; i <= LEDGER_REQUEST_MAX; i++) {
        drafts[i] = (struct draft){.kind = KIND_MEMORY, .memory = &memory, .source = "test"};
    }
    assert_refused(ledger_write(home->ledger, drafts, LEDGER_REQUEST_MAX + 1, false, written, &err),
                   &err, ERR_LIMIT, "100001 drafts");
    assert_ok(ledger_write(home->ledger, drafts, 0, false, written, &err), &err);
    uint64_t before = ledger_commits(home->ledger);
    assert_ok(ledger_write(home->ledger, drafts, some, true, written, &err), &err);
    assert_int_equal(ledger_commits(home->ledger) - before, 1); /* atomic: one, however long */
    assert_int_equal(written[some - 1].seq, some + 1);
    assert_ok(ledger_write(home->ledger, drafts, most, false, written, &err), &err);
    assert_int_equal(ledger_commits(home->ledger) - before,
                     1 + (most + LEDGER_BATCH_MAX - 1) / LEDGER_BATCH_MAX);
    assert_int_equal(written[most - 1].seq, some + 1 + most);
    free(drafts);
    free(written);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_setup, home_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_memory_can_be_read_back),
        TEST(a_project_not_seen_before_is_journaled_first),
        TEST(a_session_not_seen_before_is_journaled_too),
        TEST(a_put_of_what_is_there_is_unchanged),
        TEST(a_put_keeps_created_at_and_moves_updated_at),
        TEST(an_explicit_version_must_be_higher_than_the_current_one),
        TEST(an_old_version_that_says_the_same_is_unchanged),
        TEST(the_highest_version_that_may_be_given_leaves_room_for_more),
        TEST(a_version_past_that_is_refused_for_what_is_new_and_what_is_there),
        TEST(a_delete_leaves_a_tombstone),
        TEST(deleting_what_never_was_is_refused),
        TEST(a_deleted_memory_can_be_put_back),
        TEST(a_put_with_deleted_at_is_a_deletion),
        TEST(wrong_drafts_are_refused_and_leave_nothing),
        TEST(the_longest_source_is_kept),
        TEST(a_memory_too_large_for_a_record_leaves_nothing),
        TEST(sessions_have_versions_and_may_be_unchanged),
        TEST(projects_have_versions_and_may_be_unchanged),
        TEST(each_draft_fails_by_itself),
        TEST(an_atomic_request_is_whole_or_nothing),
        TEST(the_number_of_drafts_is_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
