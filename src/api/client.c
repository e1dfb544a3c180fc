#include "api/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/socket.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/num.h"

#define CLIENT_LINE_MAX                                                                            \
    ((size_t)16 * 1024 * 1024) /* bytes of one line or document of an answer                       \
                                */

struct client {
    char *home;
    char *config_file;
    bool no_daemon;
    bool no_start;
    struct op_caller caller;
    CURL *curl;
    struct engine *engine; /* with no_daemon */
    struct wake shutdown;  /* with no_daemon: nobody cancels it */
};

int client_new(const struct client_options *options, struct client **ret, struct err *err)
{
    AUTO(free_ptr) char *home = options->home ? xstrdup(options->home) : NULL;
    AUTO(free_ptr) char *root = NULL;

    if (!home && config_default_home(&home, err) != 0) {
        return -(int)err->code;
    }
    struct client *client = xcalloc(1, sizeof(*client));
    client->home = home;
    home = NULL;
    client->config_file = options->config_file ? xstrdup(options->config_file) : NULL;
    client->no_daemon = options->no_daemon;
    client->no_start = options->no_start;
    client->shutdown.fd = -1;
    client->caller.agent.pid = options->agent_pid ? options->agent_pid : agent_process();
    client->caller.agent.start_ticks = agent_start_ticks(client->caller.agent.pid);
    client->caller.terminal = isatty(STDIN_FILENO) == 1;
    client_set_label(client, options->label);
    struct err unknown = ERR_INIT;
    if (caller_place(".", &client->caller.folder, &client->caller.remote, &client->caller.marker,
                     &root, &unknown) != 0) {
        log_debug("client.place", "%s; the caller is asked for a project", unknown.message);
    }
    *ret = client;
    return 0;
}

void client_free(struct client *client)
{
    if (!client) {
        return;
    }
    if (client->curl) {
        curl_easy_cleanup(client->curl);
    }
    engine_close(client->engine);
    if (client->shutdown.fd >= 0) {
        wake_done(&client->shutdown);
    }
    op_caller_done(&client->caller);
    free(client->config_file);
    free(client->home);
    free(client);
}

void client_set_label(struct client *client, const char *label)
{
    (void)snprintf(client->caller.agent.label, sizeof(client->caller.agent.label), "%s", label);
    (void)snprintf(client->caller.source, sizeof(client->caller.source), "%s", label);
}

int64_t client_daemon_pid(struct client *client)
{
    AUTO(free_ptr) char *path = path_join(client->home, "lock");
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[256] = "";

    /* Whoever runs holds the lock; when we can take it, nobody does. */
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0) {
        return 0;
    }
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
    const char *at = len > 0 ? strstr(text, "pid ") : NULL;
    return at ? strtoll(at + 4, NULL, 10) : 0;
}

/* ---- in process ---- */

static int call_here(struct client *client, const struct op *op, const json_t *params, int body_fd,
                     client_line_fn *on_line, void *arg, json_t **ret_document, struct err *err)
{
    struct engine_options options = {
        .home = client->home, .config_file = client->config_file, .who = "holdfast --no-daemon"};
    struct spool body;
    struct op_reply reply;
    struct op_call call = {.op = op,
                           .params = params,
                           .caller = &client->caller,
                           .body = &body,
                           .shutdown = &client->shutdown};
    char chunk[65536];
    ssize_t got = 0;
    int rc = 0;

    if (client->shutdown.fd < 0 && wake_init(&client->shutdown, err) != 0) {
        return -(int)err->code;
    }
    if (!client->engine && engine_open(&options, &client->engine, err) != 0) {
        return -(int)err->code;
    }
    call.engine = client->engine;
    spool_init(&body);
    op_reply_init(&reply);
    while (rc == 0 && body_fd >= 0 && (got = read(body_fd, chunk, sizeof(chunk))) > 0) {
        rc = spool_add(&body, chunk, (size_t)got, err);
    }
    if (rc == 0 && got < 0) {
        rc = err_errno(err, ERR_IO, errno, "can't read the input");
    }
    if (rc == 0) {
        rc = op_run(&call, &reply, err);
    }
    if (rc == 0 && op->answer == OP_LINES) {
        struct spool_lines lines;
        struct str line;
        bool more = false;
        spool_lines_init(&lines, &reply.lines, CLIENT_LINE_MAX);
        while ((rc = spool_lines_next(&lines, &line, &more, err)) == 0 && more && rc == 0) {
            if ((rc = on_line(arg, line, err)) != 0) {
                break;
            }
        }
        spool_lines_done(&lines);
    } else if (rc == 0) {
        *ret_document = json_incref(reply.document);
    }
    op_reply_done(&reply);
    spool_done(&body);
    return rc;
}

