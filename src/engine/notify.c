#include "engine/notify.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

#define COMMAND_LIMIT_MS 30000
#define WEBHOOK_LIMIT_MS 10000
#define GIVE_UP_MS ((int64_t)24 * 3600 * 1000)
#define LOOK_AT_MOST_EVERY_MS                                                                      \
    20 /* a busy ledger commits thousands of times a second; alerts are looked for this often */

/* An alert that command or webhook have not taken yet. */
struct waiting {
    struct uuid id;
    uint64_t failures;
    int64_t since_ms;
    int64_t next_ms;
    bool command_done;
    bool webhook_done;
};

#define WAITING_MAX 1000 /* alerts that wait to be told; older ones are logged and dropped */

struct notifier {
    struct ledger *ledger;
    struct sync_log *log;
    const char *command;
    const char *webhook;
    notifier_alert_fn *on_alert;
    void *arg;
    struct wake wake;
    pthread_t thread;
    struct waiting waiting[WAITING_MAX];
    size_t waiting_count;
    struct uuid *known; /* open alerts that this process has seen */
    size_t known_count;
    size_t known_capacity;
};

static json_t *time_json(int64_t us)
{
    char text[TIMESTAMP_TEXT_MAX];

    if (us == TIME_NONE) {
        return json_null();
    }
    timestamp_format(us, text);
    return json_string(text);
}

json_t *alert_to_json(const struct alert *alert)
{
    char id[UUID_TEXT_MAX];

    uuid_format(&alert->id, id);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:I,s:I,s:s,s:s}", "id", id, "rule",
                     alert->rule, "state", alert_state_name(alert->state), "source", alert->actor,
                     "actor", alert->actor, "project_id", alert->project_id, "started_at",
                     time_json(alert->started_us), "detected_at", time_json(alert->detected_us),
                     "resolved_at", time_json(alert->resolved_us), "changes",
                     (json_int_t)alert->changes, "memories_affected", (json_int_t)alert->memories,
                     "summary", alert->summary, "person", alert->person);
}

/* ---- the command ---- */

static void exec_command(const char *command, int input)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setpgid(0, 0);
    (void)dup2(input, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO); /* stderr stays: it is the daemon's log */
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* Feed text to the command and wait for it, at most its time limit; cancelled at shutdown. */
static int run_command(struct notifier *n, const char *text, struct err *err)
{
    int ends[2];
    int status = 0;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_errno(err, ERR_INTERNAL, errno, "can't make a pipe for guard.command");
    }
    pid_t child = fork();
    if (child == 0) {
        exec_command(n->command, ends[0]);
    }
    close_fd(&ends[0]);
    if (child > 0 && write(ends[1], text, strlen(text)) < 0) {
        log_debug("alert.command", "guard.command does not read its input");
    }
    close_fd(&ends[1]);
    if (child < 0) {
        return err_errno(err, ERR_INTERNAL, errno, "can't start guard.command");
    }
    AUTO(close_fd) int process = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd p[] = {{.fd = process, .events = POLLIN},
                         {.fd = n->wake.fd, .events = wake_cancelled(&n->wake) ? 0 : POLLIN}};
    struct deadline deadline = deadline_in(COMMAND_LIMIT_MS);
    while (deadline_left_ms(deadline) > 0 && !(p[0].revents & POLLIN) &&
           !wake_cancelled(&n->wake)) {
        if (p[1].revents) { /* a commit: it waits; only its end of the poll is silenced */
            (void)wake_wait(&n->wake, deadline_in(0));
        }
        if (poll(p, 2, (int)deadline_left_ms(deadline)) < 0 && errno != EINTR) {
            break;
        }
    }
    if (!(p[0].revents & POLLIN)) {
        (void)kill(-child, SIGKILL);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    wake_signal(&n->wake); /* for the commits that came meanwhile */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    return err_set(err, ERR_UNAVAILABLE,
                   WIFEXITED(status) ? "guard.command ended with status %d"
                                     : "guard.command was killed (signal %d); it may take 30 s",
                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* ---- the webhook ---- */

static size_t ignore_answer(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes;
    (void)arg;
    return size * count;
}

static int stop_transfer(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return wake_cancelled(arg);
}

static int post_webhook(struct notifier *n, const char *text, struct err *err)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    long status = 0;

    if (!curl) {
        curl_slist_free_all(headers);
        return err_set(err, ERR_INTERNAL, "libcurl does not start");
    }
    curl_easy_setopt(curl, CURLOPT_URL, n->webhook);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else /* Ubuntu 22.04's, which has only what later ones warn of */
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "holdfast/" HOLDFAST_VERSION);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)WEBHOOK_LIMIT_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_answer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, stop_transfer);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &n->wake);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) {
        return err_set(err, ERR_UNAVAILABLE, "guard.webhook: %s", curl_easy_strerror(code));
    }
    if (status < 200 || status > 299) {
        return err_set(err, ERR_UNAVAILABLE, "guard.webhook answered %ld", status);
    }
    return 0;
}

