#include "source/files_settle.h"

#include <limits.h>

#define BUCKETS_FIRST 64

static size_t hash_of(const char *path)
{
    uint64_t hash = 14695981039346656037ULL; /* FNV-1a */

    for (; *path != '\0'; path++) {
        hash = (hash ^ (unsigned char)*path) * 1099511628211ULL;
    }
    return (size_t)(hash ^ (hash >> 32));
}

static void move_done(struct files_move *move)
{
    free(move->from);
    free(move->to);
}

void settle_done(struct files_settle *settle)
{
    for (size_t i = 0; i < settle->bucket_count; i++) {
        for (struct settle_item *item = settle->buckets[i], *next; item != NULL; item = next) {
            next = item->next;
            free(item->path);
            free(item);
        }
    }
    for (size_t i = 0; i < settle->move_count; i++) {
        move_done(&settle->moves[i]);
    }
    free(settle->buckets);
    free(settle->moves);
    *settle = (struct files_settle){.buckets = NULL};
}

/* ---- noting ---- */

static void grow(struct files_settle *settle)
{
    size_t count = settle->bucket_count == 0 ? BUCKETS_FIRST : settle->bucket_count * 4;
    struct settle_item **buckets = xcalloc(count, sizeof(struct settle_item *));

    for (size_t i = 0; i < settle->bucket_count; i++) {
        for (struct settle_item *item = settle->buckets[i], *next; item != NULL; item = next) {
            struct settle_item **place = &buckets[hash_of(item->path) % count];
            next = item->next;
            item->next = *place;
            *place = item;
        }
    }
    free(settle->buckets);
    settle->buckets = buckets;
    settle->bucket_count = count;
}

static struct settle_item *find_or_add(struct files_settle *settle, const char *path,
                                       int64_t now_ms)
{
    if (settle->count >= settle->bucket_count) {
        grow(settle);
    }
    struct settle_item **place = &settle->buckets[hash_of(path) % settle->bucket_count];
    for (struct settle_item *item = *place; item != NULL; item = item->next) {
        if (strcmp(item->path, path) == 0) {
            return item;
        }
    }
    struct settle_item *item = xcalloc(1, sizeof(*item));
    item->path = xstrdup(path);
    item->first_ms = now_ms;
    item->next = *place;
    *place = item;
    settle->count++;
    return item;
}

static void wait_until(struct files_settle *settle, int64_t last_ms)
{
    settle->last_ms = last_ms > settle->last_ms ? last_ms : settle->last_ms;
}

void settle_note(struct files_settle *settle, const char *path, int64_t now_ms, int64_t delay_ms)
{
    struct settle_item *item = find_or_add(settle, path, now_ms);

    item->due_ms = now_ms + delay_ms;
    item->is_urgent = delay_ms == 0;
    if (delay_ms != 0) {
        wait_until(settle, now_ms);
    }
}

void settle_again(struct files_settle *settle, const char *path, int64_t now_ms, int64_t delay_ms)
{
    settle_note(settle, path, now_ms, delay_ms);
    wait_until(settle, now_ms + delay_ms - SETTLE_QUIET_MS);
}

/* ---- moves ---- */

static void drop_move(struct files_settle *settle, size_t i)
{
    move_done(&settle->moves[i]);
    settle->move_count--;
    memmove(&settle->moves[i], &settle->moves[i + 1],
            (settle->move_count - i) * sizeof(*settle->moves));
}

void settle_move(struct files_settle *settle, const char *from, const char *to, bool is_folder,
                 int64_t now_ms)
{
    if (!is_folder) {
        settle_note(settle, from, now_ms, SETTLE_QUIET_MS);
        settle_note(settle, to, now_ms, SETTLE_QUIET_MS);
    }
    wait_until(settle, now_ms);
    for (size_t i = 0; i < settle->move_count; i++) {
        struct files_move *move = &settle->moves[i];
        if (move->is_folder == is_folder && strcmp(move->to, from) == 0) {
            free(move->to);
            move->to = xstrdup(to);
            if (strcmp(move->from, to) == 0) { /* there and back */
                drop_move(settle, i);
            }
            return;
        }
    }
    if (settle->move_count == settle->move_capacity) {
        settle->move_capacity = settle->move_capacity == 0 ? 16 : settle->move_capacity * 2;
        settle->moves = xrealloc(settle->moves, settle->move_capacity * sizeof(*settle->moves));
    }
    settle->moves[settle->move_count++] =
        (struct files_move){.from = xstrdup(from), .to = xstrdup(to), .is_folder = is_folder};
}

/* ---- taking ---- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When all are quiet, or it has waited long enough for the others; not while it changes itself,
 * but that has an end, too. */
static int64_t due_ms(const struct files_settle *settle, const struct settle_item *item)
{
    int64_t others_ms =
        least(settle->last_ms + SETTLE_QUIET_MS, item->first_ms + SETTLE_LONGEST_MS);

    if (item->is_urgent) {
        return item->due_ms;
    }
    return least(item->due_ms > others_ms ? item->due_ms : others_ms,
                 item->first_ms + SETTLE_RESTLESS_MS);
}

int64_t settle_next_ms(const struct files_settle *settle)
{
    int64_t next = settle->move_count > 0 ? settle->last_ms + SETTLE_QUIET_MS : INT64_MAX;

    for (size_t i = 0; i < settle->bucket_count && settle->count > 0; i++) {
        for (const struct settle_item *item = settle->buckets[i]; item != NULL; item = item->next) {
            int64_t due = due_ms(settle, item);
            next = due < next ? due : next;
        }
    }
    return next;
}

static bool is_moved(const struct files_settle *settle, const char *path)
{
    for (size_t i = 0; i < settle->move_count; i++) {
        if (strcmp(settle->moves[i].from, path) == 0 || strcmp(settle->moves[i].to, path) == 0) {
            return true;
        }
    }
    return false;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void take_item(struct files_settle *settle, struct settle_item **place,
                      struct files_batch *batch)
{
    struct settle_item *item = *place;

    batch->first_ms = item->first_ms < batch->first_ms ? item->first_ms : batch->first_ms;
    batch->paths[batch->count++] = item->path;
    *place = item->next;
    settle->count--;
    free(item);
}

void settle_take(struct files_settle *settle, int64_t now_ms, struct files_batch *ret)
{
    *ret = (struct files_batch){.first_ms = now_ms};
    if (settle_next_ms(settle) > now_ms) {
        return;
    }
    ret->paths = xcalloc(settle->count + 1, sizeof(*ret->paths));
    for (size_t i = 0; i < settle->bucket_count; i++) {
        for (struct settle_item **place = &settle->buckets[i]; *place != NULL;) {
            if (due_ms(settle, *place) <= now_ms || is_moved(settle, (*place)->path)) {
                take_item(settle, place, ret);
            } else {
                place = &(*place)->next;
            }
        }
    }
    if (ret->count > 1) {
        qsort(ret->paths, ret->count, sizeof(*ret->paths), by_path);
    }
    ret->moves = settle->moves;
    ret->move_count = settle->move_count;
    settle->moves = NULL;
    settle->move_count = settle->move_capacity = 0;
    if (settle->count == 0) { /* a large scan is over: an idle source is small */
        free(settle->buckets);
        settle->buckets = NULL;
        settle->bucket_count = 0;
    }
}

void files_batch_done(struct files_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->paths[i]);
    }
    for (size_t i = 0; i < batch->move_count; i++) {
        move_done(&batch->moves[i]);
    }
    free(batch->paths);
    free(batch->moves);
    *batch = (struct files_batch){.paths = NULL};
}