/* ---- over the socket ---- */

struct transfer {
    CURL *curl;
    const struct op *op;
    client_line_fn *on_line;
    void *arg;
    struct buf text; /* the document, an error, or an unfinished line */
    int body_fd;
    bool unheard; /* nobody acted on it, or it only asked: it may be sent again */
    const char *home;
    curl_off_t moved; /* bytes, both ways, when it was looked at last */
    struct deadline patience;
    struct err err;
};

/* An operation may take its time and say nothing; a daemon that can't get on must not be waited
 * for.
 */
static int on_progress(void *arg, curl_off_t to_receive, curl_off_t received, curl_off_t to_send,
                       curl_off_t sent)
{
    struct transfer *t = arg;

    (void)to_receive;
    (void)to_send;
    if (received + sent == t->moved && deadline_left_ms(t->patience) > 0) {
        return 0;
    }
    if (received + sent == t->moved && socket_check_alive(t->home, &t->err) != 0) {
        if (t->op->permission != OP_READ) {
            (void)err_context(&t->err, "whether it was done is not known, so look before you "
                                       "repeat it");
        }
        return 1;
    }
    t->moved = received + sent;
    t->patience = deadline_in((int64_t)FAULT_LIMIT("HOLDFAST_SILENCE_MS", CLIENT_SILENCE_MS));
    return 0;
}

static size_t on_answer(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;
    long status = 0;

    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (buf_add(&t->text, bytes, len, &t->err) != 0) {
        return 0;
    }
    if (status != 200 || t->op->answer != OP_LINES) {
        return len;
    }
    size_t start = 0;
    for (;;) {
        const char *newline = memchr(t->text.data + start, '\n', t->text.len - start);
        if (!newline) {
            break;
        }
        struct str line = {t->text.data + start, (size_t)(newline - t->text.data) - start};
        if (t->on_line(t->arg, line, &t->err) != 0) {
            return 0;
        }
        start += line.len + 1;
    }
    memmove(t->text.data, t->text.data + start, t->text.len - start);
    t->text.len -= start;
    return len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    ssize_t got;

    do {
        got = read(t->body_fd, bytes, size * count);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        (void)err_errno(&t->err, ERR_IO, errno, "can't read the input");
        return CURL_READFUNC_ABORT;
    }
    return (size_t)got;
}

static int add_query(CURL *curl, struct buf *url, const char *name, const json_t *value,
                     struct err *err)
{
    char number[40];
    const char *text = json_string_value(value);
    size_t i;
    const json_t *item;
    int rc = 0;

    if (json_is_null(value)) {
        return 0;
    }
    if (json_is_array(value)) {
        json_array_foreach (value, i, item)
            if ((rc = add_query(curl, url, name, item, err)) != 0) {
                return rc;
            }
        return 0;
    }
    if (json_is_boolean(value)) {
        text = json_is_true(value) ? "true" : "false";
    }
    if (json_is_integer(value)) {
        (void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value)),
            text = number;
    }
    if (json_is_real(value)) {
        (void)snprintf(number, sizeof(number), "%.17g", json_real_value(value)), text = number;
    }
    char *escaped = curl_easy_escape(curl, text ? text : "", 0);
    if (!escaped) {
        return err_set(err, ERR_INTERNAL, "can't encode %s", name);
    }
    rc = buf_printf(url, err, "%c%s=%s", memchr(url->data, '?', url->len) ? '&' : '?', name,
                    escaped);
    curl_free(escaped);
    return rc;
}

static bool is_post(const struct op *op)
{
    return op->posted || strcmp(op->method, "POST") == 0;
}

/* The row's path with its {parameters} filled in; what is not in the path goes into the query,
 * where there is no JSON body. */
static int make_url(CURL *curl, const struct op *op, const json_t *params, struct buf *url,
                    struct err *err)
{
    const char *key;
    json_t *value;
    int rc = buf_add_c(url, "http://holdfast", err);

    for (const char *at = op->path; *at && rc == 0;) {
        size_t len = strcspn(at, "{");
        rc = buf_add(url, at, len, err);
        at += len;
        if (*at == '{' && rc == 0) {
            char name[32];
            len = strcspn(at, "}");
            (void)snprintf(name, sizeof(name), "%.*s", (int)(len - 1), at + 1);
            char *escaped =
                curl_easy_escape(curl, json_string_value(json_object_get(params, name)), 0);
            rc = buf_add_c(url, escaped ? escaped : "", err);
            curl_free(escaped);
            at += len + 1;
        }
    }
    if (is_post(op) && op->body == OP_BODY_JSON) {
        return rc;
    }
    json_object_foreach ((json_t *)(uintptr_t)params, key, value) {
        AUTO(free_ptr) char *in_path = xprintf("{%s}", key);
        if (rc == 0 && !strstr(op->path, in_path)) {
            rc = add_query(curl, url, key, value, err);
        }
    }
    return rc;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    if (!value || strpbrk(value, "\r\n")) {
        return list;
    }
    AUTO(free_ptr) char *line = xprintf("%s: %s", name, value);
    return curl_slist_append(list, line);
}

