/* init postgres, init files: show what would be made or captured, and do it. */
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

/* ---- init files ---- */

struct files_setup {
    char *path; /* heap, absolute */
    char *name; /* NULL: made of the path */
    bool dry_run;
    bool yes;
};

static int read_files_args(int argc, char **argv, struct files_setup *ret, struct err *err)
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
        } else if (name && strcmp(name, "--name") == 0) {
            if (args_value(&args, name, &ret->name, err) != 0) {
                return -(int)err->code;
            }
        } else if (!name && !path) {
            path = value;
        } else {
            return err_set(err, ERR_USAGE,
                           "init files does not know \"%s\"; it takes a path, --name NAME, "
                           "--dry-run and --yes",
                           name ? name : value);
        }
    }
    if (!path) {
        return err_set(err, ERR_USAGE, "say which folder (or file): holdfast init files PATH");
    }
    ret->path = realpath(path, NULL); /* the daemon stands elsewhere */
    return ret->path ? 0 : err_errno(err, ERR_NOT_FOUND, errno, "%s", path);
}

/* What would be captured, and the person's yes. */
static int show_files(struct cli *cli, const struct files_setup *setup, const char *home,
                      const char *name, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT((size_t)64 * 1024);
    struct source_options options = {.name = name, .path = setup->path, .project = name};
    struct source *source = NULL;

    if (source_files_ops.open(&options, &source, err) != 0) {
        return -(int)err->code;
    }
    int rc = source_files_ops.setup(source, false, &text, err);
    source_files_ops.close(source);
    if (rc == 0 && !cli->json) {
        (void)printf("Source %s would capture, below %s:\n", name, setup->path);
        print_safe(stdout, text.data ? text.data : "");
        (void)printf("It is added to %s/holdfast.yaml.\n", home);
        (void)fflush(stdout);
    }
    return rc == 0 && !setup->dry_run ? agreed(setup->yes, "Add it?", err) : rc;
}

static int add_files(struct cli *cli, const struct files_setup *setup, const char *home,
                     char **ret_name, bool *ret_added, struct err *err)
{
    AUTO(free_ptr) char *name = NULL;
    AUTO(json_unref) json_t *params = json_object();
    AUTO(json_unref) json_t *answer = NULL;

    if (config_add_files(home, setup->path, setup->name, true, &name, ret_added, err) != 0) {
        return -(int)err->code;
    }
    *ret_name = xstrdup(name);
    if (!*ret_added || show_files(cli, setup, home, name, err) != 0 || setup->dry_run) {
        return -(int)err->code;
    }
    free(*ret_name);
    *ret_name = NULL;
    if (config_add_files(home, setup->path, setup->name, false, ret_name, ret_added, err) != 0 ||
        cli_stop_daemon(cli, err) < 0) { /* it has the old configuration */
        return -(int)err->code;
    }
    return cli_call(cli, "health", params, -1, NULL, NULL, &answer, err);
}

int cmd_init_files(struct cli *cli, int argc, char **argv)
{
    struct files_setup setup = {.path = NULL};
    AUTO(free_ptr) char *home = NULL;
    AUTO(free_ptr) char *name = NULL;
    struct err err = ERR_INIT;
    bool added = false;

    int rc = read_files_args(argc, argv, &setup, &err);
    if (rc == 0 && cli->config_file) {
        rc = err_set(&err, ERR_USAGE,
                     "init files writes into the home's holdfast.yaml; add it to %s by hand",
                     cli->config_file);
    }
    rc = rc == 0 ? cli_home(cli, &home, &err) : rc;
    rc = rc == 0 ? file_mkdirs(home, 0700, &err) : rc;
    rc = rc == 0 ? add_files(cli, &setup, home, &name, &added, &err) : rc;
    free(setup.path);
    if (rc != 0) {
        return cli_fail(cli, &err);
    }
    if (cli->json) {
        AUTO(json_unref)
        json_t *object =
            json_pack("{s:s,s:b,s:b}", "source", name, "added", added, "dry_run", setup.dry_run);
        (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_SORT_KEYS);
        (void)putchar('\n');
    } else if (!added) {
        (void)printf("It is captured already, as source %s.\n", name);
    } else if (!setup.dry_run) {
        (void)printf("Ready: it is captured from now on. See: holdfast status\n");
    }
    return 0;
}
