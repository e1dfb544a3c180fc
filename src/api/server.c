#include "api/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/socket.h"
#include "base/file.h"
#include "base/num.h"

#define SERVER_STACK_BYTES ((size_t)512 * 1024)
#define SERVER_MEMORY_BYTES ((size_t)32 * 1024) /* for the headers of one connection */

struct server {
    struct engine *engine;
    struct wake *shutdown;
    struct MHD_Daemon *daemon;
    char *home;
};

/* Who is at the other end of a connection: asked once, it can't change. */
struct peer {
    struct ucred kernel; /* the kernel's word; pid 0: it gave none */
    int64_t agent_pid;   /* of the last request */
    uint64_t agent_start_ticks;
};

struct request {
    const struct op *op;
    json_t *params;
    struct op_caller caller;
    struct buf text;    /* the body of a JSON request */
    struct spool lines; /* the body of an OP_BODY_LINES request */
    struct err refused; /* set while the body still comes: answered when it is over */
};

static void request_free(struct request *request)
{
    if (!request) {
        return;
    }
    json_decref(request->params);
    op_caller_done(&request->caller);
    buf_done(&request->text);
    spool_done(&request->lines);
    free(request);
}

/* A request is over, its answer sent. The daemon stops only now when it was asked to: not before
 * whoever asked has been told. */
static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct server *server = arg;
    struct request *request = *state;

    (void)connection;
    (void)code;
    if (request && request->op && request->op->handler == op_shutdown &&
        request->refused.code == ERR_NONE) {
        wake_cancel(server->shutdown);
    }
    request_free(request);
    *state = NULL;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static char *header_copy(struct MHD_Connection *connection, const char *name)
{
    const char *value = header(connection, name);

    return value && *value ? xstrdup(value) : NULL;
}

/* Printable ASCII only: the label is stored and shown. */
static void copy_label(char *to, size_t size, const char *label)
{
    size_t at = 0;

    for (; label && *label && at + 1 < size; label++) {
        if (*label > ' ' && *label < 0x7f) {
            to[at++] = *label;
        }
    }
    to[at] = 0;
}

/*
 * Its standard input is its controlling terminal, and it is in the foreground there. A descriptor
 * of any terminal would not do: /dev/ptmx and a pty of its own are anybody's to open.
 */
static bool stands_at_terminal(pid_t pid)
{
    AUTO(free_ptr) char *input = xprintf("/proc/%d/fd/0", (int)pid);
    AUTO(free_ptr) char *path = xprintf("/proc/%d/stat", (int)pid);
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct err ignored = ERR_INIT;
    struct stat st;
    long long fields[5] = {0}; /* parent, group, session, terminal, the group in its foreground */

    if (stat(input, &st) != 0 || !S_ISCHR(st.st_mode) ||
        file_read(path, 4096, &text, &ignored) < 0) {
        return false;
    }
    char *at = strrchr(text.data, ')'); /* behind the name, which may hold anything: " S 1 ..." */
    if (!at || strlen(at) < 4) {
        return false;
    }
    at += 3;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        fields[i] = strtoll(at, &at, 10);
    }
    unsigned device = (minor(st.st_rdev) & 0xff) | (major(st.st_rdev) << 8) |
                      ((minor(st.st_rdev) & ~0xffu) << 12); /* as proc(5) writes it */
    return fields[3] != 0 && fields[3] == (long long)device && fields[1] == fields[4];
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    socklen_t len = sizeof(struct ucred);

    (void)arg;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        free(*state);
        return;
    }
    struct peer *peer = xcalloc(1, sizeof(*peer));
    if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer->kernel, &len) != 0) {
        peer->kernel = (struct ucred){.pid = 0};
    }
    *state = peer;
}

static struct peer *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static bool same_file(const char *a, const char *b)
{
    struct stat of_a;
    struct stat of_b;

    return strcmp(a, b) == 0 || (stat(a, &of_a) == 0 && stat(b, &of_b) == 0 &&
                                 of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino);
}

/* A caller that named a configuration must not be served by another one's rules. */
static int check_config(struct MHD_Connection *connection, const struct engine *engine,
                        struct err *err)
{
    const char *wanted = header(connection, "X-Holdfast-Config");
    const char *has = engine->config.path;

