/* Alerts, what they hold, and what comes back; decisions in any order; the judge at the writer. */
#include "ledger/chain.h"

static struct chain a;
static struct chain b;

static int setup(void **state)
{
    chain_init(&a, 1);
    chain_init(&b, 2);
    return home_setup(state);
}

static int teardown(void **state)
{
    chain_done(&a);
    chain_done(&b);
    return home_teardown(state);
}

/* Write a decision about changes from..to of this installation. */
static struct written try_decide(struct home *home, struct uuid alert, enum decision_kind kind,
                                 uint64_t from, uint64_t to)
{
    AUTO(decision_done) struct decision decision;
    struct uuid origin = ledger_origin(home->ledger);
    struct written written;
    struct err err = ERR_INIT;

    decision_init(&decision);
    decision.alert = alert;
    decision.kind = kind;
    decision.rule = xstrdup("deletes");
    decision.actor = xstrdup("test");
    decision.summary = xstrdup("a lot was deleted");
    decision.person = xstrdup(kind == DECISION_HELD ? "" : "Ada");
    decision.changes = to - from + 1;
    decision.memories = 1;
    decision.started_us = HOME_NOW_US;
    for (uint64_t seq = from; seq <= to; seq++) {
        ranges_add(&decision.ranges, &origin, seq);
    }
    struct draft draft = {
        .kind = KIND_GUARD, .op = OP_HOLD, .decision = &decision, .source = "test"};
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    return written;
}

static struct written decide(struct home *home, struct uuid alert, enum decision_kind kind,
                             uint64_t from, uint64_t to)
{
    struct written written = try_decide(home, alert, kind, from, to);

    assert_written(&written);
    return written;
}

static struct alert alert_of(struct home *home, struct uuid id)
{
    struct reader *reader;
    struct alert alert;
    struct err err = ERR_INIT;

    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_alert(reader, &id, &alert, &err), &err);
    read_end(reader);
    return alert;
}

static bool is_held(struct home *home, struct uuid id)
{
    AUTO(memory_done) struct memory memory;
    struct memory_state state;
    struct reader *reader;
    struct err err = ERR_INIT;

    memory_init(&memory);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_memory(reader, &id, &memory, &state, &err), &err);
    read_end(reader);
    return state.held;
}

/* ---- the four decisions ---- */

static void a_held_deletion_leaves_the_memory_alive(void **state)
{
    put(*state, id_of(1), "precious");
    struct written deleted = delete_of(*state, id_of(1));

    assert_content(*state, id_of(1), NULL);
    decide(*state, id_of(900), DECISION_HELD, deleted.seq, deleted.seq);
    assert_content(*state, id_of(1), "precious");
    assert_true(is_held(*state, id_of(1)));
    assert_int_equal(counts_of(*state).memories, 1);
    assert_int_equal(counts_of(*state).deleted, 0);
    assert_int_equal(counts_of(*state).alerts_open, 1);
    assert_verifies(*state);
}

static void an_accepted_deletion_counts_again(void **state)
{
    put(*state, id_of(1), "not so precious");
    struct written deleted = delete_of(*state, id_of(1));

    decide(*state, id_of(900), DECISION_HELD, deleted.seq, deleted.seq);
    assert_int_equal(
        decide(*state, id_of(900), DECISION_ACCEPTED, deleted.seq, deleted.seq).version, 2);
    assert_content(*state, id_of(1), NULL);
    assert_false(is_held(*state, id_of(1)));
    assert_int_equal(counts_of(*state).alerts_open, 0);
    assert_int_equal(counts_of(*state).deleted, 1);
    struct alert alert = alert_of(*state, id_of(900));
    assert_int_equal(alert.state, ALERT_ACCEPTED);
    assert_string_equal(alert_state_name(alert.state), "accepted");
    assert_string_equal(alert.person, "Ada");
    assert_int_equal(alert.version, 2);
    alert_done(&alert);
    assert_verifies(*state);
}

