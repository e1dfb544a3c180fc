/* decision - the body of a guard change. */
#include "model/range.h"
#include "model/samples.h"

#define BODY                                                                                       \
    "{\"actor\":\"mcp:claude-code\",\"alert\":\"" SAMPLE_ID                                        \
    "\",\"changes\":12,\"decision\":\"held\",\"memories\":10,\"person\":\"\","                     \
    "\"ranges\":[{\"from\":5,\"origin\":\"" SAMPLE_ORIGIN                                          \
    "\",\"to\":9},{\"from\":12,\"origin\":\"" SAMPLE_ORIGIN                                        \
    "\",\"to\":12}],\"rule\":\"burst\",\"started_at\":\"" SAMPLE_TIME                              \
    "\",\"summary\":\"10 memories deleted in 2 s\"}"

static void a_body_read_and_written_is_the_same_to_the_byte(void **state)
{
    (void)state;
    AUTO(decision_done) struct decision decision;
    AUTO(buf_done) struct buf again = BUF_INIT(CHANGE_RECORD_MAX);

    OK(decision_read_body(STR(BODY), &decision, &err));
    OK(decision_write_body(&decision, &again, &err));
    assert_string_equal(again.data, BODY);
}

static void a_body_is_read_field_by_field(void **state)
{
    (void)state;
    AUTO(decision_done) struct decision decision;
    struct uuid alert = sample_uuid(SAMPLE_ID);
    struct uuid origin = sample_uuid(SAMPLE_ORIGIN);

    OK(decision_read_body(STR(BODY), &decision, &err));
    assert_true(uuid_eq(&decision.alert, &alert));
    assert_int_equal(decision.kind, DECISION_HELD);
    assert_int_equal(decision.ranges.count, 2);
    assert_int_equal(ranges_total(&decision.ranges), 6);
    assert_true(ranges_contain(&decision.ranges, &origin, 12));
    assert_string_equal(decision.rule, "burst");
    assert_string_equal(decision.actor, "mcp:claude-code");
    assert_string_equal(decision.summary, "10 memories deleted in 2 s");
    assert_string_equal(decision.person, "");
    assert_int_equal(decision.changes, 12);
    assert_int_equal(decision.memories, 10);
    assert_int_equal(decision.started_us, SAMPLE_US);
}

/* BODY with the first `old` in it replaced. */
static void with(const char *old, const char *new, struct buf *ret)
{
    const char *at = strstr(BODY, old);

    assert_non_null(at);
    buf_reset(ret);
    OK(buf_add(ret, BODY, (size_t)(at - BODY), &err));
    OK(buf_add_c(ret, new, &err));
    OK(buf_add_c(ret, at + strlen(old), &err));
}

static void every_kind_of_decision_reads_back(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);

    for (int i = 0; i < DECISION_KINDS; i++) {
        AUTO(decision_done) struct decision decision;
        AUTO(free_ptr) char *name = xprintf("\"%s\"", decision_kind_name((enum decision_kind)i));
        with("\"held\"", name, &body);
        OK(decision_read_body(buf_str(&body), &decision, &err));
        assert_int_equal(decision.kind, i);
    }
}

static void a_decision_may_speak_of_no_change(void **state)
{
    (void)state;
    AUTO(decision_done) struct decision decision;
    AUTO(buf_done) struct buf again = BUF_INIT(CHANGE_RECORD_MAX);

    OK(decision_read_body(STR(BODY), &decision, &err));
    decision.ranges.count = 0;
    OK(decision_write_body(&decision, &again, &err));
    assert_non_null(strstr(again.data, "\"ranges\":[],"));
    AUTO(decision_done) struct decision back;
    OK(decision_read_body(buf_str(&again), &back, &err));
    assert_int_equal(back.ranges.count, 0);
}

static void what_is_no_body_is_corrupt(void **state)
{
    (void)state;
    static const struct {
        const char *old;
        const char *new;
        const char *message;
    } cases[] = {
        {"\"actor\":\"mcp:claude-code\",", "", "a field is missing"},
        {"\"rule\":\"burst\"", "\"rule\":null", "a field is missing"},
        {"\"rule\":\"burst\"", "\"ruler\":\"burst\"", "ruler is not a field of a decision"},
        {"\"rule\":\"burst\"", "\"rule\":7", "rule is a number"},
        {"\"held\"", "\"kept\"",
         "decision is \"kept\"; allowed are held, reverted, accepted, undone"},
        {"\"held\"", "7", "decision is a number"},
        {"\"alert\":\"" SAMPLE_ID, "\"alert\":\"7", "alert: "},
        {"\"changes\":12", "\"changes\":-1", "changes is -1"},
        {"\"memories\":10", "\"memories\":1.5", "memories is a fraction"},
        {"\"from\":5", "\"from\":0", "ranges[0]: from is 0"},
        {"\"from\":5", "\"from\":10", "ranges[0]: a range needs"},
        {"\"from\":5,", "", "ranges[0]: a range needs"},
        {"\"from\":5", "\"first\":5", "ranges[0]: first is not a field of a range"},
        {"\"to\":9", "\"to\":\"9\"", "ranges[0]: to is a string"},
        {"[{", "[7,{", "ranges[0]: a range is a number"},
        {"\"ranges\":[", "\"ranges\":7,\"x\":[", "ranges is no array"},
        {"\"started_at\":\"2026", "\"started_at\":\"x", "started_at: "},
    };
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    struct decision decision = {.changes = 99};

    for (size_t i = 0; i < COUNT(cases); i++) {
        with(cases[i].old, cases[i].new, &body);
        REFUSED(decision_read_body(buf_str(&body), &decision, &err), ERR_CORRUPT, cases[i].message);
        assert_int_equal(decision.changes, 99); /* written only on success */
    }
    REFUSED(decision_read_body(STR("[]"), &decision, &err), ERR_CORRUPT, "a decision is an array");
    REFUSED(decision_read_body(STR("{"), &decision, &err), ERR_CORRUPT, "");
}

