/* init postgres, init files, init sqlite: show what would be made or captured, and do it. */
#include <errno.h>
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

/* The person sees what would be done, and says yes. */
static int agreed(bool yes, const char *question, struct err *err)
{
    char line[16] = "";

    if (yes) {
        return 0;
    }
    if (!isatty(STDIN_FILENO)) {
        return err_set(err, ERR_REFUSED,
                       "nothing was run: a person agrees at a terminal, or by --yes");
    }
    (void)fprintf(stderr, "\n%s Type yes > ", question);
    if (!fgets(line, sizeof(line), stdin) || strcmp(line, "yes\n") != 0) {
        return err_set(err, ERR_REFUSED, "nothing was run");
    }
    return 0;
}

static int is_kind(const struct source_options *options, const struct source_ops *driver,
                   const char *kind, struct err *err)
{
    return strcmp(driver->kind, kind) == 0
               ? 0
               : err_set(err, ERR_USAGE, "source %s is of kind %s, not %s", options->name,
                         driver->kind, kind);
}

static int set_up(struct cli *cli, const struct setup *setup, const struct config *config,
                  struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT((size_t)4 * 1024 * 1024);
    struct source_options options;
    const struct source_ops *driver = NULL;
    struct source *source = NULL;

    if (sources_find(config, setup->name, &options, &driver, err) != 0 ||
        is_kind(&options, driver, "postgres", err) != 0 ||
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
        rc = agreed(setup->yes, "Run this?", err);
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

/* ---- init files, init sqlite ---- */

struct path_setup {
    const struct source_ops *driver;
    char *path;    /* heap, absolute */
    char *name;    /* NULL: made of the path */
    bool triggers; /* sqlite: they are made in the file */
    bool remove;   /* or taken out of it */
    bool dry_run;
    bool yes;
};

static bool is_for_sqlite(const struct path_setup *setup, const char *option)
{
    return setup->driver == &source_sqlite_ops &&
           (strcmp(option, "--triggers") == 0 || strcmp(option, "--remove") == 0);
}

static int read_path_args(int argc, char **argv, struct path_setup *ret, struct err *err)
{
    struct args args = {.argc = argc, .argv = argv, .at = 1};
    char *path = NULL;
    char *value;

    for (char *option = NULL; args_next(&args, &option, &value);) {
        AUTO(free_ptr) char *name = option;
        if (name && strcmp(name, "--dry-run") == 0) {
            ret->dry_run = true;
        } else if (name && strcmp(name, "--yes") == 0) {
            ret->yes = true;
        } else if (name && is_for_sqlite(ret, name)) {
            ret->remove = ret->remove || strcmp(name, "--remove") == 0;
            ret->triggers = ret->triggers || strcmp(name, "--triggers") == 0;
        } else if (name && strcmp(name, "--name") == 0) {
            if (args_value(&args, name, &ret->name, err) != 0) {
                return -(int)err->code;
            }
        } else if (!name && !path) {
            path = value;
        } else {
            return err_set(err, ERR_USAGE,
                           "init %s does not know \"%s\"; it takes a path, --name NAME, "
                           "%s--dry-run and --yes",
                           ret->driver->kind, name ? name : value,
                           ret->driver == &source_sqlite_ops ? "--triggers, --remove, " : "");
        }
    }
    if (ret->triggers && ret->remove) {
        return err_set(err, ERR_USAGE, "triggers are made or removed, not both");
    }
    if (!path) {
        return err_set(err, ERR_USAGE, "say what is to be captured: holdfast init %s PATH",
                       ret->driver->kind);
    }
    ret->path = realpath(path, NULL); /* the daemon stands elsewhere */
    return ret->path ? 0 : err_errno(err, ERR_NOT_FOUND, errno, "%s", path);
}

/* What would be captured, and the person's yes. */
static int show_path(struct cli *cli, const struct path_setup *setup, const char *home,
                     const char *name, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT((size_t)4 * 1024 * 1024);
    struct source_options options = {.name = name, .path = setup->path, .project = name};
    struct source *source = NULL;

    if (setup->driver->open(&options, &source, err) != 0) {
        return -(int)err->code;
    }
    int rc = setup->driver->setup(source, false, &text, err);
    setup->driver->close(source);
    if (rc == 0 && !cli->json) {
        (void)printf("Source %s would capture, of %s:\n", name, setup->path);
        print_safe(stdout, text.data ? text.data : "");
        (void)printf("It is added to %s/holdfast.yaml.\n", home);
        (void)fflush(stdout);
    }
    return rc == 0 && !setup->dry_run ? agreed(setup->yes, "Add it?", err) : rc;
}

static int check_own_config(const struct cli *cli, const struct path_setup *setup, struct err *err)
{
    return cli->config_file == NULL
               ? 0
               : err_set(err, ERR_USAGE,
                         "init %s writes into the home's holdfast.yaml; add it to %s by hand",
                         setup->driver->kind, cli->config_file);
}

/* A daemon that runs has the old configuration. */
static int restart_daemon(struct cli *cli, struct err *err)
{
    AUTO(json_unref) json_t *params = json_object();
    AUTO(json_unref) json_t *answer = NULL;

    return cli_stop_daemon(cli, err) < 0
               ? -(int)err->code
               : cli_call(cli, "health", params, -1, NULL, NULL, &answer, err);
}

/* ---- triggers in a SQLite file ---- */

/* How a path is configured already. */
struct configured {
    char *name; /* of its source; NULL: it is not; heap */
    bool triggers;
};

static int find_path(const struct path_setup *setup, const struct config *config,
                     struct configured *ret, struct source_options *ret_options, struct err *err)
{
    const struct source_ops *driver = NULL;

    *ret_options = (struct source_options){.path = setup->path};
    for (size_t i = 0; i < config->source_count && ret->name == NULL; i++) {
        const struct config_source *source = &config->sources[i];
        if (source->path != NULL && strcmp(source->path, setup->path) == 0) {
            *ret = (struct configured){xstrdup(source->name), source->triggers};
            if (sources_find(config, source->name, ret_options, &driver, err) != 0) {
                return -(int)err->code;
            }
        }
    }
    ret_options->triggers = setup->triggers;
    return 0;
}

/* The SQL is shown, and run when the person agrees. */
static int change_file(struct cli *cli, const struct path_setup *setup,
                       const struct source_options *options, struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT((size_t)4 * 1024 * 1024);
    struct source *source = NULL;

    if (setup->driver->open(options, &source, err) != 0) {
        return -(int)err->code;
    }
    int rc = setup->driver->setup(source, setup->remove, &sql, err);
    bool is_any = rc == 0 && sql.len > 0;
    if (rc == 0 && !cli->json) {
        (void)printf("-- in %s\n", setup->path);
        print_safe(stdout, is_any ? "BEGIN IMMEDIATE;\n" : "-- nothing has to be done\n");
        print_safe(stdout, is_any ? sql.data : "");
        print_safe(stdout, is_any ? "COMMIT;\n" : "");
        (void)fflush(stdout);
    }
    if (is_any && !setup->dry_run) {
        rc = agreed(setup->yes, "Run this in the file?", err);
        rc = rc == 0 ? setup->driver->run(source, buf_str(&sql), err) : rc;
    }
    setup->driver->close(source);
    return rc;
}

static int set_triggers(struct cli *cli, const struct path_setup *setup, const char *home,
                        struct configured *ret, struct err *err)
{
    AUTO(config_done) struct config config = {.path = NULL};
    struct source_options options;

    if (config_load(home, cli->config_file, &config, err) != 0 ||
        find_path(setup, &config, ret, &options, err) != 0) {
        return -(int)err->code;
    }
    bool adds = setup->triggers && ret->name == NULL;
    if (adds && check_own_config(cli, setup, err) != 0) {
        return -(int)err->code;
    }
    if (setup->triggers && !adds && !ret->triggers) {
        return err_set(err, ERR_CONFIG,
                       "source %s is captured without triggers: write `triggers: true` beside its "
                       "path in %s, and run this again",
                       ret->name, config.path);
    }
    int rc = change_file(cli, setup, &options, err);
    return rc == 0 && ret->triggers && !setup->dry_run ? restart_daemon(cli, err) : rc;
}

/* ---- init ---- */

static int add_path(struct cli *cli, const struct path_setup *setup, const char *home,
                    char **ret_name, bool *ret_added, struct err *err)
{
    AUTO(free_ptr) char *name = NULL;

    if (check_own_config(cli, setup, err) != 0 ||
        config_add_path(home, setup->driver->kind, setup->path, setup->name, setup->triggers, true,
                        &name, ret_added, err) != 0) {
        return -(int)err->code;
    }
    *ret_name = xstrdup(name);
    if (!*ret_added || show_path(cli, setup, home, name, err) != 0 || setup->dry_run) {
        return -(int)err->code;
    }
    free(*ret_name);
    *ret_name = NULL;
    return config_add_path(home, setup->driver->kind, setup->path, setup->name, setup->triggers,
                           false, ret_name, ret_added, err) != 0
               ? -(int)err->code
               : restart_daemon(cli, err);
}

static void say_removed(const struct cli *cli, const struct path_setup *setup, bool allows)
{
    if (cli->json) {
        (void)printf("{\"dry_run\":%s,\"removed\":true}\n", setup->dry_run ? "true" : "false");
    } else if (!setup->dry_run) {
        (void)printf("The triggers are out of the file. What was captured stays in the ledger.\n%s",
                     allows ? "Take `triggers: true` out of the configuration, else it is reported "
                              "that they are gone.\n"
                            : "");
    }
}

static void say_added(const struct cli *cli, const struct path_setup *setup, const char *name,
                      bool added)
{
    if (cli->json) {
        AUTO(json_unref)
        json_t *object =
            json_pack("{s:s,s:b,s:b}", "source", name, "added", added, "dry_run", setup->dry_run);
        (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_SORT_KEYS);
        (void)putchar('\n');
    } else if (!added) {
        (void)printf("It is captured already, as source %s.\n", name);
    } else if (!setup->dry_run) {
        (void)printf("Ready: it is captured from now on. See: holdfast status\n");
    }
}

static int init_path(struct cli *cli, const struct source_ops *driver, int argc, char **argv)
{
    struct path_setup setup = {.driver = driver};
    struct configured known = {.name = NULL};
    AUTO(free_ptr) char *home = NULL;
    struct err err = ERR_INIT;
    bool added = false;

    int rc = read_path_args(argc, argv, &setup, &err);
    rc = rc == 0 ? cli_home(cli, &home, &err) : rc;
    rc = rc == 0 ? file_mkdirs(home, 0700, &err) : rc;
    if (rc == 0 && (setup.triggers || setup.remove)) {
        rc = set_triggers(cli, &setup, home, &known, &err);
    }
    if (rc == 0 && !setup.remove && known.name == NULL) {
        rc = add_path(cli, &setup, home, &known.name, &added, &err);
    }
    if (rc != 0) {
        rc = cli_fail(cli, &err);
    } else if (setup.remove) {
        say_removed(cli, &setup, known.triggers);
    } else {
        say_added(cli, &setup, known.name, added);
    }
    free(setup.path);
    free(known.name);
    return rc;
}

int cmd_init_files(struct cli *cli, int argc, char **argv)
{
    return init_path(cli, &source_files_ops, argc, argv);
}

int cmd_init_sqlite(struct cli *cli, int argc, char **argv)
{
    return init_path(cli, &source_sqlite_ops, argc, argv);
}
