#include "guard/table.h"

#define TABLE_LEAST 64

void table_init(struct table *table, uint64_t seed)
{
    *table = (struct table){.seed = seed};
}

void table_done(struct table *table)
{
    free(table->buckets);
    table->buckets = NULL;
    table->size = table->count = 0;
}

uint64_t table_hash(const struct table *table, const void *bytes, size_t len)
{
    const char *at = bytes;
    uint64_t hash = table->seed ^ len;

    while (len > 0) {
        uint64_t word = 0;
        size_t part = len < sizeof(word) ? len : sizeof(word);
        memcpy(&word, at, part);
        hash = table_mix(hash ^ 0x9E3779B97F4A7C15ULL, word ^ 0xD6E8FEB86659FD93ULL ^ table->seed);
        at += part;
        len -= part;
    }
    return table_mix(hash ^ 0xA0761D6478BD642FULL, 0xE7037ED1A0B428DBULL);
}

struct table_link *table_find(const struct table *table, uint64_t hash, table_match_fn *match,
                              const void *key)
{
    if (table->size == 0) {
        return NULL;
    }
    struct table_link *link = table->buckets[hash & (table->size - 1)];
    while (link != NULL && (link->hash != hash || !match(link, key))) {
        link = link->next;
    }
    return link;
}

static void resize(struct table *table, size_t size)
{
    struct table_link **buckets = xcalloc(size, sizeof(struct table_link *));

    for (size_t i = 0; i < table->size; i++) {
        struct table_link *link = table->buckets[i];
        while (link != NULL) {
            struct table_link *next = link->next;
            struct table_link **head = &buckets[link->hash & (size - 1)];
            link->next = *head;
            *head = link;
            link = next;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->size = size;
}

void table_add(struct table *table, struct table_link *link, uint64_t hash)
{
    if (table->count >= table->size) {
        resize(table, table->size == 0 ? TABLE_LEAST : 2 * table->size);
    }
    struct table_link **head = &table->buckets[hash & (table->size - 1)];
    link->hash = hash;
    link->next = *head;
    *head = link;
    table->count++;
}

void table_remove(struct table *table, struct table_link *link)
{
    struct table_link **at = &table->buckets[link->hash & (table->size - 1)];

    while (*at != link) {
        at = &(*at)->next;
    }
    *at = link->next;
    table->count--;
    if (table->count == 0) {
        table_done(table); /* nothing is kept of a burst that is over */
    }
}
