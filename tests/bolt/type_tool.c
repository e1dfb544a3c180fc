/*
 * type_tool - values between a real server and this client, for
 * tests/integration/test_bolt_types.py.
 *
 * usage: type_tool URI COMMAND    the password is in BOLT_PASSWORD
 *
 *   version    print the version of Bolt that is spoken
 *   write      make a node (:FromC {name, value}) for each kind of value that a property can have,
 *              and let the server return values that no property can have, as they were sent
 *   copy       read n.name, n.value of all (:FromPython), and make a (:Copy) of each
 *   graph      print the nodes, relationships and paths of (:A)-[:R]->(:B)<-[:R]-(:C)
 *   gql        print what GQL says of a query that is wrong, of its causes, and of one that is
 *              warned of, a line each: status, description, classification, line, column; tabs
 * between bulk N     make N nodes (:Bulk {i, v}), v 384 floats, in transactions of 100, four in
 * flight; then read all of them and print how many there are and whether each is what was sent
 *
 * Exit status 0: done. What is wrong goes to stderr.
 */
#include <holdfast/bolt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 120000
#define FLOATS 384
#define ROWS 100

static int64_t deadline_ms;
static struct bolt_error error;

static void check(int rc)
{
    if (rc < 0) {
        (void)fprintf(stderr, "type_tool: %s (%s)\n", error.message, bolt_error_name(rc));
        exit(1);
    }
}

static void wrong(const char *what)
{
    (void)fprintf(stderr, "type_tool: %s\n", what);
    exit(1);
}

/* ---- write ---- */

static void pack_ints(struct bolt_packer *p)
{
    static const int64_t VALUES[] = {
        0,     1,      -1,    -16,        -17,         127,        128,       -128,      -129,
        32767, -32768, 32768, 2147483647, -2147483648, 2147483648, INT64_MAX, INT64_MIN,
    };

    bolt_pack_integers(p, VALUES, sizeof(VALUES) / sizeof(VALUES[0]));
}

static void pack_texts(struct bolt_packer *p)
{
    static char lengthy[70000];

    memset(lengthy, 'x', sizeof(lengthy));
    bolt_pack_list(p, 5);
    bolt_pack_text(p, "");
    bolt_pack_text(p, "Käse 中文 😀");
    bolt_pack_string(p, "a\0b", 3);
    bolt_pack_string(p, lengthy, 300);
    bolt_pack_string(p, lengthy, sizeof(lengthy));
}

static void pack_bytes(struct bolt_packer *p)
{
    unsigned char bytes[300];

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)i;
    }
    bolt_pack_bytes(p, bytes, sizeof(bytes));
}

static void pack_floats(struct bolt_packer *p)
{
    static const double VALUES[] = {0.0, -0.0, 1.1, -1e308, 5e-324, 3.141592653589793};

    bolt_pack_doubles(p, VALUES, sizeof(VALUES) / sizeof(VALUES[0]));
}

static void pack_infinity(struct bolt_packer *p)
{
    bolt_pack_float(p, __builtin_inf());
}

static void pack_nan(struct bolt_packer *p)
{
    bolt_pack_float(p, __builtin_nan(""));
}

static void pack_true(struct bolt_packer *p)
{
    bolt_pack_boolean(p, true);
}

static void pack_date(struct bolt_packer *p)
{
    bolt_pack_date(p, -719162); /* 0001-01-01 */
}

static void pack_time(struct bolt_packer *p)
{
    bolt_pack_time(p, 45296123456789, -12600); /* 12:34:56.123456789-03:30 */
}

static void pack_local_time(struct bolt_packer *p)
{
    bolt_pack_local_time(p, 86399999999999);
}

static void pack_datetime(struct bolt_packer *p)
{
    bolt_pack_datetime(p, 1700000000, 123456789, 7200);
}

static void pack_zoned(struct bolt_packer *p)
{
    bolt_pack_zoned_datetime(p, 1700000000, 1, "Europe/Berlin");
}

static void pack_local_datetime(struct bolt_packer *p)
{
    bolt_pack_local_datetime(p, -1, 999999999);
}

static void pack_duration(struct bolt_packer *p)
{
    bolt_pack_duration(p, &(struct bolt_duration){14, -3, 5, 6});
}

