/* init and project link: what is set up once. */
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "engine/engine.h"

static void say_default_vault(const char *path)
{
    (void)printf("Vault: %s (a folder beside the home)\n"
                 "  It protects against: memories deleted or overwritten through any door, a "
                 "wrecked or removed home, a damaged ledger.\n"
                 "  It does not protect against: this disk failing, or an agent that runs as you "
                 "and removes this folder too.\n"
                 "  Better: another disk, machine or user: holdfast init --vault "
                 "file:/mnt/backup/holdfast\n",
                 path);
}

static bool is_configured(const struct config *config, const char *spec)
{
    for (size_t i = 0; i < config->vault_count; i++) {
        if (strcmp(config->vaults[i].spec, spec) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_kind(const struct config *config, const struct vault_ops *driver)
{
    const struct vault_ops *known = NULL;
    const char *target = NULL;
    struct err none = ERR_INIT;

    for (size_t i = 0; i < config->vault_count; i++) {
        if (vault_driver(config->vaults[i].spec, &known, &target, &none) == 0 && known == driver) {
            return true;
        }
    }
    return false;
}

/* Make or open it now, so that a path that can't be one is refused before it stands in the
 * configuration. The environment's secrets are for the first of its kind. */
static int try_vault(const struct config *config, const char *spec, struct err *err)
{
    const struct vault_ops *driver = NULL;
    const char *target = NULL;
    struct vault *vault = NULL;

    if (vault_driver(spec, &driver, &target, err) != 0) {
        return -(int)err->code;
    }
    struct vault_options options = {.name = spec,
                                    .target = target,
                                    .env = env_system(),
                                    .stranger = has_kind(config, driver) &&
                                                engine_is_stranger(config, driver, target)};
    if (driver->open(&options, &vault, err) != 0) {
        AUTO(free_ptr) char *shown = vault_spec_shown(spec);
        return err_context(err, "vault %s", shown);
    }
    vault->ops->close(vault);
    return 0;
}

/* One that is configured already is left to the daemon, which knows it again: when its disk is
 * away, it is not made anew. */
static int add_vaults(const char *home, const struct config *config, char *const *specs,
                      size_t count, bool talk, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        bool added = false;
        if (!is_configured(config, specs[i]) && try_vault(config, specs[i], err) != 0) {
            return -(int)err->code;
        }
        if (config_add_vault(home, specs[i], &added, err) != 0) {
            return -(int)err->code;
        }
        if (talk) {
            (void)printf("Vault: %s%s\n", specs[i], added ? "" : " (was configured already)");
        }
    }
    return 0;
}

/* The vaults that are asked for; "file:" paths are made absolute, since the daemon stands
 * elsewhere. Returns how many, or -1. */
static int read_specs(struct cli *cli, int argc, char **argv, char **specs, struct err *err)
{
    struct args args = {.argc = argc, .argv = argv, .at = 1};
    char *value;
    int count = 0;

    for (char *option = NULL; args_next(&args, &option, &value);) {
        AUTO(free_ptr) char *name = option;
        if (!name || strcmp(name, "--vault") != 0) {
            return err_set(err, ERR_USAGE, "init does not know \"%s\"; it takes --vault SPEC",
                           name ? name : value),
                   -1;
        }
        if (args_value(&args, name, &value, err) != 0) {
            return -1;
        }
        if (count == CONFIG_VAULTS_MAX) {
            return err_set(err, ERR_LIMIT, "at most %d vaults", CONFIG_VAULTS_MAX), -1;
        }
        char here[4096];
        bool relative = strncmp(value, "file:", 5) == 0 && value[5] && value[5] != '/' &&
                        getcwd(here, sizeof(here));
        specs[count++] = relative ? xprintf("file:%s/%s", here, value + 5) : xstrdup(value);
    }
    (void)cli;
    return count;
}

static int init_home(struct cli *cli, char **specs, size_t *count, char **ret_home, struct err *err)
{
    struct config config;

    if (cli_home(cli, ret_home, err) != 0 || file_mkdirs(*ret_home, 0700, err) != 0 ||
        config_load(*ret_home, cli->config_file, &config, err) != 0) {
        return -(int)err->code;
    }
    bool talk = !cli->json;
    if (*count == 0 && config.vault_count == 0) {
        AUTO(free_ptr) char *path = xprintf("%s.vault", *ret_home);
        specs[(*count)++] = xprintf("file:%s", path);
        if (talk) {
            say_default_vault(path);
        }
        talk = false; /* it was told just now */
    }
    int rc = add_vaults(*ret_home, &config, specs, *count, talk, err);
    config_done(&config);
    return rc;
}

/* What doctor says of other installations' changes: of a home that was lost, perhaps. */
static int say_elsewhere(void *arg, struct str line, struct err *err)
{
    AUTO(json_unref) json_t *object = NULL;
    const char *check;
    const char *detail;
    const char *advice;

    (void)arg;
    int rc = json_parse(line, &object, err);
    if (rc == 0 &&
        json_unpack(object, "{s:s,s:s,s:s}", "check", &check, "detail", &detail, "advice",
                    &advice) == 0 &&
        strncmp(check, OP_DOCTOR_ELSEWHERE, strlen(OP_DOCTOR_ELSEWHERE)) == 0) {
        (void)printf("Note, %s: %s; %s\n", check, detail, advice);
    }
    return rc;
}

int cmd_init(struct cli *cli, int argc, char **argv)
{
    char *specs[CONFIG_VAULTS_MAX] = {NULL};
    AUTO(free_ptr) char *home = NULL;
    AUTO(json_unref) json_t *params = json_object();
    AUTO(json_unref) json_t *answer = NULL;
    struct err err = ERR_INIT;
    int given = read_specs(cli, argc, argv, specs, &err);
    size_t count = given > 0 ? (size_t)given : 0;
    int rc = given < 0 ? -(int)err.code : init_home(cli, specs, &count, &home, &err);

    /* A daemon that runs has the old configuration: it is started anew. */
    if (rc == 0 && cli_stop_daemon(cli, &err) < 0) {
        rc = -(int)err.code;
    }
    if (rc == 0) {
        rc = cli_call(cli, "health", params, -1, NULL, NULL, &answer, &err);
    }
    for (size_t i = 0; i < count; i++) {
        free(specs[i]);
    }
    if (rc != 0) {
        return cli_fail(cli, &err);
    }
    if (cli->json) {
        (void)printf("{\"initialized\":true}\n");
    } else {
        if (cli_call(cli, "doctor", params, -1, say_elsewhere, NULL, NULL, &err) != 0) {
            return cli_fail(cli, &err);
        }
        (void)printf(
            "Home: %s (ready)\nConnect an agent:  claude mcp add holdfast -- holdfast mcp\n", home);
    }
    return 0;
}

/* Write .holdfast into the git root: the person agrees by running this. */
int cmd_project_link(struct cli *cli, int argc, char **argv)
{
    AUTO(free_ptr) char *name = NULL;
    AUTO(free_ptr) char *remote = NULL;
    AUTO(free_ptr) char *marker = NULL;
    AUTO(free_ptr) char *root = NULL;
    struct err err = ERR_INIT;

    if (argc > 2) {
        return cli_usage(cli, "project link takes one name");
    }
    if (caller_place(".", &name, &remote, &marker, &root, &err) != 0) {
        return cli_fail(cli, &err);
    }
    const char *project = argc > 1 ? argv[1] : marker ? marker : name;
    AUTO(free_ptr) char *path = path_join(root, ".holdfast");
    AUTO(free_ptr)
    char *text = xprintf("# The Holdfast project of this folder.\nproject: %s\n", project);
    if (project_id_check(str_of(project), &err) != 0 ||
        file_replace(path, str_of(text), 0644, &err) != 0) {
        return cli_fail(cli, &err);
    }
    if (cli->json) {
        AUTO(json_unref)
        json_t *object = json_pack("{s:s,s:s}", "project_id", project, "file", path);
        (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_SORT_KEYS);
        (void)putchar('\n');
    } else {
        (void)printf("%s now says: project %s\n", path, project);
    }
    return 0;
}
