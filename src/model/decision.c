/* struct decision of range.h: the body of a `guard` change. */
#include "base/timestamp.h"
#include "model/emit.h"
#include "model/field.h"
#include "model/limits.h"
#include "model/memory.h"
#include "model/range.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const kind_names[DECISION_KINDS] = {
    [DECISION_HELD] = "held",
    [DECISION_REVERTED] = "reverted",
    [DECISION_ACCEPTED] = "accepted",
    [DECISION_UNDONE] = "undone",
};

const char *decision_kind_name(enum decision_kind kind)
{
    return kind_names[kind];
}

bool rule_is_recovery(const char *rule)
{
    return rule != NULL &&
           (strcmp(rule, RULE_RECOVER) == 0 || strcmp(rule, RULE_RECOVER_FILTER) == 0);
}

void decision_init(struct decision *decision)
{
    *decision = (struct decision){.kind = DECISION_HELD, .started_us = TIME_NONE};
}

void decision_done(struct decision *decision)
{
    if (decision == NULL) {
        return;
    }
    ranges_done(&decision->ranges);
    free(decision->rule);
    free(decision->actor);
    free(decision->summary);
    free(decision->person);
    decision_init(decision);
}

static void emit_ranges(struct emit *emit, const struct ranges *ranges)
{
    for (size_t i = 0; i < ranges->count; i++) {
        EMIT(emit, "{\"from\":");
        emit_uint(emit, ranges->items[i].from);
        EMIT(emit, ",\"origin\":");
        emit_uuid(emit, &ranges->items[i].origin);
        EMIT(emit, ",\"to\":");
        emit_uint(emit, ranges->items[i].to);
        emit_raw(emit, i + 1 < ranges->count ? STR("},") : STR("}"));
    }
}

static void emit_decision(struct emit *emit, const struct decision *decision)
{
    EMIT(emit, "{\"actor\":");
    emit_string(emit, str_of(decision->actor));
    EMIT(emit, ",\"alert\":");
    emit_uuid(emit, &decision->alert);
    EMIT(emit, ",\"changes\":");
    emit_uint(emit, decision->changes);
    EMIT(emit, ",\"decision\":\"");
    emit_raw(emit, str_of(decision_kind_name(decision->kind)));
    EMIT(emit, "\",\"memories\":");
    emit_uint(emit, decision->memories);
    EMIT(emit, ",\"person\":");
    emit_string(emit, str_of(decision->person));
    EMIT(emit, ",\"ranges\":[");
    emit_ranges(emit, &decision->ranges);
    EMIT(emit, "],\"rule\":");
    emit_string(emit, str_of(decision->rule));
    EMIT(emit, ",\"started_at\":");
    emit_time(emit, decision->started_us);
    EMIT(emit, ",\"summary\":");
    emit_string(emit, str_of(decision->summary));
    EMIT(emit, "}");
}

static int check_text(const char *text, const char *name, struct err *err)
{
    return field_check_text(str_of(text), name,
                            (struct field_rule){0, DECISION_TEXT_MAX_BYTES, true}, err);
}

int decision_write_body(const struct decision *decision, struct buf *buf, struct err *err)
{
    if (decision->ranges.count > RANGES_MAX) {
        return err_set(err, ERR_LIMIT,
                       "ranges[%d]: %zu ranges; at most %d are allowed in one decision", RANGES_MAX,
                       decision->ranges.count, RANGES_MAX);
    }
    if (check_text(decision->rule, "rule", err) < 0 ||
        check_text(decision->actor, "actor", err) < 0 ||
        check_text(decision->summary, "summary", err) < 0 ||
        check_text(decision->person, "person", err) < 0) {
        return -(int)err->code;
    }
    struct emit emit = emit_begin(buf, err);
    emit_decision(&emit, decision);
    return emit_end(&emit);
}

/* ---- reading ---- */

static int read_text(const json_t *value, const char *name, char **ret, struct err *err)
{
    return field_text_copy(value, name, (struct field_rule){0, DECISION_TEXT_MAX_BYTES, true}, ret,
                           err);
}

static int read_actor(const json_t *value, void *target, struct err *err)
{
    struct decision *decision = target;

    return read_text(value, "actor", &decision->actor, err);
}

static int read_alert(const json_t *value, void *target, struct err *err)
{
    struct decision *decision = target;

    return field_uuid(value, "alert", &decision->alert, err);
}

