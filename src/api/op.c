#include "api/op.h"

#include <math.h>

#include "api/handlers.h"
#include "base/num.h"
#include "base/timestamp.h"
#include "model/vector.h"

static const char *const memory_type_choices[] = {"episodic", "semantic", "procedural", "strategic",
                                                  NULL};
static const char *const scope_choices[] = {"shared", "project", NULL};
static const char *const ack_choices[] = {"ledger", "vault", NULL};
static const char *const resolve_choices[] = {"revert", "accept", NULL};

#define P(name_, type_, about_, ...)                                                               \
    {                                                                                              \
        .name = #name_, .type = type_, .about = about_, ##__VA_ARGS__                              \
    }
#define P_NONE                                                                                     \
    {                                                                                              \
        .name = NULL                                                                               \
    }
#define PARAMS(...)                                                                                \
    (const struct op_param[])                                                                      \
    {                                                                                              \
        __VA_ARGS__, P_NONE                                                                        \
    }
#define OP(name_, ...) {.name = #name_, __VA_ARGS__},

const struct op ops[] = {
#include "api/ops.def"
};
const size_t ops_count = sizeof(ops) / sizeof(ops[0]);

const struct op *op_by_name(const char *name)
{
    for (size_t i = 0; i < ops_count; i++) {
        if (strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

const struct op *op_by_tool(const char *tool)
{
    for (size_t i = 0; i < ops_count; i++) {
        if (ops[i].tool && strcmp(ops[i].tool, tool) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

const struct op_param *op_param(const struct op *op, const char *name)
{
    for (const struct op_param *p = op->params; p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            return p;
        }
    }
    return NULL;
}

/* Does path fit the row's path? {name} takes one segment, which goes into params when those are
 * given. */
static bool path_match(const char *pattern, const char *path, json_t *params)
{
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++) {
                return false;
            }
            continue;
        }
        const char *close = strchr(pattern, '}');
        size_t len = strcspn(path, "/");
        if (len == 0) {
            return false;
        }
        if (params) {
            char name[32];
            size_t name_len = (size_t)(close - pattern - 1);
            memcpy(name, pattern + 1, name_len < sizeof(name) ? name_len : sizeof(name) - 1);
            name[name_len < sizeof(name) ? name_len : sizeof(name) - 1] = 0;
            json_object_set_new(params, name, json_stringn(path, len));
        }
        pattern = close + 1;
        path += len;
    }
    return *path == 0;
}

static bool takes_method(const struct op *op, const char *method)
{
    return strcmp(op->method, method) == 0 || (op->posted && strcmp(method, "POST") == 0);
}

const struct op *op_by_route(const char *method, const char *path, json_t *params,
                             bool *ret_path_known)
{
    const struct op *best = NULL;

    *ret_path_known = false;
    for (size_t i = 0; i < ops_count; i++) {
        if (!path_match(ops[i].path, path, NULL)) {
            continue;
        }
        *ret_path_known = true;
        /* A literal path ("/api/memory/search") goes before one with a parameter
         * ("/api/memory/{id}"). */
        if (takes_method(&ops[i], method) && (!best || strchr(best->path, '{'))) {
            best = best && strchr(ops[i].path, '{') ? best : &ops[i];
        }
    }
    if (best) {
        (void)path_match(best->path, path, params); /* matched above; now for the parameters */
    }
    return best;
}

static int unknown_param(const struct op *op, const char *name, struct err *err)
{
    char names[512] = "";
    size_t at = 0;

    for (const struct op_param *p = op->params; p->name && at < sizeof(names); p++) {
        int n = snprintf(names + at, sizeof(names) - at, "%s%s", at ? ", " : "", p->name);
        at += n > 0 ? (size_t)n : 0;
    }
    return err_set(err, ERR_USAGE, "unknown parameter \"%.64s\"; %s takes %s", name, op->name,
                   names[0] ? names : "none");
}

static void add_string(json_t *params, const char *name, const char *text)
{
    json_t *list = json_object_get(params, name);

    if (!list) {
        list = json_array();
        json_object_set_new(params, name, list);
    }
    json_array_append_new(list, json_string(text));
}

int op_set_text(const struct op *op, json_t *params, const char *name, const char *text,
                struct err *err)
{
    const struct op_param *p = op_param(op, name);
    struct str s = str_of(text);
    int64_t integer;
    double number;

    if (!p) {
        return unknown_param(op, name, err);
    }
    bool bounded = p->min < p->max;
    switch (p->type) {
    case OP_INTEGER:
        if (num_parse_i64(s, INT64_MIN, INT64_MAX, name, &integer, err) != 0) {
            return -(int)err->code;
        }
        json_object_set_new(params, name, json_integer(integer));
        return 0;
    case OP_NUMBER:
        if (num_parse_double(s, bounded ? p->min : -1e308, bounded ? p->max : 1e308, name, &number,
                             err) != 0) {
            return -(int)err->code;
        }
        json_object_set_new(params, name, json_real(number));
        return 0;
    case OP_BOOLEAN:
        if (!str_eq_c(s, "true") && !str_eq_c(s, "false") && !str_eq_c(s, "1") &&
            !str_eq_c(s, "0")) {
            return err_set(err, ERR_USAGE, "%s is \"%.32s\"; allowed are true and false", name,
                           text);
        }
        json_object_set_new(params, name, json_boolean(*text == 't' || *text == '1'));
        return 0;
    case OP_STRINGS:
        add_string(params, name, text);
        return 0;
    case OP_OBJECT:
    case OP_OBJECTS: {
        json_t *value = NULL;
        if (json_parse(s, &value, err) != 0) {
            return err_context(err, "%s", name);
        }
        json_object_set_new(params, name, value);
        return 0;
    }
    case OP_STRING:
    case OP_UUID:
    case OP_TIME:
        break;
    }
    json_t *value = json_string(text);
    if (!value) {
        return err_set(err, ERR_INVALID, "%s is not valid UTF-8", name);
    }
    json_object_set_new(params, name, value);
    return 0;
}

static int check_choice(const struct op_param *p, const char *text, struct err *err)
{
    char all[256] = "";
    size_t at = 0;

    for (const char *const *choice = p->choices; *choice; choice++) {
        if (strcmp(*choice, text) == 0) {
            return 0;
        }
        int n = snprintf(all + at, sizeof(all) - at, "%s%s", at ? ", " : "", *choice);
        at += n > 0 ? (size_t)n : 0;
    }
    return err_set(err, ERR_INVALID, "%s is \"%.64s\"; allowed are %s", p->name, text, all);
}

static int check_string(const struct op_param *p, const json_t *value, struct err *err)
{
    struct str s = {json_string_value(value), json_string_length(value)};
    struct uuid uuid;
    int64_t us;

    if (p->type == OP_UUID && uuid_parse(s, &uuid, err) != 0) {
        return err_context(err, "%s", p->name);
    }
    if (p->type == OP_TIME && timestamp_parse_human(s, 0, &us, err) != 0) {
        return err_context(err, "%s", p->name);
    }
    if (p->max > 0 && ((double)s.len > p->max || (double)s.len < p->min)) {
        return err_set(err, (double)s.len > p->max ? ERR_LIMIT : ERR_INVALID,
                       "%s has %zu bytes; allowed are %.0f to %.0f", p->name, s.len, p->min,
                       p->max);
    }
    return p->choices ? check_choice(p, s.ptr, err) : 0;
}

static int check_number(const struct op_param *p, const json_t *value, struct err *err)
{
    double number = json_number_value(value);

    if ((p->min < p->max) && (number < p->min || number > p->max)) {
        return err_set(err, ERR_INVALID, "%s is %.15g; allowed is %.15g to %.15g", p->name, number,
                       p->min, p->max);
    }
    return 0;
}

static int check_items(const struct op_param *p, const json_t *value, struct err *err)
{
    size_t i;
    const json_t *item;

    json_array_foreach (value, i, item)
        if (p->type == OP_STRINGS ? !json_is_string(item) : !json_is_object(item)) {
            return err_set(err, ERR_INVALID, "%s[%zu] must be %s", p->name, i,
                           p->type == OP_STRINGS ? "a string" : "an object");
        }
    return 0;
}

static int check_value(const struct op_param *p, const json_t *value, struct err *err)
{
    static const char *const wanted[] = {"a string",
                                         "an integer",
                                         "a number",
                                         "true or false",
                                         "a UUID (as a string)",
                                         "a time (as a string)",
                                         "an array of strings",
                                         "an object",
                                         "an array of objects"};

    switch (p->type) {
    case OP_STRING:
    case OP_UUID:
    case OP_TIME:
        if (json_is_string(value)) {
            return check_string(p, value, err);
        }
        break;
    case OP_INTEGER:
        if (json_is_integer(value)) {
            return check_number(p, value, err);
        }
        break;
    case OP_NUMBER:
        if (json_is_number(value)) {
            return check_number(p, value, err);
        }
        break;
    case OP_BOOLEAN:
        if (json_is_boolean(value)) {
            return 0;
        }
        break;
    case OP_STRINGS:
    case OP_OBJECTS:
        if (json_is_array(value)) {
            return check_items(p, value, err);
        }
        break;
    case OP_OBJECT:
        if (json_is_object(value)) {
            return 0;
        }
        break;
    }
    return err_set(err, ERR_INVALID, "%s must be %s", p->name, wanted[p->type]);
}

int op_check(const struct op *op, const json_t *params, struct err *err)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)params, key, value) {
        const struct op_param *p = op_param(op, key);
        if (!p) {
            return unknown_param(op, key, err);
        }
        if (json_is_null(value) && !p->required) {
            continue;
        }
        if (check_value(p, value, err) != 0) {
            return -(int)err->code;
        }
    }
    for (const struct op_param *p = op->params; p->name; p++) {
        if (p->required && !json_object_get(params, p->name)) {
            return err_set(err, ERR_USAGE, "%s is missing: %s", p->name, p->about);
        }
    }
    return 0;
}

