/*
 * The mirror: memories that doors made, changed or deleted, as rows. Each is looked at as it shows
 * now, so that what is held is never written; what changes or takes away waits until the guard can
 * hold it no more.
 *
 * How far the chains were looked through is kept as "SOURCE/mirror":
 * "GENERATION ORIGIN SEQ ORIGIN SEQ ...". Each comparison of the table makes another generation:
 * then all is looked through again, as rows may have gone unseen.
 */
#include "base/num.h"
#include "source/postgres_follow.h"

#define WAITING_MAX 10000 /* memories; above, no more are looked at until some are due */
#define ORIGINS_KEPT 60   /* of those chains is kept how far; others are looked through again */
#define KEEP_MS 5000      /* what was only looked at is kept at most so often */

/* ---- what is to be done ---- */

static enum mirror_action action_of(const struct follow *f, const struct lineage *l)
{
    bool is_of_project = strcmp(l->current.project_id, f->pg->options->project) == 0;

    if (!l->is_known || l->is_ours || l->is_elsewhere || (!l->has_row && !is_of_project)) {
        return MIRROR_NOTHING;
    }
    if (l->current.deleted_us != TIME_NONE) {
        return MIRROR_DELETE;
    }
    return l->has_row ? MIRROR_UPDATE : MIRROR_INSERT;
}

void mirror_wait(struct follow *f, const struct follow_waiting *waiting)
{
    f->waiting = xrealloc(f->waiting, (f->waiting_count + 1) * sizeof(*f->waiting));
    f->waiting[f->waiting_count++] = *waiting;
}

/* An alert that is open holds something of it: it is decided when the person has. */
static int is_held(struct reader *reader, const struct uuid *id, bool *ret, struct err *err)
{
    AUTO(memory_done) struct memory memory;
    struct memory_state state;

    memory_init(&memory);
    int rc = read_memory(reader, id, &memory, &state, err);
    *ret = rc == 0 && state.held;
    if (rc < 0 && err->code == ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        return 0;
    }
    return rc;
}

static int add_memory(struct follow *f, struct reader *reader, const struct pg_target *target,
                      const struct uuid *id, const struct follow_cursor *from,
                      struct mirror_batch *batch, struct err *err)
{
    struct lineage_of of = follow_lineage_of(f, target);
    AUTO(lineage_done) struct lineage l = {.seq = 0};
    bool held = false;

    if (lineage_read(reader, &of, id, NULL, &l, err) < 0) {
        return -(int)err->code;
    }
    enum mirror_action action = action_of(f, &l);
    int rc = action == MIRROR_NOTHING ? 0 : is_held(reader, id, &held, err);
    if (rc < 0 || action == MIRROR_NOTHING || held) {
        return rc;
    }
    int64_t due_us = l.at_us + f->pg->options->mirror_wait_ms * 1000;
    if (!l.is_first && due_us > f->env->now_us(f->env)) {
        mirror_wait(f, &(struct follow_waiting){.id = *id,
                                                .origin = from->origin,
                                                .seq = from->seq + 1,
                                                .since_us = l.at_us,
                                                .due_us = due_us});
        return 0;
    }
    struct mirror_item item = {
        .id = *id, .action = action, .since_us = l.at_us, .row = mirror_row(f, target, &l)};
    batch->items[batch->count++] = item;
    batch->bytes += l.current.content_len;
    return 0;
}

/* Look at these memories, and write what is to be written. */
static int mirror_ids(struct follow *f, struct reader *reader, const struct pg_target *t,
                      const struct follow_ids *ids, const struct follow_cursor *from,
                      struct err *err)
{
    struct mirror_batch batch = {.items = xcalloc(FOLLOW_BATCH, sizeof(*batch.items))};
    int rc = 0;

    for (size_t i = 0; i < ids->count && rc == 0; i++) {
        rc = source_cancelled(f->pg->options, err);
        rc = rc == 0 ? add_memory(f, reader, t, &ids->items[i], from, &batch, err) : rc;
        if (rc == 0 && (batch.count == FOLLOW_BATCH || batch.bytes > FOLLOW_BATCH_BYTES)) {
            rc = mirror_write(f, t, &batch, from, err);
            mirror_batch_done(&batch);
            batch.items = xcalloc(FOLLOW_BATCH, sizeof(*batch.items));
        }
    }
    rc = rc == 0 ? mirror_write(f, t, &batch, from, err) : rc;
    mirror_batch_done(&batch);
    return rc;
}

