/*
 * What the vault holds against what it acknowledged. Found emptied, rolled back or altered it is
 * told, and filled again: by going on from where it is when that is a true part of our chain, else
 * from 1 after its copy was put aside.
 */
#include "replicate/replicator_internal.h"

#include <assert.h>

/* ---- the journal ---- */

static struct cursor *find_cursor(struct replicator *r, const struct uuid *origin)
{
    for (size_t i = 0; i < r->cursor_count; i++) {
        if (uuid_eq(&r->cursors[i].origin, origin)) {
            return &r->cursors[i];
        }
    }
    return NULL;
}

/* A cursor for an origin that is new here: where the sync log says it stands. */
static struct cursor new_cursor(struct replicator *r, const struct uuid *origin)
{
    struct cursor cursor = {.origin = *origin};
    struct err err = ERR_INIT;

    if (sync_cursor_get(r->log, r->name, origin, &cursor.acked, &cursor.hash, &err) < 0) {
        replicator_log_failed(r, &err); /* 0: the vault is asked for its head */
    }
    return cursor;
}

static void add_cursor(struct replicator *r, const struct cursor *cursor)
{
    (void)pthread_mutex_lock(&r->mutex);
    r->cursors = xrealloc(r->cursors, (r->cursor_count + 1) * sizeof(*r->cursors));
    r->cursors[r->cursor_count++] = *cursor;
    (void)pthread_mutex_unlock(&r->mutex);
}

static void note_waiting(struct replicator *r)
{
    bool waits = replicator_waiting(r) != NULL;

    (void)pthread_mutex_lock(&r->mutex);
    if (!waits) {
        r->waiting_since_us = TIME_NONE;
    } else if (r->waiting_since_us == TIME_NONE) {
        r->waiting_since_us = r->env->now_us(r->env);
    }
    (void)pthread_mutex_unlock(&r->mutex);
}

int replicator_journal_failed(struct err *err)
{
    err->code =
        ERR_UNAVAILABLE; /* whatever is wrong with it, it is not the vault that is damaged */
    return err_context(err, "reading the journal");
}

int replicator_read_heads(struct replicator *r, struct err *err)
{
    struct reader *reader = NULL;
    struct head *heads = NULL;
    size_t count = 0;
    struct uuid own = ledger_origin(r->ledger);

    int rc = read_begin(r->ledger, &reader, err);
    if (rc == 0) {
        rc = read_heads(reader, &heads, &count, err);
    }
    read_end(reader);
    if (rc < 0) {
        return replicator_journal_failed(err);
    }
    (void)pthread_mutex_lock(&r->mutex);
    r->origin = own;
    (void)pthread_mutex_unlock(&r->mutex);
    for (size_t i = 0; i < count; i++) {
        struct cursor *cursor = find_cursor(r, &heads[i].origin);
        if (cursor == NULL) {
            struct cursor added = new_cursor(r, &heads[i].origin);
            add_cursor(r, &added);
            r->new_origins = true;
            cursor = &r->cursors[r->cursor_count - 1];
        }
        (void)pthread_mutex_lock(&r->mutex);
        cursor->head = heads[i].seq;
        cursor->head_hash = heads[i].hash;
        (void)pthread_mutex_unlock(&r->mutex);
    }
    free(heads);
    note_waiting(r);
    return 0;
}

static int take_hash(void *arg, const struct change *change, struct err *err)
{
    (void)err;
    *(struct sha256 *)arg = change->hash;
    return 0;
}

/* The journal's hash of a seq; zero bytes for 0. */
static int journal_hash(struct replicator *r, const struct cursor *cursor, uint64_t seq,
                        struct sha256 *ret, struct err *err)
{
    struct reader *reader = NULL;

    *ret = (struct sha256){{0}};
    if (seq == 0) {
        return 0;
    }
    if (seq == cursor->head) {
        *ret = cursor->head_hash;
        return 0;
    }
    int rc = read_begin(r->ledger, &reader, err);
    if (rc == 0) {
        rc = read_change(reader, &cursor->origin, seq, take_hash, ret, err);
    }
    read_end(reader);
    return rc < 0 ? replicator_journal_failed(err) : 0;
}