static json_t *param_schema(const struct op_param *p)
{
    static const char *const types[] = {"string", "integer", "number", "boolean", "string",
                                        "string", "array",   "object", "array"};
    json_t *schema = json_pack("{s:s,s:s}", "type", types[p->type], "description", p->about);

    if (p->type == OP_STRINGS) {
        json_object_set_new(schema, "items", json_pack("{s:s}", "type", "string"));
    }
    if (p->type == OP_OBJECTS) {
        json_object_set_new(schema, "items", json_pack("{s:s}", "type", "object"));
    }
    if (p->type == OP_UUID) {
        json_object_set_new(schema, "format", json_string("uuid"));
    }
    if (p->type == OP_INTEGER && p->min < p->max) {
        json_object_set_new(schema, "minimum", json_integer((json_int_t)p->min));
        json_object_set_new(schema, "maximum", json_integer((json_int_t)p->max));
    }
    if (p->choices) {
        json_t *choices = json_array();
        for (const char *const *choice = p->choices; *choice; choice++) {
            json_array_append_new(choices, json_string(*choice));
        }
        json_object_set_new(schema, "enum", choices);
    }
    return schema;
}

json_t *op_schema(const struct op *op, bool for_tool)
{
    json_t *properties = json_object();
    json_t *required = json_array();

    for (const struct op_param *p = op->params; p->name; p++) {
        if (for_tool && p->fixed) {
            continue;
        }
        json_object_set_new(properties, p->name, param_schema(p));
        if (p->required) {
            json_array_append_new(required, json_string(p->name));
        }
    }
    json_t *schema = json_pack("{s:s,s:o,s:b}", "type", "object", "properties", properties,
                               "additionalProperties", 0);
    if (json_array_size(required)) {
        json_object_set(schema, "required", required);
    }
    json_decref(required);
    return schema;
}

void op_reply_init(struct op_reply *reply)
{
    reply->document = NULL;
    spool_init(&reply->lines);
}

void op_reply_done(struct op_reply *reply)
{
    json_decref(reply->document);
    reply->document = NULL;
    spool_done(&reply->lines);
}

void op_caller_done(struct op_caller *caller)
{
    free(caller->folder);
    free(caller->remote);
    free(caller->marker);
    caller->folder = caller->remote = caller->marker = NULL;
}

int op_run(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    int rc = op_check(call->op, call->params, err);

    if (rc == 0) {
        rc = call->op->handler(call, reply, err);
    }
    if (rc != 0) {
        op_reply_done(reply);
        op_reply_init(reply);
    }
    return rc;
}

json_t *op_error_json(const struct err *err)
{
    return json_pack("{s:s,s:s,s:{}}", "error", err_name((int)err->code), "message", err->message,
                     "details");
}
