/* session - its object and its body. */
#include "model/samples.h"
#include "model/session.h"

#define JOURNEY "0190f7a2-5c1e-7abc-8def-00000000aaaa"

#define BODY                                                                                       \
    "{\"agent\":\"claude-code 2.1 (pid 4711)\",\"ended_at\":\"2026-11-23T00:00:00.000000Z\","      \
    "\"journey_id\":\"" JOURNEY "\",\"previous_id\":\"" SAMPLE_ID                                  \
    "\",\"started_at\":\"" SAMPLE_TIME "\",\"summary\":\"We \\\"did\\\" it\\n\"}"

static void read_text(const char *text, struct session *ret)
{
    AUTO(json_unref) json_t *object = sample_json(text);

    OK(session_from_json(object, ret, &err));
}

static void assert_object_refused(const char *text, enum err_code code, const char *message)
{
    AUTO(json_unref) json_t *object = sample_json(text);
    struct session session = {.version = 99};

    REFUSED(session_from_json(object, &session, &err), code, message);
    assert_int_equal(session.version, 99); /* written only on success */
}

static void assert_body_round_trip(const char *body)
{
    AUTO(session_done) struct session session;
    AUTO(buf_done) struct buf again = BUF_INIT(CHANGE_RECORD_MAX);

    OK(session_read_body(str_of(body), &session, &err));
    OK(session_write_body(&session, &again, &err));
    assert_string_equal(again.data, body);
}

static void a_body_read_and_written_is_the_same_to_the_byte(void **state)
{
    (void)state;

    assert_body_round_trip(BODY);
    assert_body_round_trip("{\"started_at\":\"" SAMPLE_TIME "\"}");
    assert_body_round_trip("{\"started_at\":\"" SAMPLE_TIME "\",\"summary\":\"s\"}");
    assert_body_round_trip("{\"agent\":\"a\",\"started_at\":\"" SAMPLE_TIME "\"}");
}

static void a_body_is_read_field_by_field(void **state)
{
    (void)state;
    AUTO(session_done) struct session session;
    struct uuid journey = sample_uuid(JOURNEY);
    struct uuid previous = sample_uuid(SAMPLE_ID);

    OK(session_read_body(STR(BODY), &session, &err));
    assert_string_equal(session.agent, "claude-code 2.1 (pid 4711)");
    assert_string_equal(session.summary, "We \"did\" it\n");
    assert_int_equal(session.started_us, SAMPLE_US);
    assert_int_equal(session.ended_us, 1795392000000000LL);
    assert_true(uuid_eq(&session.journey_id, &journey));
    assert_true(uuid_eq(&session.previous_id, &previous));
    assert_true(uuid_is_nil(&session.id));
    assert_null(session.project_id);
    assert_int_equal(session.active_us, TIME_NONE);
}

