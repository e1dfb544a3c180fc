/* The follower's loop: what it wakes for, how far it is, and its transactions. */
#include "source/postgres_follow.h"

#include <poll.h>

#define LOOK_MS 30000           /* columns that are added or dropped are found within this */
#define CAPTURE_LOOK_MS 1000    /* before there is any capture */
#define ACKNOWLEDGED_LOOK_MS 50 /* vaults don't call; and they are quick, */
#define ACKNOWLEDGED_LATER_MS 1000
#define ACKNOWLEDGED_SOON_MS 5000 /* or away */
#define GATHER_MS 20              /* commits that come close together are one batch */

/* ---- what is kept in the ledger ---- */

int follow_recall(const struct source_options *options, struct reader *reader, const char *what,
                  char **ret, struct err *err)
{
    AUTO(free_ptr) char *name = xprintf("%s/%s", options->name, what);

    *ret = NULL;
    int rc = read_source_position(reader, name, ret, err);
    if (rc < 0 && err->code == ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        return 0;
    }
    return rc;
}

int follow_remember(const struct source_options *options, const char *what, const char *text,
                    struct err *err)
{
    AUTO(free_ptr) char *name = xprintf("%s/%s", options->name, what);
    struct source_position position = {.source = name, .text = text};

    return ledger_write_source(options->ledger, NULL, 0, &position, NULL, err);
}

/* ---- which memories ---- */

void follow_ids_add(struct follow_ids *ids, const struct uuid *id)
{
    if (ids->count == ids->capacity) {
        ids->capacity = ids->capacity == 0 ? 256 : ids->capacity * 2;
        ids->items = xrealloc(ids->items, ids->capacity * sizeof(*ids->items));
    }
    ids->items[ids->count++] = *id;
}

void follow_ids_done(struct follow_ids *ids)
{
    free(ids->items);
    *ids = (struct follow_ids){.items = NULL};
}

