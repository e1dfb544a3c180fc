/* serve, stop, mcp: the processes that stay. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/mcp.h"
#include "api/server.h"
#include "base/num.h"
#include "cli/cli.h"

static struct wake shutdown_wake;

static void on_signal(int signal_number)
{
    (void)signal_number;
    wake_cancel(&shutdown_wake);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

/* Whoever started us waits at the other end of a pipe: "+" when we listen, "-name message" when we
 * can't. */
static void tell_ready(const struct err *err)
{
    const char *text = getenv("HOLDFAST_READY_FD");
    struct err ignored = ERR_INIT;
    int64_t fd = 0;

    if (!text || num_parse_i64(str_of(text), 3, 65535, "HOLDFAST_READY_FD", &fd, &ignored) != 0) {
        return;
    }
    AUTO(free_ptr)
    char *line = err ? xprintf("-%s %s", err_name((int)err->code), err->message) : xstrdup("+");
    if (write((int)fd, line, strlen(line)) < 0) {
        log_debug("ready.unread", "nobody reads that we are ready");
    }
    (void)close((int)fd); /* ours alone, and nothing of value is lost */
    (void)unsetenv("HOLDFAST_READY_FD");
}

static int serve(struct engine *engine, struct err *err)
{
    struct server *server = NULL;

    if (server_start(engine, &shutdown_wake, &server, err) != 0) {
        tell_ready(err);
        return -(int)err->code;
    }
    log_info("serve.ready",
             "home=%s privilege_separation=none: agents of this user can reach these files",
             engine->home);
    tell_ready(NULL);
    (void)malloc_trim(0); /* what start-up needed and nothing will again */
    int rc = engine_run(engine, &shutdown_wake, err);
    server_stop(server);
    return rc;
}

int cmd_serve(struct cli *cli, int argc, char **argv)
{
    AUTO(free_ptr) char *who = xprintf("holdfast serve (pid %d)", (int)getpid());
    struct engine_options options = {
        .home = cli->home, .config_file = cli->config_file, .who = who};
    struct engine *engine = NULL;
    struct err err = ERR_INIT;

    if (argc > 1) {
        return cli_usage(cli, "serve takes no argument \"%s\"", argv[1]);
    }
    (void)mallopt(M_ARENA_MAX, 4); /* a connection's thread needs no arena of its own */
    if (wake_init(&shutdown_wake, &err) != 0) {
        return cli_fail(cli, &err);
    }
    catch_signals();
    if (engine_open(&options, &engine, &err) != 0) {
        tell_ready(&err);
        return cli_fail(cli, &err);
    }
    int rc = serve(engine, &err);
    engine_close(engine);
    if (rc != 0) {
        return cli_fail(cli, &err);
    }
    log_info("serve.stopped", "all that was acknowledged is in the ledger");
    return 0;
}

#define STOP_TIMEOUT_MS 10000

int cli_stop_daemon(struct cli *cli, struct err *err)
{
    struct client_options options = {.home = cli->home, .no_start = true, .label = "cli"};
    AUTO(json_unref) json_t *params = json_object();
    AUTO(json_unref) json_t *answer = NULL;
    struct client *client = NULL;

    if (client_new(&options, &client, err) != 0) {
        return -(int)err->code;
    }
    int64_t pid = client_daemon_pid(client);
    AUTO(close_fd) int process = pid ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
    struct pollfd gone = {.fd = process, .events = POLLIN};
    int rc = client_call(client, op_by_name("shutdown"), params, -1, NULL, NULL, &answer, err);
    bool ran = rc == 0 || pid;
    if (rc == -(int)ERR_UNAVAILABLE && !pid) {
        rc = 0; /* none runs */
    } else if (rc == -(int)ERR_UNAVAILABLE && process >= 0 &&
               syscall(SYS_pidfd_send_signal, process, SIGTERM, NULL, 0) == 0) {
        rc = 0; /* its socket was removed; it stops as cleanly by a signal */
    }
    client_free(client);
    if (rc == 0 && process >= 0 && poll(&gone, 1, STOP_TIMEOUT_MS) == 0) {
        rc = err_set(err, ERR_TIMEOUT, "the daemon (pid %lld) is still busy after %d s",
                     (long long)pid, STOP_TIMEOUT_MS / 1000);
    }
    if (rc != 0) {
        return rc;
    }
    client_free(cli->client); /* it was connected to that daemon */
    cli->client = NULL;
    return ran;
}

int cmd_stop(struct cli *cli, int argc, char **argv)
{
    struct err err = ERR_INIT;

    if (argc > 1) {
        return cli_usage(cli, "stop takes no argument \"%s\"", argv[1]);
    }
    int rc = cli_stop_daemon(cli, &err);
    if (rc < 0) {
        return cli_fail(cli, &err);
    }
    if (cli->json) {
        (void)printf("{\"stopped\":%s}\n", rc ? "true" : "false");
    } else {
        (void)printf(rc ? "The daemon has stopped.\n" : "No daemon runs.\n");
    }
    return 0;
}

int cmd_mcp(struct cli *cli, int argc, char **argv)
{
    struct client_options options = {.home = cli->home,
                                     .config_file = cli->config_file,
                                     .no_daemon = cli->no_daemon,
                                     .label = "mcp",
                                     .agent_pid = getpid()};
    struct mcp *mcp = NULL;
    struct err err = ERR_INIT;

    if (argc > 1) {
        return cli_usage(cli, "mcp takes no argument \"%s\"", argv[1]);
    }
    cli->json = false; /* stdout belongs to the protocol */
    if (client_new(&options, &cli->client, &err) != 0 || mcp_new(cli->client, &mcp, &err) != 0) {
        return cli_fail(cli, &err);
    }
    int rc = mcp_serve(mcp, STDIN_FILENO, STDOUT_FILENO, &err);
    mcp_free(mcp);
    return rc == 0 ? 0 : cli_fail(cli, &err);
}
