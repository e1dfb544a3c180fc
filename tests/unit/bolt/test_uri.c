/* uri - what may be connected to. */
#include "bolt/bytes.h"

#include "bolt/uri.h"

static void uris_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum bolt_tls tls;
        bool routing;
        const char *host;
        uint16_t port;
        const char *query;
    } CASES[] = {
        {"bolt://h", BOLT_TLS_NONE, false, "h", 7687, ""},
        {"bolt+s://graph.example.com:1", BOLT_TLS_VERIFY, false, "graph.example.com", 1, ""},
        {"BOLT+SSC://10.0.0.1:65535/", BOLT_TLS_ANY_SERVER, false, "10.0.0.1", 65535, ""},
        {"neo4j://[::1]", BOLT_TLS_NONE, true, "::1", 7687, ""},
        {"neo4j+s://[fe80::1%eth0]:99?a=b&c=d", BOLT_TLS_VERIFY, true, "fe80::1%eth0", 99,
         "a=b&c=d"},
        {"neo4j+ssc://my_host/?policy=eu", BOLT_TLS_ANY_SERVER, true, "my_host", 7687, "policy=eu"},
    };
    struct bolt_error error;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct bolt_uri uri;
        assert_bolt_ok(bolt_uri_parse(CASES[i].text, &uri, &error), &error);
        assert_int_equal(uri.tls, CASES[i].tls);
        assert_int_equal(uri.routing, CASES[i].routing);
        assert_string_equal(uri.host, CASES[i].host);
        assert_int_equal(uri.port, CASES[i].port);
        assert_string_equal(uri.query, CASES[i].query);
    }
}

static void what_is_no_uri_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } CASES[] = {
        {"", "no \"://\""},
        {"localhost:7687", "no \"://\""},
        {"http://h", "there are bolt, bolt+s"},
        {"bolt+x://h", "\"bolt+x\""},
        {"bolt://", "host name is 0 bytes"},
        {"bolt://:7687", "host name is 0 bytes"},
        {"bolt://h:", "the port"},
        {"bolt://h:0", "allowed is 1 to 65535"},
        {"bolt://h:65536", "allowed is 1 to 65535"},
        {"bolt://h:7687x", "the port"},
        {"bolt://::1", "host name is 0 bytes"},
        {"bolt://[::1", "lacks its ']'"},
        {"bolt://[::1]7", "after a ':'"},
        {"bolt://h h", "letters, digits"},
        {"bolt://h/db", "nothing may follow"},
        {"bolt://h?a=b", "nothing may follow"},
        {"neo4j://h#x", "nothing may follow"},
    };
    struct bolt_error error;
    struct bolt_uri uri;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_bolt_refused(bolt_uri_parse(CASES[i].text, &uri, &error), &error, BOLT_ERR_USAGE,
                            CASES[i].says);
    }
}

static void a_host_or_a_query_has_its_longest(void **state)
{
    (void)state;
    struct bolt_error error;
    struct bolt_uri uri;

    for (int more = 0; more < 2; more++) {
        AUTO(free_ptr) char *host = xprintf("bolt://%0*d", BOLT_HOST_MAX - 1 + more, 0);
        AUTO(free_ptr) char *query = xprintf("neo4j://h?%0*d", BOLT_URI_MAX - 1 + more, 0);
        int rc_host = bolt_uri_parse(host, &uri, &error);
        assert_int_equal(rc_host, more == 0 ? 0 : -BOLT_ERR_USAGE);
        int rc_query = bolt_uri_parse(query, &uri, &error);
        assert_int_equal(rc_query, more == 0 ? 0 : -BOLT_ERR_USAGE);
    }
}

static void a_password_in_it_is_not_repeated(void **state)
{
    (void)state;
    struct bolt_error error;
    struct bolt_uri uri;

    assert_bolt_refused(bolt_uri_parse("bolt://neo4j:s3cret@h", &uri, &error), &error,
                        BOLT_ERR_USAGE, "doesn't belong in the URI");
    assert_null(strstr(error.message, "s3cret"));
}

static void addresses_are_those_that_servers_give(void **state)
{
    (void)state;
    char host[BOLT_HOST_MAX];
    char text[URI_ADDRESS_MAX];
    uint16_t port = 0;
    struct bolt_error error;

    assert_bolt_ok(bolt_address_parse((struct bolt_string){"a.b:70", 6}, host, &port, &error),
                   &error);
    assert_string_equal(host, "a.b");
    assert_int_equal(port, 70);
    assert_bolt_ok(bolt_address_parse((struct bolt_string){"[::1]:70xxx", 8}, host, &port, &error),
                   &error);
    assert_string_equal(host, "::1");
    uri_address("::1", 70, text);
    assert_string_equal(text, "[::1]:70");
    uri_address("a.b", 70, text);
    assert_string_equal(text, "a.b:70");
    assert_bolt_refused(bolt_address_parse((struct bolt_string){NULL, 0}, host, &port, &error),
                        &error, BOLT_ERR_USAGE, "host name is 0 bytes");
}

static int pack_context(const char *text, struct bolt_packer *packer, struct bolt_error *error)
{
    struct bolt_uri uri;

    bolt_packer_init(packer, 0);
    assert_bolt_ok(bolt_uri_parse(text, &uri, error), error);
    return uri_pack_context(&uri, packer, error);
}

static void the_routing_context_is_a_map(void **state)
{
    (void)state;
    struct bolt_packer packer;
    struct bolt_error error;
    struct bolt_value map;
    struct bolt_value value;

    assert_bolt_ok(pack_context("neo4j://h:5?a=1&b%3D=x%20y", &packer, &error), &error);
    assert_bolt_ok(bolt_value_read(packer.data, packer.size, &map, NULL, &error), &error);
    assert_int_equal(map.count, 3);
    assert_true(bolt_map_get(&map, "address", &value));
    assert_text(bolt_value_string(&value), "h:5");
    assert_true(bolt_map_get(&map, "b=", &value));
    assert_text(bolt_value_string(&value), "x y");
    bolt_packer_done(&packer);
}

static void a_broken_routing_context_is_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {"neo4j://h?a",    "neo4j://h?=b",    "neo4j://h?a=",
                                        "neo4j://h?a=%4", "neo4j://h?a=%4x", "neo4j://h?a=b&&c=d"};
    struct bolt_packer packer;
    struct bolt_error error;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_bolt_refused(pack_context(CASES[i], &packer, &error), &error, BOLT_ERR_USAGE,
                            "?KEY=VALUE&KEY=VALUE");
        bolt_packer_done(&packer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uris_are_taken_apart),
        cmocka_unit_test(what_is_no_uri_is_refused),
        cmocka_unit_test(a_host_or_a_query_has_its_longest),
        cmocka_unit_test(a_password_in_it_is_not_repeated),
        cmocka_unit_test(addresses_are_those_that_servers_give),
        cmocka_unit_test(the_routing_context_is_a_map),
        cmocka_unit_test(a_broken_routing_context_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
