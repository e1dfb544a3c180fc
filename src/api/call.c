/* What the handlers share: reading a call's parameters, its project, its filter. */
#include "api/handlers.h"

#include "base/timestamp.h"

const char *call_text(const struct op_call *call, const char *name)
{
    return json_string_value(json_object_get(call->params, name));
}

bool call_bool(const struct op_call *call, const char *name)
{
    return json_is_true(json_object_get(call->params, name));
}

int64_t call_integer(const struct op_call *call, const char *name, int64_t fallback)
{
    const json_t *value = json_object_get(call->params, name);

    return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

struct uuid call_uuid(const struct op_call *call, const char *name)
{
    struct err ignored = ERR_INIT;
    struct uuid uuid = {{0}};
    const char *text = call_text(call, name);

    if (text && uuid_parse(str_of(text), &uuid, &ignored) != 0) {
        return (struct uuid){{0}}; /* op_check has refused it before */
    }
    return uuid;
}

int call_time(const struct op_call *call, const char *name, int64_t *ret_us, struct err *err)
{
    const char *text = call_text(call, name);

    *ret_us = TIME_NONE;
    if (!text) {
        return 0;
    }
    if (timestamp_parse_human(str_of(text), call->engine->env->now_us(call->engine->env), ret_us,
                              err) != 0) {
        return err_context(err, "%s", name);
    }
    return 0;
}

/* What a git remote was called when it was first seen, so that a moved or renamed checkout keeps
 * its project. */
static char *project_of_remote(const struct op_call *call, const char *folder)
{
    struct err ignored = ERR_INIT;
    struct sha256 hash = sha256_of(call->caller->remote, strlen(call->caller->remote));
    char hex[SHA256_HEX_MAX];
    char *known = NULL;

    sha256_hex(&hash, hex);
    AUTO(free_ptr) char *flag = xprintf("remote.%.32s", hex);
    if (sync_flag_get(call->engine->log, flag, &known, &ignored) == 0) {
        return known;
    }
    if (sync_flag_set(call->engine->log, flag, folder, &ignored) != 0) {
        log_warn("flag.lost", "%s; a move of this folder will not be recognised", ignored.message);
    }
    return NULL;
}

int call_project(const struct op_call *call, char **ret, const char **ret_why, struct err *err)
{
    const struct op_caller *caller = call->caller;
    const char *given = call_text(call, "project_id");
    const char *why = "given";
    char *project = NULL;

    if (given) {
        project = xstrdup(given);
    } else if (call->engine->config.daemon.project) {
        project = xstrdup(call->engine->config.daemon.project);
        why = "the configuration";
    } else if (caller->marker) {
        project = xstrdup(caller->marker);
        why = "the file .holdfast in the folder";
    } else if (caller->remote && caller->folder &&
               (project = project_of_remote(call, caller->folder))) {
        why = "the git remote";
    } else if (caller->folder) {
        project = xstrdup(caller->folder);
        why = "the folder's name";
    } else {
        return err_set(
            err, ERR_USAGE,
            "which project? Give one (--project NAME), or set daemon.project in the configuration");
    }
    if (project_id_check(str_of(project), err) != 0) {
        free(project);
        return -(int)err->code;
    }
    if (ret_why) {
        *ret_why = why;
    }
    *ret = project;
    return 0;
}

void reader_done(struct reader **reader)
{
    read_end(*reader);
    *reader = NULL;
}

int call_tags(const struct op_call *call, const char *ret_tags[MEMORY_TAGS_MAX], size_t *ret_count,
              struct err *err)
{
    const json_t *tags = json_object_get(call->params, "tags");
    const json_t *tag;
    size_t i;

    *ret_count = 0;
    if (json_array_size(tags) > MEMORY_TAGS_MAX) {
        return err_set(err, ERR_LIMIT, "tags: %zu given; at most %d are allowed",
                       json_array_size(tags), MEMORY_TAGS_MAX);
    }
    json_array_foreach (tags, i, tag)
        ret_tags[(*ret_count)++] = json_string_value(tag);
    return 0;
}

const char *sync_status_of(struct engine *engine, uint64_t seq, bool held)
{
    const char *status = engine->replicator_count ? "synced" : "pending";

    if (held) {
        return "held";
    }
    for (size_t i = 0; i < engine->replicator_count; i++) {
        struct replicator_status vault;
        replicator_status(engine->replicators[i], &vault);
        if (vault.acked_seq >= seq) {
            continue;
        }
        if (!vault.connected && (vault.failures > 0 || vault.paused)) {
            return "queued"; /* not while a daemon that just started connects */
        }
        status = "pending";
    }
    return status;
}

#define ACK_VAULT_MS                                                                               \
    30000 /* how long ack = vault waits before it says so; the memory is in the ledger by then */

int wait_for_vault(struct engine *engine, const struct uuid *origin, uint64_t seq, struct err *err)
{
    struct deadline deadline = deadline_in(ACK_VAULT_MS);
    int rc = err_set(
        err, ERR_UNAVAILABLE,
        "ack = vault: no vault is configured; add one with: holdfast init --vault file:PATH");

    for (size_t i = 0; i < engine->replicator_count; i++) {
        rc = replicator_wait_for(engine->replicators[i], origin, seq, deadline, err);
        if (rc == 0) {
            return 0;
        }
    }
    return err_context(
               err,
               "the memory is safe in the ledger (seq %llu), but no vault has acknowledged it yet",
               (unsigned long long)seq),
           rc;
}