    if (!wanted || (has && same_file(wanted, has))) {
        return 0;
    }
    return err_set(err, ERR_CONFIG,
                   "the daemon of %s (pid %ld) runs with %s, not with %s: stop it first (holdfast "
                   "stop), and the next command starts one with the configuration that it names",
                   engine->home, (long)getpid(), has ? has : "no configuration file", wanted);
}

/* Who the caller says that it is. Whose changes are a source's is told by this name
 * (guard/limits.h): nobody but the capture may have it. */
static void take_label(const struct engine *engine, const char *said, char *label, size_t size)
{
    copy_label(label, size, said);
    for (size_t i = 0; i < engine->config.source_count; i++) {
        if (strcmp(engine->config.sources[i].name, label) == 0) {
            AUTO(free_ptr) char *other = xprintf("http:%s", label);
            copy_label(label, size, other);
            return;
        }
    }
    if (!label[0]) {
        copy_label(label, size, "http");
    }
}

/* What the peer says of itself, checked against the kernel's word. */
static int caller_init(const struct engine *engine, struct MHD_Connection *connection,
                       struct request *request, struct err *err)
{
    struct peer *peer = peer_of(connection);
    struct op_caller *caller = &request->caller;
    int64_t pid = 0;

    if (!peer || peer->kernel.pid == 0) {
        return err_set(err, ERR_AUTH, "can't tell who is calling");
    }
    if (peer->kernel.uid != geteuid() && peer->kernel.uid != 0) {
        return err_set(err, ERR_FORBIDDEN, "user %u may not use the daemon of user %u",
                       (unsigned)peer->kernel.uid, (unsigned)geteuid());
    }
    take_label(engine, header(connection, "X-Holdfast-Agent"), caller->agent.label,
               sizeof(caller->agent.label));
    memcpy(caller->source, caller->agent.label, sizeof(caller->agent.label));
    const char *says = header(connection, "X-Holdfast-Pid");
    if (says && num_parse_i64(str_of(says), 1, INT32_MAX, "X-Holdfast-Pid", &pid, err) != 0) {
        return -(int)err->code;
    }
    caller->agent.pid = says ? pid : peer->kernel.pid;
    if (peer->agent_pid != caller->agent.pid) {
        peer->agent_pid = caller->agent.pid;
        peer->agent_start_ticks = agent_start_ticks(caller->agent.pid);
    }
    caller->agent.start_ticks = peer->agent_start_ticks;
    caller->folder = header_copy(connection, "X-Holdfast-Folder");
    caller->remote = header_copy(connection, "X-Holdfast-Remote");
    caller->marker = header_copy(connection, "X-Holdfast-Project");
    caller->terminal =
        request->op->permission == OP_OPERATE && stands_at_terminal(peer->kernel.pid);
    return 0;
}