static void pack_points(struct bolt_packer *p)
{
    bolt_pack_list(p, 2);
    bolt_pack_point_2d(p, 4326, 13.4, 52.5);
    bolt_pack_point_2d(p, 4326, -180.0, -90.0);
}

static void pack_point_3d(struct bolt_packer *p)
{
    bolt_pack_point_3d(p, 9157, 1.5, -2.5, 3.5);
}

static const struct {
    const char *name;
    void (*pack)(struct bolt_packer *p);
} KINDS[] = {
    {"ints", pack_ints},
    {"texts", pack_texts},
    {"bytes", pack_bytes},
    {"floats", pack_floats},
    {"infinity", pack_infinity},
    {"nan", pack_nan},
    {"true", pack_true},
    {"date", pack_date},
    {"time", pack_time},
    {"local time", pack_local_time},
    {"datetime", pack_datetime},
    {"zoned", pack_zoned},
    {"local datetime", pack_local_datetime},
    {"duration", pack_duration},
    {"points", pack_points},
    {"point 3d", pack_point_3d},
};

static void create(struct bolt_connection *c, const char *query, const struct bolt_packer *p)
{
    struct bolt_summary summary;

    check(bolt_execute(c, query, p, NULL, &summary, deadline_ms, &error));
    if (summary.counters.nodes_created != 1 || summary.bookmark.size == 0) {
        wrong("the summary doesn't tell of one new node");
    }
}

static void start_row(struct bolt_packer *p, const char *name, size_t size)
{
    bolt_packer_reset(p);
    bolt_pack_map(p, 2);
    bolt_pack_key(p, "name");
    bolt_pack_string(p, name, size);
    bolt_pack_key(p, "value");
}

/* Nested maps, lists of everything and null: what comes back must be packed as it was sent. */
static void echo(struct bolt_connection *c, struct bolt_packer *p)
{
    struct bolt_packer back;
    struct bolt_record record;

    bolt_packer_init(&back, 0);
    bolt_packer_reset(p);
    bolt_pack_map(p, 1);
    bolt_pack_key(p, "v");
    size_t before = p->size;
    bolt_pack_map(p, 1);
    bolt_pack_key(p, "all");
    bolt_pack_list(p, sizeof(KINDS) / sizeof(KINDS[0]) + 3);
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        KINDS[i].pack(p);
    }
    bolt_pack_null(p);
    bolt_pack_list(p, 0);
    bolt_pack_map(p, 1);
    bolt_pack_key(p, "");
    bolt_pack_null(p);
    check(bolt_run(c, "RETURN $v AS v", p, NULL, deadline_ms, &error));
    int rc = bolt_next(c, &record, deadline_ms, &error);
    check(rc);
    bolt_pack_value(&back, &record.values[0]);
    if (rc != 1 || back.size != p->size - before ||
        memcmp(back.data, p->data + before, back.size) != 0) {
        wrong("a value came back as another");
    }
    check(bolt_consume(c, NULL, deadline_ms, &error));
    bolt_packer_done(&back);
}

static void write_values(struct bolt_connection *c)
{
    struct bolt_packer p;

    bolt_packer_init(&p, 0);
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        start_row(&p, KINDS[i].name, strlen(KINDS[i].name));
        KINDS[i].pack(&p);
        create(c, "CREATE (:FromC {name: $name, value: $value})", &p);
    }
    echo(c, &p);
    bolt_packer_done(&p);
}

/* ---- copy ---- */

#define COPIES_MAX 256

static void copy_values(struct bolt_connection *c)
{
    struct bolt_packer rows[COPIES_MAX];
    struct bolt_record record;
    size_t count = 0;
    int rc;

    check(bolt_run(c, "MATCH (n:FromPython) RETURN n.name, n.value", NULL, NULL, deadline_ms,
                   &error));
    while ((rc = bolt_next(c, &record, deadline_ms, &error)) == 1) {
        struct bolt_string name = bolt_value_string(&record.values[0]);
        if (count == COPIES_MAX) {
            wrong("more values than it was made for");
        }
        bolt_packer_init(&rows[count], 0);
        start_row(&rows[count], name.data, name.size);
        bolt_pack_value(&rows[count++], &record.values[1]);
    }
    check(rc);
    for (size_t i = 0; i < count; i++) {
        create(c, "CREATE (:Copy {name: $name, value: $value})", &rows[i]);
        bolt_packer_done(&rows[i]);
    }
    (void)printf("%zu\n", count);
}

