/* What ROUTE answers, read. */
#include "bolt/driver_internal.h"
#include "driver_fixture.h"

struct table {
    struct bolt_packer packer;
    struct address_list roles[ROUTE_ROLES];
    int64_t ttl_s;
    struct bolt_error error;
};

static int set_up(void **state)
{
    struct table *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    bolt_packer_init(&t->packer, 0);
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct table *t = *state;

    bolt_packer_done(&t->packer);
    free(t);
    return 0;
}

static void pack_server(struct table *t, const char *role, size_t count, ...)
{
    va_list addresses;

    bolt_pack_map(&t->packer, 2);
    bolt_pack_key(&t->packer, "role");
    bolt_pack_text(&t->packer, role);
    bolt_pack_key(&t->packer, "addresses");
    bolt_pack_list(&t->packer, count);
    va_start(addresses, count);
    for (size_t i = 0; i < count; i++) {
        bolt_pack_text(&t->packer, va_arg(addresses, const char *));
    }
    va_end(addresses);
}

/* The map up to its `count` servers. */
static void pack_head(struct table *t, int64_t ttl_s, size_t count)
{
    bolt_packer_reset(&t->packer);
    bolt_pack_map(&t->packer, 2);
    bolt_pack_key(&t->packer, "ttl");
    bolt_pack_integer(&t->packer, ttl_s);
    bolt_pack_key(&t->packer, "servers");
    bolt_pack_list(&t->packer, count);
}

static int read_it(struct table *t)
{
    struct bolt_value value;

    assert_int_equal(bolt_packer_check(&t->packer, &t->error), 0);
    assert_int_equal(bolt_value_read(t->packer.data, t->packer.size, &value, NULL, &t->error), 0);
    return bolt_route_table_read(&value, t->roles, &t->ttl_s, &t->error);
}

static void a_table_is_read_by_roles(void **state)
{
    struct table *t = *state;

    pack_head(t, 300, 4);
    pack_server(t, "WRITE", 1, "a:7687");
    pack_server(t, "READ", 3, "b:7687", "[::1]:1234", "B:7687");
    pack_server(t, "ROUTE", 2, "a:7687", "b:7687");
    pack_server(t, "COFFEE", 1, "c:7687"); /* a role of the future */
    assert_int_equal(read_it(t), 0);
    assert_true(t->ttl_s == 300);
    assert_int_equal(t->roles[ROUTE_WRITERS].count, 1);
    assert_int_equal(t->roles[ROUTE_ROUTERS].count, 2);
    assert_int_equal(t->roles[ROUTE_READERS].count, 2); /* names know no case */
    assert_string_equal(t->roles[ROUTE_READERS].all[1].host, "::1");
    assert_int_equal(t->roles[ROUTE_READERS].all[1].port, 1234);
}

static void a_table_without_writers_serves_readers(void **state)
{
    struct table *t = *state;

    pack_head(t, 300, 2);
    pack_server(t, "READ", 1, "a:7687");
    pack_server(t, "ROUTE", 1, "a:7687");
    assert_int_equal(read_it(t), 0);
    assert_int_equal(t->roles[ROUTE_WRITERS].count, 0);
}

static void a_table_without_routers_or_readers_is_refused(void **state)
{
    struct table *t = *state;

    pack_head(t, 300, 2);
    pack_server(t, "READ", 1, "a:7687");
    pack_server(t, "ROUTE", 0);
    assert_int_equal(read_it(t), -BOLT_ERR_PROTOCOL);
    assert_non_null(strstr(t->error.message, "no routers"));
    pack_head(t, 300, 1);
    pack_server(t, "ROUTE", 1, "a:7687");
    assert_int_equal(read_it(t), -BOLT_ERR_PROTOCOL);
    assert_non_null(strstr(t->error.message, "no readers"));
}

static void strange_shapes_are_refused(void **state)
{
    struct table *t = *state;

    bolt_pack_integer(&t->packer, 1);
    assert_int_equal(read_it(t), -BOLT_ERR_PROTOCOL);
    bolt_packer_reset(&t->packer);
    bolt_pack_map(&t->packer, 0);
    assert_int_equal(read_it(t), -BOLT_ERR_PROTOCOL);
    pack_head(t, 1, 1);
    bolt_pack_null(&t->packer);
    assert_int_equal(read_it(t), -BOLT_ERR_PROTOCOL);
    pack_head(t, 1, 1);
    pack_server(t, "READ", 1, "no port given:x");
    assert_int_equal(read_it(t), -BOLT_ERR_PROTOCOL);
}

static void the_ttl_is_kept_within_reason(void **state)
{
    static const struct {
        int64_t given, kept;
    } CASES[] = {{-1, 0}, {0, 0}, {86400, 86400}, {86401, 86400}, {INT64_MAX, 86400}};
    struct table *t = *state;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        pack_head(t, CASES[i].given, 2);
        pack_server(t, "READ", 1, "a:1");
        pack_server(t, "ROUTE", 1, "a:1");
        assert_int_equal(read_it(t), 0);
        assert_true(t->ttl_s == CASES[i].kept);
    }
}

static void pack_many(struct table *t, unsigned count)
{
    char name[32];

    pack_head(t, 1, 2);
    pack_server(t, "ROUTE", 1, "a:1");
    bolt_pack_map(&t->packer, 2);
    bolt_pack_key(&t->packer, "role");
    bolt_pack_text(&t->packer, "READ");
    bolt_pack_key(&t->packer, "addresses");
    bolt_pack_list(&t->packer, count);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "h%u:7687", i);
        bolt_pack_text(&t->packer, name);
    }
}

static void more_servers_than_anybody_has_are_refused(void **state)
{
    struct table *t = *state;

    pack_many(t, BOLT_ROUTE_ADDRESSES_MAX);
    assert_int_equal(read_it(t), 0);
    assert_int_equal(t->roles[ROUTE_READERS].count, BOLT_ROUTE_ADDRESSES_MAX);
    pack_many(t, BOLT_ROUTE_ADDRESSES_MAX + 1);
    assert_int_equal(read_it(t), -BOLT_ERR_LIMIT);
}

static void addresses_are_removed(void **state)
{
    struct table *t = *state;
    struct bolt_address address = {.host = "h3", .port = 7687};

    pack_many(t, 5);
    assert_int_equal(read_it(t), 0);
    bolt_address_list_remove(&t->roles[ROUTE_READERS], &address);
    assert_int_equal(t->roles[ROUTE_READERS].count, 4);
    assert_false(bolt_address_list_has(&t->roles[ROUTE_READERS], &address));
    assert_string_equal(t->roles[ROUTE_READERS].all[3].host, "h4");
    bolt_address_list_remove(&t->roles[ROUTE_READERS], &address); /* not there: nothing */
    assert_int_equal(t->roles[ROUTE_READERS].count, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_table_is_read_by_roles),
        TEST(a_table_without_writers_serves_readers),
        TEST(a_table_without_routers_or_readers_is_refused),
        TEST(strange_shapes_are_refused),
        TEST(the_ttl_is_kept_within_reason),
        TEST(more_servers_than_anybody_has_are_refused),
        TEST(addresses_are_removed),
    };

    return cmocka_run_group_tests_name("bolt/route_table", tests, NULL, NULL);
}
