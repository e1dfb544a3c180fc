/* Tools: the rows of ops.def that name one. */
#include "api/mcp_internal.h"

#define ITEMS_BYTES_MAX                                                                            \
    ((size_t)4 * 1024 *                                                                            \
     1024) /* of one answer: clients cut lines at 10 MiB, and models drown earlier */

json_t *mcp_tools(void)
{
    json_t *tools = json_array();

    for (size_t i = 0; i < ops_count; i++) {
        const struct op *op = &ops[i];
        if (!op->tool) {
            continue;
        }
        json_array_append_new(
            tools, json_pack("{s:s,s:s,s:s,s:o,s:{s:s,s:b,s:b,s:b,s:b}}", "name", op->tool, "title",
                             op->title, "description", op->about, "inputSchema",
                             op_schema(op, true), "annotations", "title", op->title, "readOnlyHint",
                             (op->hints & OP_READ_ONLY) != 0, "destructiveHint",
                             (op->hints & OP_DESTRUCTIVE) != 0, "idempotentHint",
                             (op->hints & OP_IDEMPOTENT) != 0, "openWorldHint", 0));
    }
    return tools;
}

struct items {
    json_t *array;
    size_t bytes;
    bool cut;
};

static int add_item(void *arg, struct str line, struct err *err)
{
    struct items *items = arg;
    json_t *item = NULL;

    items->bytes += line.len;
    items->cut = items->cut || items->bytes > ITEMS_BYTES_MAX;
    if (items->cut) {
        return 0;
    }
    if (json_parse(line, &item, err) != 0) {
        return -(int)err->code;
    }
    json_array_append_new(items->array, item);
    return 0;
}

json_t *mcp_call(struct mcp *mcp, const struct op *op, const json_t *arguments, struct err *err)
{
    struct items items = {.array = json_array()};
    AUTO(json_unref) json_t *none = json_object();
    json_t *document = NULL;

    int rc = client_call(mcp->client, op, arguments ? arguments : none, -1, add_item, &items,
                         &document, err);
    mcp->used = mcp->used || rc == 0;
    if (rc == 0 && op->answer == OP_LINES) {
        document = json_pack("{s:O,s:I}", "items", items.array, "count",
                             (json_int_t)json_array_size(items.array));
        if (items.cut) {
            json_object_set_new(
                document, "note",
                json_string("The answer was cut: ask for less, with limit or a filter."));
        }
    }
    json_decref(items.array);
    return rc == 0 ? document : NULL;
}

static json_t *tool_error(const char *text)
{
    return json_pack("{s:[{s:s,s:s}],s:b}", "content", "type", "text", "text", text, "isError", 1);
}

json_t *mcp_call_tool(struct mcp *mcp, const struct op *op, const json_t *arguments)
{
    struct err err = ERR_INIT;
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)arguments, key, value) {
        const struct op_param *p = op_param(op, key);
        if (p && p->fixed) { /* known to the daemon, but not an agent's to give */
            AUTO(free_ptr) char *text = xprintf("unknown parameter \"%s\"", key);
            return tool_error(text);
        }
    }
    json_t *document = mcp_call(mcp, op, arguments, &err);
    if (!document) {
        return tool_error(err.message);
    }
    char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    json_t *result = json_pack("{s:[{s:s,s:s}],s:o,s:b}", "content", "type", "text", "text",
                               text ? text : "{}", "structuredContent", document, "isError", 0);
    free(text);
    return result;
}
