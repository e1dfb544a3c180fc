/*
 * client - calling operations: over the daemon's socket (libcurl), or in process (--no-daemon).
 *
 * Thread: one at a time per client.
 */
#ifndef HOLDFAST_API_CLIENT_H
#define HOLDFAST_API_CLIENT_H

#include "api/op.h"

struct client;

#define CLIENT_START_TIMEOUT_MS 10000 /* an autostarted daemon must answer within this */
#define CLIENT_CALL_TIMEOUT_MS (24LL * 3600 * 1000) /* bounded by the operation's own deadlines */
#define CLIENT_SILENCE_MS                                                                          \
    5000 /* without a byte either way, until the daemon is asked whether it is there */

struct client_options {
    const char *home;        /* NULL: the default home */
    const char *config_file; /* NULL: home/holdfast.yaml, or whatever a daemon that runs has; one
                                that runs with another refuses the calls (ERR_CONFIG) */
    bool no_daemon;          /* open the ledger in this process */
    bool no_start;           /* never start a daemon: ERR_UNAVAILABLE when none runs */
    const char *label;       /* "cli", "mcp:claude-code" */
    int64_t
        agent_pid; /* the process that lives as long as the agent; 0: found by agent_process() */
};

/* Does not connect yet. */
int client_new(const struct client_options *options, struct client **ret, struct err *err)
    MUST_CHECK;
void client_free(struct client *client);
void client_set_label(struct client *client,
                      const char *label); /* MCP learns its client's name at initialize */

/*
 * Call one operation; starts the daemon when none runs. params borrowed. body: for OP_BODY_LINES,
 * read from this descriptor to its end (else -1). on_line gets each line of an OP_LINES answer as
 * it arrives (without "\n"); *ret_document is set for OP_DOCUMENT (new reference). The error is the
 * daemon's own, with its code.
 */
typedef int client_line_fn(void *arg, struct str line, struct err *err);
int client_call(struct client *client, const struct op *op, const json_t *params, int body_fd,
                client_line_fn *on_line, void *arg, json_t **ret_document, struct err *err)
    MUST_CHECK;

/* The daemon's pid by the home's lock file, or 0. */
int64_t client_daemon_pid(struct client *client);

/* The process that stands for the agent when the caller lives for one command only: the session
 * leader if it lives, else the parent. */
int64_t agent_process(void);

/* Where the caller stands: git root's name, remote without credentials, .holdfast marker; heap,
 * NULL where there is none. Runs no program. */
int caller_place(const char *folder, char **ret_name, char **ret_remote, char **ret_marker,
                 char **ret_root, struct err *err) MUST_CHECK;

#endif
