/* project - its object and its body. */
#include "model/samples.h"
#include "model/session.h"

static void read_text(const char *text, struct project *ret)
{
    AUTO(json_unref) json_t *object = sample_json(text);

    OK(project_from_json(object, ret, &err));
}

static void assert_object_refused(const char *text, enum err_code code, const char *message)
{
    AUTO(json_unref) json_t *object = sample_json(text);
    struct project project = {.version = 99};

    REFUSED(project_from_json(object, &project, &err), code, message);
    assert_int_equal(project.version, 99); /* written only on success */
}

static void assert_body_round_trip(const char *body)
{
    AUTO(project_done) struct project project;
    AUTO(buf_done) struct buf again = BUF_INIT(CHANGE_RECORD_MAX);

    OK(project_read_body(str_of(body), &project, &err));
    OK(project_write_body(&project, &again, &err));
    assert_string_equal(again.data, body);
}

static void a_body_read_and_written_is_the_same_to_the_byte(void **state)
{
    (void)state;

    assert_body_round_trip("{\"created_at\":\"" SAMPLE_TIME "\",\"name\":\"n\"}");
    assert_body_round_trip("{\"created_at\":\"" SAMPLE_TIME
                           "\",\"description\":\"a\\nb\",\"name\":\"\\\"n\\\"\"}");
}

static void an_object_read_and_shown_is_the_same(void **state)
{
    (void)state;
    static const char text[] =
        "{\"created_at\":\"" SAMPLE_TIME "\",\"description\":\"d\",\"id\":\"p\",\"memory_count\":0,"
        "\"name\":\"n\",\"sync_version\":2}";
    AUTO(project_done) struct project project;

    read_text(text, &project);
    AUTO(json_unref) json_t *object = project_to_json(&project);
    AUTO(free_ptr) char *again = json_dumps(object, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(again, text);
}

static void a_project_without_a_name_is_called_by_its_id(void **state)
{
    (void)state;
    AUTO(project_done) struct project project;

    read_text("{\"id\":\"p\",\"description\":\"\"}", &project);
    assert_string_equal(project.name, "p");
    assert_null(project.description);
    AUTO(json_unref) json_t *object = project_to_json(&project);
    AUTO(free_ptr) char *text = json_dumps(object, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(text, "{\"created_at\":null,\"description\":null,\"id\":\"p\","
                              "\"memory_count\":0,\"name\":\"p\",\"sync_version\":null}");
}

static void broken_rules_have_their_message(void **state)
{
    (void)state;

    assert_object_refused("7", ERR_INVALID, "a project is a number; an object is allowed");
    assert_object_refused("{}", ERR_INVALID, "id is missing; 1 to 200 bytes are allowed");
    assert_object_refused("{\"id\":\"\"}", ERR_INVALID, "id is empty; 1 to 200 bytes are allowed");
    assert_object_refused(
        "{\"id\":\"p\",\"title\":\"\"}", ERR_INVALID,
        "title is not a field of a project; allowed are created_at, description, id,");
    assert_object_refused("{\"id\":\"p\",\"name\":\"\"}", ERR_INVALID, "name is empty");
    assert_object_refused("{\"id\":\"p\",\"name\":\"a\\nb\"}", ERR_INVALID,
                          "name holds the control");
    assert_object_refused("{\"id\":\"p\",\"description\":7}", ERR_INVALID,
                          "description is a number");
    assert_object_refused("{\"id\":\"p\",\"created_at\":\"x\"}", ERR_INVALID, "created_at: ");
    assert_object_refused("{\"id\":\"p\",\"sync_version\":0}", ERR_INVALID, "sync_version is 0");
    assert_object_refused("{\"id\":\"p\",\"sync_version\":4503599627370497}", ERR_INVALID,
                          "sync_version is 4503599627370497");
}

static void texts_end_at_their_limits(void **state)
{
    (void)state;
    AUTO(free_ptr) char *id = sample_repeat("i", PROJECT_ID_MAX_BYTES);
    AUTO(free_ptr) char *name = sample_repeat("n", PROJECT_NAME_MAX_BYTES);
    AUTO(free_ptr) char *description = sample_repeat("d", PROJECT_DESCRIPTION_MAX_BYTES);
    AUTO(free_ptr)
    char *most =
        xprintf("{\"id\":\"%s\",\"name\":\"%s\",\"description\":\"%s\"}", id, name, description);
    AUTO(free_ptr) char *long_id = xprintf("{\"id\":\"%sx\"}", id);
    AUTO(free_ptr) char *long_name = xprintf("{\"id\":\"p\",\"name\":\"%sx\"}", name);
    AUTO(free_ptr)
    char *long_description = xprintf("{\"id\":\"p\",\"description\":\"%sx\"}", description);
    AUTO(project_done) struct project project;

    read_text(most, &project);
    assert_object_refused(long_id, ERR_LIMIT, "id has 201 bytes; at most 200 are allowed");
    assert_object_refused(long_name, ERR_LIMIT, "name has 201 bytes; at most 200 are allowed");
    assert_object_refused(long_description, ERR_LIMIT,
                          "description has 4,097 bytes; at most 4,096 are allowed");
}

static void what_is_no_body_is_corrupt(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "[]",
        "{}",
        "{\"created_at\":\"" SAMPLE_TIME "\"}",
        "{\"name\":\"n\"}",
        "{\"created_at\":\"" SAMPLE_TIME "\",\"id\":\"p\",\"name\":\"n\"}",
        "{\"created_at\":\"" SAMPLE_TIME "\",\"name\":\"\"}",
    };
    struct project project;

    for (size_t i = 0; i < COUNT(bodies); i++) {
        REFUSED(project_read_body(str_of(bodies[i]), &project, &err), ERR_CORRUPT, "");
    }
}

static void done_takes_anything(void **state)
{
    (void)state;
    struct project zero = {.id = NULL};
    struct project project;

    project_done(NULL);
    project_done(&zero);
    read_text("{\"id\":\"p\"}", &project);
    project_done(&project);
    project_done(&project);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_read_and_written_is_the_same_to_the_byte),
        cmocka_unit_test(an_object_read_and_shown_is_the_same),
        cmocka_unit_test(a_project_without_a_name_is_called_by_its_id),
        cmocka_unit_test(broken_rules_have_their_message),
        cmocka_unit_test(texts_end_at_their_limits),
        cmocka_unit_test(what_is_no_body_is_corrupt),
        cmocka_unit_test(done_takes_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
