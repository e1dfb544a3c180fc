/*
 * cli - what the commands share: the global options, calling operations, and what is printed where.
 *
 * stdout carries the answer (with --json nothing but JSON), stderr everything else. A command
 * returns the exit status.
 */
#ifndef HOLDFAST_CLI_CLI_H
#define HOLDFAST_CLI_CLI_H

#include "api/client.h"

struct cli {
    char *home;        /* heap; NULL: the default */
    char *config_file; /* heap, absolute; NULL: home/holdfast.yaml */
    bool json;
    bool no_daemon;
    struct client *client; /* made at the first call */
};

/* argv[0] is the command's name. */
typedef int cli_command(struct cli *cli, int argc, char **argv);

/* cmd_*.c: the commands that are more than one call of an operation. */
cli_command cmd_init, cmd_serve, cmd_stop, cmd_mcp, cmd_demo, cmd_import, cmd_resolve, cmd_resume,
    cmd_project_link, cmd_init_files, cmd_init_postgres;

/* The command that calls an operation: reads argv by the row's parameters, calls, prints. */
int cli_run_op(struct cli *cli, const struct op *op, int argc, char **argv);

/* Call by the operation's name; lines go to on_line. */
int cli_call(struct cli *cli, const char *name, const json_t *params, int body_fd,
             client_line_fn *on_line, void *arg, json_t **ret_document, struct err *err) MUST_CHECK;

/* Ask the daemon to stop and wait until its process is gone. 1 stopped, 0 none ran, -ERR_*. */
int cli_stop_daemon(struct cli *cli, struct err *err) MUST_CHECK;

/* The home as a path: given, or the default. Heap. */
int cli_home(struct cli *cli, char **ret, struct err *err) MUST_CHECK;

/* Print the error on stderr ("holdfast: …") and give its exit status. With --json also
 * {"error","message"} on stdout. */
int cli_fail(const struct cli *cli, const struct err *err);
int cli_usage(const struct cli *cli, const char *format, ...) PRINTF(2, 3);

/* Arguments: an option with a value. `cli_option(&argc, &argv, "--vault", &value)` in a loop; see
 * args.c. */
struct args {
    int argc;
    char **argv;
    int at;
    bool only_positional; /* behind "--" */
};
/* The next argument: an option's name in *ret_option ("--x", "-k"; its value, if "--x=v", in
 * *ret_value), else a positional in *ret_value. False at the end. */
bool args_next(struct args *args, char **ret_option, char **ret_value);
/* The value of the option just seen; ERR_USAGE if there is none. */
int args_value(struct args *args, const char *option, char **value, struct err *err) MUST_CHECK;
/* An option that stands for itself: ERR_USAGE for "--x=v". */
int args_no_value(const char *option, const char *value, struct err *err) MUST_CHECK;

/* print.c: an operation's answer for people. */
void print_document(const struct op *op, const json_t *document);
void print_line(const struct op *op, const json_t *line, uint64_t number);
void print_end(const struct op *op, uint64_t lines);
/*
 * An operation was refused for want of a person: is one at the terminal, who types what it wants?
 * Then params have it, and it may be called again.
 */
bool cli_ask_person(json_t *params, struct err *err);

/* Text for a terminal: control characters (but newline and tab) are shown as \xNN, so that stored
 * text can't drive it. */
void print_safe(FILE *out, const char *text);

/* help.c: what the operations table does not know, and what the table says in words. */
struct help_extra {
    const char *verb, *usage, *about;
};
extern const struct help_extra help_extras[];
extern const size_t help_extras_count;

/* An option that this program turns into another operation. */
struct help_option {
    const char *op, *option, *about; /* op of the last one: NULL */
    const char *becomes;             /* the operation that runs then; NULL: cmd_import */
};
extern const struct help_option help_options[];

#define HELP_PARAM_MAX 96
void help_param(const struct op_param *p, char *text, size_t size); /* "--tag TEXT" */
bool help_has_op(const char *verb);
const char *help_verb(const struct op *op); /* what a person types for it: "recover --undo" has
                                               "recover" */
int help_all(void);
int help_command(const char *verb);

/* man.c: the manual page, in the man macros of troff, on stdout. */
int help_man(void);

#endif
