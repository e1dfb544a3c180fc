/* init postgres: show what would be made in the database, and make it. */
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "engine/sources.h"

struct setup {
    const char *name; /* of the source; NULL: the only one */
    bool remove;
    bool dry_run;
    bool yes;
};

static int read_args(int argc, char **argv, struct setup *ret, struct err *err)
{
    struct args args = {.argc = argc, .argv = argv, .at = 1};
    char *value;

    *ret = (struct setup){.name = NULL};
    for (char *option = NULL; args_next(&args, &option, &value);) {
        AUTO(free_ptr) char *name = option;
        if (name && args_no_value(name, value, err) != 0) {
            return -(int)err->code;
        }
        if (name && strcmp(name, "--remove") == 0) {
            ret->remove = true;
        } else if (name && strcmp(name, "--dry-run") == 0) {
            ret->dry_run = true;
        } else if (name && strcmp(name, "--yes") == 0) {
            ret->yes = true;
        } else if (!name && !ret->name) {
            ret->name = value;
        } else {
            return err_set(err, ERR_USAGE,
                           "init postgres does not know \"%s\"; it takes a source's name, "
                           "--remove, --dry-run and --yes",
                           name ? name : value);
        }
    }
    return 0;
}

/* The person sees the SQL, and says yes. */
static int agreed(const struct setup *setup, struct err *err)
{
    char line[16] = "";

    if (setup->yes) {
        return 0;
    }
    if (!isatty(STDIN_FILENO)) {
        return err_set(err, ERR_REFUSED,
                       "nothing was run: a person agrees at a terminal, or by --yes");
    }
    (void)fprintf(stderr, "\nRun this? Type yes > ");
    if (!fgets(line, sizeof(line), stdin) || strcmp(line, "yes\n") != 0) {
        return err_set(err, ERR_REFUSED, "nothing was run");
    }
    return 0;
}

static int set_up(struct cli *cli, const struct setup *setup, const struct config *config,
                  struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT((size_t)4 * 1024 * 1024);
    struct source_options options;
    const struct source_ops *driver = NULL;
    struct source *source = NULL;

    if (sources_find(config, setup->name, &options, &driver, err) != 0 ||
        driver->open(&options, &source, err) != 0) {
        return -(int)err->code;
    }
    int rc = driver->setup(source, setup->remove, &sql, err);
    if (rc == 0 && !cli->json) {
        (void)printf("-- in the database of source %s\nBEGIN;\n%sCOMMIT;\n", options.name,
                     sql.data);
        (void)fflush(stdout);
    }
    if (rc == 0 && !setup->dry_run) {
        rc = agreed(setup, err);
        rc = rc == 0 ? driver->run(source, buf_str(&sql), err) : rc;
    }
    driver->close(source);
    return rc == 0 ? 0 : err_context(err, "source %s", options.name);
}

static void say_done(const struct cli *cli, const struct setup *setup)
{
    if (cli->json) {
        (void)printf("{\"dry_run\":%s,\"removed\":%s}\n", setup->dry_run ? "true" : "false",
                     setup->remove ? "true" : "false");
    } else if (!setup->dry_run) {
        (void)printf(setup->remove
                         ? "Nothing of Holdfast's is left in the database. What was captured stays "
                           "in the ledger.\nTake the source out of holdfast.yaml (or unset "
                           "DATABASE_URL), else it is reported as not captured.\n"
                         : "Ready: it is captured from now on. See: holdfast status\n");
    }
}

int cmd_init_postgres(struct cli *cli, int argc, char **argv)
{
    AUTO(free_ptr) char *home = NULL;
    AUTO(json_unref) json_t *params = json_object();
    AUTO(json_unref) json_t *answer = NULL;
    struct config config;
    struct setup setup;
    struct err err = ERR_INIT;

    if (read_args(argc, argv, &setup, &err) != 0 || cli_home(cli, &home, &err) != 0 ||
        file_mkdirs(home, 0700, &err) != 0 ||
        config_load(home, cli->config_file, &config, &err) != 0) {
        return cli_fail(cli, &err);
    }
    char *real = realpath(home, NULL); /* as the engine calls it: the slot's name depends on it */
    sources_name_slots(real ? real : home, &config);
    free(real);
    /* A daemon that runs holds the slot, and would put back at once what is removed. */
    int rc = setup.dry_run || cli_stop_daemon(cli, &err) >= 0 ? 0 : -(int)err.code;
    rc = rc == 0 ? set_up(cli, &setup, &config, &err) : rc;
    config_done(&config);
    if (rc == 0 && !setup.dry_run && !setup.remove) {
        rc = cli_call(cli, "health", params, -1, NULL, NULL, &answer, &err);
    }
    if (rc != 0) {
        return cli_fail(cli, &err);
    }
    say_done(cli, &setup);
    return 0;
}