static enum MHD_Result send_response(struct MHD_Connection *connection, int status,
                                     const char *type, struct MHD_Response *response)
{
    if (!response) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", type);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_json(struct MHD_Connection *connection, int status,
                                 const json_t *document)
{
    char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);

    if (!text) {
        return MHD_NO;
    }
    return send_response(
        connection, status, "application/json",
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result send_error(struct MHD_Connection *connection, const struct err *err)
{
    AUTO(json_unref) json_t *document = op_error_json(err);

    return send_json(connection, err_http_status((int)err->code), document);
}

/* The spool's memory or file becomes the response's own. */
static enum MHD_Result send_lines(struct MHD_Connection *connection, struct spool *lines)
{
    struct MHD_Response *response;

    if (lines->fd >= 0) {
        response = MHD_create_response_from_fd64(lines->len, lines->fd);
        if (response) {
            lines->fd = -1;
        }
    } else {
        size_t len = lines->memory.len;
        char *text = buf_take(&lines->memory);
        response =
            MHD_create_response_from_buffer(len, text ? text : xstrdup(""), MHD_RESPMEM_MUST_FREE);
    }
    return send_response(connection, MHD_HTTP_OK, "application/x-ndjson", response);
}

static enum MHD_Result query_param(void *arg, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct request *request = arg;
    struct err err = ERR_INIT;

    (void)kind;
    if (op_set_text(request->op, request->params, name, value ? value : "", &err) != 0 &&
        request->refused.code == ERR_NONE) {
        (void)err_copy(&request->refused, &err);
    }
    return MHD_YES;
}

/* The parameters of a JSON body join those of the path; the path wins, since it chose the thing. */
static int body_params(struct request *request, struct err *err)
{
    AUTO(json_unref) json_t *body = NULL;

    if (request->op->body == OP_BODY_LINES || request->text.len == 0) {
        return 0;
    }
    if (json_parse(buf_str(&request->text), &body, err) != 0) {
        return err_context(err, "the request's body");
    }
    if (!json_is_object(body)) {
        return err_set(err, ERR_INVALID, "the request's body must be a JSON object");
    }
    json_object_update_missing(request->params, body);
    return 0;
}

static enum MHD_Result answer(struct server *server, struct MHD_Connection *connection,
                              struct request *request)
{
    struct err err = ERR_INIT;
    struct op_reply reply;
    struct op_call call = {.engine = server->engine,
                           .op = request->op,
                           .params = request->params,
                           .caller = &request->caller,
                           .body = &request->lines,
                           .shutdown = server->shutdown};

    if (request->refused.code != ERR_NONE) {
        return send_error(connection, &request->refused);
    }
    op_reply_init(&reply);
    engine_note_call(server->engine);
    enum MHD_Result result;
    if (body_params(request, &err) != 0 || op_run(&call, &reply, &err) != 0) {
        result = send_error(connection, &err);
    } else if (request->op->answer == OP_LINES) {
        result = send_lines(connection, &reply.lines);
    } else {
        result = send_json(connection, MHD_HTTP_OK, reply.document);
    }
    op_reply_done(&reply);
    return result;
}

static enum MHD_Result begin(const struct server *server, struct MHD_Connection *connection,
                             const char *url, const char *method, void **state)
{
    struct request *request = xcalloc(1, sizeof(*request));
    bool known = false;

    *state = request;
    request->params = json_object();
    buf_init(&request->text, SERVER_BODY_MAX);
    spool_init(&request->lines);
    request->op = op_by_route(method, url, request->params, &known);
    if (!request->op) {
        (void)(known
                   ? err_set(&request->refused, ERR_USAGE, "%s is not allowed at %.200s", method,
                             url)
                   : err_set(&request->refused, ERR_NOT_FOUND, "there is nothing at %.200s", url));
        return MHD_YES;
    }
    if (caller_init(server->engine, connection, request, &request->refused) == 0 &&
        check_config(connection, server->engine, &request->refused) == 0) {
        (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, query_param, request);
    }
    return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **state)
{
    struct request *request = *state;
    struct err err = ERR_INIT;

    (void)version;
    if (!request) {
        return begin(arg, connection, url, method, state);
    }
    if (*upload_len == 0) {
        return answer(arg, connection, request);
    }
    if (request->refused.code == ERR_NONE) {
        int rc = request->op->body == OP_BODY_LINES
                     ? spool_add(&request->lines, upload, *upload_len, &err)
                     : buf_add(&request->text, upload, *upload_len, &err);
        if (rc != 0) {
            (void)err_copy(&request->refused, &err);
        }
    }
    *upload_len = 0;
    return MHD_YES;
}

int server_start(struct engine *engine, struct wake *shutdown, struct server **ret, struct err *err)
{
    int fd = -1;

    if (socket_listen(engine->home, &fd, err) != 0) {
        return -(int)err->code;
    }
    struct server *server = xcalloc(1, sizeof(*server));
    server->engine = engine;
    server->shutdown = shutdown;
    server->home = xstrdup(engine->home);
    server->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
            MHD_USE_ITC,
        0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)SERVER_CONNECTIONS_MAX, MHD_OPTION_THREAD_STACK_SIZE,
        SERVER_STACK_BYTES, MHD_OPTION_CONNECTION_MEMORY_LIMIT, SERVER_MEMORY_BYTES,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, NULL, MHD_OPTION_END);
    if (!server->daemon) {
        close_fd(&fd);
        server_stop(server);
        return err_set(err, ERR_INTERNAL, "can't start the HTTP server on %s", engine->home);
    }
    *ret = server;
    return 0;
}

void server_stop(struct server *server)
{
    if (!server) {
        return;
    }
    if (server->daemon) {
        MHD_stop_daemon(server->daemon);
    }
    socket_remove(server->home);
    free(server->home);
    free(server);
}
