#include "bolt/connection.h"
#include "bolt/value.h"

enum reply_tag { TAG_SUCCESS = 0x70, TAG_RECORD = 0x71, TAG_IGNORED = 0x7E, TAG_FAILURE = 0x7F };

static int violation(struct bolt_connection *c, struct bolt_error *error, const char *what)
{
    (void)bolt_fail(error, BOLT_ERR_PROTOCOL, "%s: the server broke the protocol: %s", c->net.peer,
                    what);
    return connection_broken(c, error);
}

/* ---- failures ---- */

static struct bolt_string text_of(const struct bolt_value *map, const char *key)
{
    struct bolt_value value;

    if (!bolt_map_get(map, key, &value)) {
        return (struct bolt_string){NULL, 0};
    }
    return bolt_value_string(&value);
}

/* Of a failure, or a cause. */
static void take_diagnostics(const struct bolt_value *status, struct bolt_diagnostics *ret)
{
    struct bolt_value record;
    struct bolt_packer packer;
    struct bolt_error too_large;

    ret->size = 0;
    bolt_packer_init(&packer, sizeof(ret->packed));
    if (bolt_map_get(status, "diagnostic_record", &record) && record.type == BOLT_MAP) {
        bolt_pack_value(&packer, &record);
        if (bolt_packer_check(&packer, &too_large) == 0) {
            memcpy(ret->packed, packer.data, packer.size);
            ret->size = packer.size;
        }
    }
    bolt_packer_done(&packer);
}

static void take_causes(const struct bolt_value *failure, struct bolt_error *error)
{
    struct bolt_value at = *failure;

    while (error->cause_count < BOLT_CAUSES_MAX && bolt_map_get(&at, "cause", &at)) {
        struct bolt_cause *cause = &error->causes[error->cause_count++];
        bolt_error_text(cause->gql_status, sizeof(cause->gql_status), text_of(&at, "gql_status"));
        bolt_error_text(cause->message, sizeof(cause->message), text_of(&at, "message"));
        bolt_error_text(cause->description, sizeof(cause->description),
                        text_of(&at, "description"));
        take_diagnostics(&at, &cause->diagnostics);
    }
}

static enum bolt_err failure_kind(const struct request *request, const char *code)
{
    bool logging_on = request->kind == BOLT_REQUEST_HELLO || request->kind == BOLT_REQUEST_LOGON;

    if (bolt_code_is_auth(code) ||
        (logging_on && strncmp(code, "Neo.ClientError.Security.", 25) == 0)) {
        return BOLT_ERR_AUTH;
    }
    if (request->commits && bolt_code_is_doubtful(code)) {
        return BOLT_ERR_COMMIT_UNKNOWN;
    }
    return BOLT_ERR_SERVER;
}

static void fill_failure(const struct request *request, const struct bolt_value *map,
                         struct bolt_error *error)
{
    struct bolt_string message = text_of(map, "message");
    struct bolt_string code = text_of(map, "neo4j_code");
    struct bolt_value hint;
    struct bolt_value record;

    if (code.data == NULL) {
        code = text_of(map, "code"); /* before Bolt 5.7 */
    }
    (void)bolt_fail(error, BOLT_ERR_SERVER, "%.*s (%.*s)",
                    message.size > BOLT_MESSAGE_TEXT_MAX ? BOLT_MESSAGE_TEXT_MAX
                                                         : (int)message.size,
                    message.data == NULL ? "" : message.data,
                    code.size > BOLT_CODE_MAX ? BOLT_CODE_MAX : (int)code.size,
                    code.data == NULL ? "" : code.data);
    bolt_error_text(error->code, sizeof(error->code), code);
    bolt_error_text(error->gql_status, sizeof(error->gql_status), text_of(map, "gql_status"));
    bolt_error_text(error->description, sizeof(error->description), text_of(map, "description"));
    take_diagnostics(map, &error->diagnostics);
    error->kind = failure_kind(request, error->code);
    error->request = request->number;
    error->idempotent_hint = bolt_map_get(map, "diagnostic_record", &record) &&
                             bolt_map_get(&record, "_idempotent", &hint) &&
                             hint.type == BOLT_BOOLEAN && hint.as.boolean;
    take_causes(map, error);
}

/* ---- what a success tells the connection ---- */

