/* Recovery, its undoing, and verification. */
#include "api/handlers.h"

#include <inttypes.h>

#define VERIFY_DEADLINE_MS ((int64_t)3600 * 1000)

static json_t *gaps_to_json(const struct ranges *gaps)
{
    json_t *array = json_array();

    for (size_t i = 0; i < gaps->count; i++) {
        const struct range *gap = &gaps->items[i];
        char origin[UUID_TEXT_MAX];
        uuid_format(&gap->origin, origin);
        json_array_append_new(array, json_pack("{s:s,s:I,s:I}", "origin", origin, "from",
                                               (json_int_t)gap->from, "to", (json_int_t)gap->to));
    }
    return array;
}

static json_t *damages_to_json(const struct recover_report *report)
{
    json_t *array = json_array();

    for (size_t i = 0; i < report->damage_count; i++) {
        const struct vault_damage *damage = &report->damages[i];
        char origin[UUID_TEXT_MAX];
        uuid_format(&damage->origin, origin);
        json_array_append_new(array, json_pack("{s:s,s:I,s:I,s:s}", "origin", origin, "from",
                                               (json_int_t)damage->from, "to",
                                               (json_int_t)damage->to, "where", damage->where));
    }
    return array;
}

static json_t *report_to_json(const struct recover_report *report)
{
    json_t *projects = json_object();
    char id[UUID_TEXT_MAX];

    for (size_t i = 0; i < report->project_count; i++) {
        const struct recover_project *p = &report->projects[i];
        json_object_set_new(
            projects, p->project_id,
            json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "taken_away", (json_int_t)p->taken_away,
                      "overwritten", (json_int_t)p->overwritten, "recovered",
                      (json_int_t)p->recovered, "new", (json_int_t)p->fresh, "newer",
                      (json_int_t)p->newer, "taken_back", (json_int_t)p->taken_back, "skipped",
                      (json_int_t)p->skipped, "conflicts", (json_int_t)p->conflicts));
    }
    uuid_format(&report->id, id);
    json_t *object = json_pack(
        "{s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:s,s:o}", "success", 1, "dry_run", report->dry_run,
        "recovered_count", (json_int_t)report->recovered_count, "skipped_count",
        (json_int_t)report->skipped_count, "conflict_count", (json_int_t)report->conflict_count,
        "changes_imported", (json_int_t)report->changes_imported, "duration_ms",
        (json_int_t)(report->duration_us / 1000), "from", report->from ? report->from : "",
        "projects", projects);
    json_object_set_new(object, "taken_away_count",
                        json_integer((json_int_t)report->taken_away_count));
    json_object_set_new(object, "overwritten_count",
                        json_integer((json_int_t)report->overwritten_count));
    json_object_set_new(object, "id", uuid_is_nil(&report->id) ? json_null() : json_string(id));
    json_object_set_new(object, "gaps", gaps_to_json(&report->gaps));
    json_object_set_new(object, "damage", damages_to_json(report));
    return object;
}

/* A word for a shell, whatever is in it: somebody else wrote it, and a person copies it. Heap. */
static char *quoted(const char *text)
{
    size_t len = strlen(text);
    char *word = xmalloc(4 * len + 3);
    size_t at = 0;

    word[at++] = '\'';
    for (const char *c = text; *c; c++) {
        const char *as = *c == '\'' ? "'\\''" : NULL;
        size_t count = as ? 4 : 1;
        memcpy(word + at, as ? as : c, count);
        at += count;
    }
    word[at++] = '\'';
    word[at] = 0;
    return word;
}

static bool is_undo(const struct op_call *call)
{
    return strcmp(call->op->name, "recover_undo") == 0;
}

/* The command that a person runs for this call; heap. */
static char *command_of(const struct op_call *call)
{
    char *command = xstrdup(is_undo(call) ? "holdfast recover --undo" : "holdfast recover");

    for (const struct op_param *param = call->op->params; param->name; param++) {
        const char *value = json_string_value(json_object_get(call->params, param->name));
        if (!value || strcmp(param->name, "confirm") == 0) {
            continue;
        }
        AUTO(free_ptr) char *word = quoted(value);
        char *longer = param->option ? xprintf("%s %s %s", command, param->option, word)
                                     : xprintf("%s --%s %s", command, param->name, word);
        free(command);
        command = longer;
    }
    return command;
}