static void a_reverted_deletion_stays_out_for_good(void **state)
{
    put(*state, id_of(1), "precious");
    struct written deleted = delete_of(*state, id_of(1));

    decide(*state, id_of(900), DECISION_HELD, deleted.seq, deleted.seq);
    decide(*state, id_of(900), DECISION_REVERTED, deleted.seq, deleted.seq);
    assert_content(*state, id_of(1), "precious");
    assert_false(is_held(*state, id_of(1)));
    struct alert alert = alert_of(*state, id_of(900));
    assert_int_equal(alert.state, ALERT_REVERTED);
    assert_int_equal(alert.resolved_us, HOME_NOW_US);
    alert_done(&alert);
    home_close(*state);
    home_open(*state);
    assert_content(*state, id_of(1), "precious");
    assert_int_equal(put(*state, id_of(1), "even more precious").version, 3);
    assert_content(*state, id_of(1), "even more precious");
    assert_verifies(*state);
}

static void an_undone_change_is_no_open_alert(void **state)
{
    put(*state, id_of(1), "before");
    struct written second = put(*state, id_of(1), "recovered by mistake");

    decide(*state, id_of(900), DECISION_UNDONE, second.seq, second.seq);
    assert_content(*state, id_of(1), "before");
    assert_false(is_held(*state, id_of(1)));
    assert_int_equal(counts_of(*state).alerts_open, 0);
}

static void a_memory_whose_changes_are_all_held_is_not_there(void **state)
{
    AUTO(memory_done) struct memory memory;
    struct home *home = *state;
    struct memory_state memory_state;
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_DELETE, .id = id_of(1), .source = "test"};
    struct written written;
    struct reader *reader;
    struct err err = ERR_INIT;
    struct uuid id = id_of(1);

    struct written first = put(home, id, "poison");
    decide(home, id_of(900), DECISION_HELD, first.seq, first.seq);
    assert_content(home, id, NULL);
    assert_int_equal(counts_of(home).memories + counts_of(home).deleted, 0);
    memory_init(&memory);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_refused(read_memory(reader, &id, &memory, &memory_state, &err), &err, ERR_NOT_FOUND, "");
    read_end(reader);
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_NOT_FOUND, "");
    assert_verifies(home);
    assert_int_equal(put(home, id, "antidote").version, 2); /* above the held one */
    assert_content(home, id, "antidote");
    decide(home, id_of(900), DECISION_ACCEPTED, first.seq, first.seq);
    assert_content(home, id, "antidote");
    assert_int_equal(assert_verifies(home), 5);
}

static void new_versions_go_above_held_ones(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("forged");

    put(*state, id_of(1), "mine");
    memory.id = id_of(1);
    memory.version = 1000000;
    struct written forged = put_memory(*state, &memory);
    decide(*state, id_of(900), DECISION_HELD, forged.seq, forged.seq);
    assert_content(*state, id_of(1), "mine");
    assert_int_equal(put(*state, id_of(1), "mine again").version, 1000001);
    memory.version = 0;
    assert_int_equal(delete_of(*state, id_of(1)).version, 1000002);
    assert_verifies(*state);
}

static void two_alerts_must_both_let_go(void **state)
{
    put(*state, id_of(1), "precious");
    struct written deleted = delete_of(*state, id_of(1));

    decide(*state, id_of(900), DECISION_HELD, deleted.seq, deleted.seq);
    decide(*state, id_of(901), DECISION_HELD, deleted.seq, deleted.seq);
    decide(*state, id_of(900), DECISION_ACCEPTED, deleted.seq, deleted.seq);
    assert_content(*state, id_of(1), "precious");
    assert_true(is_held(*state, id_of(1)));
    decide(*state, id_of(901), DECISION_ACCEPTED, deleted.seq, deleted.seq);
    assert_content(*state, id_of(1), NULL);
}

