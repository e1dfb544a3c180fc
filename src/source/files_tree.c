/* What is known of each file: by path, by id. */
#include "source/files_internal.h"

#define BUCKETS_FIRST 256
#define NAMESPACE_FILE "holdfast source file"

static size_t hash_path(const char *path)
{
    uint64_t hash = 14695981039346656037ULL; /* FNV-1a */

    for (; *path != '\0'; path++) {
        hash = (hash ^ (unsigned char)*path) * 1099511628211ULL;
    }
    return (size_t)(hash ^ (hash >> 32));
}

static size_t hash_id(const struct uuid *id)
{
    size_t hash;

    memcpy(&hash, id->bytes, sizeof(hash));
    return hash;
}

void files_tree_done(struct files_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        free(tree->items[i]->path);
        free(tree->items[i]->undo);
        free(tree->items[i]);
    }
    free(tree->items);
    free(tree->by_path);
    free(tree->by_id);
    *tree = (struct files_tree){.items = NULL};
}

static void put_by_path(struct files_tree *tree, struct file_entry *entry)
{
    struct file_entry **place = &tree->by_path[hash_path(entry->path) % tree->bucket_count];

    entry->next_by_path = *place;
    *place = entry;
}

static void put_by_id(struct files_tree *tree, struct file_entry *entry)
{
    struct file_entry **place = &tree->by_id[hash_id(&entry->id) % tree->bucket_count];

    entry->next_by_id = *place;
    *place = entry;
}

static void grow(struct files_tree *tree)
{
    tree->bucket_count = tree->bucket_count == 0 ? BUCKETS_FIRST : tree->bucket_count * 2;
    free(tree->by_path);
    free(tree->by_id);
    tree->by_path = xcalloc(tree->bucket_count, sizeof(struct file_entry *));
    tree->by_id = xcalloc(tree->bucket_count, sizeof(struct file_entry *));
    for (size_t i = 0; i < tree->count; i++) {
        put_by_path(tree, tree->items[i]);
        put_by_id(tree, tree->items[i]);
    }
}

struct file_entry *files_tree_find(const struct files_tree *tree, const char *path)
{
    struct file_entry *found = NULL;

    if (tree->bucket_count == 0) {
        return NULL;
    }
    for (struct file_entry *entry = tree->by_path[hash_path(path) % tree->bucket_count];
         entry != NULL; entry = entry->next_by_path) {
        if (strcmp(entry->path, path) == 0 && (found == NULL || entry->alive)) {
            found = entry;
        }
    }
    return found;
}

struct file_entry *files_tree_find_id(const struct files_tree *tree, const struct uuid *id)
{
    struct file_entry *entry =
        tree->bucket_count == 0 ? NULL : tree->by_id[hash_id(id) % tree->bucket_count];

    while (entry != NULL && !uuid_eq(&entry->id, id)) {
        entry = entry->next_by_id;
    }
    return entry;
}

struct file_entry *files_tree_add(struct files_tree *tree, const char *path, const struct uuid *id)
{
    struct file_entry *entry = xcalloc(1, sizeof(*entry));

    if (tree->count == tree->capacity) {
        tree->capacity = tree->capacity == 0 ? BUCKETS_FIRST : tree->capacity * 2;
        tree->items = xrealloc(tree->items, tree->capacity * sizeof(struct file_entry *));
    }
    if (tree->count >= tree->bucket_count) {
        grow(tree);
    }
    entry->path = xstrdup(path);
    entry->id = *id;
    tree->items[tree->count++] = entry;
    put_by_path(tree, entry);
    put_by_id(tree, entry);
    return entry;
}

void files_tree_move(struct files_tree *tree, struct file_entry *entry, const char *path)
{
    struct file_entry **place = &tree->by_path[hash_path(entry->path) % tree->bucket_count];

    while (*place != entry) {
        place = &(*place)->next_by_path;
    }
    *place = entry->next_by_path;
    free(entry->path);
    entry->path = xstrdup(path);
    entry->moved = true;
    put_by_path(tree, entry);
}

void files_tree_set(struct files_tree *tree, struct file_entry *entry, bool alive,
                    enum files_left left)
{
    tree->alive = tree->alive + (alive ? 1 : 0) - (entry->alive ? 1 : 0);
    tree->left = tree->left + (left != FILES_KEPT ? 1 : 0) - (entry->left != FILES_KEPT ? 1 : 0);
    entry->alive = alive;
    entry->left = left;
}

/* The path comes last: whatever is in it, the parts can't run into each other. */
static struct uuid id_of(const char *source, const char *path, unsigned number)
{
    AUTO(free_ptr) char *name = xprintf("%s\n%u\n%s", source, number, path);

    return uuid_derive(STR(NAMESPACE_FILE), str_of(name));
}

struct uuid files_tree_id(const struct files_tree *tree, const char *source, const char *path)
{
    for (unsigned number = 0;; number++) {
        struct uuid id = id_of(source, path, number);
        if (files_tree_find_id(tree, &id) == NULL) {
            return id;
        }
    }
}