/*
 * More than the guard would let pass unseen? The project where it is the most; NULL: none. Small
 * recoveries add up; what an undo takes back was counted when it was brought.
 */
static const struct recover_project *harmed_too_much(const struct op_call *call,
                                                     const struct recover_report *report,
                                                     uint64_t *ret_most)
{
    struct engine *engine = call->engine;
    const struct guard_options *rules = &engine->config.guard.rules;
    const struct recover_project *worst = NULL;
    int64_t since_ms = engine->env->mono_ms(engine->env) - rules->drip_window_ms;

    *ret_most = 0;
    for (size_t i = 0; i < report->project_count; i++) {
        const struct recover_project *p = &report->projects[i];
        uint64_t harmed = p->taken_away + p->overwritten;
        if (harmed > 0 && !is_undo(call)) {
            harmed += toll_since(&engine->toll, p->project_id, since_ms);
            harmed = harmed < p->before ? harmed : p->before; /* some were harmed twice */
        }
        if (harmed >= rules->share_min && (double)harmed > rules->share_max * (double)p->before &&
            harmed > *ret_most) {
            worst = p;
            *ret_most = harmed;
        }
    }
    return worst;
}

/* It goes on without a person: what it harms counts for those to come. */
static void count_harm(struct engine *engine, const struct recover_report *report)
{
    for (size_t i = 0; i < report->project_count; i++) {
        const struct recover_project *p = &report->projects[i];
        if (p->taken_away + p->overwritten > 0) {
            toll_add(&engine->toll, p->project_id, p->taken_away + p->overwritten,
                     engine->env->mono_ms(engine->env));
        }
    }
}

static int ask_person(void *arg, const struct recover_report *report, struct err *err)
{
    const struct op_call *call = arg;
    uint64_t most;
    const struct recover_project *worst = harmed_too_much(call, report, &most);

    if (!worst) {
        if (!is_undo(call)) {
            count_harm(call->engine, report);
        }
        return 0;
    }
    AUTO(free_ptr) char *command = command_of(call);
    AUTO(free_ptr)
    char *count = xprintf("%" PRIu64, report->taken_away_count + report->overwritten_count);
    AUTO(free_ptr) char *what = xprintf("%s, the number of memories", count);
    if (call_person(call, count, what, command, err) == 0) {
        return 0;
    }
    return err_context(err,
                       "it would bring back %" PRIu64 " memories, take away %" PRIu64
                       " and overwrite %" PRIu64 " (%" PRIu64 " of %" PRIu64
                       " of project %s, with the recoveries within guard.drip_window), "
                       "which is more than guard.share_max; nothing was changed",
                       report->recovered_count, report->taken_away_count, report->overwritten_count,
                       most, worst->before, worst->project_id);
}

int op_recover(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct op_call asking = *call;
    struct recover_consent consent = {ask_person, &asking};
    struct recover_request request = {.project_id = call_text(call, "project_id"),
                                      .session_id = call_uuid(call, "session_id"),
                                      .memory_id = call_uuid(call, "memory_id"),
                                      .dry_run = call_bool(call, "dry_run"),
                                      .source = call->caller->source,
                                      .consent = &consent};
    struct recover_context context = {
        .ledger = call->engine->ledger, .index = call->engine->index, .cancel = call->shutdown};
    struct recover_report report;
    AUTO(free_ptr) char *spec = NULL;
    struct vault *vault = NULL;

    if (call_time(call, "since", &request.since_us, err) != 0 ||
        call_time(call, "at", &request.at_us, err) != 0 ||
        (!request.dry_run && engine_may_write(call->engine, err) != 0)) {
        return -(int)err->code;
    }
    /* The own journal is enough for a moment of the past, when no vault is there to ask. */
    bool need_vault =
        request.at_us == TIME_NONE || call_text(call, "from") || call->engine->replicator_count;
    if (need_vault && engine_open_vault(call->engine, call_text(call, "from"), true,
                                        ENGINE_OPEN_LONG, &vault, &spec, err) != 0) {
        return -(int)err->code;
    }
    context.vault = vault;
    context.vault_spec = spec;
    int rc = recover_run(&context, &request, &report, err);
    if (vault) {
        vault->ops->close(vault);
    }
    if (rc != 0) {
        return rc;
    }
    reply->document = report_to_json(&report);
    recover_report_done(&report);
    return 0;
}