/* ---- the thread ---- */

static char *flag_of(const struct uuid *id)
{
    char text[UUID_TEXT_MAX];

    uuid_format(id, text);
    return xprintf("notified.%s", text);
}

/* Try what this alert still owes. True when nothing is left to do. */
static bool tell(struct notifier *n, struct waiting *w, const char *text)
{
    struct err err = ERR_INIT;

    if (!w->command_done && (!n->command || run_command(n, text, &err) == 0)) {
        w->command_done = true;
    }
    if (!w->webhook_done && (!n->webhook || post_webhook(n, text, &err) == 0)) {
        w->webhook_done = true;
    }
    if (w->command_done && w->webhook_done) {
        return true;
    }
    struct env *env = ledger_env(n->ledger);
    int64_t now = env->mono_ms(env);
    w->failures++;
    w->next_ms = now + backoff_ms(w->failures, BACKOFF_INITIAL_MS, BACKOFF_MAX_MS, env);
    if (now - w->since_ms < GIVE_UP_MS) {
        log_warn("alert.untold", "%s; it is tried again", err.message);
        return false;
    }
    log_error("alert.untold", "%s; given up after a day, the alert itself stays open", err.message);
    return true;
}

static void tell_waiting(struct notifier *n)
{
    struct env *env = ledger_env(n->ledger);

    for (size_t i = 0; i < n->waiting_count;) {
        struct waiting *w = &n->waiting[i];
        struct reader *reader = NULL;
        struct alert alert;
        struct err err = ERR_INIT;
        bool done = false;
        if (env->mono_ms(env) < w->next_ms || wake_cancelled(&n->wake)) {
            i++;
            continue;
        }
        int rc = read_begin(n->ledger, &reader, &err);
        if (rc == 0) {
            rc = read_alert(reader, &w->id, &alert, &err);
        }
        read_end(reader);
        if (rc == 0) {
            AUTO(json_unref) json_t *object = alert_to_json(&alert);
            char *dumped = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
            AUTO(free_ptr) char *text = xprintf("%s\n", dumped);
            free(dumped);
            done = tell(n, w, text);
            alert_done(&alert);
        }
        if (!done) {
            i++;
            continue;
        }
        AUTO(free_ptr) char *flag = flag_of(&w->id);
        if (sync_flag_set(n->log, flag, "1", &err) != 0) {
            log_warn("flag.lost", "%s; the next start may tell this alert again", err.message);
        }
        *w = n->waiting[--n->waiting_count];
    }
}

/* An open alert: new to this process, it is logged and shown to the engine; new to people, it is
 * put on the list. */