static int keep_text(char **kept, struct bolt_string text, struct bolt_error *error)
{
    char *copy = text.data == NULL ? NULL : malloc(text.size + 1);

    if (text.data == NULL) {
        return 0;
    }
    if (copy == NULL) {
        return bolt_fail_memory(error);
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    free(*kept);
    *kept = copy;
    return 0;
}

/* The names and what they say, in one block. */
static int take_fields(struct bolt_connection *c, const struct bolt_value *list,
                       struct bolt_error *error)
{
    struct bolt_iter iter = bolt_iter_of(list);
    struct bolt_value name;
    size_t bytes = 0;

    if (list->count > CONNECTION_FIELDS_MAX) {
        return violation(c, error, "a query has more columns than there may be");
    }
    while (bolt_iter_next(&iter, &name)) {
        if (name.type != BOLT_STRING) {
            return violation(c, error, "the name of a column is no text");
        }
        bytes += name.count;
    }
    struct bolt_string *fields = malloc(list->count * sizeof(*fields) + bytes + 1);
    if (fields == NULL) {
        return bolt_fail_memory(error);
    }
    char *text = (char *)(fields + list->count);
    iter = bolt_iter_of(list);
    for (size_t i = 0; bolt_iter_next(&iter, &name); i++) {
        memcpy(text, name.as.string, name.count);
        fields[i] = (struct bolt_string){text, name.count};
        text += name.count;
    }
    free(c->fields);
    c->fields = fields;
    c->field_count = list->count;
    c->fields_known = true;
    return 0;
}

static int take_success(struct bolt_connection *c, const struct request *request,
                        const struct bolt_value *map, struct bolt_error *error)
{
    struct bolt_value value;

    switch (request->kind) {
    case BOLT_REQUEST_RUN:
        if (!bolt_map_get(map, "fields", &value) || value.type != BOLT_LIST) {
            return violation(c, error, "a query was accepted without naming its columns");
        }
        return take_fields(c, &value, error);
    case BOLT_REQUEST_PULL:
    case BOLT_REQUEST_DISCARD:
    case BOLT_REQUEST_COMMIT:
        return keep_text(&c->bookmark, text_of(map, "bookmark"), error);
    case BOLT_REQUEST_RESET:
        c->failed = false;
        c->resetting = false;
        return 0;
    default:
        return 0;
    }
}

/* ---- messages ---- */

/* One message: its tag, and the fields behind it, checked. */
static int open_message(struct bolt_connection *c, const unsigned char *bytes, size_t size,
                        unsigned char *ret_tag, struct bolt_value *ret_field,
                        struct bolt_error *error)
{
    const unsigned char *end = bytes + size;
    unsigned fields = bytes[0] & 0x0Fu;

    if (size < 2 || (bytes[0] & 0xF0) != 0xB0) {
        return violation(c, error, "a message is no structure");
    }
    unsigned char tag = bytes[1];
    bool bare = tag == TAG_IGNORED && fields == 0;
    const unsigned char *behind = bytes + 2;
    *ret_field = (struct bolt_value){.type = BOLT_MAP, .as.packed = behind};
    if (fields == 1) {
        behind = value_check(bytes, bytes + 2, end, error);
        if (behind == NULL) {
            (void)bolt_fail_context(error, "%s", c->net.peer);
            return connection_broken(c, error);
        }
        (void)value_view(bytes + 2, ret_field);
    } else if (!bare) {
        return violation(c, error, "a message has too few or too many fields");
    }
    if (behind != end) {
        return violation(c, error, "something follows a message's fields");
    }
    bool known =
        tag == TAG_SUCCESS || tag == TAG_RECORD || tag == TAG_IGNORED || tag == TAG_FAILURE;
    enum bolt_type wanted = tag == TAG_RECORD ? BOLT_LIST : BOLT_MAP;
    if (!known || ret_field->type != wanted) {
        return violation(c, error, "a message is of no kind that a server sends");
    }
    *ret_tag = tag;
    return 0;
}

static int take_record(struct bolt_connection *c, const struct request *request,
                       const struct bolt_value *list, struct bolt_record *ret,
                       struct bolt_error *error)
{
    bool comparable = request->last_qid && c->fields_known;

    if (request->kind != BOLT_REQUEST_PULL) {
        return violation(c, error, "a record answers what asked for none");
    }
    if (list->count > CONNECTION_FIELDS_MAX || (comparable && list->count != c->field_count)) {
        return violation(c, error, "a record has another width than its query");
    }
    if (list->count > c->value_capacity) {
        struct bolt_value *values = realloc(c->values, list->count * sizeof(*values));
        if (values == NULL) {
            (void)bolt_fail_memory(error);
            return connection_broken(c, error);
        }
        c->values = values;
        c->value_capacity = list->count;
    }
    struct bolt_iter iter = bolt_iter_of(list);
    for (size_t i = 0; i < list->count; i++) {
        (void)bolt_iter_next(&iter, &c->values[i]);
    }
    *ret = (struct bolt_record){c->values, list->count};
    return 0;
}

static struct request pop_request(struct bolt_connection *c)
{
    struct request request = c->requests[c->first];

    c->first = (c->first + 1) % (c->requests_max + 1);
    c->count--;
    return request;
}

static int take_failure(struct bolt_connection *c, const struct request *request,
                        const struct bolt_value *map, struct bolt_error *error)
{
    fill_failure(request, map, error);
    c->failed = true;
    c->stream.state = STREAM_NONE;
    if (request->kind == BOLT_REQUEST_RESET || request->kind == BOLT_REQUEST_HELLO ||
        request->kind == BOLT_REQUEST_LOGON || request->kind == BOLT_REQUEST_LOGOFF) {
        c->dead = true; /* the server closes after these */
    }
    return -(int)error->kind;
}

static int take_last_reply(struct bolt_connection *c, unsigned char tag,
                           const struct bolt_value *map, struct bolt_reply *ret,
                           struct bolt_error *error)
{
    struct request request = pop_request(c);
    struct bolt_value more;

    if (tag == TAG_FAILURE) {
        return take_failure(c, &request, map, error);
    }
    if (tag == TAG_IGNORED) {
        c->stream.state = STREAM_NONE;
        (void)bolt_fail(error, BOLT_ERR_IGNORED,
                        "%s was not done, because a request before it failed or was reset",
                        request_name(request.kind));
        error->request = request.number;
        return -(int)BOLT_ERR_IGNORED;
    }
    int rc = take_success(c, &request, map, error);
    if (rc < 0) {
        if (request.commits) { /* the answer came and could not be kept */
            error->kind = BOLT_ERR_COMMIT_UNKNOWN;
        }
        return connection_broken(c, error);
    }
    *ret = (struct bolt_reply){
        .number = request.number,
        .request = request.kind,
        .has_more =
            bolt_map_get(map, "has_more", &more) && more.type == BOLT_BOOLEAN && more.as.boolean,
        .metadata = *map,
    };
    return 0;
}

int reply_receive(struct bolt_connection *c, int64_t deadline_ms, struct bolt_reply *ret,
                  struct bolt_error *error)
{
    const unsigned char *bytes = NULL;
    size_t size = 0;
    unsigned char tag = 0;
    struct bolt_value field;
    struct bolt_record record;
    int rc = connection_check_alive(c, error);

    if (rc == 0 && c->count == 0) {
        rc = bolt_fail(error, BOLT_ERR_USAGE, "no request is in flight: there is no reply to come");
    }
    if (rc == 0) {
        rc = connection_receive(c, deadline_ms, &bytes, &size, error);
    }
    if (rc == 0) {
        rc = open_message(c, bytes, size, &tag, &field, error);
    }
    if (rc < 0) {
        return rc;
    }
    if (tag != TAG_RECORD) {
        return take_last_reply(c, tag, &field, ret, error);
    }
    const struct request *request = &c->requests[c->first];
    rc = take_record(c, request, &field, &record, error);
    if (rc == 0) {
        *ret = (struct bolt_reply){.number = request->number,
                                   .request = request->kind,
                                   .is_record = true,
                                   .record = record};
    }
    return rc;
}

int reply_await(struct bolt_connection *c, uint64_t number, int64_t deadline_ms,
                struct bolt_value *ret, struct bolt_error *error)
{
    for (;;) {
        struct bolt_reply reply;
        int rc = reply_receive(c, deadline_ms, &reply, error);
        if (rc < 0) {
            return rc;
        }
        if (!reply.is_record && reply.number == number) {
            if (ret != NULL) {
                *ret = reply.metadata;
            }
            return 0;
        }
        rc = connection_over(c, deadline_ms, error);
        if (rc < 0) {
            return rc;
        }
    }
}

int bolt_receive(struct bolt_connection *connection, struct bolt_reply *ret, int64_t deadline_ms,
                 struct bolt_error *error)
{
    int rc = reply_receive(connection, deadline_ms, ret, error);

    return rc == 0 && ret->number == connection->quiet
               ? reply_receive(connection, deadline_ms, ret, error)
               : rc;
}

/* The first failure matters; that the rest was ignored follows from it. */
int bolt_settle(struct bolt_connection *connection, int64_t deadline_ms, struct bolt_error *error)
{
    struct bolt_connection *c = connection;

    while (c->count > 0) {
        struct bolt_reply reply;
        size_t before = c->count;
        int rc = reply_receive(c, deadline_ms, &reply, error);
        if (rc == 0) {
            rc = reply.is_record ? connection_over(c, deadline_ms, error) : 0;
            if (rc < 0) {
                return rc;
            }
            continue;
        }
        if (c->count == before || c->dead) { /* not a reply, or the end of all */
            if (c->dead && c->settle_failed) {
                *error = c->settle_error;
                rc = -(int)error->kind;
                c->settle_failed = false;
            }
            return rc;
        }
        if (!c->settle_failed) {
            c->settle_error = *error;
            c->settle_failed = true;
        }
    }
    if (c->settle_failed) {
        c->settle_failed = false;
        *error = c->settle_error;
        return -(int)error->kind;
    }
    return 0;
}
