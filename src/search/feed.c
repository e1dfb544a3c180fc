#include "search/feed.h"

#include "base/fault.h"
#include "ledger/read_index.h"
#include "model/limits.h"

/* What is to be done at one place. */
struct op {
    int64_t place;
    struct doc doc; /* key 0: nothing shall be there */
    size_t text;    /* offset of content, then tags */
    size_t content_len;
    size_t tags_len;
    struct uuid id;
    uint64_t version; /* 1: this is its first change, and it was nowhere before; 0: not known */
};

struct batch {
    struct index_file *file;
    struct reader *reader;
    struct cursors *cursors; /* as they will be */
    struct op *ops;
    size_t count;
    size_t capacity;
    struct buf text;
    struct ranges decided; /* of guard changes in the batch */
    size_t changes;
};

static void batch_done(struct batch *batch)
{
    free(batch->ops);
    buf_done(&batch->text);
    ranges_done(&batch->decided);
}

/* ---- texts ---- */

int feed_tags(const struct memory *memory, struct buf *text, struct err *err)
{
    for (size_t i = 0; i < memory->tag_count; i++) {
        int result = i == 0 ? 0 : buf_add_c(text, " ", err);
        if (result == 0) {
            result = buf_add_c(text, memory->tags[i], err);
        }
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

static struct doc doc_of(const struct memory *memory, uint64_t key)
{
    return (struct doc){
        .key = key,
        .created_us = memory->created_us,
        .is_private = memory->scope == SCOPE_PROJECT,
        .loose = uuid_is_nil(&memory->session_id),
    };
}

static struct str content_of(const struct memory *memory)
{
    return (struct str){memory->content, memory->content_len};
}

/* ---- gathering ---- */

static struct op *add_op(struct batch *batch, int64_t place, const struct uuid *id,
                         uint64_t version)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity == 0 ? 64 : 2 * batch->capacity;
        batch->ops = xrealloc(batch->ops, batch->capacity * sizeof(*batch->ops));
    }
    struct op *op = &batch->ops[batch->count++];
    *op = (struct op){.place = place, .id = *id, .version = version};
    return op;
}

static int add_put(struct batch *batch, const struct memory *memory,
                   const struct memory_place *where, const struct uuid *id, struct err *err)
{
    struct op *op = add_op(batch, where->place, id, where->version);

    op->doc = doc_of(memory, cursors_key(batch->cursors, &where->origin, where->seq));
    op->text = batch->text.len;
    int result = buf_add_str(&batch->text, content_of(memory), err);
    op->content_len = batch->text.len - op->text;
    if (result == 0) {
        result = feed_tags(memory, &batch->text, err);
    }
    op->tags_len = batch->text.len - op->text - op->content_len;
    return result;
}

/* Put what the memory is now, or take it out. body: of the effective change if it is in hand
 * already, else NULL. */
static int add_current(struct batch *batch, const struct uuid *id, const struct memory_place *where,
                       const struct change *change, struct err *err)
{
    AUTO(memory_done) struct memory memory;
    struct memory_state state;
    int result;

    memory_init(&memory);
    if (!where->alive) {
        (void)add_op(batch, where->place, id, where->version);
        return 0;
    }
    if (change != NULL) {
        result = memory_read_body(change->body, &memory, err);
        memory.session_id = change->session_id;
    } else {
        result = read_memory_at(batch->reader, where->place, &memory, &state, err);
    }
    return result < 0 ? result : add_put(batch, &memory, where, id, err);
}

/* The memory that a change is about. is_next: the changes behind this one come next, so that one
 * of them that counts instead brings the memory. */
static int add_memory(struct batch *batch, const struct change *change, bool is_next,
                      struct err *err)
{
    struct memory_place where;
    struct uuid id;

    int result = uuid_parse(str_of(change->id), &id, err);
    if (result == 0) {
        result = read_place(batch->reader, &id, &where, err);
    }
    if (result < 0) {
        return result;
    }
    bool same_origin = uuid_eq(&where.origin, &change->origin);
    bool in_hand = same_origin && where.seq == change->seq;
    if (is_next && same_origin && where.seq > change->seq) {
        return 0;
    }
    if (!in_hand) {
        where.version = 0; /* whichever change made it so, it may have been elsewhere before */
    }
    return add_current(batch, &id, &where, in_hand ? change : NULL, err);
}