/* ---- how far ---- */

static struct follow_cursor *cursor_of(struct follow *f, const struct uuid *origin)
{
    for (size_t i = 0; i < f->cursor_count; i++) {
        if (uuid_eq(&f->cursors[i].origin, origin)) {
            return &f->cursors[i];
        }
    }
    f->cursors = xrealloc(f->cursors, (f->cursor_count + 1) * sizeof(*f->cursors));
    f->cursors[f->cursor_count] = (struct follow_cursor){.origin = *origin};
    return &f->cursors[f->cursor_count++];
}

/* The next origin and number of such a text; false: its end. */
static bool take_cursor(const char **at, struct follow_cursor *ret)
{
    char id[UUID_TEXT_MAX];
    char seq[24];
    struct err none = ERR_INIT;
    int64_t number;

    pg_take_word(at, id, sizeof(id));
    pg_take_word(at, seq, sizeof(seq));
    if (uuid_parse(str_of(id), &ret->origin, &none) < 0 ||
        num_parse_i64(str_of(seq), 0, INT64_MAX, "seq", &number, &none) < 0) {
        return false;
    }
    ret->seq = (uint64_t)number;
    return true;
}

static void forget_cursors(struct follow *f)
{
    free(f->cursors);
    free(f->waiting);
    free(f->generation);
    f->cursors = NULL;
    f->waiting = NULL;
    f->generation = NULL;
    f->cursor_count = f->waiting_count = 0;
}

/* After a comparison from the beginning; else, at first, from where it was. */
static int load(struct follow *f, struct reader *reader, struct err *err)
{
    AUTO(free_ptr) char *generation = NULL;
    AUTO(free_ptr) char *kept = NULL;
    char word[32];
    struct follow_cursor cursor;

    if (follow_recall(f->pg->options, reader, FOLLOW_COMPARED, &generation, err) < 0) {
        return -(int)err->code;
    }
    const char *now = generation == NULL ? "0" : generation;
    if (f->generation != NULL && strcmp(f->generation, now) == 0) {
        return 0;
    }
    bool is_start = f->generation == NULL;
    forget_cursors(f);
    f->generation = xstrdup(now);
    if (!is_start) {
        return 0;
    }
    if (follow_recall(f->pg->options, reader, FOLLOW_MIRROR, &kept, err) < 0) {
        return -(int)err->code;
    }
    const char *at = kept == NULL ? "" : kept;
    pg_take_word(&at, word, sizeof(word));
    while (strcmp(word, now) == 0 && take_cursor(&at, &cursor)) {
        cursor_of(f, &cursor.origin)->seq = cursor.seq;
    }
    return 0;
}

/* Before what waits. */
static uint64_t surely(const struct follow *f, const struct follow_cursor *cursor)
{
    uint64_t seq = cursor->seq;

    for (size_t i = 0; i < f->waiting_count; i++) {
        const struct follow_waiting *waiting = &f->waiting[i];
        if (uuid_eq(&waiting->origin, &cursor->origin) && waiting->seq <= seq) {
            seq = waiting->seq - 1;
        }
    }
    return seq;
}

int follow_mirror_keep(struct follow *f, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(SOURCE_POSITION_MAX);

    if (f->generation == NULL || !f->is_dirty) {
        return 0;
    }
    int rc = buf_add_c(&text, f->generation, err);
    for (size_t i = 0; i < f->cursor_count && i < ORIGINS_KEPT && rc == 0; i++) {
        char id[UUID_TEXT_MAX];
        uuid_format(&f->cursors[i].origin, id);
        rc = buf_printf(&text, err, " %s %llu", id, (unsigned long long)surely(f, &f->cursors[i]));
    }
    rc = rc == 0 ? follow_remember(f->pg->options, FOLLOW_MIRROR, text.data, err) : rc;
    if (rc == 0) {
        f->is_dirty = false;
        f->kept_ms = deadline_in(0).at_ms;
    }
    return rc;
}