/* ---- cursors ---- */

void replicator_set_cursor(struct replicator *r, struct cursor *cursor, uint64_t seq,
                           const struct sha256 *hash)
{
    struct err err = ERR_INIT;

    if (sync_cursor_set(r->log, r->name, &cursor->origin, seq, hash, &err) < 0) {
        replicator_log_failed(r, &err);
    }
    (void)pthread_mutex_lock(&r->mutex);
    cursor->acked = seq;
    cursor->hash = *hash;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->mutex);
}

static void rewind_cursor(struct replicator *r, struct cursor *cursor, uint64_t seq,
                          const struct sha256 *hash)
{
    cursor->refilling = true;
    cursor->explained = true;
    cursor->bad_until = 0;
    replicator_set_cursor(r, cursor, seq, hash);
}

/* ---- what can be wrong ---- */

static void tell(struct replicator *r, const struct cursor *cursor, const struct err *what)
{
    replicator_note(r, "damaged", cursor, cursor->acked, 0, r->env->now_us(r->env), what->message);
    r->on_damage(r->arg, r->name, what->message);
}

/* A copy that goes bad again and again (its disk, or our own journal) is not put aside in a loop.
 */
static int check_frequency(struct replicator *r, struct cursor *cursor, const char *what,
                           struct err *err)
{
    int64_t now = r->env->mono_ms(r->env);

    if (cursor->damaged_before && now - cursor->damaged_ms < r->check_ms) {
        return err_set(err, ERR_UNAVAILABLE,
                       "the copy in the vault was damaged again right after it was put aside: %s",
                       what);
    }
    cursor->damaged_before = true;
    cursor->damaged_ms = now;
    return 0;
}

/* reason may be err's own message. */
static int found_damaged(struct replicator *r, struct cursor *cursor, const char *reason,
                         struct err *err)
{
    struct err what = ERR_INIT;
    static const struct sha256 ZERO;
    AUTO(free_ptr) char *why = xstrdup(reason);

    int rc = check_frequency(r, cursor, why, err);
    if (rc < 0) {
        return rc;
    }
    (void)err_set(
        &what, ERR_CORRUPT,
        "the copy in vault %s is damaged or altered: %s; it is put aside there and filled again "
        "from the ledger",
        r->name, why);
    tell(r, cursor, &what);
    rc = r->ops->set_aside(r->vault, &cursor->origin, replicator_deadline(), err);
    if (rc == 0) {
        rewind_cursor(r, cursor, 0, &ZERO);
    }
    return rc;
}

static void found_emptied(struct replicator *r, struct cursor *cursor)
{
    struct err what = ERR_INIT;
    static const struct sha256 ZERO;

    (void)err_set(
        &what, ERR_CORRUPT,
        "vault %s was emptied: it had acknowledged %llu changes and holds none of them; it is "
        "filled again from the ledger",
        r->name, (unsigned long long)cursor->acked);
    tell(r, cursor, &what);
    rewind_cursor(r, cursor, 0, &ZERO);
}

static void found_rolled_back(struct replicator *r, struct cursor *cursor,
                              const struct vault_head *head)
{
    struct err what = ERR_INIT;
    (void)err_set(
        &what, ERR_CORRUPT,
        "vault %s was rolled back: it had acknowledged %llu changes and holds %llu; it is filled "
        "again from the ledger",
        r->name, (unsigned long long)cursor->acked, (unsigned long long)head->seq);
    tell(r, cursor, &what);
    rewind_cursor(r, cursor, head->seq, &head->hash);
}

/*
 * The vault holds changes of this chain behind `after` that are not in the ledger. Another
 * installation's chain may well go on there; our own can't, unless the ledger went back in time.
 */
static int found_behind(struct replicator *r, const struct cursor *cursor, uint64_t after,
                        struct err *err)
{
    if (!uuid_eq(&cursor->origin, &r->origin)) {
        return 0;
    }
    if (r->on_behind(r->arg, r->name, &cursor->origin, after, err) < 0) {
        err->code = ERR_UNAVAILABLE; /* whatever it is, the vault is right */
        return err_context(err, "the ledger went back in time");
    }
    return 0;
}