static void a_held_session_or_project_falls_back_too(void **state)
{
    struct home *home = *state;
    char project[] = "p";
    char summary[] = "vandalised";
    struct session session;
    struct session found;
    struct reader *reader;
    struct err err = ERR_INIT;

    session_init(&session);
    session.project_id = project;
    session.id = id_of(5);
    session.started_us = HOME_NOW_US;
    put_session(home, &session);
    session.summary = summary;
    struct written second = put_session(home, &session);
    decide(home, id_of(900), DECISION_HELD, second.seq, second.seq);
    session_init(&found);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_session(reader, &session.id, &found, &err), &err);
    assert_null(found.summary);
    assert_int_equal(found.version, 1);
    session_done(&found);
    read_end(reader);
    decide(home, id_of(900), DECISION_ACCEPTED, second.seq, second.seq);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_session(reader, &session.id, &found, &err), &err);
    assert_string_equal(found.summary, "vandalised");
    session_done(&found);
    read_end(reader);
    decide(home, id_of(901), DECISION_HELD, 1, second.seq); /* all of it, the project too */
    assert_int_equal(counts_of(home).sessions, 0);
    assert_int_equal(counts_of(home).projects, 0);
    assert_verifies(home);
}

static void a_held_project_and_session_are_announced_again(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("brought in by mistake");
    AUTO(session_done) struct session session;
    struct home *home = *state;
    struct reader *reader;
    struct err err = ERR_INIT;

    memory.session_id = id_of(5);
    struct written first = put_memory(home, &memory); /* 3, behind its project and session */
    decide(home, id_of(900), DECISION_UNDONE, 1, first.seq);
    assert_int_equal(counts_of(home).projects, 0);
    assert_int_equal(put_memory(home, &memory).seq, 7); /* 5 and 6: they are announced again */
    assert_int_equal(counts_of(home).projects, 1);
    assert_int_equal(counts_of(home).sessions, 1);
    session_init(&session);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_session(reader, &memory.session_id, &session, &err), &err);
    read_end(reader);
    assert_int_equal(session.version, 2);
    assert_int_equal(put_memory(home, &memory).seq, 8);
    assert_verifies(home);
}

