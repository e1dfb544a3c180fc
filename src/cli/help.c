/* Help, from the operations table: what a verb does and what it takes. */
#include "cli/cli.h"

const struct help_extra help_extras[] = {
    {"init", "init [--vault file:PATH]...",
     "Make a home and add vaults to it; without --vault, a file vault beside the home."},
    {"init files", "init files PATH [--name NAME] [--dry-run] [--yes]",
     "Capture a folder of files (or one file): shows which, and adds it to the configuration when "
     "a person agrees."},
    {"init postgres", "init postgres [SOURCE] [--remove] [--dry-run] [--yes]",
     "Prepare a database for capture: shows the SQL, and runs it when a person agrees. --remove "
     "takes everything of ours out again."},
    {"init sqlite", "init sqlite PATH [--name NAME] [--triggers | --remove] [--dry-run] [--yes]",
     "Capture a SQLite file that something else writes: shows its tables, and adds it to the "
     "configuration when a person agrees. --triggers makes triggers in the file that note each "
     "change, and shows the SQL first; --remove takes them out again."},
    {"serve", "serve", "Run the daemon in the foreground (it is started by itself when needed)."},
    {"stop", "stop", "Stop the daemon."},
    {"mcp", "mcp", "Speak the Model Context Protocol on standard input and output, for an agent."},
    {"import",
     "import [--format jsonl|mcp-memory|basic-memory|claude-code] [--atomic] [--project P] PATH|-",
     "Take in memories: JSON lines, the official memory server's file, a folder of Markdown notes, "
     "Claude Code's memory folder."},
    {"resolve", "resolve ALERT --revert|--accept",
     "Decide about an alert, at a terminal, by typing its id."},
    {"resume", "resume",
     "Send to the vaults again; with an alert open, a person confirms at a terminal."},
    {"project link", "project link [NAME]",
     "Write .holdfast into the git root, so that the folder keeps its project when it moves."},
    {"demo", "demo", "See memories destroyed three ways and brought back, in a temporary home."},
    {"version", "version", "Print the version."},
};
const size_t help_extras_count = sizeof(help_extras) / sizeof(help_extras[0]);

const struct help_option help_options[] = {
    {"remember", "--jsonl FILE|-", "Many at once: a memory object a line.", NULL},
    {"get_memory", "--history", "Every version, oldest first.", "history"},
    {"recover", "--undo", "Take what the last recovery brought out of the current view again.",
     "recover_undo"},
    {NULL, NULL, NULL, NULL},
};

void help_param(const struct op_param *p, char *text, size_t size)
{
    static const char *const values[] = {" TEXT", " N",    " NUMBER", "",     " UUID",
                                         " TIME", " TEXT", " JSON",   " JSON"};

    if (p->positional) {
        (void)snprintf(text, size, "%s", p->name);
        return;
    }
    (void)snprintf(text, size, "%s%s", p->option ? "" : "--", p->option ? p->option : p->name);
    for (char *c = text + 2; *c; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    size_t len = strlen(text);
    (void)snprintf(text + len, size - len, "%s", values[p->type]);
}

const char *help_verb(const struct op *op)
{
    for (const struct help_option *o = help_options; o->op && !op->verb; o++) {
        if (o->becomes && strcmp(o->becomes, op->name) == 0) {
            return op_by_name(o->op)->verb;
        }
    }
    return op->verb ? op->verb : op->name;
}

bool help_has_op(const char *verb)
{
    for (size_t i = 0; i < ops_count; i++) {
        if (ops[i].verb && strcmp(ops[i].verb, verb) == 0) {
            return true;
        }
    }
    return false;
}

int help_all(void)
{
    (void)printf("holdfast keeps what agents remember where no agent can destroy it, and brings it "
                 "back.\n\nCommands:\n");
    for (size_t i = 0; i < ops_count; i++) {
        if (ops[i].verb) {
            (void)printf("  %-16s %s\n", ops[i].verb, ops[i].about);
        }
    }
    for (size_t i = 0; i < help_extras_count; i++) {
        if (!help_has_op(help_extras[i].verb)) {
            (void)printf("  %-16s %s\n", help_extras[i].verb, help_extras[i].about);
        }
    }
    (void)printf("\nEverywhere: --home DIR (HOLDFAST_HOME), --config FILE, --json, --no-daemon. "
                 "More: holdfast help COMMAND\n"
                 "Exit status: 0 done; 1 failed; 2 wrong usage or invalid input; 3 refused (an "
                 "alert is open, or sync is paused); 4 a remote is unavailable.\n");
    return 0;
}

static void help_op(const struct op *op)
{
    (void)printf("holdfast %s", op->verb);
    for (const struct op_param *p = op->params; p->name; p++) {
        if (p->positional) {
            (void)printf(p->required ? " %s" : " [%s]", p->name);
        }
    }
    (void)printf(" [options]\n\n%s\n\n", op->about);
    for (const struct op_param *p = op->params; p->name; p++) {
        char left[HELP_PARAM_MAX];
        help_param(p, left, sizeof(left));
        (void)printf("  %-24s %s", left, p->about);
        for (const char *const *choice = p->choices; choice && *choice; choice++) {
            (void)printf("%s%s", choice == p->choices ? " One of: " : ", ", *choice);
        }
        (void)putchar('\n');
    }
    for (const struct help_option *o = help_options; o->op; o++) {
        if (strcmp(op->name, o->op) == 0) {
            (void)printf("  %-24s %s\n", o->option, o->about);
        }
    }
}

int help_command(const char *verb)
{
    bool found = false;

    for (size_t i = 0; i < help_extras_count; i++) {
        if (strcmp(help_extras[i].verb, verb) == 0) {
            (void)printf("holdfast %s\n\n%s\n", help_extras[i].usage, help_extras[i].about);
            return 0;
        }
    }
    /* "session" shows all of its verbs. */
    for (size_t i = 0; i < ops_count; i++) {
        size_t len = strlen(verb);
        if (!ops[i].verb || strncmp(ops[i].verb, verb, len) != 0 ||
            (ops[i].verb[len] && ops[i].verb[len] != ' ')) {
            continue;
        }
        if (found) {
            (void)putchar('\n');
        }
        help_op(&ops[i]);
        found = true;
    }
    if (!found) {
        (void)fprintf(stderr, "holdfast: there is no command \"%s\"; see: holdfast help\n", verb);
    }
    return found ? 0 : 2;
}
