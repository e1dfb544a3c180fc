/* Alerts and their resolution, pause and resume, the daemon itself. */
#include "api/handlers.h"
#include "engine/notify.h"

static int add_alert(void *arg, const struct alert *alert, struct err *err)
{
    AUTO(json_unref) json_t *object = alert_to_json(alert);

    return spool_add_json(arg, object, err);
}

int op_alerts(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;

    if (read_begin(call->engine->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    return read_alerts(reader, !call_bool(call, "all"), add_alert, &reply->lines, err);
}

int call_person(const struct op_call *call, const char *expected, const char *what,
                const char *command, struct err *err)
{
    const char *confirm = call_text(call, "confirm");

    if (call_bool(call, "yes")) {
        if (call->engine->config.guard.allow_yes) {
            return 0;
        }
        return err_set(err, ERR_REFUSED,
                       "--yes works only with guard.allow_yes: true in the configuration; without "
                       "it a person runs, at a terminal: "
                       "%s",
                       command);
    }
    if (!confirm || !call->caller->terminal) {
        return err_set(err, ERR_REFUSED,
                       "a person must decide this at a terminal; ask them to run: %s", command);
    }
    if (strcmp(confirm, expected) != 0) {
        return err_set(err, ERR_REFUSED, "what was typed is not %s; nothing was changed", what);
    }
    return 0;
}

/* What the person's word comes to. Who may edit the configuration can allow --yes: so it doesn't
 * resolve the alert that tells of that. */
static int read_resolution(const struct op_call *call, const struct uuid *id, bool accept,
                           const char *command, struct decision *ret, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;

    if (read_begin(call->engine->ledger, &reader, err) != 0 ||
        guard_resolution(reader, id, accept, call->caller->source, ret, err) != 0) {
        return -(int)err->code;
    }
    if (call_bool(call, "yes") && strcmp(ret->rule, RULE_GUARD_OFF) == 0) {
        decision_done(ret);
        return err_set(err, ERR_REFUSED,
                       "--yes does not resolve an alert about the guard's own configuration; a "
                       "person runs, at a terminal: %s",
                       command);
    }
    return 0;
}

int op_resolve(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct uuid id = call_uuid(call, "id");
    const char *action = call_text(call, "action");
    bool accept = strcmp(action, "accept") == 0;
    char text[UUID_TEXT_MAX];
    struct decision decision;
    struct written written = {0};

    uuid_format(&id, text);
    AUTO(free_ptr) char *command = xprintf("holdfast resolve %s --%s", text, action);
    /* Sealed first: what comes from now on is another burst, and all that this one holds is there
     * to be read. */
    if (call_person(call, text, "the alert's id", command, err) != 0 ||
        guard_seal(call->engine->guard, &id, err) != 0 ||
        read_resolution(call, &id, accept, command, &decision, err) != 0) {
        return -(int)err->code;
    }
    struct draft draft = {.kind = KIND_GUARD,
                          .op = accept ? OP_RELEASE : OP_HOLD,
                          .decision = &decision,
                          .source = call->caller->source};
    int rc = ledger_write(call->engine->ledger, &draft, 1, true, &written, err);
    uint64_t memories = decision.memories;
    decision_done(&decision);
    if (rc == 0 && written.code != ERR_NONE) {
        rc = err_set(err, written.code, "%s", written.message ? written.message : "");
    }
    written_done(&written, 1);
    if (rc != 0) {
        return rc;
    }
    engine_alerts_changed(call->engine);
    reply->document =
        json_pack("{s:s,s:s,s:I}", "id", text, "state", accept ? "accepted" : "reverted",
                  "restored", (json_int_t)(accept ? 0 : memories));
    return 0;
}

int op_pause_sync(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    const struct op_caller *caller = call->caller;

    if (engine_pause(call->engine, caller->source, caller->terminal, err) != 0) {
        return -(int)err->code;
    }
    reply->document = json_pack("{s:b}", "paused", 1);
    return 0;
}

int op_resume_sync(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    bool person = call_bool(call, "confirm") &&
                  (call->caller->terminal || call->engine->config.guard.allow_yes);

    if (engine_resume(call->engine, person, err) != 0) {
        return -(int)err->code;
    }
    reply->document = json_pack("{s:b}", "paused", 0);
    return 0;
}

int op_health(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    if (ledger_health(call->engine->ledger, err) != 0) {
        return -(int)err->code;
    }
    reply->document = json_pack("{s:s,s:s}", "status", "ok", "version", HOLDFAST_VERSION);
    return 0;
}

int op_shutdown(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    (void)call; /* the server stops the daemon once this answer has been sent */
    (void)err;
    reply->document = json_pack("{s:b}", "stopping", 1);
    return 0;
}
