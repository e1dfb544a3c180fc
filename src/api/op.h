/*
 * op - the one table of operations (ops.def): what the doors offer, with parameters, schemas and
 * permissions.
 *
 * REST routes, MCP tools, CLI verbs and their help are read from it; a feature is one row there and
 * one handler here. A call has been checked against its row before the handler sees it: required
 * parameters are there, types and ranges hold, nothing unknown is left.
 */
#ifndef HOLDFAST_API_OP_H
#define HOLDFAST_API_OP_H

#include "api/spool.h"
#include "engine/engine.h"

enum op_type {
    OP_STRING,
    OP_INTEGER,
    OP_NUMBER,
    OP_BOOLEAN,
    OP_UUID,
    OP_TIME,    /* RFC 3339, a date, or a span back from now ("2h") */
    OP_STRINGS, /* array of strings; in a query string and on the command line: repeated */
    OP_OBJECT,
    OP_OBJECTS, /* array of objects */
};

struct op_param {
    const char *name;
    enum op_type type;
    bool required;
    const char *about; /* one sentence, for help and schemas */
    double min, max; /* of integers and numbers, and of a string's length in bytes; both 0: none */
    const char *const *choices; /* NULL-terminated; NULL: any */
    const char *option; /* the CLI's: "--project", "-k"; NULL: "--" and the name with "-" for "_" */
    bool positional;    /* the CLI takes it as its argument */
    const char *fixed;  /* MCP: not offered there */
};

enum op_permission { OP_READ, OP_WRITE, OP_OPERATE };
enum op_hint { OP_READ_ONLY = 1, OP_DESTRUCTIVE = 2, OP_IDEMPOTENT = 4 };
enum op_body {
    OP_BODY_JSON,
    OP_BODY_LINES
}; /* LINES: the request's body is a stream of its own (import) */
enum op_answer { OP_DOCUMENT, OP_LINES }; /* LINES: JSON lines */

/* Who calls, and from where. */
struct op_caller {
    struct agent agent;
    char source[SOURCE_MAX_BYTES + 1]; /* what changes will say: "cli", "mcp:claude-code" */
    char *folder;  /* heap: name of the caller's git root, or of its folder; NULL */
    char *remote;  /* heap: the git remote's URL without credentials; NULL */
    char *marker;  /* heap: the project id stored in .holdfast there; NULL */
    bool terminal; /* its standard input is a terminal */
};
void op_caller_done(struct op_caller *caller);

struct op_call {
    struct engine *engine;
    const struct op *op;
    const json_t *params; /* object; checked */
    const struct op_caller *caller;
    struct spool *body;    /* OP_BODY_LINES */
    struct wake *shutdown; /* cancelling it stops the daemon */
};

struct op_reply {
    json_t *document;   /* OP_DOCUMENT */
    struct spool lines; /* OP_LINES */
};

/* How the check of a line of doctor begins that tells of changes which only a vault has. */
#define OP_DOCTOR_ELSEWHERE "other installations"

typedef int op_handler(const struct op_call *call, struct op_reply *reply, struct err *err);

struct op {
    const char *name;
    const char *method; /* "GET", "POST", "DELETE" */
    const char *path;   /* "/api/memory/{id}": {id} is the parameter of that name */
    const char *tool;   /* MCP tool, NULL: none */
    const char *verb;   /* CLI: "recall", "session list"; NULL: none of its own */
    const char *title;
    const char *about;
    enum op_permission permission;
    unsigned hints;
    enum op_body body;
    bool posted; /* a GET that may come as a POST too, parameters and all in a JSON body: together
                    they may be longer than a URL can be */
    enum op_answer answer;
    const struct op_param *params; /* ends with a NULL name */
    op_handler *handler;
};

extern const struct op ops[];
extern const size_t ops_count;

const struct op *op_by_name(const char *name); /* NULL */
const struct op *op_by_tool(const char *tool);
/* By method and path; fills path parameters into params. NULL, with *ret_path_known telling 405
 * from 404. */
const struct op *op_by_route(const char *method, const char *path, json_t *params,
                             bool *ret_path_known);
const struct op_param *op_param(const struct op *op, const char *name);

/* Put a value that came as text (query string, command line) into params as the row's type wants
 * it. ERR_USAGE names parameter and what is allowed. */
int op_set_text(const struct op *op, json_t *params, const char *name, const char *text,
                struct err *err) MUST_CHECK;

/* Check params against the row: ERR_INVALID / ERR_USAGE name the parameter and what is allowed. */
int op_check(const struct op *op, const json_t *params, struct err *err) MUST_CHECK;

/* The row's parameters as a JSON Schema object (type, properties, required, additionalProperties
 * false). New reference. for_tool leaves out what MCP does not offer. */
json_t *op_schema(const struct op *op, bool for_tool);

/* Run: check, call the handler. On error reply is empty. */
int op_run(const struct op_call *call, struct op_reply *reply, struct err *err) MUST_CHECK;
void op_reply_init(struct op_reply *reply);
void op_reply_done(struct op_reply *reply);

/* {"error","message","details"} as the doors send it. New reference. */
json_t *op_error_json(const struct err *err);

#endif
