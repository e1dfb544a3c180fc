/*
 * From paths that may have changed to the intake: what is there is compared with what the ledger
 * last heard, what is missing is deleted. The guard judges both.
 *
 * A memory goes with its file: where a file moved to (the kernel said so, or the same text turned
 * up elsewhere while it went away here), the memory's path changes and its id stays.
 */
#include "base/file.h"
#include "base/utf8.h"
#include "source/files_internal.h"

/* ---- what the ledger has ---- */

static int note_known(void *arg, const struct memory *memory, const struct last_state *state,
                      struct err *err)
{
    struct files *files = arg;
    struct file_origin origin;

    (void)state;
    (void)err;
    if (!files_of_memory(memory, files->options->name, &origin)) {
        return 0;
    }
    struct file_entry *entry = files_tree_add(&files->tree, origin.path, &memory->id);
    entry->known = true;
    entry->mode = origin.mode;
    entry->size = origin.size;
    entry->mtime_ns = origin.mtime_ns;
    if (origin.left == FILES_KEPT) {
        entry->hash = sha256_of(origin.text.ptr, origin.text.len);
    }
    /* What the configuration leaves out by now is not missing. */
    bool alive = memory->deleted_us == TIME_NONE && files_wants(files, origin.path);
    files_tree_set(&files->tree, entry, alive, alive ? origin.left : FILES_KEPT);
    return 0;
}

