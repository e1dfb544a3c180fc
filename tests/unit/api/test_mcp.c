/* mcp - the protocol, message by message, on a home in process. */
#include "support/unit.h"

#include <unistd.h>

#include "api/mcp.h"
#include "base/file.h"

#define MODERN_META                                                                                \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                       \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

struct world {
    char home[64];
    struct client *client;
    struct mcp *mcp;
    struct buf reply;
};

static int setup(void **state)
{
    struct world *world = xcalloc(1, sizeof(*world));
    struct client_options options = {.home = world->home, .no_daemon = true, .label = "mcp"};
    struct err err = ERR_INIT;

    (void)snprintf(world->home, sizeof(world->home), "/tmp/hf-mcp-XXXXXX");
    assert_non_null(mkdtemp(world->home));
    (void)setenv("HOLDFAST_PROJECT", "test", 1);
    assert_ok(client_new(&options, &world->client, &err), &err);
    assert_ok(mcp_new(world->client, &world->mcp, &err), &err);
    buf_init(&world->reply, (size_t)8 << 20);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    struct err err = ERR_INIT;

    mcp_free(world->mcp);
    client_free(world->client);
    buf_done(&world->reply);
    assert_ok(file_remove_tree(world->home, &err), &err);
    free(world);
    return 0;
}

/* The reply to a message, as a tree (new reference); NULL when there was none. */
static json_t *ask(struct world *world, const char *message)
{
    json_t *reply = NULL;
    struct err err = ERR_INIT;

    mcp_handle(world->mcp, str_of(message), &world->reply);
    if (world->reply.len == 0) {
        return NULL;
    }
    assert_null(memchr(world->reply.data, '\n', world->reply.len));
    assert_ok(json_parse(buf_str(&world->reply), &reply, &err), &err);
    assert_string_equal(json_string_value(json_object_get(reply, "jsonrpc")), "2.0");
    return reply;
}

static json_int_t error_code(const json_t *reply)
{
    return json_integer_value(json_object_get(json_object_get(reply, "error"), "code"));
}

static void initialize_agrees_on_a_version_of_the_older_era(void **state)
{
    static const char *const asked[][2] = {{"2024-11-05", "2024-11-05"},
                                           {"2025-03-26", "2025-03-26"},
                                           {"2025-06-18", "2025-06-18"},
                                           {"2025-11-25", "2025-11-25"},
                                           {"1999-01-01", "2025-11-25"}};

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        AUTO(free_ptr)
        char *message = xprintf(
            "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"initialize\",\"params\":"
            "{\"protocolVersion\":\"%s\",\"capabilities\":{},\"clientInfo\":{\"name\":\"x\"}}}",
            asked[i][0]);
        AUTO(json_unref) json_t *reply = ask(*state, message);
        const json_t *result = json_object_get(reply, "result");
        assert_string_equal(json_string_value(json_object_get(reply, "id")), "a");
        assert_string_equal(json_string_value(json_object_get(result, "protocolVersion")),
                            asked[i][1]);
        assert_true(
            json_is_object(json_object_get(json_object_get(result, "capabilities"), "tools")));
    }
}

static void what_is_no_request_gets_the_right_error_or_nothing(void **state)
{
    static const struct {
        const char *message;
        int code; /* 0: no reply */
    } cases[] = {
        {"{", -32700},
        {"\xff", -32700},
        {"{\"a\":1,\"a\":2}", -32700},
        {"[]", -32600},
        {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", -32600},
        {"7", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", -32600},
        {"{\"id\":1,\"method\":\"ping\"}", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no/such\"}", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[]}", -32602},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", 0},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"no/such\"}", 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}", 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"rm\"}}",
         -32602},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"prompts/get\",\"params\":{\"name\":\"no\"}}",
         -32602},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/read\",\"params\":{\"uri\":\"x://"
         "y\"}}",
         -32602},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO(json_unref) json_t *reply = ask(*state, cases[i].message);
        if (cases[i].code == 0 ? reply != NULL : error_code(reply) != cases[i].code) {
            fail_msg("%s", cases[i].message);
        }
    }
}

static void the_stateless_era_is_told_by_each_request(void **state)
{
    AUTO(json_unref)
    json_t *discover =
        ask(*state,
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\",\"params\":{" MODERN_META
            "}}");
    AUTO(json_unref)
    json_t *tools = ask(
        *state,
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\",\"params\":{" MODERN_META "}}");
    AUTO(json_unref)
    json_t *ping = ask(
        *state, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\",\"params\":{" MODERN_META "}}");
    AUTO(json_unref)
    json_t *other = ask(*state, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/"
                                "list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/"
                                "protocolVersion\":\"2031-01-01\"}}}");
    AUTO(json_unref)
    json_t *bare = ask(*state, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/"
                               "list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/"
                               "protocolVersion\":\"2026-07-28\"}}}");
    const json_t *result = json_object_get(discover, "result");

    assert_string_equal(json_string_value(json_object_get(result, "resultType")), "complete");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(result, "supportedVersions"), 0)),
        "2026-07-28");
    assert_true(json_is_integer(json_object_get(json_object_get(tools, "result"), "ttlMs")));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(tools, "result"), "cacheScope")),
        "private");
    assert_int_equal(error_code(ping), -32601);
    assert_int_equal(error_code(other), -32022);
    assert_int_equal(error_code(bare), -32602);
}

