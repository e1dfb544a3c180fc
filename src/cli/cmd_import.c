/* import, and remember --jsonl: what comes in as lines, and what other tools left, turned into
 * lines. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/import.h"

struct import_args {
    const char *path;
    const char *format;
    const char *project;
    bool atomic;
    bool answers; /* remember --jsonl: an answer a line */
};

static int read_args(int argc, char **argv, struct import_args *ret, struct err *err)
{
    struct args args = {.argc = argc, .argv = argv, .at = 1};
    char *value;
    int rc = 0;

    for (char *option = NULL; rc == 0 && args_next(&args, &option, &value);) {
        AUTO(free_ptr) char *name = option;
        const char **text = !name                            ? &ret->path
                            : strcmp(name, "--format") == 0  ? &ret->format
                            : strcmp(name, "--project") == 0 ? &ret->project
                            : strcmp(name, "--jsonl") == 0   ? &ret->path
                                                             : NULL;
        if (name && strcmp(name, "--atomic") == 0) {
            ret->atomic = true;
            rc = args_no_value(name, value, err);
        } else if (!text) {
            rc = err_set(err, ERR_USAGE, "%s does not know %s; see: holdfast help import", argv[0],
                         name);
        } else if (*text && text == &ret->path) {
            rc = err_set(err, ERR_USAGE, "one file or folder at a time");
        } else if (!name) {
            *text = value;
        } else if ((rc = args_value(&args, name, &value, err)) == 0) {
            *text = value;
        }
    }
    if (rc == 0 && !ret->path) {
        rc = err_set(err, ERR_USAGE,
                     "what is to be imported? Give a file, a folder, or - for standard input");
    }
    return rc;
}

struct result {
    const struct cli *cli;
    bool answers;
    json_t *counts; /* the last line of a quiet call */
    uint64_t failed;
};

/* Lines that failed go to stderr as they are told; the counts come last. */
static int on_answer(void *arg, struct str line, struct err *err)
{
    struct result *result = arg;
    AUTO(json_unref) json_t *answer = NULL;

    if (json_parse(line, &answer, err) != 0) {
        return -(int)err->code;
    }
    const char *message = json_string_value(json_object_get(answer, "message"));
    if (message) {
        result->failed++;
        (void)fprintf(stderr, "holdfast: line %lld: ",
                      (long long)json_integer_value(json_object_get(answer, "line")));
        print_safe(stderr, message);
        (void)fputc('\n', stderr);
    }
    if (result->answers && (result->cli->json || !message)) {
        (void)fwrite(line.ptr, 1, line.len, stdout);
        (void)putchar('\n');
    } else if (!result->answers && !message) {
        result->counts = json_incref(answer);
    }
    return 0;
}

/* A person reads "what can't be mapped" on stderr; programs get the list with the counts. */
static void report(const struct cli *cli, json_t *counts, const struct import_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++) {
        (void)fprintf(stderr, "holdfast: not mapped: ");
        print_safe(stderr, notes->items[i]);
        (void)fputc('\n', stderr);
    }
    if (cli->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < notes->count; i++) {
            json_array_append_new(list, json_string(notes->items[i]));
        }
        json_object_set_new(counts, "not_mapped", list);
        (void)json_dumpf(counts, stdout, JSON_COMPACT | JSON_SORT_KEYS);
        (void)putchar('\n');
        return;
    }
    (void)printf("%lld imported, %lld already there, %lld failed",
                 (long long)json_integer_value(json_object_get(counts, "imported")),
                 (long long)json_integer_value(json_object_get(counts, "unchanged")),
                 (long long)json_integer_value(json_object_get(counts, "failed")));
    if (json_integer_value(json_object_get(counts, "held"))) {
        (void)printf(", %lld held (holdfast alerts)",
                     (long long)json_integer_value(json_object_get(counts, "held")));
    }
    (void)printf(notes->count ? ", %zu not mapped.\n" : ".\n", notes->count);
}

/* Open what is to be sent: the file itself, or the lines that a format's reader makes of it. */
static int open_lines(const struct import_args *args, struct spool *spool,
                      struct import_notes *notes, int *ret_fd, struct err *err)
{
    if (!args->format || strcmp(args->format, "jsonl") == 0) {
        *ret_fd = strcmp(args->path, "-") == 0 ? dup(STDIN_FILENO)
                                               : open(args->path, O_RDONLY | O_CLOEXEC);
        if (*ret_fd < 0) {
            return err_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "can't read %s",
                             args->path);
        }
        return 0;
    }
    return import_read(args->format, args->path, spool, notes, ret_fd, err);
}

int cmd_import(struct cli *cli, int argc, char **argv)
{
    struct import_args given = {.answers = strcmp(argv[0], "remember") == 0};
    AUTO(json_unref) json_t *params = json_object();
    struct import_notes notes = {NULL, 0};
    struct spool spool;
    struct result result = {.cli = cli, .answers = given.answers};
    struct err err = ERR_INIT;
    int fd = -1;

    spool_init(&spool);
    int rc = read_args(argc, argv, &given, &err);
    if (rc == 0) {
        rc = open_lines(&given, &spool, &notes, &fd, &err);
    }
    if (given.atomic) {
        json_object_set_new(params, "atomic", json_true());
    }
    if (given.project) {
        json_object_set_new(params, "project_id", json_string(given.project));
    }
    if (!given.answers) {
        json_object_set_new(params, "quiet", json_true());
    }
    if (rc == 0) {
        rc = cli_call(cli, "remember_lines", params, fd, on_answer, &result, NULL, &err);
    }
    close_fd(&fd);
    spool_done(&spool);
    if (rc == 0 && result.counts) {
        report(cli, result.counts, &notes);
    }
    import_notes_done(&notes);
    json_decref(result.counts);
    if (rc != 0) {
        return cli_fail(cli, &err);
    }
    return result.failed ? err_exit_status(ERR_INVALID) : 0;
}