/* ---- graph ---- */

static void print_text(struct bolt_string text)
{
    (void)fwrite(text.data, 1, text.size, stdout);
    (void)putchar(' ');
}

static void print_node(const struct bolt_node *node)
{
    struct bolt_iter iter = bolt_iter_of(&node->labels);
    struct bolt_value value;

    (void)fputs("node ", stdout);
    print_text(node->element_id);
    while (bolt_iter_next(&iter, &value)) {
        print_text(bolt_value_string(&value));
    }
    if (!bolt_map_get(&node->properties, "n", &value)) {
        wrong("a node lacks its property");
    }
    (void)printf("%" PRId64 "\n", value.as.integer);
}

static void print_relationship(const struct bolt_relationship *r)
{
    struct bolt_value value;

    (void)fputs("relationship ", stdout);
    print_text(r->element_id);
    print_text(r->type);
    print_text(r->start_element_id);
    print_text(r->end_element_id);
    if (!bolt_map_get(&r->properties, "n", &value)) {
        wrong("a relationship lacks its property");
    }
    (void)printf("%" PRId64 "\n", value.as.integer);
}

static void print_path(const struct bolt_path *path)
{
    struct bolt_node from;
    struct bolt_node to;
    struct bolt_relationship step;

    for (uint32_t i = 0; bolt_path_step(path, i, &from, &step, &to); i++) {
        print_node(&from);
        print_relationship(&step);
        print_node(&to);
    }
}

static void print_graph(struct bolt_connection *c)
{
    struct bolt_record record;
    struct bolt_node node;
    struct bolt_relationship relationship;
    struct bolt_path path;
    int rc;

    check(bolt_run(c, "MATCH p = (a:A)-[r:R]->(:B)<-[:R]-(:C) RETURN a, r, p", NULL, NULL,
                   deadline_ms, &error));
    while ((rc = bolt_next(c, &record, deadline_ms, &error)) == 1) {
        if (!bolt_value_node(&record.values[0], &node) ||
            !bolt_value_relationship(&record.values[1], &relationship) ||
            !bolt_value_path(&record.values[2], &path)) {
            wrong("a record of other types");
        }
        print_node(&node);
        print_relationship(&relationship);
        print_path(&path);
    }
    check(rc);
}

/* ---- gql ---- */

static int64_t number_of(const struct bolt_value *map, const char *key)
{
    struct bolt_value value;

    return bolt_map_get(map, key, &value) ? value.as.integer : 0;
}

static void print_status(struct bolt_string status, struct bolt_string description,
                         const struct bolt_value *diagnostics)
{
    struct bolt_value classification = {.type = BOLT_NULL};
    struct bolt_value position = {.type = BOLT_NULL};

    (void)bolt_map_get(diagnostics, "_classification", &classification);
    (void)bolt_map_get(diagnostics, "_position", &position);
    struct bolt_string name = bolt_value_string(&classification);
    (void)printf("%.*s\t%.*s\t%.*s\t%" PRId64 "\t%" PRId64 "\n", (int)status.size, status.data,
                 (int)description.size, description.data, (int)name.size,
                 name.data == NULL ? "" : name.data, number_of(&position, "line"),
                 number_of(&position, "column"));
}

static void print_diagnostics(const char *status, const char *description,
                              const struct bolt_diagnostics *diagnostics)
{
    struct bolt_value record = {.type = BOLT_NULL};

    (void)bolt_diagnostics_map(diagnostics, &record);
    print_status((struct bolt_string){status, strlen(status)},
                 (struct bolt_string){description, strlen(description)}, &record);
}

static void print_gql(struct bolt_connection *c)
{
    struct bolt_record record;
    struct bolt_summary summary;
    struct bolt_notice notice;

    if (bolt_execute(c, "CREATE (n:A)\nDELETE 5", NULL, NULL, NULL, deadline_ms, &error) == 0) {
        wrong("a query was not refused");
    }
    print_diagnostics(error.gql_status, error.description, &error.diagnostics);
    for (size_t i = 0; i < error.cause_count; i++) {
        print_diagnostics(error.causes[i].gql_status, error.causes[i].description,
                          &error.causes[i].diagnostics);
    }
    check(bolt_reset(c, deadline_ms, &error));
    check(bolt_run(c, "MATCH (n:NeverMade) RETURN n", NULL, NULL, deadline_ms, &error));
    check(bolt_next(c, &record, deadline_ms, &error)); /* there is none */
    check(bolt_consume(c, &summary, deadline_ms, &error));
    for (size_t i = 0; bolt_summary_notice(&summary, i, &notice); i++) {
        print_status(notice.gql_status, notice.gql_description, &notice.diagnostics);
    }
}