static int add_decision(struct batch *batch, const struct change *change, struct err *err)
{
    AUTO(decision_done) struct decision decision;

    decision_init(&decision);
    int result = decision_read_body(change->body, &decision, err);
    if (result == 0 && decision.kind == DECISION_ACCEPTED && change->version == 1) {
        return 0; /* the first of its alert, which so held nothing: a recovery */
    }
    for (size_t i = 0; result == 0 && i < decision.ranges.count; i++) {
        const struct range *range = &decision.ranges.items[i];
        batch->decided.items =
            xrealloc(batch->decided.items, (batch->decided.count + 1) * sizeof(*range));
        batch->decided.items[batch->decided.count++] = *range;
    }
    return result;
}

static int take_change(void *arg, const struct change *change, struct err *err)
{
    struct batch *batch = arg;
    struct cursor *cursor = cursors_get(batch->cursors, &change->origin);
    int result = 0;

    if (change->kind == KIND_MEMORY) {
        result = add_memory(batch, change, true, err);
    } else if (change->kind == KIND_GUARD) {
        result = add_decision(batch, change, err);
    }
    if (result < 0) {
        return result;
    }
    cursor->seq = change->seq;
    cursor->hash = change->hash;
    batch->changes++;
    return batch->changes >= FEED_CHANGES_MAX || batch->text.len >= FEED_TEXT_BYTES ? 1 : 0;
}

/* ---- writing ---- */

static int compare_ops(const void *a, const void *b)
{
    const struct op *x = a;
    const struct op *y = b;

    return (x->place > y->place) - (x->place < y->place);
}

/* The words of an op's memory. */
struct texts {
    struct str content;
    struct str tags;
};

static struct texts texts_of(const struct batch *batch, const struct op *op)
{
    const char *start = batch->text.data + op->text;

    return (struct texts){.content = {start, op->content_len},
                          .tags = {start + op->content_len, op->tags_len}};
}

struct taking_out {
    struct index_file *file;
    int64_t place;
    const struct texts *next;         /* what comes instead; NULL: nothing */
    bool stays;                       /* it says the same: its words were left */
    char id[CHANGE_ID_MAX_BYTES + 1]; /* whose it was */
};

static int take_out(void *arg, const struct change *change, struct err *err)
{
    AUTO(buf_done) struct buf tags = BUF_INIT(FEED_TAGS_MAX);
    AUTO(memory_done) struct memory memory;
    struct taking_out *to = arg;

    memory_init(&memory);
    memcpy(to->id, change->id, sizeof(to->id));
    int result = memory_read_body(change->body, &memory, err);
    if (result == 0) {
        result = feed_tags(&memory, &tags, err);
    }
    if (result < 0) {
        return result;
    }
    struct str content = content_of(&memory);
    to->stays = to->next != NULL && str_eq(content, to->next->content) &&
                str_eq(buf_str(&tags), to->next->tags);
    return to->stays ? 0 : index_file_drop(to->file, to->place, content, buf_str(&tags), err);
}

/* Drop what is at the place, with the text of the change that put it there; unless `next` (NULL:
 * nothing) says the same, *ret_stays. *ret_own: it was the memory `id`. */
static int drop(struct batch *batch, int64_t place, uint64_t key, const struct uuid *id,
                const struct texts *next, bool *ret_own, bool *ret_stays, struct err *err)
{
    const struct uuid *origin = cursors_origin(batch->cursors, key);
    struct taking_out to = {.file = batch->file, .place = place, .next = next};
    char text[UUID_TEXT_MAX];

    if (origin == NULL) {
        return err_set(err, ERR_CORRUPT, "index: place %lld was put by an unknown origin",
                       (long long)place);
    }
    int result = read_change(batch->reader, origin, cursors_seq(key), take_out, &to, err);
    if (result == -ERR_NOT_FOUND) {
        return err_set(err, ERR_CORRUPT, "index: place %lld was put by a change that is not there",
                       (long long)place);
    }
    uuid_format(id, text);
    *ret_own = result == 0 && strcmp(text, to.id) == 0;
    *ret_stays = to.stays;
    return result;
}

/* ---- memories that moved to another session or project ---- */

/* Where a memory's changes say it is or was. */
struct past {
    struct batch *batch;
    int64_t here; /* its place now */
    uint64_t *keys;
    size_t count;
    size_t capacity;
    char *project; /* of the first change */
    struct uuid session;
    bool moved; /* others have another project or session */
    int64_t *blocks;
    size_t block_count;
    int64_t found_place;
    uint64_t found_key;
};

static void past_done(struct past *past)
{
    free(past->keys);
    free(past->project);
    free(past->blocks);
}

static bool has_block(const struct past *past, int64_t block)
{
    for (size_t i = 0; i < past->block_count; i++) {
        if (past->blocks[i] == block) {
            return true;
        }
    }
    return false;
}

