/*
 * bolt_query - run one query and print what comes back, a record a line. Copy it and go on from
 * here.
 *
 *   NEO4J_PASSWORD=… bolt_query bolt://localhost:7687 neo4j 'MATCH (n:Person) RETURN n, n.born'
 *
 *   cc bolt_query.c $(pkg-config --cflags --libs holdfast-bolt) -o bolt_query
 *
 * Exit status: 0 done, 1 the query failed, 2 wrong usage.
 */
#include <holdfast/bolt.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS 10000
#define QUERY_MS 60000

static void print_value(const struct bolt_value *value);

static void print_string(struct bolt_string text)
{
    (void)fwrite(text.data, 1, text.size, stdout);
}

static void print_list(const struct bolt_value *list)
{
    struct bolt_iter iter = bolt_iter_of(list);
    struct bolt_value item;
    const char *separator = "";

    (void)putchar('[');
    while (bolt_iter_next(&iter, &item)) {
        (void)fputs(separator, stdout);
        print_value(&item);
        separator = ", ";
    }
    (void)putchar(']');
}

static void print_map(const struct bolt_value *map)
{
    struct bolt_iter iter = bolt_iter_of(map);
    struct bolt_string key;
    struct bolt_value value;
    const char *separator = "";

    (void)putchar('{');
    while (bolt_iter_entry(&iter, &key, &value)) {
        (void)fputs(separator, stdout);
        print_string(key);
        (void)fputs(": ", stdout);
        print_value(&value);
        separator = ", ";
    }
    (void)putchar('}');
}

/* What belongs to the graph, and times; the other structures by their name alone. */
static void print_structure(const struct bolt_value *value)
{
    struct bolt_node node;
    struct bolt_relationship relationship;
    struct bolt_time time;

    if (bolt_value_node(value, &node)) {
        (void)putchar('(');
        print_list(&node.labels);
        (void)putchar(' ');
        print_map(&node.properties);
        (void)putchar(')');
    } else if (bolt_value_relationship(value, &relationship)) {
        (void)fputs("-[:", stdout);
        print_string(relationship.type);
        (void)putchar(' ');
        print_map(&relationship.properties);
        (void)fputs("]->", stdout);
    } else if (bolt_value_time(value, &time)) {
        (void)printf("%s(%" PRId64 " d, %" PRId64 " s, %" PRId64 " ns)",
                     bolt_type_name(value->type), time.days, time.seconds, time.nanoseconds);
    } else {
        (void)printf("<%s>", bolt_type_name(value->type));
    }
}

static void print_value(const struct bolt_value *value)
{
    switch (value->type) {
    case BOLT_NULL:
        (void)fputs("null", stdout);
        break;
    case BOLT_BOOLEAN:
        (void)fputs(value->as.boolean ? "true" : "false", stdout);
        break;
    case BOLT_INTEGER:
        (void)printf("%" PRId64, value->as.integer);
        break;
    case BOLT_FLOAT:
        (void)printf("%.17g", value->as.real);
        break;
    case BOLT_BYTES:
        (void)printf("<%" PRIu32 " bytes>", value->count);
        break;
    case BOLT_STRING:
        (void)putchar('"');
        print_string(bolt_value_string(value));
        (void)putchar('"');
        break;
    case BOLT_LIST:
        print_list(value);
        break;
    case BOLT_MAP:
        print_map(value);
        break;
    default:
        print_structure(value);
        break;
    }
}

static void print_record(const struct bolt_record *record)
{
    for (size_t i = 0; i < record->count; i++) {
        (void)fputs(i == 0 ? "" : "\t", stdout);
        print_value(&record->values[i]);
    }
    (void)putchar('\n');
}

static int query(struct bolt_connection *connection, const char *text, struct bolt_error *error)
{
    int64_t deadline_ms = bolt_deadline_in(QUERY_MS);
    struct bolt_record record;
    struct bolt_summary summary;
    int rc = bolt_run(connection, text, NULL, NULL, deadline_ms, error);

    while (rc == 0) {
        rc = bolt_next(connection, &record, deadline_ms, error);
        if (rc <= 0) {
            break;
        }
        print_record(&record);
        rc = 0;
    }
    if (rc == 0) {
        rc = bolt_consume(connection, &summary, deadline_ms, error);
    }
    if (rc == 0) {
        (void)fprintf(stderr, "%" PRId64 " nodes made, %" PRId64 " properties set\n",
                      summary.counters.nodes_created, summary.counters.properties_set);
    }
    return rc;
}

/* What the server says of a failure besides its message, since Bolt 5.7. */
static void explain(const struct bolt_error *error)
{
    struct bolt_value record;
    struct bolt_value position;
    struct bolt_value line;

    (void)fprintf(stderr, "bolt_query: %s\n", error->message);
    if (error->description[0] != '\0') {
        (void)fprintf(stderr, "  %s: %s\n", error->gql_status, error->description);
    }
    if (bolt_diagnostics_map(&error->diagnostics, &record) &&
        bolt_map_get(&record, "_position", &position) && bolt_map_get(&position, "line", &line) &&
        line.type == BOLT_INTEGER) {
        (void)fprintf(stderr, "  in line %" PRId64 " of the query\n", line.as.integer);
    }
    for (size_t i = 0; i < error->cause_count; i++) {
        (void)fprintf(stderr, "  because: %s: %s\n", error->causes[i].gql_status,
                      error->causes[i].message);
    }
}

int main(int argc, char **argv)
{
    struct bolt_connection *connection = NULL;
    struct bolt_error error;

    if (argc != 4) {
        (void)fprintf(stderr, "usage: NEO4J_PASSWORD=... bolt_query URI USER QUERY\n");
        return 2;
    }
    const char *password = getenv("NEO4J_PASSWORD");
    struct bolt_options options = {
        .uri = argv[1],
        .auth = {.scheme = "basic",
                 .principal = argv[2],
                 .credentials = password == NULL ? "" : password},
    };
    int rc = bolt_open(&options, bolt_deadline_in(CONNECT_MS), &connection, &error);
    if (rc == 0) {
        rc = query(connection, argv[3], &error);
    }
    bolt_close(connection);
    if (rc < 0) {
        explain(&error);
        return 1;
    }
    return 0;
}