static void wrong_ranges_are_refused_and_leave_nothing(void **state)
{
    AUTO(decision_done) struct decision decision;
    struct draft draft = {.kind = KIND_GUARD, .decision = &decision, .source = "test"};
    struct range range = {.origin = id_of(1), .from = 5, .to = 4};
    struct written written;
    struct err err = ERR_INIT;

    decision_init(&decision);
    assert_ok(write_draft(*state, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "alert");
    decision.alert = id_of(900);
    decision.ranges = (struct ranges){.items = &range, .count = 1, .capacity = 1};
    assert_ok(write_draft(*state, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "5 to 4");
    range = (struct range){.origin = id_of(1), .from = 0, .to = 4};
    assert_ok(write_draft(*state, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "0 to 4");
    range = (struct range){.origin = id_of(1), .from = 1, .to = (uint64_t)1 << 40};
    assert_ok(write_draft(*state, &draft, &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "no range");
    decision.ranges.items = NULL;
    assert_int_equal(counts_of(*state).changes, 0);
}

/* ---- decisions that come in any order ---- */

static void a_decision_may_come_before_what_it_holds(void **state)
{
    import(*state, chain_memory(&a, PUT(id_of(1), "precious", 1)));
    import(*state, chain_decision(&b, id_of(900), 1, DECISION_HELD, a.origin, 2, 3));
    import(*state, chain_memory(&a, PUT(id_of(1), "precious", 2, .deleted = true)));
    assert_content(*state, id_of(1), "precious");
    assert_true(is_held(*state, id_of(1)));
    home_close(*state);
    home_open(*state); /* what is expected was not only in memory */
    import(*state, chain_memory(&a, PUT(id_of(2), "poison", 1)));
    import(*state, chain_memory(&a, PUT(id_of(3), "good", 1)));
    assert_content(*state, id_of(2), NULL);
    assert_content(*state, id_of(3), "good");
    assert_int_equal(((struct home *)*state)->ledger->store->expected_count, 0);
    assert_verifies(*state);
}

static void what_is_released_before_it_comes_is_not_held(void **state)
{
    import(*state, chain_decision(&b, id_of(900), 1, DECISION_HELD, a.origin, 1, 5));
    import(*state, chain_decision(&b, id_of(900), 2, DECISION_ACCEPTED, a.origin, 2, 4));
    for (unsigned i = 1; i <= 6; i++) {
        import(*state, chain_memory(&a, PUT(id_of(i), "x", 1)));
    }
    assert_content(*state, id_of(1), NULL);
    assert_content(*state, id_of(2), "x");
    assert_content(*state, id_of(4), "x");
    assert_content(*state, id_of(5), NULL);
    assert_content(*state, id_of(6), "x");
    assert_verifies(*state);
}

/* As many ranges as a decision may have, none of them here yet. */
static void many_ranges_may_be_expected(void **state)
{
    AUTO(decision_done) struct decision decision;
    struct draft draft = {
        .kind = KIND_GUARD, .op = OP_HOLD, .decision = &decision, .source = "test"};
    struct home *home = *state;
    struct written written;
    unsigned count = unit_times(RANGES_MAX);
    struct err err = ERR_INIT;

    decision_init(&decision);
    decision.alert = id_of(900);
    decision.rule = xstrdup("r");
    decision.actor = xstrdup("a");
    decision.summary = xstrdup("s");
    decision.person = xstrdup("");
    decision.started_us = HOME_NOW_US;
    for (uint64_t i = count; i > 0; i--) {
        ranges_add(&decision.ranges, &a.origin, i * 2);
    }
    assert_int_equal(decision.ranges.count, count);
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_written(&written);
    home_close(home);
    home_open(home);
    for (unsigned i = 1; i <= 8; i++) {
        import(home, chain_memory(&a, PUT(id_of(i), "x", 1)));
        assert_content(home, id_of(i), i % 2 == 0 ? NULL : "x");
    }
    decision.kind = DECISION_ACCEPTED;
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_written(&written);
    assert_int_equal(home->ledger->store->expected_count, 0);
    for (unsigned i = 1; i <= 8; i++) {
        assert_content(home, id_of(i), "x");
    }
    import(home, chain_memory(&a, PUT(id_of(9), "x", 1)));
    import(home, chain_memory(&a, PUT(id_of(10), "x", 1)));
    assert_content(home, id_of(10), "x");
    assert_verifies(home);
}

/* Nobody held them: the decision is on record, and nothing else happens. */
static void accepting_what_was_not_held_is_quick(void **state)
{
    struct home *home = *state;
    uint64_t rows;

    for (unsigned i = 0; i < 200; i++) {
        put(home, id_of(i), "x");
    }
    rows = store_rows_written(home->ledger->store);
    decide(home, id_of(900), DECISION_ACCEPTED, 1, 201);
    assert_true(store_rows_written(home->ledger->store) - rows < 10);
    assert_int_equal(counts_of(home).memories, 200);
}

static void a_held_task_falls_back_too(void **state)
{
    struct change change = {
        .kind = KIND_TASK, .op = OP_PUT, .id = "T-1", .version = 1, .at_us = HOME_NOW_US};
    struct thing_row row;
    struct home *home = *state;
    struct err err = ERR_INIT;

    for (int i = 0; i < 2; i++) {
        buf_reset(&a.body);
        assert_ok(buf_add_c(&a.body, "{}", &err), &err);
        import(home, chain_next(&a, change));
        change.version++;
    }
    import(home, chain_decision(&b, id_of(900), 1, DECISION_HELD, a.origin, 2, 2));
    assert_ok(thing_find(home->ledger->store, KIND_TASK, "T-1", &row, &err), &err);
    assert_int_equal(row.version, 1);
    assert_int_equal(key_seq(row.last_key), 2);
    import(home, chain_decision(&b, id_of(900), 2, DECISION_ACCEPTED, a.origin, 2, 2));
    assert_ok(thing_find(home->ledger->store, KIND_TASK, "T-1", &row, &err), &err);
    assert_int_equal(row.version, 2);
}

static void late_decisions_count_in_the_order_of_their_versions(void **state)
{
    import(*state, chain_memory(&a, PUT(id_of(1), "precious", 1)));
    import(*state, chain_memory(&a, PUT(id_of(1), "precious", 2, .deleted = true)));
    import(*state, chain_decision(&a, id_of(900), 2, DECISION_ACCEPTED, a.origin, 2, 2));
    import(*state, chain_decision(&b, id_of(900), 1, DECISION_HELD, a.origin, 2, 2));
    assert_content(*state, id_of(1), NULL);
    struct alert alert = alert_of(*state, id_of(900));
    assert_int_equal(alert.state, ALERT_ACCEPTED);
    assert_int_equal(alert.version, 2);
    alert_done(&alert);
    import(*state, chain_decision(&b, id_of(900), 3, DECISION_REVERTED, a.origin, 2, 2));
    assert_content(*state, id_of(1), "precious");
    assert_verifies(*state);
}

static void an_alert_tells_its_story(void **state)
{
    struct home *home = *state;
    struct ranges ranges;
    struct reader *reader;
    struct uuid id = id_of(900);
    struct err err = ERR_INIT;

    for (unsigned i = 1; i <= 4; i++) {
        put(home, id_of(i), "x"); /* 2..5 */
    }
    env_fake_advance_ms(&home->env, 1000);
    decide(home, id, DECISION_HELD, 2, 3);
    env_fake_advance_ms(&home->env, 1000);
    decide(home, id, DECISION_HELD, 3, 4);
    struct alert alert = alert_of(home, id);
    assert_int_equal(alert.state, ALERT_OPEN);
    assert_string_equal(alert.project_id, "p");
    assert_string_equal(alert.rule, "deletes");
    assert_string_equal(alert.person, "");
    assert_int_equal(alert.started_us, HOME_NOW_US);
    assert_int_equal(alert.detected_us, HOME_NOW_US + 1000000);
    assert_int_equal(alert.changes, 2);
    assert_int_equal(alert.version, 2);
    assert_true(alert.resolved_us == TIME_NONE);
    alert_done(&alert);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_alert_ranges(reader, &id, &ranges, &err), &err);
    assert_int_equal(ranges.count, 1);
    assert_int_equal(ranges.items[0].from, 2);
    assert_int_equal(ranges.items[0].to, 4);
    ranges_done(&ranges);
    id = id_of(901);
    assert_refused(read_alert_ranges(reader, &id, &ranges, &err), &err, ERR_NOT_FOUND, "no alert");
    assert_refused(read_alert(reader, &id, &alert, &err), &err, ERR_NOT_FOUND, "no alert");
    read_end(reader);
}

static int count_alert(void *arg, const struct alert *alert, struct err *err)
{
    int *count = arg;

    (void)alert;
    (void)err;
    return ++*count == 100 ? 7 : 0;
}

static void open_alerts_can_be_listed_alone(void **state)
{
    struct home *home = *state;
    struct reader *reader;
    struct err err = ERR_INIT;
    int open = 0;
    int all = 0;

    put(home, id_of(1), "x");
    for (unsigned i = 0; i < 3; i++) {
        decide(home, id_of(900 + i), DECISION_HELD, 2, 2);
    }
    decide(home, id_of(901), DECISION_REVERTED, 2, 2);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_alerts(reader, true, count_alert, &open, &err), &err);
    assert_ok(read_alerts(reader, false, count_alert, &all, &err), &err);
    assert_int_equal(open, 2);
    assert_int_equal(all, 3);
    all = 99;
    assert_int_equal(read_alerts(reader, false, count_alert, &all, &err), 7);
    read_end(reader);
}

/* ---- the judge ---- */

/* Holds every deletion it sees, and notes what it saw. */
struct seen {
    size_t calls;
    size_t effects;
    size_t kept;
    size_t forgotten;
    uint64_t live;
    uint64_t live_in_all;
    struct effect last;
    char project[32];
    char moved_to[32];
    bool fail;
    bool hold;
};

static int see(void *arg, const struct effect *effects, size_t count, const struct judge_view *view,
               struct decision *ret_decisions, size_t *ret_count, struct err *err)
{
    struct seen *seen = arg;

    seen->calls++;
    seen->effects += count;
    seen->last = effects[count - 1];
    (void)snprintf(seen->project, sizeof(seen->project), "%s", effects[0].project_id);
    (void)snprintf(seen->moved_to, sizeof(seen->moved_to), "%s",
                   effects[0].moved_to == NULL ? "" : effects[0].moved_to);
    seen->live = view->live(view, effects[0].project_id);
    seen->live_in_all = view->live(view, NULL);
    if (seen->fail) {
        return err_set(err, ERR_PAUSED, "the guard says no");
    }
    if (!seen->hold) {
        return 0;
    }
    ret_decisions[0].alert = id_of(900);
    ret_decisions[0].kind = DECISION_HELD;
    ret_decisions[0].rule = xstrdup("test");
    ret_decisions[0].actor = xstrdup("test");
    ret_decisions[0].summary = xstrdup("held by the test");
    ret_decisions[0].person = xstrdup("");
    ret_decisions[0].started_us = effects[0].at_us;
    for (size_t i = 0; i < count; i++) {
        ranges_add(&ret_decisions[0].ranges, &effects[i].origin, effects[i].seq);
    }
    *ret_count = 1;
    return 0;
}

static void settle(void *arg, bool committed)
{
    struct seen *seen = arg;

    *(committed ? &seen->kept : &seen->forgotten) += 1;
}

static struct seen seen;
static const struct ledger_judge judge = {.arg = &seen, .judge = see, .settled = settle};

static int judged_setup(void **state)
{
    int result = setup(state);
    struct home *home = *state;

    seen = (struct seen){.calls = 0};
    home_close(home);
    home->judge = &judge;
    home_open(home);
    return result;
}

static void additive_changes_are_not_judged(void **state)
{
    put(*state, id_of(1), "one");
    put(*state, (struct uuid){{0}}, "two");
    put(*state, id_of(1), "one");
    delete_of(*state, id_of(1));
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.kept, 1);
}

/* Harmless, but to be held with the deletion that it covers: it had no bytes. */
static void bringing_back_what_was_deleted_is_told(void **state)
{
    put(*state, id_of(1), "one");
    delete_of(*state, id_of(1));
    put(*state, id_of(1), "back again");
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.last.kind, EFFECT_UPDATE);
    assert_int_equal(seen.last.old_bytes, 0);
    assert_int_equal(seen.last.new_bytes, strlen("back again"));
}