static int by_id(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

static void each_once(struct follow_ids *ids)
{
    size_t kept = 0;

    if (ids->count > 1) {
        qsort(ids->items, ids->count, sizeof(*ids->items), by_id);
    }
    for (size_t i = 0; i < ids->count; i++) {
        if (i == 0 || !uuid_eq(&ids->items[i], &ids->items[kept - 1])) {
            ids->items[kept++] = ids->items[i];
        }
    }
    ids->count = kept;
}

struct looking {
    struct follow *f;
    struct reader *reader;
    struct follow_ids *ids;
    uint64_t until;
    uint64_t last;
};

static int note_memory(void *arg, const struct change *change, struct err *err)
{
    struct looking *looking = arg;
    struct uuid id;

    if (change->kind == KIND_MEMORY) {
        if (uuid_parse(str_of(change->id), &id, err) < 0) {
            return -(int)err->code;
        }
        follow_ids_add(looking->ids, &id);
    }
    return 0;
}

/* A decision changes what shows of all that it speaks of. */
static int note_decision(struct looking *looking, const struct change *change, struct err *err)
{
    AUTO(decision_done) struct decision decision;

    decision_init(&decision);
    if (decision_read_body(change->body, &decision, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < decision.ranges.count; i++) {
        const struct range *range = &decision.ranges.items[i];
        for (uint64_t seq = range->from; seq <= range->to; seq++) {
            if (source_cancelled(looking->f->pg->options, err) < 0) {
                return -(int)err->code;
            }
            int rc = read_change(looking->reader, &range->origin, seq, note_memory, looking, err);
            if (rc < 0 && err->code != ERR_NOT_FOUND) {
                return rc;
            }
            err->code = ERR_NONE;
        }
    }
    return 0;
}

static int note_change(void *arg, const struct change *change, struct err *err)
{
    struct looking *looking = arg;

    if (change->seq > looking->until) {
        return 1;
    }
    looking->last = change->seq;
    return change->kind == KIND_GUARD ? note_decision(looking, change, err)
                                      : note_memory(looking, change, err);
}

int follow_changes(struct follow *f, struct reader *reader, const struct uuid *origin,
                   uint64_t after, uint64_t until, struct follow_ids *ids, uint64_t *ret_last,
                   struct err *err)
{
    struct looking looking = {.f = f, .reader = reader, .ids = ids, .until = until, .last = after};

    int rc = read_changes(reader, origin, after, FOLLOW_BATCH, note_change, &looking, err);
    each_once(ids);
    *ret_last = looking.last;
    return rc < 0 ? rc : 0;
}

struct lineage_of follow_lineage_of(const struct follow *f, const struct pg_target *target)
{
    return (struct lineage_of){.source = f->pg->options->name,
                               .table = target->table->name,
                               .mapping = target->table->mapping};
}

/* ---- a transaction ---- */

int follow_begin(struct follow *f, const struct pg_target *target, const char *more, bool *ret_open,
                 struct err *err)
{
    AUTO(free_ptr) char *oid = xprintf("%u", target->table->oid);
    AUTO(free_ptr) char *begin = xprintf("BEGIN; " FOLLOW_LOCK "%s", more);
    bool is_fenced = false;

    *ret_open = false;
    if (pg_ask_bool(f->pg, "SELECT EXISTS(SELECT FROM holdfast.fence WHERE relid = $1::oid)", oid,
                    &is_fenced, err) < 0) {
        return -(int)err->code;
    }
    *ret_open = !is_fenced;
    return is_fenced ? 0 : pg_exec(f->pg, f->pg->sql, begin, err);
}

int follow_commit(struct follow *f, struct err *err)
{
    return pg_exec(f->pg, f->pg->sql, "COMMIT", err);
}

void follow_rollback(struct follow *f)
{
    struct err none = ERR_INIT;

    if (pg_exec(f->pg, f->pg->sql, "ROLLBACK", &none) < 0) {
        return; /* the connection is lost, and the transaction with it */
    }
}

/* ---- what is written into ---- */

static void targets_done(struct follow *f)
{
    for (size_t i = 0; i < f->target_count; i++) {
        pg_target_done(&f->targets[i]);
    }
    f->target_count = 0;
}

void follow_trouble(struct follow *f, const char *what)
{
    const struct source_events *events = f->pg->events;

    if (strcmp(f->status.trouble, what) != 0) {
        (void)snprintf(f->status.trouble, sizeof(f->status.trouble), "%s", what);
        if (what[0] != '\0') {
            events->on_note(events->arg, what);
        }
    }
}

/* What a person would expect to be written, and can't be. */
static void tell_what_is_not(struct follow *f)
{
    bool has_mirror = !f->pg->options->mirror;
    AUTO(free_ptr) char *what = NULL;

    for (size_t i = 0; i < f->target_count && what == NULL; i++) {
        const struct pg_target *target = &f->targets[i];
        has_mirror = has_mirror || target->is_mirror || target->table->oid == 0;
        if (target->has_marks && target->has_vault && !target->may_mark) {
            what = xprintf("sync_status, synced_at and remote_id of %s are not filled: the role "
                           "has no right to update them",
                           target->table->name);
        } else if (f->unmarkable[i] != NULL) {
            what = xprintf("sync_status, synced_at and remote_id of %s are not filled any more: "
                           "%.120s",
                           target->table->name, f->unmarkable[i]);
        } else if (f->pg->options->mirror && target->refusal != NULL) {
            what = xprintf("nothing is mirrored into %s: %s", target->table->name, target->refusal);
        } else if (target->is_mirror && !target->may_write) {
            what = xprintf("nothing is mirrored into %s: the role has no right to INSERT, UPDATE "
                           "and DELETE there",
                           target->table->name);
        }
    }
    if (what == NULL && !has_mirror) {
        what = xstrdup("nothing is mirrored: no table of this source is called memories and keeps "
                       "its UUIDs as ids");
    }
    if (what != NULL || f->status.refused == 0) { /* those are named still */
        follow_trouble(f, what == NULL ? "" : what);
    }
}

static int find_targets(struct follow *f, struct err *err)
{
    struct postgres *pg = f->pg;
    uint64_t safe = 0;

    targets_done(f);
    if (pg_tables_find(pg, err) < 0 ||
        pg_ask_bool(pg,
                    pg->version >= 150000
                        ? "SELECT rolsuper OR has_parameter_privilege('session_replication_role', "
                          "'SET') FROM pg_catalog.pg_roles WHERE rolname = current_user"
                        : "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
                    NULL, &f->may_be_replica, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < pg->table_count; i++) {
        if (pg_target_find(pg, &pg->tables[i], &f->targets[i], err) < 0) {
            return -(int)err->code;
        }
        f->targets[i].is_given_up = f->unmarkable[i] != NULL;
        f->targets[i].has_vault = follow_safe(f, &safe);
        f->target_count++;
    }
    tell_what_is_not(f);
    return 0;
}

static bool has_work(const struct follow *f)
{
    bool has = f->pg->options->mirror;

    for (size_t i = 0; i < f->target_count; i++) {
        has = has || pg_target_is_marked(&f->targets[i]);
    }
    return has;
}

/* ---- the loop ---- */

/* Until a commit, cancellation, or so long. */
static int wait_for(struct follow *f, struct wake *commits, int64_t ms, struct err *err)
{
    struct wake *cancel = f->pg->options->cancel;
    struct pollfd fds[2] = {{.fd = commits->fd, .events = POLLIN},
                            {.fd = cancel->fd, .events = POLLIN}};

    if (ms > 0 && !wake_cancelled(cancel)) {
        (void)poll(fds, 2, ms > LOOK_MS ? LOOK_MS : (int)ms);
    }
    if ((fds[0].revents & POLLIN) != 0) {
        (void)wake_wait(commits, deadline_in(0));
    }
    return source_cancelled(f->pg->options, err);
}

static int wait_without_commits(struct follow *f, int64_t ms, struct err *err)
{
    (void)wake_wait(f->pg->options->cancel, deadline_in(ms));
    return source_cancelled(f->pg->options, err);
}

static int is_captured(struct follow *f, bool *ret, struct err *err)
{
    AUTO(free_ptr) char *position = NULL;

    int rc = source_kept(f->pg->options->ledger, f->pg->options->name, &position, err);
    *ret = position != NULL;
    return rc;
}

/* With no connection: there is nothing to write, or nothing to compare it with. */
static int wait_apart(struct follow *f, int64_t ms, struct err *err)
{
    PQfinish(f->pg->sql);
    f->pg->sql = NULL;
    return wait_without_commits(f, ms, err) < 0 ? -(int)err->code
                                                : pg_open(f->pg, false, &f->pg->sql, err);
}

static int wait_for_capture(struct follow *f, struct err *err)
{
    bool captured = false;
    int rc = is_captured(f, &captured, err);

    while (rc == 0 && !captured) {
        rc = wait_apart(f, CAPTURE_LOOK_MS, err);
        rc = rc == 0 ? is_captured(f, &captured, err) : rc;
    }
    return rc;
}

static void tell(struct follow *f)
{
    const struct source_events *events = f->pg->events;

    f->status.is_mirror = f->pg->options->mirror;
    events->on_mirror(events->arg, &f->status);
    events->on_position(events->arg, "", 0);
}

static int64_t acknowledged_look_ms(struct follow *f)
{
    int64_t now = deadline_in(0).at_ms;

    if (!f->has_unacknowledged) {
        f->tried_ms = 0;
        return LOOK_MS;
    }
    f->tried_ms = f->tried_ms == 0 ? now : f->tried_ms;
    return now - f->tried_ms < ACKNOWLEDGED_SOON_MS ? ACKNOWLEDGED_LOOK_MS : ACKNOWLEDGED_LATER_MS;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* All that there is to do now. *ret_ms: how long to wait for more. */
static int work(struct follow *f, int64_t *ret_ms, struct err *err)
{
    bool more = true;
    int64_t due_us = INT64_MAX;

    while (more) {
        bool more_marks = false;
        bool more_rows = false;
        if (source_cancelled(f->pg->options, err) < 0 || follow_marks(f, &more_marks, err) < 0 ||
            follow_mirror(f, &more_rows, &due_us, err) < 0) {
            return -(int)err->code;
        }
        tell(f);
        more = more_marks || more_rows;
    }
    int64_t wait_us = due_us == INT64_MAX ? LOOK_MS * 1000 : due_us - f->env->now_us(f->env);
    *ret_ms = sooner(acknowledged_look_ms(f), wait_us < 0 ? 0 : wait_us / 1000 + 1);
    return 0;
}

static int follow_for_a_while(struct follow *f, struct wake *commits, struct err *err)
{
    struct deadline look = deadline_in(LOOK_MS);
    int64_t ms = 0;

    while (deadline_left_ms(look) > 0) {
        if (work(f, &ms, err) < 0 ||
            wait_for(f, commits, sooner(ms, deadline_left_ms(look)), err) < 0 ||
            wait_without_commits(f, GATHER_MS, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

static int follow(struct follow *f, struct wake *commits, struct err *err)
{
    int rc = wait_for_capture(f, err);

    while (rc == 0) {
        rc = find_targets(f, err);
        if (rc == 0) {
            tell(f);
            rc = has_work(f) ? follow_for_a_while(f, commits, err) : wait_apart(f, LOOK_MS, err);
        }
    }
    return rc;
}

int pg_follow(struct postgres *pg, const struct source_events *events, struct err *err)
{
    struct follow f = {.pg = pg, .env = ledger_env(pg->options->ledger)};
    struct wake commits;
    struct err none = ERR_INIT;

    pg->events = events;
    if (wake_init(&commits, err) < 0) {
        return -(int)err->code;
    }
    ledger_subscribe(pg->options->ledger, &commits);
    int rc = follow(&f, &commits, err);
    ledger_unsubscribe(pg->options->ledger, &commits);
    wake_done(&commits);
    if (follow_mirror_keep(&f, &none) < 0) {
        none.code = ERR_NONE; /* it is looked through once more */
    }
    follow_mirror_done(&f);
    targets_done(&f);
    for (size_t i = 0; i < SOURCE_TABLES_MAX; i++) {
        free(f.unmarkable[i]);
    }
    return rc;
}
