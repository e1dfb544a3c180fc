/*
 * demo: real notes are remembered, copied to a file vault, wrecked three ways and brought back; at
 * the end every memory is compared by hash with the original. All of it happens in a temporary
 * folder, with a daemon of its own.
 */
#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/demo_input.h"

#define PROJECT "holdfast-demo"
#define DAEMON_END_MS 15000

struct demo {
    struct cli *cli;
    char *folder;
    char *home;
    char *vault_spec;
    json_t *originals; /* id -> SHA-256 of the content */
};

static double now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void step(const char *text)
{
    (void)printf(isatty(STDOUT_FILENO) ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

static int call(struct demo *demo, const char *op, json_t *params_taken, client_line_fn *on_line,
                void *arg, json_t **ret, struct err *err)
{
    AUTO(json_unref) json_t *params = params_taken ? params_taken : json_object();

    return cli_call(demo->cli, op, params, -1, on_line, arg, ret, err);
}

/* ---- comparing ---- */

static int hash_line(void *arg, struct str line, struct err *err)
{
    AUTO(json_unref) json_t *memory = NULL;
    char hex[SHA256_HEX_MAX];

    if (json_parse(line, &memory, err) != 0) {
        return -(int)err->code;
    }
    const json_t *content = json_object_get(memory, "content");
    struct sha256 hash = sha256_of(json_string_value(content), json_string_length(content));
    sha256_hex(&hash, hex);
    json_object_set_new(arg, json_string_value(json_object_get(memory, "id")), json_string(hex));
    return 0;
}

static int read_hashes(struct demo *demo, json_t **ret, struct err *err)
{
    json_t *hashes = json_object();
    int rc = call(demo, "export", NULL, hash_line, hashes, NULL, err);

    if (rc != 0) {
        json_decref(hashes);
        return rc;
    }
    *ret = hashes;
    return 0;
}

static int compare(struct demo *demo, struct err *err)
{
    AUTO(json_unref) json_t *now = NULL;
    const char *id;
    json_t *hash;
    size_t equal = 0;

    if (read_hashes(demo, &now, err) != 0) {
        return -(int)err->code;
    }
    json_object_foreach (demo->originals, id, hash)
        equal += json_equal(hash, json_object_get(now, id)) == 1;
    (void)printf("  compared by hash: %zu of %zu memories are exactly as they were\n", equal,
                 json_object_size(demo->originals));
    if (equal != json_object_size(demo->originals) || json_object_size(now) != equal) {
        return err_set(err, ERR_INTERNAL, "the demonstration failed: %zu of %zu memories came back",
                       equal, json_object_size(demo->originals));
    }
    return 0;
}

/* ---- alerts ---- */

struct alerts {
    json_t *list;
};

/* Those that hold something: that allow_yes is set is an alert of its own, which no --yes resolves.
 */
static int collect_alert(void *arg, struct str line, struct err *err)
{
    struct alerts *alerts = arg;
    json_t *alert = NULL;

    if (json_parse(line, &alert, err) != 0) {
        return -(int)err->code;
    }
    if (json_integer_value(json_object_get(alert, "changes")) > 0) {
        json_array_append(alerts->list, alert);
    }
    json_decref(alert);
    return 0;
}

/* Show what was held and put it back, as a person would. */
static int revert_all(struct demo *demo, struct err *err)
{
    struct alerts alerts = {json_array()};
    AUTO(json_unref) json_t *list = alerts.list;
    size_t i;
    const json_t *alert;

    if (call(demo, "check_destruction", NULL, collect_alert, &alerts, NULL, err) != 0) {
        return -(int)err->code;
    }
    if (json_array_size(list) == 0) {
        return err_set(err, ERR_INTERNAL, "the demonstration failed: no alert was raised");
    }
    json_array_foreach (list, i, alert) {
        const char *id = json_string_value(json_object_get(alert, "id"));
        AUTO(json_unref) json_t *answer = NULL;
        (void)printf("  ALERT %s (%s)\n    %s\n", id,
                     json_string_value(json_object_get(alert, "rule")),
                     json_string_value(json_object_get(alert, "summary")));
        double started = now_ms();
        if (call(demo, "resolve",
                 json_pack("{s:s,s:s,s:b}", "id", id, "action", "revert", "yes", 1), NULL, NULL,
                 &answer, err) != 0) {
            return -(int)err->code;
        }
        (void)printf("  holdfast resolve %s --revert: %lld memories put back in %.1f ms\n", id,
                     (long long)json_integer_value(json_object_get(answer, "restored")),
                     now_ms() - started);
    }
    return 0;
}

/* ---- setting up ---- */

static int make_home(struct demo *demo, struct err *err)
{
    AUTO(free_ptr) char *config = path_join(demo->home, "holdfast.yaml");
    AUTO(free_ptr) char *path = xprintf("%s/vault", demo->folder);
    AUTO(free_ptr)
    char *text = xprintf("daemon:\n  project: %s\nguard:\n  allow_yes: true  # this demonstration "
                         "plays the person at the terminal\n"
                         "vaults:\n  - name: vault\n    kind: file\n    path: %s\n",
                         PROJECT, path);

    if (file_mkdirs(demo->home, 0700, err) != 0) {
        return -(int)err->code;
    }
    return file_replace(config, str_of(text), 0600, err);
}

static int count_answer(void *arg, struct str line, struct err *err)
{
    (void)err;
    *(uint64_t *)arg += memmem(line.ptr, line.len, "\"error\"", 7) == NULL;
    return 0;
}

static int remember_all(struct demo *demo, const char *root, struct err *err)
{
    AUTO(json_unref) json_t *synced = NULL;
    AUTO(json_unref) json_t *params = json_object();
    AUTO(free_ptr) char *path = path_join(demo->folder, "input.jsonl");
    struct spool spool;
    uint64_t count = 0;
    uint64_t remembered = 0;
    FILE *file = NULL;

    spool_init(&spool);
    int rc = demo_input(root, &spool, &count, err);
    file = rc == 0 ? fopen(path, "w+e") : NULL;
    if (rc == 0 && !file) {
        rc = err_errno(err, ERR_IO, errno, "can't write %s", path);
    }
    char chunk[65536];
    size_t got = 1;
    for (uint64_t at = 0; rc == 0 && got > 0; at += got) {
        rc = spool_read(&spool, at, chunk, sizeof(chunk), &got, err);
        if (rc == 0 && got && fwrite(chunk, 1, got, file) != got) {
            rc = err_errno(err, ERR_IO, errno, "can't write %s", path);
        }
    }
    spool_done(&spool);
    if (file) {
        rewind(file);
    }
    double started = now_ms();
    if (rc == 0) {
        rc = cli_call(demo->cli, "remember_lines", params, fileno(file), count_answer, &remembered,
                      NULL, err);
    }
    double took = now_ms() - started;
    if (file) {
        (void)fclose(file);
    }
    if (rc != 0) {
        return rc;
    }
    (void)printf("  %llu notes (documentation, decisions, git log) remembered in %.0f ms, each on "
                 "disk before it was acknowledged\n",
                 (unsigned long long)remembered, took);
    started = now_ms();
    if (call(demo, "sync_now", NULL, NULL, NULL, &synced, err) != 0) {
        return -(int)err->code;
    }
    (void)printf("  the vault has all of them %.0f ms later (%s)\n", now_ms() - started,
                 demo->vault_spec);
    return read_hashes(demo, &demo->originals, err);
}

/* ---- the three disasters ---- */

static int delete_all(struct demo *demo, struct err *err)
{
    const char *id;
    json_t *hash;
    uint64_t held = 0;
    double started = now_ms();

    json_object_foreach (demo->originals, id, hash) {
        AUTO(json_unref) json_t *answer = NULL;
        if (call(demo, "forget", json_pack("{s:s}", "id", id), NULL, NULL, &answer, err) != 0) {
            return -(int)err->code;
        }
        const char *status = json_string_value(json_object_get(answer, "sync_status"));
        held += status && strcmp(status, "held") == 0;
    }
    (void)printf("  an agent deletes %zu memories one by one in %.0f ms; %llu of the deletions "
                 "were held at once\n",
                 json_object_size(demo->originals), now_ms() - started, (unsigned long long)held);
    return revert_all(demo, err);
}

static int overwrite_all(struct demo *demo, struct err *err)
{
    const char *id;
    json_t *hash;
    double started = now_ms();

    json_object_foreach (demo->originals, id, hash) {
        AUTO(json_unref) json_t *answer = NULL;
        if (call(demo, "remember", json_pack("{s:s,s:s}", "id", id, "content", "cleaned up"), NULL,
                 NULL, &answer, err) != 0) {
            return -(int)err->code;
        }
    }
    (void)printf("  an agent overwrites all of them with \"cleaned up\" in %.0f ms\n",
                 now_ms() - started);
    return revert_all(demo, err);
}

/* The daemon sees that its files are gone, sends off what is left, and ends. */
static int wait_for_daemon(int64_t pid, struct err *err)
{
    AUTO(close_fd) int process = pid ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
    struct pollfd gone = {.fd = process, .events = POLLIN};

    if (process >= 0 && poll(&gone, 1, DAEMON_END_MS) == 0) {
        return err_set(err, ERR_INTERNAL,
                       "the demonstration failed: the daemon did not notice that its home is gone");
    }
    return 0;
}

static int remove_home(struct demo *demo, struct err *err)
{
    AUTO(json_unref) json_t *plan = NULL;
    AUTO(json_unref) json_t *done = NULL;
    AUTO(json_unref) json_t *verified = NULL;
    int64_t pid = client_daemon_pid(demo->cli->client);

    if (file_remove_tree(demo->home, err) != 0 || wait_for_daemon(pid, err) != 0) {
        return -(int)err->code;
    }
    (void)printf("  rm -rf %s: ledger, index and configuration are gone; the daemon noticed, "
                 "raised the alarm and stopped\n",
                 demo->home);
    client_free(demo->cli->client);
    demo->cli->client = NULL;
    if (make_home(demo, err) != 0) {
        return -(int)err->code;
    }
    (void)printf("  holdfast init --vault %s: a new home, empty\n", demo->vault_spec);
    if (call(demo, "recover", json_pack("{s:b}", "dry_run", 1), NULL, NULL, &plan, err) != 0) {
        return -(int)err->code;
    }
    (void)printf("  holdfast recover --dry-run: ");
    print_document(op_by_name("recover"), plan);
    if (call(demo, "recover", NULL, NULL, NULL, &done, err) != 0) {
        return -(int)err->code;
    }
    (void)printf("  holdfast recover: ");
    print_document(op_by_name("recover"), done);
    if (call(demo, "verify", NULL, NULL, NULL, &verified, err) != 0) {
        return -(int)err->code;
    }
    (void)printf("  holdfast verify: ");
    print_document(op_by_name("verify"), verified);
    return json_is_true(json_object_get(verified, "ok"))
               ? 0
               : err_set(err, ERR_CORRUPT,
                         "the demonstration failed: the recovered chain does not verify");
}

static int play(struct demo *demo, const char *root, struct err *err)
{
    static const struct {
        const char *title;
        int (*act)(struct demo *demo, struct err *err);
    } acts[] = {{"1. Mass deletion through the API", delete_all},
                {"2. Overwriting through the API", overwrite_all},
                {"3. rm -rf of the whole home, while the daemon runs", remove_home}};

    if (make_home(demo, err) != 0) {
        return -(int)err->code;
    }
    step("0. Real notes are remembered");
    if (remember_all(demo, root, err) != 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        step(acts[i].title);
        if (acts[i].act(demo, err) != 0 || compare(demo, err) != 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

static void say_how_to_go_on(void)
{
    char self[4096] = "holdfast";
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[len > 0 ? len : 8] = 0;
    step("Now yours");
    (void)printf("  make a home:         %s init --vault file:/a/folder/on/another/disk\n"
                 "  connect an agent:    claude mcp add holdfast -- %s mcp\n"
                 "                       (Codex, Gemini and others: docs/mcp.md)\n"
                 "  the daemon:          starts by itself with the first call; for good: %s serve\n"
                 "  is everything safe?  %s status\n",
                 self, self, self, self);
}

int cmd_demo(struct cli *cli, int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    AUTO(free_ptr) char *folder = xprintf("%s/holdfast-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    struct err err = ERR_INIT;

    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        return cli_usage(cli, "demo takes at most a folder with Markdown files");
    }
    if (!mkdtemp(folder)) {
        (void)err_errno(&err, ERR_IO, errno, "can't make a temporary folder");
        return cli_fail(cli, &err);
    }
    struct demo demo = {.cli = cli,
                        .folder = folder,
                        .home = xprintf("%s/home", folder),
                        .vault_spec = xprintf("file:%s/vault", folder)};
    free(cli->home);
    cli->home = xstrdup(demo.home);
    (void)printf("Everything happens in %s\n", folder);
    int rc = play(&demo, argc > 1 ? argv[1] : ".", &err);
    if (rc == 0) {
        say_how_to_go_on();
    }
    struct err unclean = ERR_INIT;
    if (cli_stop_daemon(cli, &unclean) < 0 || file_remove_tree(folder, &unclean) != 0) {
        (void)fprintf(stderr, "holdfast: %s\n", unclean.message);
    }
    json_decref(demo.originals);
    free(demo.home);
    free(demo.vault_spec);
    return rc == 0 ? 0 : cli_fail(cli, &err);
}