static int read_changes(const json_t *value, void *target, struct err *err)
{
    struct decision *decision = target;

    return field_uint(value, "changes", 0, VERSION_MAX, &decision->changes, err);
}

static int read_decision(const json_t *value, void *target, struct err *err)
{
    struct decision *decision = target;
    struct str name;

    if (field_string(value, "decision", &name, err) < 0) {
        return -ERR_INVALID;
    }
    for (int i = 0; i < DECISION_KINDS; i++) {
        if (str_eq_c(name, kind_names[i])) {
            decision->kind = (enum decision_kind)i;
            return 0;
        }
    }
    return field_unknown_name(name, "decision", kind_names, DECISION_KINDS, err);
}

static int read_memories(const json_t *value, void *target, struct err *err)
{
    struct decision *decision = target;

    return field_uint(value, "memories", 0, VERSION_MAX, &decision->memories, err);
}

static int read_person(const json_t *value, void *target, struct err *err)
{
    struct decision *decision = target;

    return read_text(value, "person", &decision->person, err);
}

static int read_from(const json_t *value, void *target, struct err *err)
{
    struct range *range = target;

    return field_uint(value, "from", 1, VERSION_MAX, &range->from, err);
}

static int read_origin(const json_t *value, void *target, struct err *err)
{
    struct range *range = target;

    return field_uuid(value, "origin", &range->origin, err);
}

static int read_to(const json_t *value, void *target, struct err *err)
{
    struct range *range = target;

    return field_uint(value, "to", 1, VERSION_MAX, &range->to, err);
}

static const struct field range_fields[] = {
    {"from", read_from},
    {"origin", read_origin},
    {"to", read_to},
};

static int read_range(const json_t *value, struct range *ret, struct err *err)
{
    int result = field_read_object(value, range_fields, COUNT(range_fields), "a range", ret, err);

    if (result == 0 && (uuid_is_nil(&ret->origin) || ret->from == 0 || ret->to < ret->from)) {
        result = err_set(err, ERR_INVALID,
                         "a range needs an origin, from, and a to that is not below it");
    }
    return result;
}

static int read_ranges(const json_t *value, void *target, struct err *err)
{
    struct ranges *ranges = &((struct decision *)target)->ranges;
    size_t count = json_array_size(value);

    if (!json_is_array(value) || count > RANGES_MAX) {
        return err_set(err, ERR_INVALID, "ranges is no array, or has more than %d", RANGES_MAX);
    }
    if (count > 0) {
        ranges->items = xcalloc(count, sizeof(*ranges->items));
        ranges->capacity = count;
    }
    for (; ranges->count < count; ranges->count++) {
        if (read_range(json_array_get(value, ranges->count), &ranges->items[ranges->count], err) <
            0) {
            return err_context(err, "ranges[%zu]", ranges->count);
        }
    }
    return 0;
}

static int read_rule(const json_t *value, void *target, struct err *err)
{
    struct decision *decision = target;

    return read_text(value, "rule", &decision->rule, err);
}

static int read_started_at(const json_t *value, void *target, struct err *err)
{
    struct decision *decision = target;

    return field_time(value, "started_at", &decision->started_us, err);
}

static int read_summary(const json_t *value, void *target, struct err *err)
{
    struct decision *decision = target;

    return read_text(value, "summary", &decision->summary, err);
}

static const struct field body_fields[] = {
    {"actor", read_actor},       {"alert", read_alert},       {"changes", read_changes},
    {"decision", read_decision}, {"memories", read_memories}, {"person", read_person},
    {"ranges", read_ranges},     {"rule", read_rule},         {"started_at", read_started_at},
    {"summary", read_summary},
};

int decision_read_body(struct str body, struct decision *ret, struct err *err)
{
    AUTO(json_unref) json_t *tree = NULL;
    AUTO(decision_done) struct decision decision;

    decision_init(&decision);
    if (json_parse(body, &tree, err) < 0 || field_read_object(tree, body_fields, COUNT(body_fields),
                                                              "a decision", &decision, err) < 0) {
        return field_corrupt(err);
    }
    /* Every member is needed, none may be null; and an object has each key once. */
    if (json_object_size(tree) != COUNT(body_fields) || uuid_is_nil(&decision.alert) ||
        decision.rule == NULL || decision.actor == NULL || decision.summary == NULL ||
        decision.person == NULL || decision.started_us == TIME_NONE) {
        return err_set(err, ERR_CORRUPT, "a field is missing in a decision's body");
    }
    *ret = decision;
    decision_init(&decision);
    return 0;
}