static void an_effect_says_what_happened(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("a content of more than twenty bytes");

    memory.id = id_of(1);
    memory.session_id = id_of(5);
    put_memory(*state, &memory);
    change_content(&memory, "abc");
    struct written written = put_memory(*state, &memory);
    assert_int_equal(seen.effects, 1);
    assert_int_equal(seen.last.kind, EFFECT_UPDATE);
    assert_int_equal(seen.last.seq, written.seq);
    assert_true(seen.last.content_changed);
    assert_false(seen.last.blanked); /* 3 of 35 bytes are left: just not less than a tenth */
    assert_int_equal(seen.last.old_bytes, 35);
    assert_int_equal(seen.last.new_bytes, 3);
    assert_int_equal(seen.last.old_version, 1);
    assert_int_equal(seen.last.new_version, 2);
    assert_string_equal(seen.project, "p");
    assert_int_equal(seen.live, 1);
    memory.importance = 0.9;
    put_memory(*state, &memory);
    assert_false(seen.last.content_changed);
    change_content(&memory, " \n\t ");
    put_memory(*state, &memory);
    assert_true(seen.last.blanked);
    change_content(&memory, "thirty bytes and a few more to go");
    put_memory(*state, &memory);
    change_content(&memory, "ab");
    put_memory(*state, &memory);
    assert_true(seen.last.blanked);
    delete_of(*state, id_of(1));
    assert_int_equal(seen.last.kind, EFFECT_DELETE);
    assert_int_equal(seen.last.new_bytes, 0);
    assert_int_equal(seen.live, 0);
}