static json_t *call_tool(struct world *world, const char *name, const char *arguments)
{
    AUTO(free_ptr)
    char *message = xprintf("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
                            "call\",\"params\":{\"name\":\"%s\",\"arguments\":%s}}",
                            name, arguments);
    AUTO(json_unref) json_t *reply = ask(world, message);

    return json_incref(json_object_get(reply, "result"));
}

static void a_tool_answers_with_the_same_json_twice(void **state)
{
    AUTO(json_unref) json_t *result = call_tool(*state, "remember", "{\"content\":\"kept\"}");
    const char *text = json_string_value(
        json_object_get(json_array_get(json_object_get(result, "content"), 0), "text"));
    AUTO(json_unref) json_t *same = json_loads(text, 0, NULL);

    assert_true(json_is_false(json_object_get(result, "isError")));
    assert_true(json_equal(same, json_object_get(result, "structuredContent")));
    AUTO(json_unref) json_t *found = call_tool(*state, "recall", "{\"query\":\"kept\"}");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(found, "structuredContent"), "count")),
        1);
}

static void what_fails_is_told_to_the_model_in_words(void **state)
{
    static const struct {
        const char *tool, *arguments, *says;
    } cases[] = {
        {"remember", "{\"content\":\"\"}", "content is empty"},
        {"remember", "{}", "content is missing"},
        {"remember", "{\"content\":\"x\",\"sync_version\":9}", "unknown parameter"},
        {"get_memory", "{\"id\":\"01a204c0-bc6a-7511-ad16-4de98a62ca21\"}", "there is no memory"},
        {"acknowledge_destruction_alert",
         "{\"id\":\"01a204c0-bc6a-7511-ad16-4de98a62ca21\",\"action\":\"accept\"}",
         "holdfast resolve 01a204c0-bc6a-7511-ad16-4de98a62ca21 --accept"},
        {"acknowledge_destruction_alert",
         "{\"id\":\"01a204c0-bc6a-7511-ad16-4de98a62ca21\",\"action\":\"accept\",\"yes\":true}",
         "unknown parameter"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO(json_unref) json_t *result = call_tool(*state, cases[i].tool, cases[i].arguments);
        const char *text = json_string_value(
            json_object_get(json_array_get(json_object_get(result, "content"), 0), "text"));
        assert_true(json_is_true(json_object_get(result, "isError")));
        assert_null(json_object_get(result, "structuredContent"));
        if (!text || !strstr(text, cases[i].says)) {
            fail_msg("\"%s\" does not say \"%s\"", text, cases[i].says);
        }
    }
}

static void lines_are_answered_and_a_long_one_is_skipped(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *path = path_join(world->home, "in");
    AUTO(free_ptr) char *out_path = path_join(world->home, "out");
    AUTO(free_ptr) char *junk = xmalloc(MCP_LINE_MAX + 100);
    AUTO(buf_done) struct buf out = BUF_INIT((size_t)1 << 20);
    struct err err = ERR_INIT;
    FILE *in = fopen(path, "w+e");
    FILE *answers = fopen(out_path, "w+e");

    assert_true(in && answers);
    memset(junk, 'x', MCP_LINE_MAX + 99);
    junk[MCP_LINE_MAX + 99] = 0;
    (void)fprintf(in,
                  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n\n%s\n{\"jsonrpc\":\"2."
                  "0\",\"id\":2,\"method\":\"ping\"}",
                  junk);
    rewind(in);
    assert_ok(mcp_serve(world->mcp, fileno(in), fileno(answers), &err), &err);
    assert_ok(file_read(out_path, out.max, &out, &err), &err);
    (void)fclose(in);
    (void)fclose(answers);
    assert_string_equal(out.data, "{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":{}}\n"
                                  "{\"error\":{\"code\":-32700,\"message\":\"the message is longer "
                                  "than 8 MiB\"},\"id\":null,\"jsonrpc\":\"2.0\"}\n"
                                  "{\"id\":2,\"jsonrpc\":\"2.0\",\"result\":{}}\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(initialize_agrees_on_a_version_of_the_older_era),
        TEST(what_is_no_request_gets_the_right_error_or_nothing),
        TEST(the_stateless_era_is_told_by_each_request),
        TEST(a_tool_answers_with_the_same_json_twice),
        TEST(what_fails_is_told_to_the_model_in_words),
        TEST(lines_are_answered_and_a_long_one_is_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