static int add_past(void *arg, const struct change *change, const struct memory *memory, bool held,
                    struct err *err)
{
    AUTO(free_ptr) int64_t *blocks = NULL;
    struct past *past = arg;
    size_t count = 0;

    (void)held;
    if (past->count == past->capacity) {
        past->capacity = past->capacity == 0 ? 8 : 2 * past->capacity;
        past->keys = xrealloc(past->keys, past->capacity * sizeof(*past->keys));
    }
    past->keys[past->count++] = cursors_key(past->batch->cursors, &change->origin, change->seq);
    if (past->project == NULL) {
        past->project = xstrdup(memory->project_id);
        past->session = memory->session_id;
    }
    past->moved |= strcmp(past->project, memory->project_id) != 0 ||
                   !uuid_eq(&past->session, &memory->session_id);
    int result = read_blocks(past->batch->reader, memory->project_id, &memory->session_id, &blocks,
                             &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        if (!has_block(past, blocks[i])) {
            past->blocks = xrealloc(past->blocks, (past->block_count + 1) * sizeof(*past->blocks));
            past->blocks[past->block_count++] = blocks[i];
        }
    }
    return result;
}

static int find_key(void *arg, const struct doc_chunk *chunk)
{
    struct past *past = arg;

    for (int i = 0; i < DOCS_PER_CHUNK; i++) {
        int64_t place = chunk->no * DOCS_PER_CHUNK + i;
        for (size_t j = 0; j < past->count && chunk->docs[i].key != 0 && place != past->here; j++) {
            if (chunk->docs[i].key == past->keys[j]) {
                past->found_place = place;
                past->found_key = past->keys[j];
                return 1;
            }
        }
    }
    return 0;
}

static int drop_past(struct past *past, const struct op *op, struct err *err)
{
    struct index_file *file = past->batch->file;
    int result = index_file_flush(file, err);

    for (size_t i = 0; i < past->block_count && result == 0; i++) {
        int64_t first = past->blocks[i] * INDEX_CHUNKS_PER_BLOCK;
        bool own;
        bool stays;
        result =
            index_file_chunks(file, first, first + INDEX_CHUNKS_PER_BLOCK - 1, find_key, past, err);
        if (result > 0) {
            result = drop(past->batch, past->found_place, past->found_key, &op->id, NULL, &own,
                          &stays, err);
        }
        if (result == 0) {
            result = index_file_flush(file, err);
        }
    }
    return result;
}

/* A memory that was changed before, and is not at its place, may be where it was then. Most never
 * move, which their history tells. */
static int drop_elsewhere(struct batch *batch, const struct op *op, struct err *err)
{
    AUTO(past_done) struct past past = {.batch = batch, .here = op->place};

    int result = read_history(batch->reader, &op->id, add_past, &past, err);
    return result == 0 && past.moved ? drop_past(&past, op, err) : result;
}

static int apply(struct batch *batch, const struct op *op, struct err *err)
{
    struct texts next = {.content = {NULL, 0}};
    struct doc there = {.key = 0};
    bool puts = op->doc.key != 0;
    bool own = false;
    bool stays = false;

    if (puts) {
        next = texts_of(batch, op);
    }
    int result = index_file_doc(batch->file, op->place, &there, err);
    bool done = there.key != 0 && there.key == op->doc.key;
    if (result == 0 && !done && there.key != 0) {
        result = drop(batch, op->place, there.key, &op->id, puts ? &next : NULL, &own, &stays, err);
    }
    if (result == 0 && op->version != 1 && !done && !own) {
        result = drop_elsewhere(batch, op, err);
    }
    if (result < 0 || done || !puts) {
        return result;
    }
    return stays ? index_file_set(batch->file, op->place, &op->doc, err)
                 : index_file_put(batch->file, op->place, &op->doc, next.content, next.tags, err);
}

static int apply_all(struct batch *batch, struct err *err)
{
    int result = 0;

    if (batch->count > 1) {
        qsort(batch->ops, batch->count, sizeof(*batch->ops), compare_ops);
    }
    for (size_t i = 0; i < batch->count && result == 0; i++) {
        result = apply(batch, &batch->ops[i], err);
    }
    batch->count = 0;
    buf_reset(&batch->text);
    return result;
}

/* A decision changed what counts: the memories of its changes are looked at again. */
static int take_decided(void *arg, const struct change *change, struct err *err)
{
    struct batch *batch = arg;

    int result = change->kind == KIND_MEMORY ? add_memory(batch, change, false, err) : 0;
    if (result == 0 && batch->count > 0) {
        batch->ops[batch->count - 1].version =
            0; /* it may have been elsewhere while what is held counted */
    }
    if (result == 0 && (batch->count >= FEED_CHANGES_MAX || batch->text.len >= FEED_TEXT_BYTES)) {
        result = apply_all(batch, err);
    }
    return result;
}

