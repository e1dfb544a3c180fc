/* holdfast - the command line. The verbs are the rows of api/ops.def and the commands of this
 * folder. */
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct command {
    const char *verb;
    cli_command *run;
} commands[] = {
    {"init", cmd_init},
    {"serve", cmd_serve},
    {"stop", cmd_stop},
    {"mcp", cmd_mcp},
    {"demo", cmd_demo},
    {"import", cmd_import},
    {"resolve", cmd_resolve},
    {"resume", cmd_resume},
    {"project link", cmd_project_link},
    {"init files", cmd_init_files},
    {"init postgres", cmd_init_postgres},
};

int cli_home(struct cli *cli, char **ret, struct err *err)
{
    if (!cli->home) {
        return config_default_home(ret, err);
    }
    *ret = xstrdup(cli->home);
    return 0;
}

int cli_fail(const struct cli *cli, const struct err *err)
{
    (void)fprintf(stderr, "holdfast: ");
    print_safe(stderr, err->message);
    (void)fputc('\n', stderr);
    if (cli->json) {
        AUTO(json_unref) json_t *object = op_error_json(err);
        (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_SORT_KEYS);
        (void)putchar('\n');
    }
    return err_exit_status((int)err->code);
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    struct err err = {.code = ERR_USAGE};
    va_list args;

    va_start(args, format);
    (void)vsnprintf(err.message, sizeof(err.message), format, args);
    va_end(args);
    return cli_fail(cli, &err);
}

int cli_call(struct cli *cli, const char *name, const json_t *params, int body_fd,
             client_line_fn *on_line, void *arg, json_t **ret_document, struct err *err)
{
    struct client_options options = {.home = cli->home,
                                     .config_file = cli->config_file,
                                     .no_daemon = cli->no_daemon,
                                     .label = "cli"};

    if (!cli->client && client_new(&options, &cli->client, err) != 0) {
        return -(int)err->code;
    }
    return client_call(cli->client, op_by_name(name), params, body_fd, on_line, arg, ret_document,
                       err);
}

/* A path that stays right when a daemon starts elsewhere. */
static char *absolute(const char *path)
{
    char here[4096];

    if (path[0] == '/' || !getcwd(here, sizeof(here))) {
        return xstrdup(path);
    }
    return xprintf("%s/%s", here, path);
}

/* "NAME" or "NAME=…"; *ret_value is what follows the sign, or NULL. */
static bool is_option(const char *arg, const char *name, const char **ret_value)
{
    size_t len = strlen(name);

    *ret_value = strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
    return *ret_value || strcmp(arg, name) == 0;
}

/* Where a path belongs that this argument is the option of; NULL: it is another one. */
static char **path_option(struct cli *cli, const char *arg, const char **ret_value)
{
    return is_option(arg, "--home", ret_value)     ? &cli->home
           : is_option(arg, "--config", ret_value) ? &cli->config_file
                                                   : NULL;
}

/* Take the options that every command knows out of argv, wherever they stand (before "--"). */
static int take_globals(struct cli *cli, int *argc, char **argv)
{
    int kept = 0;
    bool options = true;

    for (int i = 0; i < *argc; i++) {
        const char *value = NULL;
        char **path = path_option(cli, argv[i], &value);
        options = options && strcmp(argv[i], "--") != 0;
        if (options && path) {
            const char *option = argv[i];
            value = value ? value : i + 1 < *argc ? argv[++i] : "";
            if (!value[0]) {
                return cli_usage(cli, "%.*s needs a path", (int)strcspn(option, "="), option);
            }
            free(*path);
            *path = absolute(value);
        } else if (options && strcmp(argv[i], "--json") == 0) {
            cli->json = true;
        } else if (options && strcmp(argv[i], "--no-daemon") == 0) {
            cli->no_daemon = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    argv[kept] = NULL;
    return 0;
}

static const struct op *op_of_verb(const char *verb)
{
    for (size_t i = 0; i < ops_count; i++) {
        if (ops[i].verb && strcmp(ops[i].verb, verb) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

/* Some verbs carry an option that makes them another operation. */
static const struct op *variant(const struct op *op, int *argc, char **argv)
{
    for (const struct help_option *o = help_options; o->op; o++) {
        for (int i = 1; o->becomes && strcmp(op->name, o->op) == 0 && i < *argc; i++) {
            if (strcmp(argv[i], o->option) != 0) {
                continue;
            }
            memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
            --*argc;
            return op_by_name(o->becomes);
        }
    }
    return op;
}

/* Run a verb of one or two words. False when there is none by that name. */
static bool run_verb(struct cli *cli, const char *verb, int argc, char **argv, int *ret_status)
{
    const struct op *op = op_of_verb(verb);

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].verb, verb) == 0) {
            *ret_status = commands[i].run(cli, argc, argv);
            return true;
        }
    }
    if (!op) {
        return false;
    }
    for (int i = 1; i < argc && strcmp(op->name, "remember") == 0; i++) {
        const char *value;
        if (is_option(argv[i], "--jsonl", &value)) {
            *ret_status = cmd_import(cli, argc, argv);
            return true;
        }
    }
    op = variant(op, &argc, argv);
    *ret_status = cli_run_op(cli, op, argc, argv);
    return true;
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
    int status = 0;

    if (argc < 1 || strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 ||
        strcmp(argv[0], "-h") == 0) {
        return argc < 2                      ? help_all()
               : strcmp(argv[1], "man") == 0 ? help_man()
                                             : help_command(argv[1]);
    }
    if (strcmp(argv[0], "version") == 0 || strcmp(argv[0], "--version") == 0) {
        (void)printf(cli->json ? "{\"version\":\"%s\"}\n" : "holdfast %s\n", HOLDFAST_VERSION);
        return 0;
    }
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return help_command(argv[0]);
        }
    }
    if (argc > 1 && argv[1][0] != '-') {
        AUTO(free_ptr) char *two = xprintf("%s %s", argv[0], argv[1]);
        if (run_verb(cli, two, argc - 1, argv + 1, &status)) {
            return status;
        }
    }
    if (run_verb(cli, argv[0], argc, argv, &status)) {
        return status;
    }
    return cli_usage(cli, "there is no command \"%s\"; see: holdfast help", argv[0]);
}

int main(int argc, char **argv)
{
    struct cli cli = {.json = false};
    int count = argc - 1;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077); /* what agents remember is nobody else's to read */
    int status = take_globals(&cli, &count, argv + 1);
    if (status == 0) {
        status = dispatch(&cli, count, argv + 1);
    }
    client_free(cli.client);
    free(cli.home);
    free(cli.config_file);
    if (fflush(stdout) != 0 && errno != EPIPE && status == 0) {
        (void)fprintf(stderr, "holdfast: can't write the answer: %m\n");
        status = 1;
    }
    return status;
}