/* ---- bulk ---- */

static float element(size_t row, size_t at)
{
    return (float)((row * 31 + at) % 1000) / 999.0f - 0.5f;
}

static void pack_rows(struct bolt_packer *p, size_t first, size_t count)
{
    float vector[FLOATS];

    bolt_packer_reset(p);
    bolt_pack_map(p, 1);
    bolt_pack_key(p, "rows");
    bolt_pack_list_open(p);
    for (size_t row = first; row < first + count; row++) {
        for (size_t i = 0; i < FLOATS; i++) {
            vector[i] = element(row, i);
        }
        bolt_pack_map(p, 2);
        bolt_pack_key(p, "i");
        bolt_pack_integer(p, (int64_t)row);
        bolt_pack_key(p, "v");
        bolt_pack_floats(p, vector, FLOATS);
    }
    bolt_pack_end(p);
}

static void write_bulk(struct bolt_connection *c, size_t total)
{
    struct bolt_packer p;

    bolt_packer_init(&p, 0);
    for (size_t first = 0; first < total;) {
        for (int flight = 0; flight < 4 && first < total; flight++) {
            size_t count = total - first < ROWS ? total - first : ROWS;
            pack_rows(&p, first, count);
            check(bolt_send_begin(c, NULL, NULL, &error));
            check(bolt_send_run(c, "UNWIND $rows AS r CREATE (:Bulk {i: r.i, v: r.v})", &p, NULL,
                                NULL, &error));
            check(bolt_send_discard(c, BOLT_ALL, BOLT_LAST_QUERY, NULL, &error));
            check(bolt_send_commit(c, NULL, &error));
            first += count;
        }
        check(bolt_settle(c, deadline_ms, &error));
    }
    bolt_packer_done(&p);
}

static void read_bulk(struct bolt_connection *c)
{
    struct bolt_record record;
    float vector[FLOATS];
    size_t seen = 0;
    int rc;

    check(bolt_run(c, "MATCH (n:Bulk) RETURN n.i, n.v", NULL, NULL, deadline_ms, &error));
    while ((rc = bolt_next(c, &record, deadline_ms, &error)) == 1) {
        size_t row = (size_t)record.values[0].as.integer;
        if (!bolt_list_floats(&record.values[1], vector, FLOATS)) {
            wrong("a vector came back as something else");
        }
        for (size_t i = 0; i < FLOATS; i++) {
            if (vector[i] != element(row, i)) {
                wrong("a float came back as another");
            }
        }
        seen++;
    }
    check(rc);
    (void)printf("%zu\n", seen);
}

int main(int argc, char **argv)
{
    struct bolt_connection *c = NULL;

    if (argc < 3) {
        wrong("usage: type_tool URI version | write | copy | graph | gql | bulk N");
    }
    deadline_ms = bolt_deadline_in(WAIT_MS);
    const struct bolt_options options = {
        .uri = argv[1],
        .auth = {.scheme = "basic", .principal = "neo4j", .credentials = getenv("BOLT_PASSWORD")},
    };
    check(bolt_open(&options, deadline_ms, &c, &error));
    if (strcmp(argv[2], "version") == 0) {
        (void)printf("%u.%u\n", bolt_info(c)->major, bolt_info(c)->minor);
    } else if (strcmp(argv[2], "write") == 0) {
        write_values(c);
    } else if (strcmp(argv[2], "copy") == 0) {
        copy_values(c);
    } else if (strcmp(argv[2], "graph") == 0) {
        print_graph(c);
    } else if (strcmp(argv[2], "gql") == 0) {
        print_gql(c);
    } else if (strcmp(argv[2], "bulk") == 0 && argc == 4) {
        write_bulk(c, strtoul(argv[3], NULL, 10));
        read_bulk(c);
    } else {
        wrong("there is no such command");
    }
    bolt_close(c);
    return 0;
}