/* ---- limits ---- */

/* At every limit, with the longest numbers. */
static void fill_largest(struct decision *decision)
{
    char *const texts[] = {
        sample_repeat("\"", DECISION_TEXT_MAX_BYTES), sample_repeat("\\", DECISION_TEXT_MAX_BYTES),
        sample_repeat("\n", DECISION_TEXT_MAX_BYTES), sample_repeat("\t", DECISION_TEXT_MAX_BYTES)};
    struct uuid origin = sample_uuid(SAMPLE_ORIGIN);

    decision_init(decision);
    decision->alert = sample_uuid(SAMPLE_ID);
    decision->started_us = SAMPLE_US;
    decision->changes = VERSION_MAX;
    decision->memories = VERSION_MAX;
    decision->kind = DECISION_REVERTED;
    decision->rule = texts[0];
    decision->actor = texts[1];
    decision->summary = texts[2];
    decision->person = texts[3];
    for (uint64_t i = 0; i < RANGES_MAX; i++) {
        ranges_add(&decision->ranges, &origin, VERSION_MAX - 2 * i);
    }
}

static void the_largest_decision_fits_into_a_record(void **state)
{
    (void)state;
    AUTO(decision_done) struct decision decision;
    AUTO(decision_done) struct decision back;
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change change = {
        .kind = KIND_GUARD, .seq = VERSION_MAX, .version = VERSION_MAX, .id = SAMPLE_ID};

    memset(change.project_id, '"', PROJECT_ID_MAX_BYTES);
    memset(change.source, '"', SOURCE_MAX_BYTES);
    fill_largest(&decision);
    OK(decision_write_body(&decision, &body, &err));
    change.body = buf_str(&body);
    OK(change_write_record(&change, &record, &err));
    OK(decision_read_body(change.body, &back, &err));
    assert_int_equal(back.ranges.count, RANGES_MAX);
    assert_string_equal(back.summary, decision.summary);
}

static void a_decision_past_a_limit_is_refused(void **state)
{
    (void)state;
    AUTO(decision_done) struct decision decision;
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);

    fill_largest(&decision);
    ranges_add(&decision.ranges, &decision.alert, 1);
    REFUSED(decision_write_body(&decision, &body, &err), ERR_LIMIT,
            "ranges[10000]: 10001 ranges; at most 10000 are allowed in one decision");
    decision.ranges.count = 1;
    free(decision.summary);
    decision.summary = sample_repeat("s", DECISION_TEXT_MAX_BYTES + 1);
    REFUSED(decision_write_body(&decision, &body, &err), ERR_LIMIT,
            "summary has 1,025 bytes; at most 1,024 are allowed");
    assert_int_equal(body.len, 0);
}

static void the_rules_of_a_recovery_are_known(void **state)
{
    (void)state;

    assert_true(rule_is_recovery(RULE_RECOVER) && rule_is_recovery(RULE_RECOVER_FILTER));
    assert_false(rule_is_recovery(NULL) || rule_is_recovery("") || rule_is_recovery("burst"));
}

static void done_takes_anything(void **state)
{
    (void)state;
    struct decision zero = {.rule = NULL};
    struct decision decision;

    decision_done(NULL);
    decision_done(&zero);
    OK(decision_read_body(STR(BODY), &decision, &err));
    decision_done(&decision);
    decision_done(&decision);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_read_and_written_is_the_same_to_the_byte),
        cmocka_unit_test(a_body_is_read_field_by_field),
        cmocka_unit_test(every_kind_of_decision_reads_back),
        cmocka_unit_test(a_decision_may_speak_of_no_change),
        cmocka_unit_test(what_is_no_body_is_corrupt),
        cmocka_unit_test(the_largest_decision_fits_into_a_record),
        cmocka_unit_test(a_decision_past_a_limit_is_refused),
        cmocka_unit_test(the_rules_of_a_recovery_are_known),
        cmocka_unit_test(done_takes_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
