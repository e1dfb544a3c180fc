/* resolve, resume, a recovery that takes much away: what only a person may do, who shows it by
 * typing at a terminal. */
#include <unistd.h>

#include "cli/cli.h"

/* Ask on the terminal and read one line. False at its end. */
static bool ask(const char *question, char *line, size_t size)
{
    (void)fprintf(stderr, "%s", question);
    (void)fflush(stderr);
    if (!fgets(line, (int)size, stdin)) {
        return false;
    }
    line[strcspn(line, "\r\n")] = 0;
    return true;
}

bool cli_ask_person(json_t *params, struct err *err)
{
    char typed[32] = "";

    if (!isatty(STDIN_FILENO) || json_object_get(params, "confirm") ||
        json_object_get(params, "yes")) {
        return false;
    }
    print_safe(stderr, err->message);
    if (!ask("\nTo do it all the same, type the number of memories that it takes away and "
             "overwrites together > ",
             typed, sizeof(typed)) ||
        !typed[0]) {
        return false;
    }
    json_object_set_new(params, "confirm", json_string(typed));
    err->code = ERR_NONE;
    return true;
}

static int print_alert_line(void *arg, struct str line, struct err *err)
{
    AUTO(json_unref) json_t *alert = NULL;
    const char *id = arg;

    if (json_parse(line, &alert, err) != 0) {
        return -(int)err->code;
    }
    if (strcmp(json_string_value(json_object_get(alert, "id")), id) != 0) {
        return 0;
    }
    print_safe(stderr, json_string_value(json_object_get(alert, "summary")));
    (void)fputc('\n', stderr);
    return 0;
}

struct resolve_args {
    char *id;
    const char *action;
    bool yes;
};

static int read_resolve(int argc, char **argv, struct resolve_args *ret, struct err *err)
{
    struct args args = {.argc = argc, .argv = argv, .at = 1};
    char *value;

    for (char *option = NULL; args_next(&args, &option, &value);) {
        AUTO(free_ptr) char *name = option;
        int rc = name ? args_no_value(name, value, err) : 0;
        if (rc != 0) {
            return rc;
        }
        if (!name && !ret->id) {
            ret->id = value;
        } else if (name && (strcmp(name, "--revert") == 0 || strcmp(name, "--accept") == 0) &&
                   !ret->action) {
            ret->action = strcmp(name, "--revert") == 0 ? "revert" : "accept";
        } else if (name && strcmp(name, "--yes") == 0) {
            ret->yes = true;
        } else {
            return err_set(
                err, ERR_USAGE,
                "resolve does not take \"%s\"; it is: holdfast resolve ALERT --revert|--accept",
                name ? name : value);
        }
    }
    if (!ret->id || !ret->action) {
        return err_set(
            err, ERR_USAGE,
            "resolve needs the alert's id, and --revert (put it back) or --accept (it was meant)");
    }
    return 0;
}

int cmd_resolve(struct cli *cli, int argc, char **argv)
{
    struct resolve_args given = {NULL, NULL, false};
    AUTO(json_unref) json_t *params = json_object();
    AUTO(json_unref) json_t *answer = NULL;
    char typed[128] = "";
    struct err err = ERR_INIT;

    if (read_resolve(argc, argv, &given, &err) != 0) {
        return cli_fail(cli, &err);
    }
    json_object_set_new(params, "id", json_string(given.id));
    json_object_set_new(params, "action", json_string(given.action));
    if (given.yes) {
        json_object_set_new(params, "yes", json_true());
    } else if (isatty(STDIN_FILENO)) {
        AUTO(json_unref) json_t *none = json_object();
        if (cli_call(cli, "check_destruction", none, -1, print_alert_line, given.id, NULL, &err) !=
            0) {
            return cli_fail(cli, &err);
        }
        (void)fprintf(stderr, "To %s, type the alert's id. ",
                      strcmp(given.action, "revert") == 0 ? "put it all back" : "let it count");
        if (ask("> ", typed, sizeof(typed))) {
            json_object_set_new(params, "confirm", json_string(typed));
        }
    }
    if (cli_call(cli, "resolve", params, -1, NULL, NULL, &answer, &err) != 0) {
        return cli_fail(cli, &err);
    }
    if (cli->json) {
        (void)json_dumpf(answer, stdout, JSON_COMPACT | JSON_SORT_KEYS);
        (void)putchar('\n');
    } else {
        (void)printf("Alert %s is %s; %lld memories restored.\n", given.id,
                     json_string_value(json_object_get(answer, "state")),
                     (long long)json_integer_value(json_object_get(answer, "restored")));
    }
    return 0;
}

int cmd_resume(struct cli *cli, int argc, char **argv)
{
    AUTO(json_unref) json_t *params = json_object();
    AUTO(json_unref) json_t *answer = NULL;
    char typed[16] = "";
    struct err err = ERR_INIT;

    if (argc > 1) {
        return cli_usage(cli, "resume takes no argument \"%s\"", argv[1]);
    }
    int rc = cli_call(cli, "resume_sync", params, -1, NULL, NULL, &answer, &err);
    if (rc == -(int)ERR_REFUSED && isatty(STDIN_FILENO) &&
        ask("An alert is open. Send to the vaults all the same? Type yes > ", typed,
            sizeof(typed)) &&
        strcmp(typed, "yes") == 0) {
        json_object_set_new(params, "confirm", json_true());
        rc = cli_call(cli, "resume_sync", params, -1, NULL, NULL, &answer, &err);
    }
    if (rc != 0) {
        return cli_fail(cli, &err);
    }
    (void)printf(cli->json ? "{\"paused\":false}\n" : "Sync goes on.\n");
    return 0;
}