int op_recover_undo(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct uuid id = call_uuid(call, "id");
    struct op_call asking = *call;
    struct recover_consent consent = {ask_person, &asking};
    struct recover_report report;

    if (engine_may_write(call->engine, err) != 0 ||
        recover_undo(call->engine->ledger, uuid_is_nil(&id) ? NULL : &id, call->caller->source,
                     &consent, &report, err) != 0) {
        return -(int)err->code;
    }
    reply->document = report_to_json(&report);
    recover_report_done(&report);
    return 0;
}

static json_t *verified(bool ok, uint64_t changes, json_t *bad)
{
    return json_pack("{s:b,s:I,s:o}", "ok", ok, "changes", (json_int_t)changes, "first_bad",
                     bad ? bad : json_null());
}

static int count_change(void *arg, const struct change *change, struct err *err)
{
    (void)change;
    (void)err;
    ++*(uint64_t *)arg;
    return 0;
}

/* NULL: it does not run. */
static struct replicator *replicator_of(struct engine *engine, const struct config_vault *vault)
{
    size_t i = (size_t)(vault - engine->config.vaults);

    return i < engine->replicator_count ? engine->replicators[i] : NULL;
}

/*
 * Read all origins of a vault. What is damaged is told to its replicator, which puts the copy aside
 * and fills it again; *ret_bad is what is wrong with the first, NULL when all is well.
 */
static int verify_origins(struct vault *vault, struct replicator *replicator,
                          const struct deadline deadline, uint64_t *ret_changes, char **ret_bad,
                          struct err *err)
{
    AUTO(free_ptr) struct vault_head *heads = NULL;
    size_t count = 0;

    int rc = vault->ops->head(vault, &heads, &count, deadline, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct vault_filter filter = {.origin = heads[i].origin};
        rc = vault->ops->scan(vault, &filter, count_change, ret_changes, deadline, err);
        if (rc != -ERR_CORRUPT) {
            continue;
        }
        if (replicator) {
            replicator_suspect(replicator, &heads[i].origin, err->message);
        }
        if (!*ret_bad) {
            *ret_bad = xstrdup(err->message);
        }
        rc = 0;
    }
    if (rc == -ERR_CORRUPT) {
        *ret_bad = xstrdup(err->message); /* the vault as a whole: its replicator tells it, too */
        rc = 0;
    }
    return rc;
}

static int verify_vault(const struct op_call *call, const char *name, struct op_reply *reply,
                        struct err *err)
{
    AUTO(free_ptr) char *spec = NULL;
    AUTO(free_ptr) char *bad = NULL;
    struct vault *vault = NULL;
    uint64_t changes = 0;

    /* Not any spec: whichever server is named is sent the password, and an agent may call this. */
    const struct config_vault *configured = engine_vault(call->engine, name);
    if (configured == NULL) {
        AUTO(free_ptr) char *shown = vault_spec_shown(name);
        return err_set(err, ERR_NOT_FOUND,
                       "no vault \"%s\" is configured; holdfast status names those that are",
                       shown);
    }
    if (engine_open_vault(call->engine, name, true, ENGINE_OPEN_LONG, &vault, &spec, err) != 0) {
        return -(int)err->code;
    }
    int rc = verify_origins(vault, replicator_of(call->engine, configured),
                            deadline_in(VERIFY_DEADLINE_MS), &changes, &bad, err);
    vault->ops->close(vault);
    if (rc != 0) {
        return rc;
    }
    reply->document =
        verified(!bad, changes, bad ? json_pack("{s:s,s:s}", "vault", name, "reason", bad) : NULL);
    return 0;
}

int op_verify(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;
    struct verify_result result;
    char origin[UUID_TEXT_MAX];

    if (call_text(call, "vault")) {
        return verify_vault(call, call_text(call, "vault"), reply, err);
    }
    if (read_begin(call->engine->ledger, &reader, err) != 0 ||
        read_verify(reader, &result, err) != 0) {
        return -(int)err->code;
    }
    uuid_format(&result.bad_origin, origin);
    reply->document =
        verified(result.ok, result.changes,
                 result.ok ? NULL
                           : json_pack("{s:s,s:I,s:s}", "origin", origin, "seq",
                                       (json_int_t)result.bad_seq, "reason", result.reason));
    return 0;
}