static void an_effect_says_where_a_memory_went_and_what_is_left_of_its_text(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("a content of more than twenty bytes");

    put(*state, id_of(2), "another");
    memory.id = id_of(1);
    put_memory(*state, &memory);
    free(memory.project_id);
    memory.project_id = xstrdup("elsewhere");
    put_memory(*state, &memory);
    assert_string_equal(seen.project, "p");
    assert_string_equal(seen.moved_to, "elsewhere");
    assert_false(seen.last.content_changed);
    assert_int_equal(seen.last.old_text.shingles, 0);
    assert_int_equal(seen.live, 1);
    assert_int_equal(seen.live_in_all, 2);
    change_content(&memory, "a content of more than twenty bytes, and more");
    put_memory(*state, &memory);
    assert_string_equal(seen.project, "elsewhere");
    assert_string_equal(seen.moved_to, "");
    assert_int_equal(seen.last.new_text.shingles, 0); /* an edit */
    change_content(&memory, "something that has nothing to do with what was there");
    put_memory(*state, &memory);
    assert_true(sketch_keeps_less(&seen.last.old_text, &seen.last.new_text, 1));
}

static void what_the_judge_holds_never_shows(void **state)
{
    put(*state, id_of(1), "precious");
    seen.hold = true;
    struct written deleted = delete_of(*state, id_of(1));

    assert_true(deleted.held);
    assert_content(*state, id_of(1), "precious");
    assert_int_equal(counts_of(*state).alerts_open, 1);
    assert_int_equal(counts_of(*state).changes, 4); /* project, put, delete, hold */
    seen.hold = false;
    assert_false(delete_of(*state, id_of(1)).held);
    assert_content(*state, id_of(1), NULL);
    assert_verifies(*state);
}