static struct curl_slist *make_headers(const struct client *client)
{
    const struct op_caller *caller = &client->caller;
    AUTO(free_ptr) char *pid = xprintf("%lld", (long long)caller->agent.pid);
    struct curl_slist *list = NULL;

    list = add_header(list, "X-Holdfast-Agent", caller->agent.label);
    list = add_header(list, "X-Holdfast-Pid", caller->agent.pid ? pid : NULL);
    list = add_header(list, "X-Holdfast-Folder", caller->folder);
    list = add_header(list, "X-Holdfast-Remote", caller->remote);
    list = add_header(list, "X-Holdfast-Project", caller->marker);
    list = add_header(list, "X-Holdfast-Config", client->config_file);
    list = add_header(list, "Content-Type", "application/json");
    return curl_slist_append(list, "Expect:");
}

static int error_from_answer(struct transfer *t, long status, struct err *err)
{
    AUTO(json_unref) json_t *answer = NULL;
    struct err ignored = ERR_INIT;

    if (json_parse(buf_str(&t->text), &answer, &ignored) == 0) {
        enum err_code code = err_by_name(json_string_value(json_object_get(answer, "error")));
        const char *message = json_string_value(json_object_get(answer, "message"));
        if (code != ERR_NONE) {
            return err_set(err, code, "%s", message ? message : err_meaning((int)code));
        }
    }
    return err_set(err, ERR_INTERNAL,
                   "the daemon answered with status %ld and no error of ours: %.200s", status,
                   t->text.data ? t->text.data : "");
}

static int call_curl(struct client *client, struct transfer *t, const json_t *params,
                     json_t **ret_document, struct err *err)
{
    AUTO(buf_done) struct buf url = BUF_INIT(256 * 1024);
    AUTO(free_ptr) char *body = NULL;
    /* The home's path may be longer than a socket's address can be: through its descriptor it never
     * is. */
    AUTO(close_fd) int folder = open(client->home, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO(free_ptr) char *socket_path = xprintf("/proc/self/fd/%d/" SOCKET_NAME, folder);
    CURL *curl = client->curl;
    long status = 0;

    t->curl = curl;
    t->home = client->home;
    t->moved = -1; /* the first look begins the wait */
    if (folder < 0) {
        return err_set(err, ERR_UNAVAILABLE, "no daemon answers at %s", client->home);
    }
    if (make_url(curl, t->op, params, &url, err) != 0) {
        return -(int)err->code;
    }
    struct curl_slist *headers = make_headers(client);
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url.data);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)CLIENT_CALL_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    if (is_post(t->op) && t->op->body == OP_BODY_LINES) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, t);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
        headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
    } else if (is_post(t->op)) {
        body = json_dumps(params, JSON_COMPACT);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    } else {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, t->op->method);
    }
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    if (t->err.code != ERR_NONE) {
        return err_copy(err, &t->err);
    }
    if (code == CURLE_COULDNT_CONNECT) {
        t->unheard = true;
        return err_set(err, ERR_UNAVAILABLE, "no daemon answers at %s", client->home);
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        /* A daemon that is killed takes connections until the kernel has closed its socket. */
        t->unheard = t->op->permission == OP_READ && status == 0 &&
                     (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR);
        return err_set(err, ERR_INTERNAL, "the daemon broke off: %s (its log is %s/daemon.log)",
                       curl_easy_strerror(code), client->home);
    }
    if (status != 200) {
        return error_from_answer(t, status, err);
    }
    return t->op->answer == OP_LINES ? 0 : json_parse(buf_str(&t->text), ret_document, err);
}

/* ---- starting the daemon ---- */

static void exec_daemon(const struct client *client, int ready)
{
    AUTO(free_ptr) char *log_path = path_join(client->home, "daemon.log");
    char ready_text[16];
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setsid();
    if (null >= 0) {
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(null, STDOUT_FILENO);
    }
    (void)dup2(log >= 0 ? log : null, STDERR_FILENO);
    (void)fcntl(ready, F_SETFD, 0);
    (void)snprintf(ready_text, sizeof(ready_text), "%d", ready);
    (void)setenv("HOLDFAST_READY_FD", ready_text, 1);
    if (chdir("/") != 0) { /* a daemon keeps no folder of its caller's busy */
        _exit(127);
    }
    if (client->config_file) {
        execl("/proc/self/exe", "holdfast", "serve", "--home", client->home, "--config",
              client->config_file, (char *)NULL);
    } else {
        execl("/proc/self/exe", "holdfast", "serve", "--home", client->home, (char *)NULL);
    }
    _exit(127);
}

