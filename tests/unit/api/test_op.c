/* op - the table of operations: routes, parameters, schemas; and the spool bodies travel in. */
#include "support/unit.h"

#include "api/op.h"

static void every_row_is_complete_and_its_names_are_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < ops_count; i++) {
        const struct op *op = &ops[i];
        assert_non_null(op->method);
        assert_non_null(op->path);
        assert_non_null(op->title);
        assert_non_null(op->handler);
        assert_true(op->about && strlen(op->about) > 10);
        assert_ptr_equal(op_by_name(op->name), op);
        assert_true(!op->tool || op_by_tool(op->tool) == op);
        for (size_t j = 0; j < i; j++) {
            bool same_route =
                strcmp(ops[j].method, op->method) == 0 && strcmp(ops[j].path, op->path) == 0;
            bool same_verb = op->verb && ops[j].verb && strcmp(ops[j].verb, op->verb) == 0;
            assert_false(same_route || same_verb);
        }
        for (const struct op_param *p = op->params; p->name; p++) {
            assert_true(p->about && strlen(p->about) > 5);
        }
    }
}

static void a_route_finds_its_row_and_fills_the_path_in(void **state)
{
    bool known = false;
    AUTO(json_unref) json_t *params = json_object();

    (void)state;
    assert_string_equal(op_by_route("GET", "/api/memory/abc", params, &known)->name, "get_memory");
    assert_string_equal(json_string_value(json_object_get(params, "id")), "abc");
    assert_string_equal(op_by_route("GET", "/api/memory/search", params, &known)->name, "recall");
    assert_string_equal(op_by_route("POST", "/api/memory/search", params, &known)->name, "recall");
    assert_null(op_by_route("POST", "/api/memory/abc", params, &known));
    assert_string_equal(op_by_route("DELETE", "/api/memory/x", params, &known)->name, "forget");
    assert_string_equal(op_by_route("POST", "/api/alerts/q/resolve", params, &known)->name,
                        "resolve");
    assert_null(op_by_route("PATCH", "/api/memory", params, &known));
    assert_true(known);
    assert_null(op_by_route("GET", "/api/nothing", params, &known));
    assert_false(known);
    assert_null(op_by_route("GET", "/api/memory/", params, &known));
}

static void parameters_are_checked_against_their_row(void **state)
{
    static const struct {
        const char *op, *params, *says;
    } cases[] = {
        {"remember", "{}", "content is missing"},
        {"remember", "{\"content\":1}", "content must be a string"},
        {"remember", "{\"content\":\"x\",\"frob\":1}", "unknown parameter \"frob\""},
        {"remember", "{\"content\":\"x\",\"memory_type\":\"dream\"}",
         "allowed are episodic, semantic"},
        {"remember", "{\"content\":\"x\",\"id\":\"zz\"}", "id"},
        {"remember", "{\"content\":\"x\",\"tags\":[1]}", "tags[0] must be a string"},
        {"remember", "{\"content\":\"x\",\"references\":[\"a\"]}",
         "references[0] must be an object"},
        {"remember", "{\"content\":\"x\",\"metadata\":[]}", "metadata must be an object"},
        {"recall", "{\"query\":\"x\",\"limit\":1001}", "limit is 1001; allowed is 1 to 1000"},
        {"recall", "{\"query\":\"x\",\"limit\":1.5}", "limit must be an integer"},
        {"recall", "{\"query\":\"\"}", "query has 0 bytes"},
        {"recall", "{\"query\":\"x\",\"since\":\"whenever\"}", "since"},
        {"recall", "{\"query\":\"x\",\"all_projects\":\"yes\"}",
         "all_projects must be true or false"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO(json_unref) json_t *params = json_loads(cases[i].params, 0, NULL);
        struct err err = ERR_INIT;
        assert_true(op_check(op_by_name(cases[i].op), params, &err) < 0);
        if (!strstr(err.message, cases[i].says)) {
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].says);
        }
    }
}