static int apply_decided(struct batch *batch, struct err *err)
{
    for (size_t i = 0; i < batch->decided.count; i++) {
        const struct range *range = &batch->decided.items[i];
        uint64_t count = range->to - range->from + 1;
        /* What is not here yet will come with its own change. */
        int result = read_changes(batch->reader, &range->origin, range->from - 1, count,
                                  take_decided, batch, err);
        if (result < 0) {
            return result;
        }
    }
    return apply_all(batch, err);
}

static int gather_changes(struct batch *batch, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    size_t count = 0;

    int result = read_heads(batch->reader, &heads, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        (void)cursors_get(batch->cursors,
                          &heads[i].origin); /* all have numbers before the first key is made */
    }
    for (size_t i = 0; result == 0 && i < count; i++) {
        uint64_t after = cursors_get(batch->cursors, &heads[i].origin)->seq;
        if (heads[i].seq > after) {
            result = read_changes(batch->reader, &heads[i].origin, after, FEED_CHANGES_MAX,
                                  take_change, batch, err);
        }
    }
    return result < 0 ? result : 0; /* 1: the batch is full */
}

static int write_batch(struct batch *batch, const struct cursors *before, struct err *err)
{
    int result = index_file_begin(batch->file, err);
    if (result < 0) {
        return result;
    }
    result = apply_all(batch, err);
    CRASH_POINT("index.batch.applied");
    if (result == 0) {
        result = apply_decided(batch, err);
    }
    if (result == 0) {
        result = cursors_save(batch->cursors, before, batch->file, err);
    }
    if (result == 0) {
        result = index_file_commit(batch->file, err);
    }
    if (result < 0) {
        index_file_rollback(batch->file);
    }
    return result;
}

int feed_batch(struct index_file *file, struct reader *reader, struct cursors *cursors,
               size_t *ret_changes, struct err *err)
{
    AUTO(cursors_done) struct cursors after = {.items = NULL};
    AUTO(batch_done)
    struct batch batch = {
        .file = file,
        .reader = reader,
        .cursors = &after,
        .text = BUF_INIT(FEED_TEXT_BYTES + CHANGE_RECORD_MAX + FEED_TAGS_MAX),
    };

    ranges_init(&batch.decided);
    cursors_copy(cursors, &after);
    int result = gather_changes(&batch, err);
    if (result == 0 && batch.changes > 0) {
        result = write_batch(&batch, cursors, err);
    }
    if (result < 0) {
        return result;
    }
    cursors_copy(&after, cursors);
    *ret_changes = batch.changes;
    return 0;
}

/* ---- filling an empty index ---- */

struct filling {
    struct index_file *file;
    const struct cursors *cursors;
    struct buf tags;
    size_t left;
    int64_t next;
};

static int fill_one(void *arg, const struct memory *memory, const struct memory_state *state,
                    struct err *err)
{
    struct filling *filling = arg;
    struct doc doc = doc_of(memory, cursors_key(filling->cursors, &state->origin, state->seq));

    buf_reset(&filling->tags);
    int result = feed_tags(memory, &filling->tags, err);
    if (result == 0) {
        result = index_file_put(filling->file, state->place, &doc, content_of(memory),
                                buf_str(&filling->tags), err);
    }
    if (result < 0) {
        return result;
    }
    filling->next = state->place + 1;
    filling->left--;
    return filling->left == 0 ? 1 : 0;
}

int feed_fill(struct index_file *file, struct reader *reader, const struct cursors *cursors,
              int64_t *from, size_t limit, bool *ret_end, struct err *err)
{
    struct filling filling = {.file = file,
                              .cursors = cursors,
                              .tags = BUF_INIT(FEED_TAGS_MAX),
                              .left = limit,
                              .next = *from};

    int result = read_places(reader, *from, fill_one, &filling, err);
    buf_done(&filling.tags);
    if (result < 0) {
        return result;
    }
    *from = filling.next;
    *ret_end = result == 0;
    return 0;
}

int feed_heads(struct reader *reader, struct cursors *ret, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    size_t count = 0;

    int result = read_heads(reader, &heads, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        struct cursor *cursor = cursors_get(ret, &heads[i].origin);
        cursor->seq = heads[i].seq;
        cursor->hash = heads[i].hash;
    }
    return result;
}