static void an_open_session_shows_every_field_and_reads_back(void **state)
{
    (void)state;
    AUTO(session_done) struct session session;
    AUTO(session_done) struct session back;

    read_text("{\"started_at\":\"" SAMPLE_TIME "\"}", &session);
    AUTO(json_unref) json_t *object = session_to_json(&session);
    AUTO(free_ptr) char *text = json_dumps(object, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(text, "{\"active_at\":null,\"agent\":null,\"ended_at\":null,\"id\":null,"
                              "\"journey_id\":null,\"memory_count\":0,\"previous_id\":null,"
                              "\"project_id\":null,\"started_at\":\"" SAMPLE_TIME "\","
                              "\"summary\":null,\"sync_version\":null}");
    OK(session_from_json(object, &back, &err));
    assert_int_equal(back.started_us, SAMPLE_US);
}

static void every_field_of_an_object_is_read(void **state)
{
    (void)state;
    AUTO(session_done) struct session session;
    static const char text[] =
        "{\"active_at\":\"" SAMPLE_TIME "\",\"agent\":\"a\",\"ended_at\":\"" SAMPLE_TIME
        "\",\"id\":\"" SAMPLE_ID "\",\"journey_id\":\"" JOURNEY
        "\",\"memory_count\":5,\"previous_id\":\"" SAMPLE_ORIGIN
        "\",\"project_id\":\"holdfast\",\"started_at\":\"" SAMPLE_TIME
        "\",\"summary\":\"s\",\"sync_version\":2}";

    read_text(text, &session);
    session.active_us = SAMPLE_US; /* derived: not read */
    session.memory_count = 5;
    AUTO(json_unref) json_t *object = session_to_json(&session);
    AUTO(free_ptr) char *again = json_dumps(object, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(again, text);
}

static void an_empty_summary_is_none(void **state)
{
    (void)state;
    AUTO(session_done) struct session session;

    read_text("{\"summary\":\"\"}", &session);
    assert_null(session.summary);
    assert_int_equal(session.started_us, TIME_NONE);
}

static void broken_rules_have_their_message(void **state)
{
    (void)state;

    assert_object_refused("[]", ERR_INVALID, "a session is an array; an object is allowed");
    assert_object_refused("{\"name\":\"x\"}", ERR_INVALID,
                          "name is not a field of a session; allowed are agent, ended_at, id,");
    assert_object_refused("{\"id\":\"x\"}", ERR_INVALID, "id: \"x\" is not a UUID");
    assert_object_refused("{\"previous_id\":7}", ERR_INVALID, "previous_id is a number");
    assert_object_refused("{\"journey_id\":\"\"}", ERR_INVALID, "journey_id: ");
    assert_object_refused("{\"agent\":\"\"}", ERR_INVALID,
                          "agent is empty; 1 to 128 bytes are allowed");
    assert_object_refused("{\"project_id\":\"\"}", ERR_INVALID, "project_id is empty");
    assert_object_refused("{\"started_at\":\"now\"}", ERR_INVALID, "started_at: ");
    assert_object_refused("{\"ended_at\":1}", ERR_INVALID, "ended_at is a number");
    assert_object_refused("{\"summary\":{}}", ERR_INVALID,
                          "summary is an object; a string is allowed");
    assert_object_refused("{\"sync_version\":0}", ERR_INVALID, "sync_version is 0");
    assert_object_refused("{\"sync_version\":4503599627370497}", ERR_INVALID,
                          "sync_version is 4503599627370497");
}

static void texts_end_at_their_limits(void **state)
{
    (void)state;
    AUTO(free_ptr) char *summary = sample_repeat("\xc3\xa9", SESSION_SUMMARY_MAX);
    AUTO(free_ptr) char *agent = sample_repeat("a", SOURCE_MAX_BYTES);
    AUTO(free_ptr) char *most = xprintf("{\"summary\":\"%s\",\"agent\":\"%s\"}", summary, agent);
    AUTO(free_ptr) char *long_summary = xprintf("{\"summary\":\"%sx\"}", summary);
    AUTO(free_ptr) char *long_agent = xprintf("{\"agent\":\"%sx\"}", agent);
    AUTO(session_done) struct session session;

    read_text(most, &session);
    assert_object_refused(long_summary, ERR_LIMIT,
                          "summary has 50,001 characters; at most 50,000 are allowed");
    assert_object_refused(long_agent, ERR_LIMIT, "agent has 129 bytes; at most 128 are allowed");
}

static void what_is_no_body_is_corrupt(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"started_at\":null}",
        "{\"started_at\":\"x\"}",
        "{\"started_at\":\"" SAMPLE_TIME "\",\"id\":\"" SAMPLE_ID "\"}",
        "{\"started_at\":\"" SAMPLE_TIME "\",\"x\":1}",
        "{\"started_at\":\"" SAMPLE_TIME "\",\"agent\":\"\"}",
    };
    struct session session;

    for (size_t i = 0; i < COUNT(bodies); i++) {
        REFUSED(session_read_body(str_of(bodies[i]), &session, &err), ERR_CORRUPT, "");
    }
}

static void done_takes_anything(void **state)
{
    (void)state;
    struct session zero = {.agent = NULL};
    struct session session;

    session_done(NULL);
    session_done(&zero);
    OK(session_read_body(STR(BODY), &session, &err));
    session_done(&session);
    session_done(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_read_and_written_is_the_same_to_the_byte),
        cmocka_unit_test(a_body_is_read_field_by_field),
        cmocka_unit_test(an_open_session_shows_every_field_and_reads_back),
        cmocka_unit_test(every_field_of_an_object_is_read),
        cmocka_unit_test(an_empty_summary_is_none),
        cmocka_unit_test(broken_rules_have_their_message),
        cmocka_unit_test(texts_end_at_their_limits),
        cmocka_unit_test(what_is_no_body_is_corrupt),
        cmocka_unit_test(done_takes_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