int follow_mirrored(const struct source_options *options, struct reader *reader,
                    const struct uuid *origin, uint64_t *ret, struct err *err)
{
    AUTO(free_ptr) char *kept = NULL;
    char word[32];
    struct follow_cursor cursor;

    *ret = 0;
    if (follow_recall(options, reader, FOLLOW_MIRROR, &kept, err) < 0) {
        return -(int)err->code;
    }
    const char *at = kept == NULL ? "" : kept;
    pg_take_word(&at, word, sizeof(word));
    while (take_cursor(&at, &cursor)) {
        *ret = uuid_eq(&cursor.origin, origin) ? cursor.seq : *ret;
    }
    return 0;
}

void follow_mirror_done(struct follow *f)
{
    forget_cursors(f);
}

/* ---- all of it ---- */

/* Those that waited long enough. */
static int mirror_due(struct follow *f, struct reader *reader, const struct pg_target *t,
                      struct err *err)
{
    AUTO(free_ptr) struct follow_waiting *before = f->waiting;
    size_t count = f->waiting_count;
    int64_t now = f->env->now_us(f->env);
    int rc = 0;

    f->waiting = NULL;
    f->waiting_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct follow_waiting *w = &before[i];
        if (w->due_us > now || rc < 0) {
            mirror_wait(f, w);
            continue;
        }
        struct follow_ids one = {.items = &w->id, .count = 1};
        struct follow_cursor from = {.origin = w->origin, .seq = w->seq - 1};
        rc = mirror_ids(f, reader, t, &one, &from, err);
    }
    return rc;
}

static int mirror_chain(struct follow *f, struct reader *reader, const struct pg_target *t,
                        const struct head *head, bool *ret_more, struct err *err)
{
    struct follow_cursor from = *cursor_of(f, &head->origin);
    struct follow_ids ids = {.items = NULL};
    uint64_t last = from.seq;

    if (from.seq >= head->seq || f->waiting_count >= WAITING_MAX) {
        f->unseen += head->seq > from.seq ? head->seq - from.seq : 0;
        return 0;
    }
    int rc = follow_changes(f, reader, &head->origin, from.seq, head->seq, &ids, &last, err);
    rc = rc == 0 ? mirror_ids(f, reader, t, &ids, &from, err) : rc;
    follow_ids_done(&ids);
    if (rc < 0) {
        return rc;
    }
    cursor_of(f, &head->origin)->seq = last > from.seq ? last : head->seq;
    f->unseen += head->seq - cursor_of(f, &head->origin)->seq;
    *ret_more = *ret_more || last < head->seq;
    f->is_dirty = f->is_dirty || deadline_in(0).at_ms - f->kept_ms > KEEP_MS;
    return 0;
}

static int mirror_all(struct follow *f, struct reader *reader, const struct pg_target *t,
                      bool *ret_more, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    size_t count = 0;

    f->unseen = 0;
    if (load(f, reader, err) < 0 || mirror_due(f, reader, t, err) < 0 ||
        read_heads(reader, &heads, &count, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < count; i++) {
        if (mirror_chain(f, reader, t, &heads[i], ret_more, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

static void note_waiting(struct follow *f, int64_t *ret_due_us)
{
    int64_t now = f->env->now_us(f->env);
    int64_t oldest_us = now;

    *ret_due_us = INT64_MAX;
    for (size_t i = 0; i < f->waiting_count; i++) {
        const struct follow_waiting *w = &f->waiting[i];
        *ret_due_us = w->due_us < *ret_due_us ? w->due_us : *ret_due_us;
        oldest_us = w->since_us < oldest_us ? w->since_us : oldest_us;
    }
    f->status.waiting = f->waiting_count + f->unseen;
    f->status.lag_ms = (now - oldest_us) / 1000;
}

static struct pg_target *target_of(struct follow *f)
{
    for (size_t i = 0; i < f->target_count; i++) {
        if (f->targets[i].is_mirror && f->targets[i].may_write) {
            return &f->targets[i];
        }
    }
    return NULL;
}

int follow_mirror(struct follow *f, bool *ret_more, int64_t *ret_due_us, struct err *err)
{
    const struct pg_target *target = target_of(f);
    struct reader *reader = NULL;

    *ret_more = false;
    *ret_due_us = INT64_MAX;
    if (target == NULL) {
        return 0;
    }
    if (read_begin(f->pg->options->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = mirror_all(f, reader, target, ret_more, err);
    read_end(reader);
    note_waiting(f, ret_due_us);
    return rc < 0 ? rc : follow_mirror_keep(f, err);
}
