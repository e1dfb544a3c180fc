/* The manual page, from the same tables as the help. */
#include "cli/cli.h"

/* Text as troff takes it: no line begins a request, no character is an escape. */
static void text(const char *words)
{
    if (*words == '.' || *words == '\'') {
        (void)fputs("\\&", stdout);
    }
    for (const char *c = words; *c; c++) {
        if (*c == '\\') {
            (void)fputs("\\e", stdout);
        } else if (*c == '-') {
            (void)fputs("\\-", stdout);
        } else {
            (void)putchar(*c);
        }
    }
    (void)putchar('\n');
}

static void item(const char *name, const char *about)
{
    (void)fputs(".TP\n.B ", stdout);
    text(name);
    text(about);
}

static void command(const struct op *op)
{
    (void)printf(".SS %s", op->verb);
    for (const struct op_param *p = op->params; p->name; p++) {
        if (p->positional) {
            (void)printf(p->required ? " %s" : " [%s]", p->name);
        }
    }
    (void)putchar('\n');
    text(op->about);
    for (const struct op_param *p = op->params; p->name; p++) {
        char name[HELP_PARAM_MAX];
        help_param(p, name, sizeof(name));
        item(name, p->about);
        for (const char *const *choice = p->choices; choice && *choice; choice++) {
            (void)fputs(choice == p->choices ? "One of:\n" : "", stdout);
            (void)printf(choice[1] ? "%s,\n" : "%s.\n", *choice);
        }
    }
    for (const struct help_option *o = help_options; o->op; o++) {
        if (strcmp(op->name, o->op) == 0) {
            item(o->option, o->about);
        }
    }
}

static void commands(void)
{
    (void)puts(".SH COMMANDS");
    for (size_t i = 0; i < ops_count; i++) {
        if (ops[i].verb) {
            command(&ops[i]);
        }
    }
    for (size_t i = 0; i < help_extras_count; i++) {
        if (!help_has_op(help_extras[i].verb)) {
            (void)fputs(".SS ", stdout);
            text(help_extras[i].usage);
            text(help_extras[i].about);
        }
    }
}

int help_man(void)
{
    (void)puts(".TH HOLDFAST 1 \"\" \"holdfast " HOLDFAST_VERSION "\" \"User Commands\"\n"
               ".SH NAME\n"
               "holdfast \\- keeps what agents remember where no agent can destroy it, and brings "
               "it back\n"
               ".SH SYNOPSIS\n"
               ".B holdfast\n"
               "[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]");
    (void)puts(".SH OPTIONS");
    item("--home DIR", "The home: ledger, index, configuration. Default: HOLDFAST_HOME, else "
                       "holdfast in XDG_DATA_HOME, else ~/.local/share/holdfast.");
    item("--config FILE", "The configuration; default: holdfast.yaml in the home.");
    item("--json", "Answers as JSON, lists as one object a line.");
    item("--no-daemon", "Do it in this process. Refused while a daemon has the home.");
    commands();
    (void)puts(".SH EXIT STATUS");
    item("0", "Done.");
    item("1", "Failed.");
    item("2", "Wrong usage or invalid input.");
    item("3", "Refused: an alert is open, or sync is paused.");
    item("4", "A remote is unavailable.");
    (void)puts(".SH FILES");
    item("holdfast.yaml", "In the home: the configuration.");
    item("live/ledger.db", "In the home: the ledger.");
    item("daemon.log", "In the home: what a daemon that was started by itself logs.");
    item(".holdfast", "In a git root: which project the folder is.");
    return 0;
}