static int see_alert(void *arg, const struct alert *alert, struct err *err)
{
    struct notifier *n = arg;
    struct env *env = ledger_env(n->ledger);
    char id[UUID_TEXT_MAX];
    char *told = NULL;

    for (size_t i = 0; i < n->known_count; i++) {
        if (uuid_eq(&n->known[i], &alert->id)) {
            return 0;
        }
    }
    if (n->known_count == n->known_capacity) {
        n->known_capacity = n->known_capacity ? n->known_capacity * 2 : 16;
        n->known = xrealloc(n->known, n->known_capacity * sizeof(*n->known));
    }
    n->known[n->known_count++] = alert->id;
    uuid_format(&alert->id, id);
    log_warn(
        "alert.open",
        "id=%s rule=%s %s Held until a person decides: holdfast resolve %s --revert (or --accept)",
        id, alert->rule, alert->summary, id);
    n->on_alert(n->arg, alert);
    AUTO(free_ptr) char *flag = flag_of(&alert->id);
    bool is_told = sync_flag_get(n->log, flag, &told, err) == 0;
    free(told);
    if (!is_told && n->waiting_count < WAITING_MAX) {
        n->waiting[n->waiting_count++] =
            (struct waiting){.id = alert->id, .since_ms = env->mono_ms(env)};
    }
    return 0;
}

static void look(struct notifier *n)
{
    struct reader *reader = NULL;
    struct err err = ERR_INIT;

    if (read_begin(n->ledger, &reader, &err) != 0 ||
        read_alerts(reader, true, see_alert, n, &err) != 0) {
        log_error("alerts.unread", "%s; looked for again at the next change", err.message);
    }
    read_end(reader);
}

static struct deadline next_try(struct notifier *n)
{
    struct env *env = ledger_env(n->ledger);
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < n->waiting_count; i++) {
        next = n->waiting[i].next_ms < next ? n->waiting[i].next_ms : next;
    }
    return next == INT64_MAX ? deadline_never() : deadline_in(next - env->mono_ms(env) + 1);
}

static void *notifier_main(void *arg)
{
    struct notifier *n = arg;

    while (!wake_cancelled(&n->wake)) {
        look(n);
        tell_waiting(n);
        if (wake_wait(&n->wake, next_try(n)) && !wake_cancelled(&n->wake)) {
            (void)poll(NULL, 0, LOOK_AT_MOST_EVERY_MS); /* let a burst of commits pass as one */
        }
    }
    return NULL;
}

int notifier_start(struct ledger *ledger, struct sync_log *log, const struct config *config,
                   notifier_alert_fn *on_alert, void *arg, struct notifier **ret, struct err *err)
{
    struct notifier *n = xcalloc(1, sizeof(*n));

    n->ledger = ledger;
    n->log = log;
    n->command = config->guard.command;
    n->webhook = config->guard.webhook;
    n->on_alert = on_alert;
    n->arg = arg;
    if (wake_init(&n->wake, err) != 0) {
        free(n);
        return -(int)err->code;
    }
    ledger_subscribe(ledger, &n->wake);
    int rc = pthread_create(&n->thread, NULL, notifier_main, n);
    if (rc != 0) {
        ledger_unsubscribe(ledger, &n->wake);
        wake_done(&n->wake);
        free(n);
        return err_errno(err, ERR_INTERNAL, rc, "can't start the notifier's thread");
    }
    *ret = n;
    return 0;
}

void notifier_stop(struct notifier *n)
{
    if (!n) {
        return;
    }
    wake_cancel(&n->wake);
    pthread_join(n->thread, NULL);
    ledger_unsubscribe(n->ledger, &n->wake);
    wake_done(&n->wake);
    free(n->known);
    free(n);
}

void notifier_outside(struct notifier *n, const char *rule, const char *summary)
{
    AUTO(json_unref)
    json_t *object = json_pack("{s:s,s:s,s:s}", "rule", rule, "state", "open", "summary", summary);
    char *dumped = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    AUTO(free_ptr) char *text = xprintf("%s\n", dumped);
    struct err err = ERR_INIT;

    free(dumped);
    if (n->command && run_command(n, text, &err) != 0) {
        log_error("alert.untold", "%s", err.message);
    }
    if (n->webhook && post_webhook(n, text, &err) != 0) {
        log_error("alert.untold", "%s", err.message);
    }
}