static void when_the_judge_fails_the_request_fails_alone(void **state)
{
    struct home *home = *state;

    put(home, id_of(1), "precious");
    seen.fail = true;
    struct written deleted = delete_of(home, id_of(1));
    assert_refused_draft(&deleted, ERR_PAUSED, "guard: the guard says no");
    assert_content(home, id_of(1), "precious");
    seen.fail = false;
    assert_int_equal(delete_of(home, id_of(1)).version, 2);
    assert_int_equal(assert_verifies(home), 3);
    assert_int_equal(store_live(home->ledger->store, "p"), 0);
}

static int write_from_judge(void *arg, const struct effect *effects, size_t count,
                            const struct judge_view *view, struct decision *ret_decisions,
                            size_t *ret_count, struct err *err)
{
    struct home *home = arg;
    AUTO(memory_done) struct memory memory = memory_of("from within");
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = "judge"};
    struct written written;

    (void)effects;
    (void)count;
    (void)view;
    (void)ret_decisions;
    (void)ret_count;
    return ledger_write(home->ledger, &draft, 1, false, &written, err);
}

static void ignore_settled(void *arg, bool committed)
{
    (void)arg;
    (void)committed;
}

static void a_judge_that_writes_is_told_off(void **state)
{
    struct home *home = *state;
    struct ledger_judge bad = {.arg = home, .judge = write_from_judge, .settled = ignore_settled};

    home_close(home);
    home->judge = &bad;
    home_open(home);
    put(home, id_of(1), "precious");
    struct written deleted = delete_of(home, id_of(1));
    assert_refused_draft(&deleted, ERR_INTERNAL, "a write from within a write");
    home_close(home);
    home->judge = NULL;
    home_open(home);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define JUDGED(name) cmocka_unit_test_setup_teardown(name, judged_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_held_deletion_leaves_the_memory_alive),
        TEST(an_accepted_deletion_counts_again),
        TEST(a_reverted_deletion_stays_out_for_good),
        TEST(an_undone_change_is_no_open_alert),
        TEST(a_memory_whose_changes_are_all_held_is_not_there),
        TEST(new_versions_go_above_held_ones),
        TEST(two_alerts_must_both_let_go),
        TEST(a_held_session_or_project_falls_back_too),
        TEST(a_held_project_and_session_are_announced_again),
        TEST(many_ranges_may_be_expected),
        TEST(accepting_what_was_not_held_is_quick),
        TEST(a_held_task_falls_back_too),
        TEST(wrong_ranges_are_refused_and_leave_nothing),
        TEST(a_decision_may_come_before_what_it_holds),
        TEST(what_is_released_before_it_comes_is_not_held),
        TEST(late_decisions_count_in_the_order_of_their_versions),
        TEST(an_alert_tells_its_story),
        TEST(open_alerts_can_be_listed_alone),
        JUDGED(additive_changes_are_not_judged),
        JUDGED(bringing_back_what_was_deleted_is_told),
        JUDGED(an_effect_says_what_happened),
        JUDGED(an_effect_says_where_a_memory_went_and_what_is_left_of_its_text),
        JUDGED(what_the_judge_holds_never_shows),
        JUDGED(when_the_judge_fails_the_request_fails_alone),
        JUDGED(a_judge_that_writes_is_told_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