/* The daemon writes a byte when it listens, or its error when it can't. */
static int read_ready(const struct client *client, int fd, struct err *err)
{
    struct deadline deadline = deadline_in(CLIENT_START_TIMEOUT_MS);
    char text[ERR_MESSAGE_MAX] = "";
    size_t len = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_left_ms(deadline);
        if (left == 0) {
            return err_set(err, ERR_UNAVAILABLE,
                           "the daemon did not answer within %d s; its log is %s/daemon.log",
                           CLIENT_START_TIMEOUT_MS / 1000, client->home);
        }
        if (poll(&p, 1, (int)left) < 0 && errno != EINTR) {
            return err_errno(err, ERR_INTERNAL, errno, "poll");
        }
        if (!p.revents) {
            continue;
        }
        ssize_t got = read(fd, text + len, sizeof(text) - 1 - len);
        if (got > 0 && text[0] == '+') {
            return 0;
        }
        len += got > 0 ? (size_t)got : 0;
        if (got <= 0 || len == sizeof(text) - 1) {
            break;
        }
    }
    /* "-name message": the error that ended it */
    char *space = strchr(text, ' ');
    if (text[0] != '-' || !space) {
        return err_set(err, ERR_UNAVAILABLE, "the daemon did not start; its log is %s/daemon.log",
                       client->home);
    }
    *space = 0;
    enum err_code code = err_by_name(text + 1);
    return err_set(err, code == ERR_NONE ? ERR_UNAVAILABLE : code, "%s", space + 1);
}

static int start_daemon(const struct client *client, struct err *err)
{
    int ends[2];

    if (!file_exists(client->home) && file_mkdirs(client->home, 0700, err) != 0) {
        return -(int)err->code;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_errno(err, ERR_INTERNAL, errno, "can't make a pipe");
    }
    (void)fflush(NULL); /* what is printed so far is not printed by a child again */
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0) { /* the daemon is init's child, so that nobody has to wait for it */
            exec_daemon(client, ends[1]);
        }
        _exit(0);
    }
    close_fd(&ends[1]);
    if (child > 0) {
        (void)waitpid(child, NULL, 0);
    }
    int rc = child < 0 ? err_errno(err, ERR_INTERNAL, errno, "can't start a process for the daemon")
                       : read_ready(client, ends[0], err);
    close_fd(&ends[0]);
    return rc;
}

/* Somebody else's daemon is just starting (it has the lock, but does not listen yet): a little
 * patience. */
#define CLIENT_PATIENCE_MS 50

static int ensure_daemon(const struct client *client, struct err *err)
{
    struct deadline deadline = deadline_in(CLIENT_START_TIMEOUT_MS);

    for (;;) {
        AUTO(close_fd) int fd = -1;
        if (socket_connect(client->home, &fd, err) == 0) {
            return 0;
        }
        if (client->no_start || err->code == ERR_TIMEOUT) {
            return -(int)err->code;
        }
        if (start_daemon(client, err) == 0) {
            return 0;
        }
        if (err->code != ERR_BUSY || deadline_left_ms(deadline) == 0) {
            return -(int)err->code;
        }
        (void)poll(NULL, 0, CLIENT_PATIENCE_MS);
    }
}

int client_call(struct client *client, const struct op *op, const json_t *params, int body_fd,
                client_line_fn *on_line, void *arg, json_t **ret_document, struct err *err)
{
    struct transfer transfer = {.op = op,
                                .on_line = on_line,
                                .arg = arg,
                                .text = BUF_INIT(CLIENT_LINE_MAX),
                                .body_fd = body_fd,
                                .err = ERR_INIT};

    if (op_check(op, params, err) != 0) {
        return -(int)err->code;
    }
    if (client->no_daemon) {
        return call_here(client, op, params, body_fd, on_line, arg, ret_document, err);
    }
    if (!client->curl && ensure_daemon(client, err) != 0) {
        return -(int)err->code;
    }
    if (!client->curl) {
        client->curl = curl_easy_init();
    }
    if (!client->curl) {
        return err_set(err, ERR_INTERNAL, "libcurl does not start");
    }
    int rc = call_curl(client, &transfer, params, ret_document, err);
    if (rc != 0 && transfer.unheard && ensure_daemon(client, err) == 0) { /* it had just stopped */
        buf_reset(&transfer.text);
        rc = call_curl(client, &transfer, params, ret_document, err);
    }
    buf_done(&transfer.text);
    return rc;
}
