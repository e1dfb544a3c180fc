/* Reading a command line: options anywhere, "--" ends them, "--name=value" and "-kVALUE" too. */
#include "cli/cli.h"

bool args_next(struct args *args, char **ret_option, char **ret_value)
{
    *ret_option = *ret_value = NULL;
    if (args->at >= args->argc) {
        return false;
    }
    char *arg = args->argv[args->at++];
    if (!args->only_positional && strcmp(arg, "--") == 0) {
        args->only_positional = true;
        return args_next(args, ret_option, ret_value);
    }
    if (args->only_positional || arg[0] != '-' || arg[1] == 0) {
        *ret_value = arg;
        return true;
    }
    if (arg[1] != '-' && arg[2]) { /* -k10 */
        *ret_value = arg + 2;
        *ret_option = xprintf("%.2s", arg);
        return true;
    }
    char *equals = strchr(arg, '=');
    *ret_option = equals ? xstrndup(arg, (size_t)(equals - arg)) : xstrdup(arg);
    *ret_value = equals ? equals + 1 : NULL;
    return true;
}

int args_value(struct args *args, const char *option, char **value, struct err *err)
{
    if (*value) {
        return 0;
    }
    if (args->at >= args->argc) {
        return err_set(err, ERR_USAGE, "%s needs a value", option);
    }
    *value = args->argv[args->at++];
    return 0;
}

int args_no_value(const char *option, const char *value, struct err *err)
{
    return value ? err_set(err, ERR_USAGE, "%s takes no value, and was given \"%s\"", option, value)
                 : 0;
}

/* The row's parameter that this option sets. */
static const struct op_param *param_of_option(const struct op *op, const char *option)
{
    for (const struct op_param *p = op->params; p->name; p++) {
        if (p->option && strcmp(p->option, option) == 0) {
            return p;
        }
        AUTO(free_ptr) char *name = xprintf("--%s", p->name);
        for (char *c = name + 2; *c; c++) {
            *c = *c == '_' ? '-' : *c;
        }
        if (strcmp(name, option) == 0) {
            return p;
        }
    }
    return NULL;
}

static const struct op_param *next_positional(const struct op *op, const json_t *params)
{
    for (const struct op_param *p = op->params; p->name; p++) {
        if (p->positional && !json_object_get(params, p->name)) {
            return p;
        }
    }
    return NULL;
}

static int read_stdin_text(json_t *params, const char *name, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT((size_t)1024 * 1024);
    char chunk[4096];
    size_t got;

    while ((got = fread(chunk, 1, sizeof(chunk), stdin)) > 0) {
        if (buf_add(&text, chunk, got, err) != 0) {
            return err_context(err, "standard input");
        }
    }
    while (text.len && text.data[text.len - 1] == '\n') {
        text.len--;
    }
    const char *nul = memchr(text.len ? text.data : "", 0, text.len);
    if (nul) {
        return err_set(err, ERR_INVALID,
                       "%s: standard input has a NUL (byte %zu), which no text may have", name,
                       (size_t)(nul - text.data) + 1);
    }
    json_t *value = json_stringn(text.len ? text.data : "", text.len);
    if (!value) {
        return err_set(err, ERR_INVALID, "%s: standard input is not valid UTF-8", name);
    }
    json_object_set_new(params, name, value);
    return 0;
}

static int take_option(const struct op *op, struct args *args, const char *option, char *value,
                       json_t *params, struct err *err)
{
    const struct op_param *p = param_of_option(op, option);

    if (!p) {
        return err_set(err, ERR_USAGE, "%s does not know %s; see: holdfast help %s", help_verb(op),
                       option, help_verb(op));
    }
    if (p->type == OP_BOOLEAN && !value) {
        json_object_set_new(params, p->name, json_true());
        return 0;
    }
    if (args_value(args, option, &value, err) != 0) {
        return -(int)err->code;
    }
    return op_set_text(op, params, p->name, value, err);
}

/* argv to parameters. A positional "-" is read from standard input. */
static int params_from_args(const struct op *op, int argc, char **argv, json_t *params,
                            struct err *err)
{
    struct args args = {.argc = argc, .argv = argv, .at = 1};
    char *value;
    int rc = 0;

    for (AUTO(free_ptr) char *option = NULL; rc == 0 && args_next(&args, &option, &value);) {
        if (option) {
            rc = take_option(op, &args, option, value, params, err);
            free(option);
            option = NULL;
            continue;
        }
        const struct op_param *p = next_positional(op, params);
        if (!p || !value) {
            rc = err_set(err, ERR_USAGE, "\"%s\" is one argument too many; see: holdfast help %s",
                         value, help_verb(op));
        } else if (strcmp(value, "-") == 0) {
            rc = read_stdin_text(params, p->name, err);
        } else {
            rc = op_set_text(op, params, p->name, value, err);
        }
    }
    return rc;
}

struct printing {
    const struct cli *cli;
    const struct op *op;
    uint64_t lines;
};

static int on_line(void *arg, struct str line, struct err *err)
{
    struct printing *printing = arg;

    printing->lines++;
    if (printing->cli->json) {
        (void)fwrite(line.ptr, 1, line.len, stdout);
        (void)putchar('\n');
        return 0;
    }
    AUTO(json_unref) json_t *object = NULL;
    if (json_parse(line, &object, err) != 0) {
        return -(int)err->code;
    }
    print_line(printing->op, object, printing->lines);
    return 0;
}

int cli_run_op(struct cli *cli, const struct op *op, int argc, char **argv)
{
    AUTO(json_unref) json_t *params = json_object();
    AUTO(json_unref) json_t *document = NULL;
    struct printing printing = {cli, op, 0};
    struct err err = ERR_INIT;

    if (params_from_args(op, argc, argv, params, &err) != 0) {
        return cli_fail(cli, &err);
    }
    int rc = cli_call(cli, op->name, params, -1, on_line, &printing, &document, &err);
    if (rc == -(int)ERR_REFUSED && op_param(op, "confirm") && cli_ask_person(params, &err)) {
        rc = cli_call(cli, op->name, params, -1, on_line, &printing, &document, &err);
    }
    if (rc != 0) {
        return cli_fail(cli, &err);
    }
    if (op->answer == OP_LINES) {
        if (!cli->json) {
            print_end(op, printing.lines);
        }
    } else if (cli->json) {
        (void)json_dumpf(document, stdout, JSON_COMPACT | JSON_SORT_KEYS);
        (void)putchar('\n');
    } else {
        print_document(op, document);
    }
    /* verify: the question was answered, and the answer is that it is damaged */
    return json_is_false(json_object_get(document, "ok")) ? 1 : 0;
}