static void text_becomes_what_the_row_wants(void **state)
{
    const struct op *recall = op_by_name("recall");
    const struct op *remember = op_by_name("remember");
    AUTO(json_unref) json_t *params = json_object();
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(op_set_text(recall, params, "limit", "12", &err), &err);
    assert_ok(op_set_text(recall, params, "all_projects", "true", &err), &err);
    assert_ok(op_set_text(recall, params, "tags", "a, b", &err), &err);
    assert_ok(op_set_text(recall, params, "tags", "c", &err), &err);
    assert_int_equal(json_integer_value(json_object_get(params, "limit")), 12);
    assert_true(json_is_true(json_object_get(params, "all_projects")));
    assert_int_equal(json_array_size(json_object_get(params, "tags")), 2);
    assert_ok(op_set_text(remember, params, "importance", "0.25", &err), &err);
    assert_ok(op_set_text(remember, params, "metadata", "{\"a\":1}", &err), &err);
    assert_true(json_is_object(json_object_get(params, "metadata")));
    assert_true(op_set_text(recall, params, "limit", "many", &err) < 0);
    assert_true(op_set_text(recall, params, "all_projects", "perhaps", &err) < 0);
    assert_true(op_set_text(recall, params, "frob", "x", &err) < 0);
    assert_true(op_set_text(remember, params, "metadata", "{", &err) < 0);
    assert_true(op_set_text(remember, params, "content", "\xff", &err) < 0);
}

/* What clients refuse: no top-level oneOf, every array has items, additionalProperties false, a
 * description each. */
static void schemas_are_such_that_all_clients_take_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < ops_count; i++) {
        AUTO(json_unref) json_t *schema = op_schema(&ops[i], true);
        const char *name;
        json_t *property;
        assert_string_equal(json_string_value(json_object_get(schema, "type")), "object");
        assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
        assert_true(json_is_object(json_object_get(schema, "properties")));
        json_object_foreach (json_object_get(schema, "properties"), name, property) {
            assert_true(json_is_string(json_object_get(property, "description")));
            bool is_array =
                strcmp(json_string_value(json_object_get(property, "type")), "array") == 0;
            assert_true(!is_array || json_is_object(json_object_get(property, "items")));
            assert_null(op_param(&ops[i], name)->fixed);
        }
    }
}

static void fill(struct spool *spool, size_t lines, size_t length)
{
    AUTO(free_ptr) char *text = xmalloc(length + 1);
    struct err err = ERR_INIT;

    memset(text, 'x', length);
    text[length] = '\n';
    for (size_t i = 0; i < lines; i++) {
        assert_ok(spool_add(spool, text, length + 1, &err), &err);
    }
}

static void a_spool_reads_back_line_by_line_in_memory_and_in_a_file(void **state)
{
    static const size_t counts[] = {3, 30};

    (void)state;
    for (size_t c = 0; c < 2; c++) {
        struct spool spool;
        struct spool_lines lines;
        struct str line;
        bool more = false;
        size_t seen = 0;
        struct err err = ERR_INIT;
        spool_init(&spool);
        fill(&spool, counts[c], 100000);
        assert_ok(spool_add(&spool, "last", 4, &err), &err);
        assert_int_equal(spool.fd >= 0, c == 1);
        spool_lines_init(&lines, &spool, 100000);
        while (spool_lines_next(&lines, &line, &more, &err) == 0 && more) {
            assert_int_equal(line.len, seen < counts[c] ? 100000 : 4);
            assert_int_equal(lines.number, ++seen);
        }
        assert_int_equal(seen, counts[c] + 1);
        spool_lines_done(&lines);
        spool_done(&spool);
    }
}

static void a_line_that_is_too_long_is_told_and_skipped(void **state)
{
    struct spool spool;
    struct spool_lines lines;
    struct str line;
    bool more = false;
    struct err err = ERR_INIT;

    (void)state;
    spool_init(&spool);
    fill(&spool, 1, 10);
    fill(&spool, 1, 3000000);
    fill(&spool, 1, 20);
    spool_lines_init(&lines, &spool, 1000);
    assert_ok(spool_lines_next(&lines, &line, &more, &err), &err);
    assert_int_equal(line.len, 10);
    assert_ok(spool_lines_next(&lines, &line, &more, &err), &err);
    assert_null(line.ptr);
    assert_int_equal(line.len, 3000000);
    assert_ok(spool_lines_next(&lines, &line, &more, &err), &err);
    assert_int_equal(line.len, 20);
    assert_int_equal(lines.number, 3);
    assert_ok(spool_lines_next(&lines, &line, &more, &err), &err);
    assert_false(more);
    spool_lines_done(&lines);
    spool_done(&spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete_and_its_names_are_its_own),
        cmocka_unit_test(a_route_finds_its_row_and_fills_the_path_in),
        cmocka_unit_test(parameters_are_checked_against_their_row),
        cmocka_unit_test(text_becomes_what_the_row_wants),
        cmocka_unit_test(schemas_are_such_that_all_clients_take_them),
        cmocka_unit_test(a_spool_reads_back_line_by_line_in_memory_and_in_a_file),
        cmocka_unit_test(a_line_that_is_too_long_is_told_and_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