int files_load(struct files *files, struct err *err)
{
    struct reader *reader = NULL;

    files_tree_done(&files->tree);
    if (read_begin(files->options->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = read_last_all(reader, note_known, files, err);
    read_end(reader);
    return rc;
}

/* ---- one batch ---- */

struct applying {
    struct files *files;
    int64_t now_ms; /* one moment for all of it, so that what is looked at again comes together */
    struct files_at at;
    struct file_state state;
    struct git_changes git;
    bool has_git;             /* git was asked */
    struct file_entry **gone; /* heap, sorted by hash */
    size_t gone_count;
    bool is_restless; /* a file that was there when the batch was begun is not any more */
};

static void name_left(struct files *files, const char *path, const char *why)
{
    AUTO(free_ptr)
    char *text = xprintf("%.300s is %s: it is left alone, and nothing of it is kept", path, why);

    files->events->on_note(files->events->arg, text);
}

/* The last text that the ledger heard of. */
static int last_text(struct files *files, const struct file_entry *entry, struct memory *ret,
                     struct file_origin *ret_origin, bool *ret_shows, struct err *err)
{
    struct reader *reader = NULL;
    struct last_state state;

    if (read_begin(files->options->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = read_last(reader, &entry->id, ret, &state, err);
    read_end(reader);
    if (rc == 0 && !files_of_memory(ret, files->options->name, ret_origin)) {
        rc = err_set(err, ERR_NOT_FOUND, "memory of %s", entry->path);
    }
    *ret_shows = rc == 0 && state.counts;
    return rc;
}

/* Was it git that took the file from what it was to `after` (NULL: gone)? *ret_shown: and what it
 * was is not held. */
static int ask_git(struct applying *a, const struct file_entry *entry, const struct str *after,
                   bool *ret, bool *ret_shown, struct err *err)
{
    AUTO(memory_done) struct memory last;
    struct file_origin origin;

    *ret = *ret_shown = false;
    memory_init(&last);
    if (entry->left != FILES_KEPT || !git_knows(&a->git, entry->path)) {
        return 0;
    }
    int rc = last_text(a->files, entry, &last, &origin, ret_shown, err);
    if (rc == -ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        return 0;
    }
    *ret = rc == 0 && git_explains(&a->git, entry->path, origin.text, after);
    return rc;
}

static int by_hash(const void *a, const void *b)
{
    const struct file_entry *x = *(struct file_entry *const *)a;
    const struct file_entry *y = *(struct file_entry *const *)b;

    return memcmp(x->hash.bytes, y->hash.bytes, SHA256_LEN);
}

/* Is it gone, or empty, for the first time? Then it is looked at once more: many a program removes
 * or empties a file only to write it anew. */
static bool is_doubtful(const struct applying *a, struct file_entry *entry)
{
    entry->doubt_ms = entry->doubt_ms == 0 ? a->now_ms : entry->doubt_ms;
    return a->now_ms - entry->doubt_ms < FILES_DOUBT_MS;
}

static void look_again(struct applying *a, const char *path)
{
    settle_again(&a->files->settle, path, a->now_ms, FILES_DOUBT_MS);
}

/* A file that went away in this batch, with this very text. One without text is like any other. */
static struct file_entry *find_gone(struct applying *a, const struct file_state *state)
{
    struct file_entry wanted = {.hash = state->hash};
    const struct file_entry *key = &wanted;

    if (a->gone_count == 0 || state->left != FILES_KEPT || state->size == 0) {
        return NULL;
    }
    struct file_entry **found =
        bsearch(&key, a->gone, a->gone_count, sizeof(struct file_entry *), by_hash);
    if (found == NULL) {
        return NULL;
    }
    while (found > a->gone && sha256_eq(&found[-1]->hash, &state->hash)) {
        found--;
    }
    for (; found < a->gone + a->gone_count && sha256_eq(&(*found)->hash, &state->hash); found++) {
        if (!(*found)->found && (*found)->left == FILES_KEPT) {
            return *found;
        }
    }
    return NULL;
}

static bool is_as_known(const struct file_entry *entry, const struct file_state *state)
{
    return entry->alive && entry->known && !entry->moved && entry->left == state->left &&
           entry->size == state->size && entry->mtime_ns == state->mtime_ns &&
           entry->mode == state->mode && sha256_eq(&entry->hash, &state->hash);
}

/* Was it git's work, or does it undo that? A stash that is popped is no more when it is looked at,
 * so what git took is remembered. What was held then is judged when it comes back. */
static int look_for_git(struct applying *a, struct file_entry *entry, bool *ret, struct err *err)
{
    const struct file_state *state = &a->state;
    struct str text = buf_str(&state->text);
    bool was_shown;

    *ret = false;
    if (!entry->known || !entry->alive || sha256_eq(&entry->hash, &state->hash)) {
        return 0;
    }
    if (entry->undo != NULL && sha256_eq(&entry->undo->put, &entry->hash) &&
        sha256_eq(&entry->undo->took, &state->hash)) {
        *ret = true;
        return 0;
    }
    if (ask_git(a, entry, &text, ret, &was_shown, err) < 0) {
        return -(int)err->code;
    }
    free(entry->undo);
    entry->undo = NULL;
    if (*ret && was_shown) {
        entry->undo = xmalloc(sizeof(*entry->undo));
        *entry->undo = (struct file_undo){.took = entry->hash, .put = state->hash};
    }
    return 0;
}

static int put(struct applying *a, struct file_entry *entry, const char *path, struct err *err)
{
    struct files *files = a->files;
    const struct file_state *state = &a->state;
    struct memory memory;
    bool is_gits;

    if (look_for_git(a, entry, &is_gits, err) < 0) {
        return -(int)err->code;
    }
    if (files_to_memory(files->options, path, state, &memory, err) < 0) {
        memory_done(&memory);
        name_left(files, path, err->message);
        err->code = ERR_NONE;
        return 0;
    }
    memory.id = entry->id;
    memory.created_us = entry->known ? TIME_NONE : memory.updated_us;
    intake_actor(&files->intake, is_gits ? "git" : NULL, NULL);
    files->intake.versioned = is_gits;
    int rc = intake_put_take(&files->intake, &memory, err);
    files->intake.versioned = false;
    if (rc < 0) {
        return rc;
    }
    entry->born_ms = entry->alive ? entry->born_ms : a->now_ms;
    entry->hash = state->hash;
    entry->size = state->size;
    entry->mtime_ns = state->mtime_ns;
    entry->mode = state->mode;
    entry->known = true;
    entry->moved = false;
    files_tree_set(&files->tree, entry, true, state->left);
    return 0;
}

/* The entry that a file at this path goes on with, or a new one. NULL: that will be seen. */
static struct file_entry *entry_for(struct applying *a, const char *path)
{
    struct files *files = a->files;
    struct file_entry *entry = files_tree_find(&files->tree, path);

    if (entry != NULL && entry->alive) {
        return entry;
    }
    struct file_entry *gone = find_gone(a, &a->state);
    if (gone != NULL && is_doubtful(a, gone)) {
        look_again(a, path);
        return NULL;
    }
    if (gone != NULL) {
        files_tree_move(&files->tree, gone, path);
        gone->found = true;
        return gone;
    }
    if (entry != NULL) {
        return entry;
    }
    struct uuid id = files_tree_id(&files->tree, files->options->name, path);
    return files_tree_add(&files->tree, path, &id);
}

/* A file that can't be kept. One that was kept before has lost its text: that is said, for the
 * guard to judge. */
static int leave(struct applying *a, const char *path, struct err *err)
{
    struct files *files = a->files;
    struct file_entry *entry = entry_for(a, path); /* no file went away with no text */
    enum files_left left = a->state.left;

    entry->doubt_ms = 0;
    if (entry->left != left) {
        name_left(files, path,
                  left == FILES_BINARY  ? "no text (not UTF-8)"
                  : left == FILES_LARGE ? "longer than 50,000 characters"
                                        : "not ours to read");
    }
    if (left != FILES_UNREADABLE && entry->known && entry->alive) {
        return is_as_known(entry, &a->state) ? 0 : put(a, entry, path, err);
    }
    files_tree_set(&files->tree, entry, entry->alive, left);
    return 0;
}

static int apply_present(struct applying *a, const char *path, struct err *err)
{
    struct files *files = a->files;

    int rc = files_read(&a->at, path, &a->state, err);
    if (rc == -ERR_BUSY || rc == -ERR_NOT_FOUND) { /* looked at once more, when it is quiet */
        err->code = ERR_NONE;
        a->is_restless |= rc == -ERR_NOT_FOUND;
        settle_note(&files->settle, path, files_now_ms(files), SETTLE_QUIET_MS);
        return 0;
    }
    if (rc < 0) {
        return rc;
    }
    if (a->state.left != FILES_KEPT) {
        return leave(a, path, err);
    }
    struct file_entry *entry = entry_for(a, path);
    if (entry == NULL) {
        return 0;
    }
    if (entry->left == FILES_UNREADABLE) {
        files_tree_set(&files->tree, entry, entry->alive, FILES_KEPT);
    }
    if (a->state.size == 0 && entry->alive && entry->size > 0 && is_doubtful(a, entry)) {
        look_again(a, path);
        return 0;
    }
    entry->doubt_ms = 0;
    return is_as_known(entry, &a->state) ? 0 : put(a, entry, path, err);
}

/* ---- what moved ---- */

/* Does the file there say what the ledger last heard, or an edit of it? */
static int is_of_same_text(struct applying *a, const struct file_entry *entry, const char *to,
                           bool *ret, struct err *err)
{
    AUTO(memory_done) struct memory last;
    struct file_origin origin;
    bool is_shown;
    struct sketch before;
    struct sketch after;

    *ret = false;
    memory_init(&last);
    int rc = files_read(&a->at, to, &a->state, err);
    if (rc == 0 && !sha256_eq(&a->state.hash, &entry->hash)) {
        rc = last_text(a->files, entry, &last, &origin, &is_shown, err);
        if (rc == 0) {
            sketch_change(origin.text, buf_str(&a->state.text), &before, &after);
            *ret = a->state.left == FILES_KEPT && !sketch_keeps_less(&before, &after, 1);
        }
    } else {
        *ret = rc == 0 && a->state.left == entry->left;
    }
    if (rc == -ERR_NOT_FOUND || rc == -ERR_BUSY) {
        err->code = ERR_NONE;
        return 0;
    }
    return rc;
}

static int move_one(struct applying *a, struct file_entry *entry, struct files_move *move,
                    const char *to, struct err *err)
{
    struct files *files = a->files;
    const struct file_entry *there = files_tree_find(&files->tree, to);
    bool is_same = false;

    if (!entry->alive || (there != NULL && there->alive) || !files_wants(files, to) ||
        files_is_there(&a->at, entry->path)) {
        return 0; /* something is at its old place again, or it went over another */
    }
    if (is_of_same_text(a, entry, to, &is_same, err) < 0 || !is_same) {
        return -(int)err->code;
    }
    if (!move->is_folder && is_doubtful(a, entry)) {
        settle_move(&files->settle, move->from, to, false, a->now_ms);
        move->waits = true;
        return 0;
    }
    files_tree_move(&files->tree, entry, to);
    return 0;
}

static int apply_move(struct applying *a, struct files_move *move, struct err *err)
{
    struct files_tree *tree = &a->files->tree;
    size_t len = strlen(move->from);

    if (!move->is_folder) {
        struct file_entry *entry = files_tree_find(tree, move->from);
        return entry == NULL ? 0 : move_one(a, entry, move, move->to, err);
    }
    for (size_t i = 0; i < tree->count; i++) {
        struct file_entry *entry = tree->items[i];
        if (strncmp(entry->path, move->from, len) != 0 || entry->path[len] != '/') {
            continue;
        }
        AUTO(free_ptr) char *to = xprintf("%s%s", move->to, entry->path + len);
        if (move_one(a, entry, move, to, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* ---- what is gone ---- */

static void find_all_gone(struct applying *a, const struct files_batch *batch, bool *is_there)
{
    struct files *files = a->files;

    a->gone = xcalloc(batch->count + 1, sizeof(struct file_entry *));
    for (size_t i = 0; i < batch->count; i++) {
        /* What a file was moved to need not be one that is captured. */
        is_there[i] =
            files_wants(files, batch->paths[i]) && files_is_there(&a->at, batch->paths[i]);
        struct file_entry *entry = files_tree_find(&files->tree, batch->paths[i]);
        if (is_there[i] || entry == NULL) {
            continue;
        }
        if (entry->alive) {
            a->gone[a->gone_count++] = entry;
        } else {
            files_tree_set(&files->tree, entry, false, FILES_KEPT);
        }
    }
    if (a->gone_count > 1) {
        qsort(a->gone, a->gone_count, sizeof(struct file_entry *), by_hash);
    }
}

static char *vanished_summary(const struct files *files, size_t count)
{
    const char *source = files->options->name;

    return count == 1 ? xprintf("%s is gone, the last file of source %s. It is safe in the ledger; "
                                "to put it back: holdfast restore %s",
                                files->options->path, source, source)
                      : xprintf("All that was left of %s is gone: %zu files of source %s. They are "
                                "safe in the ledger; to put them back: holdfast restore %s",
                                files->options->path, count, source, source);
}

/* A file that was made just now to be put over another, as editors save: its text is there. */
static bool went_over_another(const struct applying *a, const struct files_batch *batch,
                              const struct file_entry *entry)
{
    if (batch == NULL || entry->born_ms == 0 || a->now_ms - entry->born_ms > FILES_YOUNG_MS) {
        return false;
    }
    for (size_t i = 0; i < batch->move_count; i++) {
        const struct files_move *move = &batch->moves[i];
        const struct file_entry *to = strcmp(move->from, entry->path) == 0
                                          ? files_tree_find(&a->files->tree, move->to)
                                          : NULL;
        if (to != NULL && to->alive && sha256_eq(&to->hash, &entry->hash)) {
            return true;
        }
    }
    return false;
}

/* What was found gone may be back by now, or go on to a third place: asking git takes a while. */
static bool may_come_back(struct applying *a, const struct file_entry *entry)
{
    return files_is_there(&a->at, entry->path) ||
           (a->is_restless && a->now_ms - entry->doubt_ms < SETTLE_RESTLESS_MS);
}

/* Those that git did not take; when nothing is left at all, that is an alert of its own. Without a
 * batch all of it is certain. */
static int delete_gone(struct applying *a, const struct files_batch *batch, struct err *err)
{
    struct files *files = a->files;
    AUTO(free_ptr) struct uuid *lost = xcalloc(a->gone_count + 1, sizeof(*lost));
    size_t lost_count = 0;

    for (size_t i = 0; i < a->gone_count; i++) {
        struct file_entry *entry = a->gone[i];
        bool is_gits = false;
        bool was_shown;
        if (entry->found) {
            entry->found = false;
            entry->doubt_ms = 0;
            continue;
        }
        bool is_over = went_over_another(a, batch, entry);
        if (batch != NULL && !is_over && (is_doubtful(a, entry) || may_come_back(a, entry))) {
            look_again(a, entry->path);
            continue;
        }
        entry->doubt_ms = 0;
        if (ask_git(a, entry, NULL, &is_gits, &was_shown, err) < 0) {
            return -(int)err->code;
        }
        files_tree_set(&files->tree, entry, false, FILES_KEPT);
        if (!is_gits && !is_over) {
            lost[lost_count++] = entry->id;
            continue;
        }
        intake_actor(&files->intake, is_gits ? "git" : NULL, NULL);
        files->intake.versioned = true;
        int rc = intake_delete_id(&files->intake, &entry->id, err);
        files->intake.versioned = false;
        if (rc < 0) {
            return rc;
        }
    }
    intake_actor(&files->intake, NULL, NULL);
    if (lost_count > 0 && files->tree.alive == 0) {
        AUTO(free_ptr) char *summary = vanished_summary(files, lost_count);
        return intake_gone_ids(&files->intake, lost, lost_count, "source_vanished", summary, err);
    }
    for (size_t i = 0; i < lost_count; i++) {
        if (intake_delete_id(&files->intake, &lost[i], err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* ---- all of it ---- */

/* While git is at work, what may be a loss waits; though not for ever. */
static bool is_git_at_work(struct files *files, int64_t now_ms)
{
    struct env *env = ledger_env(files->options->ledger);

    if (!git_is_busy(files->git, env->now_us(env))) {
        files->git_wait_ms = 0;
        return false;
    }
    files->git_wait_ms = files->git_wait_ms == 0 ? now_ms : files->git_wait_ms;
    return now_ms - files->git_wait_ms < FILES_GIT_WAIT_MS;
}

static bool waits_for_git(struct applying *a, const struct files_batch *batch)
{
    struct files *files = a->files;
    struct env *env = ledger_env(files->options->ledger);
    size_t known = 0;

    for (size_t i = 0; i < batch->count; i++) {
        const struct file_entry *entry = files_tree_find(&files->tree, batch->paths[i]);
        known += entry != NULL && entry->alive;
    }
    if (a->gone_count == 0 && known == 0) {
        return false;
    }
    free(files->git); /* a work tree is made, and unmade, at any time */
    files->git = git_folder_of(files->root);
    a->has_git = files->git != NULL && (a->gone_count > 0 || known >= FILES_GIT_CHANGED_MIN ||
                                        git_was_busy(files->git, env->now_us(env)));
    return a->has_git && is_git_at_work(files, a->now_ms);
}

static void note_again(struct files *files, const struct files_batch *batch)
{
    int64_t now_ms = files_now_ms(files);

    for (size_t i = 0; i < batch->count; i++) {
        settle_note(&files->settle, batch->paths[i], now_ms, SETTLE_QUIET_MS);
    }
}

/* Is it what a file may have become that is looked at once more? */
static bool waits_for_move(const struct files_batch *batch, const char *path)
{
    for (size_t i = 0; i < batch->move_count; i++) {
        if (batch->moves[i].waits && strcmp(batch->moves[i].to, path) == 0) {
            return true;
        }
    }
    return false;
}

static int apply_all(struct applying *a, struct files_batch *batch, struct err *err)
{
    struct files *files = a->files;
    AUTO(free_ptr) bool *is_there = xcalloc(batch->count + 1, sizeof(*is_there));

    for (size_t i = 0; i < batch->move_count; i++) {
        if (apply_move(a, &batch->moves[i], err) < 0) {
            return -(int)err->code;
        }
    }
    find_all_gone(a, batch, is_there);
    if (waits_for_git(a, batch)) {
        note_again(files, batch);
        return 0;
    }
    int rc = a->has_git ? git_read_changes(files, &a->git, err) : 0;
    a->now_ms = files_now_ms(files); /* git took its time: others may have gone on meanwhile */
    for (size_t i = 0; i < batch->count && rc == 0; i++) {
        bool is_due = is_there[i] && !waits_for_move(batch, batch->paths[i]);
        rc = is_due ? apply_present(a, batch->paths[i], err) : 0;
        rc = rc == 0 && i % 256 == 0 ? source_cancelled(files->options, err) : rc;
    }
    rc = rc == 0 ? delete_gone(a, batch, err) : rc;
    return rc == 0 ? intake_flush(&files->intake, NULL, err) : rc;
}

int files_apply(struct files *files, struct files_batch *batch, struct err *err)
{
    struct applying a = {.files = files, .now_ms = files_now_ms(files)};

    files_at_init(&a.at, files->root_fd);
    buf_init(&a.state.text, FILES_BYTES_MAX + 1);
    int rc = apply_all(&a, batch, err);
    files_at_done(&a.at);
    buf_done(&a.state.text);
    git_changes_done(&a.git);
    free(a.gone);
    return rc;
}

int files_vanished(struct files *files, struct err *err)
{
    struct applying a = {.files = files};

    a.gone = xcalloc(files->tree.count + 1, sizeof(struct file_entry *));
    for (size_t i = 0; i < files->tree.count; i++) {
        if (files->tree.items[i]->alive && files->tree.items[i]->known) {
            a.gone[a.gone_count++] = files->tree.items[i];
        }
    }
    int rc = delete_gone(&a, NULL, err);
    free(a.gone);
    return rc == 0 ? intake_flush(&files->intake, NULL, err) : rc;
}

void files_tell_trouble(struct files *files)
{
    AUTO(buf_done) struct buf text = BUF_INIT(sizeof(files->trouble) - 1);
    struct err none = ERR_INIT;

    if (files->watch.is_short &&
        buf_printf(&text, &none,
                   "too few inotify watches: changes are found each %d s only; raise them: sysctl "
                   "fs.inotify.max_user_watches=1048576. ",
                   FILES_RESCAN_MS / 1000) < 0) {
        return;
    }
    for (size_t i = 0, named = 0; i < files->tree.count && named < files->tree.left; i++) {
        const struct file_entry *entry = files->tree.items[i];
        if (entry->left == FILES_KEPT) {
            continue;
        }
        bool fits = named == 0 ? buf_printf(&text, &none, "%zu file%s not kept: %.100s (%s)",
                                            files->tree.left, files->tree.left == 1 ? "" : "s",
                                            entry->path, files_left_name(entry->left)) == 0
                               : buf_printf(&text, &none, ", %.100s (%s)", entry->path,
                                            files_left_name(entry->left)) == 0;
        named = fits ? named + 1 : files->tree.left;
    }
    if (strcmp(files->trouble, text.data == NULL ? "" : text.data) != 0) {
        (void)snprintf(files->trouble, sizeof(files->trouble), "%s",
                       text.data == NULL ? "" : text.data);
        files->events->on_trouble(files->events->arg,
                                  files->trouble[0] == '\0' ? NULL : files->trouble);
    }
}