/* ---- comparing ---- */

/* What the vault has in the place of a change of the journal's. */
enum likeness { SAME, OTHER, DAMAGED };

/* The vault's hash of seq; ERR_CORRUPT comes back as *ret_damaged, with err saying what. */
static int vault_hash(struct replicator *r, const struct cursor *cursor,
                      const struct vault_head *head, uint64_t seq, struct sha256 *ret,
                      bool *ret_damaged, struct err *err)
{
    *ret_damaged = false;
    if (seq == head->seq) {
        *ret = head->hash;
        return 0;
    }
    int rc = r->ops->hash_at(r->vault, &cursor->origin, seq, ret, replicator_deadline(), err);
    *ret_damaged = rc < 0 && replicator_reaction(err->code) == REACT_DAMAGE;
    return *ret_damaged ? 0 : rc;
}

/* Is the vault's hash of seq the journal's? err says what is wrong when not. */
static int compare(struct replicator *r, const struct cursor *cursor, const struct vault_head *head,
                   uint64_t seq, enum likeness *ret, struct err *err)
{
    struct sha256 ours;
    struct sha256 theirs = {{0}};
    bool damaged = false;

    int rc = journal_hash(r, cursor, seq, &ours, err);
    if (rc == 0) {
        rc = vault_hash(r, cursor, head, seq, &theirs, &damaged, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret = damaged ? DAMAGED : sha256_eq(&ours, &theirs) ? SAME : OTHER;
    if (*ret == OTHER) {
        (void)err_set(err, ERR_CORRUPT, "seq %llu is another change there than in the ledger",
                      (unsigned long long)seq);
    }
    return 0;
}

/*
 * The two differ: which of them is not what it was? The last acknowledgement tells, if there is
 * one. A vault that kept its word is right, and the ledger went back in time; so it is when the
 * ledger has something else in that place, too.
 */
static int is_vault_right(struct replicator *r, const struct cursor *cursor,
                          const struct vault_head *head, bool *ret, struct err *err)
{
    struct sha256 theirs;
    struct sha256 ours = {{0}};
    bool damaged = false;
    int rc = 0;

    *ret = cursor->acked == 0;
    if (!*ret && cursor->acked <= head->seq) {
        rc = vault_hash(r, cursor, head, cursor->acked, &theirs, &damaged, err);
        *ret = rc == 0 && !damaged && sha256_eq(&theirs, &cursor->hash);
    }
    if (rc == 0 && !*ret && !damaged) {
        bool has = cursor->acked <= cursor->head;
        rc = has ? journal_hash(r, cursor, cursor->acked, &ours, err) : 0;
        *ret = rc == 0 && !(has && sha256_eq(&ours, &cursor->hash));
    }
    return rc;
}

/* The last change that both have, below `other`, which they have not. */
static int find_fork(struct replicator *r, const struct cursor *cursor,
                     const struct vault_head *head, uint64_t other, uint64_t *ret,
                     enum likeness *ret_likeness, struct err *err)
{
    uint64_t low = 0;
    int rc = 0;

    for (uint64_t high = other; rc == 0 && high - low > 1;) {
        uint64_t middle = low + (high - low) / 2;
        if (cursor->forked && high == other && cursor->acked < other) {
            /* It was found before: there and right behind it. */
            middle = low == cursor->acked ? low + 1 : cursor->acked;
        }
        rc = compare(r, cursor, head, middle, ret_likeness, err);
        if (rc < 0 || *ret_likeness == DAMAGED) {
            return rc;
        }
        *(*ret_likeness == SAME ? &low : &high) = middle;
    }
    *ret_likeness = OTHER;
    *ret = low;
    return rc;
}

/*
 * From some change on the vault goes on otherwise than the ledger, and is right: what it has stays
 * where it is, as the changes of an earlier installation, and nothing more of ours goes into that
 * chain.
 */
static int check_fork(struct replicator *r, struct cursor *cursor, const struct vault_head *head,
                      uint64_t other, struct err *err)
{
    enum likeness likeness = OTHER;
    struct sha256 hash;
    uint64_t after = 0;

    int rc = find_fork(r, cursor, head, other, &after, &likeness, err);
    if (rc == 0 && likeness == DAMAGED) {
        return found_damaged(r, cursor, err->message, err);
    }
    if (rc == 0) {
        rc = journal_hash(r, cursor, after, &hash, err);
    }
    if (rc == 0) {
        rc = found_behind(r, cursor, after, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (!cursor->forked) {
        replicator_note(r, "conflict", cursor, after + 1, 0, r->env->now_us(r->env),
                        "the vault goes on with other changes than the ledger");
    }
    cursor->explained = true;
    (void)pthread_mutex_lock(&r->mutex);
    cursor->forked = true;
    (void)pthread_mutex_unlock(&r->mutex);
    if (cursor->acked != after) {
        replicator_set_cursor(r, cursor, after, &hash);
    }
    return 0;
}

/* The vault lists the origin without a change, or not at all: was it emptied, or can't it be read?
 */
static int check_none(struct replicator *r, struct cursor *cursor, struct err *err)
{
    uint64_t seq = cursor->acked > 0 ? cursor->acked : 1;
    struct sha256 hash;

    int rc = r->ops->hash_at(r->vault, &cursor->origin, seq, &hash, replicator_deadline(), err);
    if (rc < 0 && replicator_reaction(err->code) == REACT_DAMAGE) {
        return found_damaged(r, cursor, err->message, err);
    }
    if (rc == -ERR_NOT_FOUND && cursor->acked > 0) {
        found_emptied(r, cursor);
    }
    return rc == -ERR_NOT_FOUND ? 0 : rc;
}

static int put_cursor_right(struct replicator *r, struct cursor *cursor, uint64_t common,
                            struct err *err)
{
    struct sha256 hash;

    (void)pthread_mutex_lock(&r->mutex);
    cursor->forked = false;
    (void)pthread_mutex_unlock(&r->mutex);
    if (cursor->acked == common) {
        return 0;
    }
    int rc = journal_hash(r, cursor, common, &hash, err);
    if (rc == 0) {
        replicator_set_cursor(r, cursor, common, &hash);
    }
    return rc;
}

static int check_other(struct replicator *r, struct cursor *cursor, const struct vault_head *head,
                       uint64_t other, struct err *err)
{
    AUTO(free_ptr) char *reason = xstrdup(err->message);
    bool right = false;

    int rc = is_vault_right(r, cursor, head, &right, err);
    if (rc < 0) {
        return rc;
    }
    return right ? check_fork(r, cursor, head, other, err) : found_damaged(r, cursor, reason, err);
}

/* The vault's chain and ours, as far as both go, must be one. */
static int check_some(struct replicator *r, struct cursor *cursor, const struct vault_head *head,
                      struct err *err)
{
    uint64_t common = head->seq < cursor->head ? head->seq : cursor->head;
    uint64_t acked = cursor->acked < common ? cursor->acked : common;
    enum likeness likeness;

    int rc = compare(r, cursor, head, common, &likeness, err);
    if (rc == 0 && likeness == OTHER) {
        return check_other(r, cursor, head, common, err);
    }
    if (rc == 0 && likeness == SAME && acked > 0 && acked < common) {
        rc = compare(r, cursor, head, acked, &likeness, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (likeness != SAME) {
        return found_damaged(r, cursor, err->message, err);
    }
    if (head->seq > cursor->head || cursor->acked > cursor->head) {
        rc = found_behind(r, cursor, cursor->head, err);
    } else if (head->seq < cursor->acked) {
        found_rolled_back(r, cursor, head);
    }
    return rc < 0 ? rc : put_cursor_right(r, cursor, common, err);
}

static int check_cursor(struct replicator *r, struct cursor *cursor, const struct vault_head *head,
                        struct err *err)
{
    bool listed = head != NULL;
    int rc = 0;

    cursor->explained = false;
    if (listed && head->seq > 0) {
        rc = check_some(r, cursor, head, err);
    } else if (listed || cursor->acked > 0) {
        rc = check_none(r, cursor, err);
    }
    /* An append said that the copy is damaged; when the heads did not explain it, it is. */
    if (rc == 0 && cursor->suspicion.code != ERR_NONE && !cursor->explained) {
        rc = found_damaged(r, cursor, cursor->suspicion.message, err);
    }
    if (rc == 0) {
        cursor->suspicion.code = ERR_NONE;
    }
    return rc;
}

static const struct vault_head *head_of(const struct vault_head *heads, size_t count,
                                        const struct uuid *origin)
{
    for (size_t i = 0; i < count; i++) {
        if (uuid_eq(&heads[i].origin, origin)) {
            return &heads[i];
        }
    }
    return NULL;
}

/* The vault goes on behind what the ledger has of this origin: to put it aside would take what only
 * the vault has out of reach. */
static void tell_suspect(struct replicator *r, const struct uuid *origin, const char *reason)
{
    AUTO(free_ptr)
    char *what = xprintf("the copy in vault %s is damaged: %s; it is left as it is, because the "
                         "ledger can't fill it again: holdfast recover brings back what is intact",
                         r->name, reason);
    struct cursor cursor = {.origin = *origin};

    replicator_note(r, "damaged", &cursor, 0, 0, r->env->now_us(r->env), what);
    r->on_damage(r->arg, r->name, what);
}

/* What others found damaged becomes a suspicion, which the comparison of the heads settles. */
static void take_suspects(struct replicator *r, const struct vault_head *heads, size_t count)
{
    (void)pthread_mutex_lock(&r->mutex);
    struct suspect *suspects = r->suspects;
    size_t suspect_count = r->suspect_count;
    r->suspects = NULL;
    r->suspect_count = 0;
    (void)pthread_mutex_unlock(&r->mutex);
    for (size_t i = 0; i < suspect_count; i++) {
        const struct uuid *origin = &suspects[i].origin;
        struct cursor *cursor = find_cursor(r, origin);
        const struct vault_head *head = head_of(heads, count, origin);
        if (cursor == NULL || cursor->forked || (head != NULL && head->seq > cursor->head)) {
            tell_suspect(r, origin, suspects[i].what);
        } else {
            (void)err_set(&cursor->suspicion, ERR_CORRUPT, "%s", suspects[i].what);
        }
        free(suspects[i].what);
    }
    free(suspects);
}

/* After the loss of a home a new one knows nothing of what the vault has of the old one. */
static void note_elsewhere(struct replicator *r, const struct vault_head *heads, size_t count)
{
    uint64_t elsewhere = 0;

    for (size_t i = 0; i < count; i++) {
        const struct cursor *cursor = find_cursor(r, &heads[i].origin);
        uint64_t here = cursor == NULL ? 0 : cursor->head;
        bool own = uuid_eq(&heads[i].origin, &r->origin);
        elsewhere += !own && heads[i].seq > here ? heads[i].seq - here : 0;
    }
    (void)pthread_mutex_lock(&r->mutex);
    r->elsewhere = elsewhere;
    (void)pthread_mutex_unlock(&r->mutex);
}

int replicator_check(struct replicator *r, struct err *err)
{
    struct vault_head *heads = NULL;
    size_t count = 0;

    int rc = replicator_read_heads(r, err);
    if (rc == 0) {
        rc = r->ops->head(r->vault, &heads, &count, replicator_deadline(), err);
    }
    if (rc == 0) {
        take_suspects(r, heads, count);
        note_elsewhere(r, heads, count);
    }
    for (size_t i = 0; rc == 0 && i < r->cursor_count; i++) {
        struct cursor *cursor = &r->cursors[i];
        rc = check_cursor(r, cursor, head_of(heads, count, &cursor->origin), err);
    }
    free(heads);
    r->new_origins = rc < 0;
    note_waiting(r);
    return rc;
}
