#include "recover/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "recover/copy.h"

#define COPY_RATIO                                                                                 \
    4 /* copied when it has more than a quarter of the changes that come: copying is that much     \
         cheaper a change */

/* ---- the lock and the folder ---- */

int stage_open(const char *home, struct stage *stage, struct err *err)
{
    *stage = (struct stage){.root = path_join(home, STAGE_FOLDER), .lock = -1};
    if (file_mkdirs(stage->root, 0700, err) < 0) {
        return -(int)err->code;
    }
    stage->lock = open(stage->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (stage->lock < 0) {
        return err_errno(err, ERR_IO, errno, "opening %s", stage->root);
    }
    if (flock(stage->lock, LOCK_EX | LOCK_NB) != 0) {
        int errno_value = errno;
        if (errno_value == EWOULDBLOCK) {
            return err_set(err, ERR_CONFLICT,
                           "another recovery is running on this home; wait until it is done");
        }
        return err_errno(err, ERR_IO, errno_value, "locking %s", stage->root);
    }
    return 0;
}

void stage_close(struct stage *stage)
{
    struct err err = ERR_INIT;

    if (stage->folder != NULL && !stage->keep) {
        if (file_remove_tree(stage->folder, &err) < 0) {
            /* What stays goes at the next start. */
        }
        CRASH_POINT("recover.stage.removed");
    }
    close_fd(&stage->lock);
    free(stage->folder);
    free(stage->root);
    *stage = (struct stage)STAGE_INIT;
}

static int make_folder(struct stage *stage, struct env *env, struct err *err)
{
    struct uuid id = uuid_new(env);
    char name[UUID_TEXT_MAX];

    uuid_format(&id, name);
    stage->folder = path_join(stage->root, name);
    /* Its name need not last before the exchange, which makes both names durable. */
    int result = mkdir(stage->folder, 0700) == 0
                     ? 0
                     : err_errno(err, ERR_IO, errno, "making the folder %s", stage->folder);
    CRASH_POINT("recover.stage.made");
    return result;
}

/* ---- what is live already ---- */

static int import_one(void *arg, const struct change *change, struct err *err)
{
    bool is_new;

    return store_import(arg, change, &is_new, err);
}

static int import_live(struct store *store, struct reader *reader, const struct uuid *own,
                       struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    size_t count = 0;

    int result = store_begin(store, err);
    if (result == 0) {
        result = store_set_origin(store, own, err);
    }
    if (result == 0) {
        result = read_heads(reader, &heads, &count, err);
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        result = read_changes(reader, &heads[i].origin, 0, SIZE_MAX, import_one, store, err);
    }
    return result < 0 ? result : store_commit(store, err);
}

/* The index is derived: without a copy it is built anew. */
static void copy_index(const char *live, const char *folder)
{
    AUTO(free_ptr) char *from = path_join(live, "index.db");
    AUTO(free_ptr) char *to = path_join(folder, "index.db");
    struct err ignored = ERR_INIT;

    if (file_exists(from) && copy_database(live, folder, "index.db", &ignored) < 0) {
        (void)unlink(to); /* it may not be there */
    }
}

static int copy_live(struct stage *stage, const struct recover_context *context, struct err *err)
{
    AUTO(free_ptr) char *live = path_join(ledger_home(context->ledger), LIVE_FOLDER);

    int result = copy_database(live, stage->folder, "ledger.db", err);
    if (result == 0 && context->index != NULL) {
        copy_index(live, stage->folder);
    }
    CRASH_POINT("recover.stage.copied");
    return result;
}

/* ---- what the vault has ---- */

struct intake {
    struct store *store;
    const struct parts *parts;
    size_t part;   /* the one under way */
    uint64_t next; /* the seq that comes next in it */
    uint64_t done;
    struct idset *touched;
    const struct recover_context *context;
};

static int short_of(const struct intake *intake, struct err *err)
{
    const struct pipe_part *part = &intake->parts->items[intake->part];
    char origin[UUID_TEXT_MAX];

    uuid_format(&part->origin, origin);
    return err_set(err, ERR_CORRUPT,
                   "the vault says that it holds %llu changes of origin %s, but change %llu is not "
                   "there; recover from another vault",
                   (unsigned long long)part->until, origin, (unsigned long long)intake->next);
}

/* Is the next part's turn? The one before it must have come to its end. */
static int enter_part(struct intake *intake, const struct change *change, struct err *err)
{
    const struct parts *parts = intake->parts;

    while (intake->part < parts->count) {
        const struct pipe_part *part = &parts->items[intake->part];
        if (intake->next == 0) {
            intake->next = part->after + 1;
        }
        if (intake->next <= part->until) {
            break;
        }
        intake->part++;
        intake->next = 0;
    }
    if (change == NULL && intake->part == parts->count) {
        return 0;
    }
    if (change == NULL || intake->part == parts->count || change->seq != intake->next ||
        !uuid_eq(&change->origin, &parts->items[intake->part].origin)) {
        return short_of(intake, err);
    }
    return 0;
}

static int take_change(struct intake *intake, const struct change *change, struct err *err)
{
    bool is_new;
    int result = enter_part(intake, change, err);

    if (result == 0) {
        result = store_import_moved(intake->store, change, intake->parts->moves,
                                    intake->parts->move_count, &is_new, err);
    }
    if (result < 0) {
        return result;
    }
    if (change->kind == KIND_MEMORY && intake->touched != NULL) {
        struct uuid id;
        result = uuid_parse(str_of(change->id), &id, err);
        if (result == 0 && !uuid_is_nil(&id)) {
            idset_add(intake->touched, &id);
        }
    }
    intake->next++;
    intake->done++;
    return result;
}

static int take_blocks(struct intake *intake, struct pipe *pipe, struct err *err)
{
    const struct recover_context *context = intake->context;
    const struct pipe_block *block = NULL;

    for (;;) {
        int result = pipe_next(pipe, &block, err);
        if (result < 0) {
            return result;
        }
        if (block == NULL) {
            return enter_part(intake, NULL, err);
        }
        for (size_t i = 0; i < block->count && result == 0; i++) {
            result = take_change(intake, &block->changes[i], err);
        }
        if (result < 0) {
            return result;
        }
        if (context->progress != NULL) {
            context->progress(context->progress_arg, "import", intake->done, intake->parts->total);
        }
    }
}

static int take_all(struct intake *intake, struct err *err)
{
    const struct recover_context *context = intake->context;
    struct pipe *pipe = NULL;

    int result = pipe_start(context->vault, intake->parts->items, intake->parts->count,
                            context->cancel, &pipe, err);
    if (result < 0) {
        return result;
    }
    result = take_blocks(intake, pipe, err);
    pipe_stop(pipe);
    return result;
}

/* The chains end where the vault said, and with the hash that it said; what was moved to another
 * chain has other hashes there. */
static int check_heads(struct store *store, const struct parts *parts, struct err *err)
{
    for (size_t i = 0; i < parts->count; i++) {
        const struct pipe_part *part = &parts->items[i];
        struct range span = parts_span(parts, part);
        bool moved = !uuid_eq(&span.origin, &part->origin);
        struct sha256 hash;
        uint64_t seq = store_head(store, &span.origin, &hash);
        if (seq < span.to || (seq == span.to && !moved && !sha256_eq(&hash, &parts->hashes[i]))) {
            char origin[UUID_TEXT_MAX];
            uuid_format(&span.origin, origin);
            return err_set(err, ERR_CORRUPT,
                           "origin %s: the vault's head is change %llu, but what it gave ends "
                           "at change %llu with another hash",
                           origin, (unsigned long long)span.to, (unsigned long long)seq);
        }
    }
    return 0;
}

static int fill(struct store *store, const struct recover_context *context, struct reader *reader,
                const struct parts *parts, struct idset *touched, bool anew, struct err *err)
{
    struct intake intake = {.store = store, .parts = parts, .touched = touched, .context = context};
    int result = 0;

    if (anew) {
        struct uuid own = ledger_origin(context->ledger);
        result = import_live(store, reader, &own, err);
    }
    if (result == 0) {
        result = store_begin(store, err);
    }
    if (result == 0) {
        result = take_all(&intake, err);
    }
    if (result == 0) {
        result = store_commit(store, err);
    }
    CRASH_POINT("recover.stage.imported");
    if (result == 0) {
        result = check_heads(store, parts, err);
    }
    if (result == 0) {
        result = store_seal(store, err);
    }
    CRASH_POINT("recover.stage.sealed");
    return result;
}

int stage_build(struct stage *stage, const struct recover_context *context, struct reader *reader,
                const struct parts *parts, struct idset *touched, struct err *err)
{
    struct env *env = ledger_env(context->ledger);
    struct ledger_counts counts = {0};
    struct store *store = NULL;

    int result = read_counts(reader, &counts, err);
    if (result == 0) {
        result = make_folder(stage, env, err);
    }
    bool anew = counts.changes * COPY_RATIO <= parts->total;
    if (result == 0 && !anew) {
        result = copy_live(stage, context, err);
    }
    if (result == 0) {
        result = store_open(stage->folder, STORE_BULK, env, &store, err);
    }
    if (result == 0) {
        bool lookups = counts.memories + counts.deleted > 0; /* else nothing of it was here */
        result = fill(store, context, reader, parts, lookups ? touched : NULL, anew, err);
    }
    store_close(store);
    return result < 0 ? err_context(err, "staging") : 0;
}

/* ---- the exchange ---- */

static int exchange(const char *a, const char *b, struct err *err)
{
    if (!FAULT("recover.exchange", EIO) &&
        renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0) {
        return 0;
    }
    if (errno == EINVAL || errno == ENOSYS) {
        return err_set(err, ERR_CONFIG,
                       "the file system of %s can't exchange two folders; put the home on a local "
                       "disk (ext4, XFS, Btrfs)",
                       b);
    }
    return err_errno(err, ERR_IO, errno, "exchanging %s and %s", a, b);
}

int stage_exchange(struct stage *stage, const char *live, bool *ret_exchanged, struct err *err)
{
    AUTO(free_ptr) char *home = path_join(stage->root, "..");
    struct err ignored = ERR_INIT;

    *ret_exchanged = false;
    int result = exchange(stage->folder, live, err);
    CRASH_POINT("recover.exchanged");
    if (result < 0) {
        return result;
    }
    result = file_sync_dir(home, err);
    if (result == 0) {
        result = file_sync_dir(stage->root, err);
    }
    CRASH_POINT("recover.exchange.synced");
    if (result < 0 && exchange(stage->folder, live, &ignored) == 0) {
        return result; /* as it was: either folder is whole, whichever the disk has kept */
    }
    *ret_exchanged = true;
    return result;
}
