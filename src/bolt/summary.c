#include "bolt/summary.h"

static struct bolt_string text_of(const struct bolt_value *map, const char *key)
{
    struct bolt_value value;

    return bolt_map_get(map, key, &value) ? bolt_value_string(&value)
                                          : (struct bolt_string){NULL, 0};
}

static int64_t integer_of(const struct bolt_value *map, const char *key)
{
    struct bolt_value value;

    return bolt_map_get(map, key, &value) && value.type == BOLT_INTEGER ? value.as.integer : 0;
}

static struct bolt_counters counters_of(const struct bolt_value *stats)
{
    return (struct bolt_counters){
        .nodes_created = integer_of(stats, "nodes-created"),
        .nodes_deleted = integer_of(stats, "nodes-deleted"),
        .relationships_created = integer_of(stats, "relationships-created"),
        .relationships_deleted = integer_of(stats, "relationships-deleted"),
        .properties_set = integer_of(stats, "properties-set"),
        .labels_added = integer_of(stats, "labels-added"),
        .labels_removed = integer_of(stats, "labels-removed"),
        .indexes_added = integer_of(stats, "indexes-added"),
        .indexes_removed = integer_of(stats, "indexes-removed"),
        .constraints_added = integer_of(stats, "constraints-added"),
        .constraints_removed = integer_of(stats, "constraints-removed"),
        .system_updates = integer_of(stats, "system-updates"),
    };
}

void summary_read(const struct bolt_value *metadata, int64_t first_ms, struct bolt_summary *ret)
{
    struct bolt_value stats = {.type = BOLT_NULL};

    (void)bolt_map_get(metadata, "stats", &stats); /* absent when nothing changed */
    *ret = (struct bolt_summary){
        .metadata = *metadata,
        .bookmark = text_of(metadata, "bookmark"),
        .database = text_of(metadata, "db"),
        .type = text_of(metadata, "type"),
        .first_ms = first_ms,
        .last_ms = integer_of(metadata, "t_last"),
        .counters = counters_of(&stats),
    };
}

static bool list_item(const struct bolt_value *map, const char *key, size_t at,
                      struct bolt_value *ret)
{
    struct bolt_value list;

    if (!bolt_map_get(map, key, &list) || list.type != BOLT_LIST) {
        return false;
    }
    struct bolt_iter iter = bolt_iter_of(&list);
    for (size_t i = 0; bolt_iter_next(&iter, ret); i++) {
        if (i == at) {
            return true;
        }
    }
    return false;
}

static void set_position(const struct bolt_value *holder, const char *key, struct bolt_notice *ret)
{
    struct bolt_value position;

    if (bolt_map_get(holder, key, &position)) {
        ret->offset = integer_of(&position, "offset");
        ret->line = integer_of(&position, "line");
        ret->column = integer_of(&position, "column");
    }
}

/* Before Bolt 5.6. */
static void read_notification(const struct bolt_value *notification, struct bolt_notice *ret)
{
    *ret = (struct bolt_notice){
        .code = text_of(notification, "code"),
        .title = text_of(notification, "title"),
        .description = text_of(notification, "description"),
        .severity = text_of(notification, "severity"),
        .classification = text_of(notification, "category"),
    };
    set_position(notification, "position", ret);
}

static void read_status(const struct bolt_value *status, struct bolt_notice *ret)
{
    struct bolt_value record = {.type = BOLT_NULL};
    struct bolt_string own = text_of(status, "description");
    struct bolt_string gql = text_of(status, "status_description");

    (void)bolt_map_get(status, "diagnostic_record", &record); /* absent when all is default */
    *ret = (struct bolt_notice){
        .gql_status = text_of(status, "gql_status"),
        .code = text_of(status, "neo4j_code"),
        .title = text_of(status, "title"),
        .description = own.data == NULL ? gql : own,
        .gql_description = gql,
        .diagnostics = record,
        .severity = text_of(&record, "_severity"),
        .classification = text_of(&record, "_classification"),
    };
    set_position(&record, "_position", ret);
}

bool bolt_summary_notice(const struct bolt_summary *summary, size_t at, struct bolt_notice *ret)
{
    struct bolt_value item;

    if (list_item(&summary->metadata, "statuses", at, &item)) {
        read_status(&item, ret);
        return true;
    }
    if (list_item(&summary->metadata, "notifications", at, &item)) {
        read_notification(&item, ret);
        return true;
    }
    return false;
}
