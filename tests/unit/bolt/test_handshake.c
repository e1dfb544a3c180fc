/* handshake - agreeing on a version, and what HELLO and LOGON say in each. */
#include "bolt/peer.h"

#include "bolt/connection.h"

static void the_newest_common_version_is_chosen(void **state)
{
    (void)state;
    static const struct {
        unsigned char offer[4];
        bool common;
        struct version version;
    } CASES[] = {
        {{0, 2, 8, 5}, true, {5, 8}},  {{0, 8, 8, 5}, true, {5, 8}},
        {{0, 0, 7, 5}, true, {5, 7}},  {{0, 1, 6, 5}, true, {5, 6}},
        {{0, 0, 5, 5}, false, {0, 0}}, {{0, 1, 5, 5}, true, {5, 4}},
        {{0, 4, 4, 5}, true, {5, 4}},  {{0, 0, 0, 5}, true, {5, 0}},
        {{0, 4, 4, 4}, true, {4, 4}},  {{0, 9, 2, 4}, true, {4, 2}},
        {{0, 0, 1, 4}, false, {0, 0}}, {{0, 0, 1, 6}, false, {0, 0}},
        {{0, 1, 1, 6}, true, {6, 0}},  {{0, 0, 0, 6}, true, {6, 0}},
        {{0, 0, 9, 5}, false, {0, 0}}, {{0, 255, 9, 5}, true, {5, 8}},
        {{0, 0, 0, 7}, false, {0, 0}},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct version version = {0, 0};
        const unsigned char(*offer)[4] = &CASES[i].offer;
        assert_int_equal(handshake_choose(offer, 1, &version), CASES[i].common);
        assert_int_equal(version.major, CASES[i].version.major);
        assert_int_equal(version.minor, CASES[i].version.minor);
    }
}

/* What the client says from the first byte to the end, in each version. */
#define AGENT "{\"product\": \"holdfast-bolt/" HOLDFAST_VERSION "\", \"language\": \"C\"}"
#define BASIC "\"scheme\": \"basic\", \"principal\": \"neo4j\", \"credentials\": \"s3cret\""
#define SERVER "S: SUCCESS {\"server\": \"Neo4j/x\", \"connection_id\": \"bolt-7\"}\n"

static const struct {
    const char *version;
    int major, minor;
    const char *script;
} GREETINGS[] = {
    {"4.2", 4, 2, "C: HELLO {\"user_agent\": \"test/1\", " BASIC "}\n" SERVER},
    {"4.3", 4, 3,
     "C: HELLO {\"user_agent\": \"test/1\", \"patch_bolt\": [\"utc\"], " BASIC "}\n" SERVER},
    {"4.4", 4, 4,
     "C: HELLO {\"user_agent\": \"test/1\", \"patch_bolt\": [\"utc\"], " BASIC "}\n" SERVER},
    {"5.0", 5, 0, "C: HELLO {\"user_agent\": \"test/1\", " BASIC "}\n" SERVER},
    {"5.1", 5, 1,
     "C: HELLO {\"user_agent\": \"test/1\"}\nC: LOGON {" BASIC "}\n" SERVER "S: SUCCESS {}\n"},
    {"5.2", 5, 2,
     "C: HELLO {\"user_agent\": \"test/1\"}\nC: LOGON {" BASIC "}\n" SERVER "S: SUCCESS {}\n"},
    {"5.3", 5, 3,
     "C: HELLO {\"user_agent\": \"test/1\", \"bolt_agent\": " AGENT "}\nC: LOGON {" BASIC
     "}\n" SERVER "S: SUCCESS {}\n"},
    {"5.4", 5, 4,
     "C: HELLO {\"user_agent\": \"test/1\", \"bolt_agent\": " AGENT "}\nC: LOGON {" BASIC
     "}\n" SERVER "S: SUCCESS {}\n"},
    {"5.6", 5, 6,
     "C: HELLO {\"user_agent\": \"test/1\", \"bolt_agent\": " AGENT "}\nC: LOGON {" BASIC
     "}\n" SERVER "S: SUCCESS {}\n"},
    {"5.7", 5, 7,
     "C: HELLO {\"user_agent\": \"test/1\", \"bolt_agent\": " AGENT "}\nC: LOGON {" BASIC
     "}\n" SERVER "S: SUCCESS {}\n"},
    {"manifest 5.7", 5, 7,
     "C: HELLO {\"user_agent\": \"test/1\", \"bolt_agent\": " AGENT "}\nC: LOGON {" BASIC
     "}\n" SERVER "S: SUCCESS {}\n"},
    {"manifest 5.8", 5, 8,
     "C: HELLO {\"user_agent\": \"test/1\", \"bolt_agent\": " AGENT "}\nC: LOGON {" BASIC "}\n"
     "S: SUCCESS {\"server\": \"Neo4j/x\", \"connection_id\": \"bolt-7\", "
     "\"protocol_version\": \"5.8\"}\n"
     "S: SUCCESS {\"advertised_address\": \"a:1\"}\n"},
    {"manifest 6.0", 6, 0,
     "C: HELLO {\"user_agent\": \"test/1\", \"bolt_agent\": " AGENT "}\nC: LOGON {" BASIC
     "}\n" SERVER "S: SUCCESS {}\n"},
};

static void greet(const char *version, const char *greeting, int major, int minor, bool drip)
{
    AUTO(free_ptr) char *script = xprintf("H: %s\n%sC: GOODBYE\nC: <EOF>\n", version, greeting);
    const struct bolt_options options = {
        .uri = "bolt://peer:99",
        .user_agent = "test/1",
        .auth = {.scheme = "basic", .principal = "neo4j", .credentials = "s3cret"},
    };
    struct peer peer;

    peer_start(&peer, script, drip);
    struct bolt_connection *c = peer_open(&peer, &options);
    const struct bolt_connection_info *info = bolt_info(c);
    assert_int_equal(info->major, major);
    assert_int_equal(info->minor, minor);
    assert_string_equal(info->server, "Neo4j/x");
    assert_string_equal(info->connection_id, "bolt-7");
    assert_string_equal(info->address, "peer:99");
    assert_string_equal(info->advertised_address, minor == 8 ? "a:1" : "");
    assert_int_equal(info->legacy_times, major == 4);
    assert_false(info->tls || info->clear_credentials);
    assert_true(bolt_is_alive(c));
    bolt_close(c);
    peer_end(&peer);
}

static void every_version_is_greeted_in_its_way(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof(GREETINGS) / sizeof(GREETINGS[0]); i++) {
        for (int drip = 0; drip < 2; drip++) {
            greet(GREETINGS[i].version, GREETINGS[i].script, GREETINGS[i].major, GREETINGS[i].minor,
                  drip != 0);
        }
    }
}

/* Open with these options against this script; the error is the caller's to look at. */
static int try(const char *script, const struct bolt_options *options, struct bolt_connection **ret,
               struct bolt_error *error)
{
    struct peer peer;

    peer_start(&peer, script, false);
    int rc = peer_try(&peer, options, ret, error);
    if (rc == 0) {
        bolt_close(*ret);
        *ret = NULL;
    }
    peer_end(&peer);
    return rc;
}

static void a_server_of_other_versions_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        const char *says;
    } CASES[] = {
        {"H: 00000000\n", "none of our versions"},
        {"H: 48545450\n", "answers HTTP"},
        {"H: 15030300\n", "wants TLS"},
        {"H: 00000505\n", "no version of Bolt that we offered"}, /* 5.5 */
        {"H: 00000104\n", "no version of Bolt that we offered"},
        {"H: 00000006\n", "no version of Bolt that we offered"}, /* 6.0 but by manifest */
        {"H: 01000405\n", "no version of Bolt that we offered"},
        {"H: 000001FF 00 00\n", "none of our versions"},
        {"H: 000001FF 01 00000304 80 00\nS: <EXIT>\n", "closed the connection"}, /* 4.3 chosen */
        {"H: 000001FF 01 00000505 00\n", "none of our versions"},
        {"H: 000001FF 41\n", "65 ranges"},
        {"H: 000001FF FFFFFFFFFFFFFFFFFFFF\n", "without an end"},
        {"H: 0000\nS: <EXIT>\n", "closed the connection instead of agreeing"},
        {"S: <EXIT>\n", "closed the connection instead of agreeing"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct bolt_connection *c = NULL;
        struct bolt_error error;
        int rc = try(CASES[i].script, NULL, &c, &error);
        if (i == 8) { /* the version was fine; then HELLO is not answered */
            assert_int_equal(rc, -BOLT_ERR_LOST);
            continue;
        }
        bool ended = strstr(CASES[i].says, "instead of agreeing") != NULL;
        assert_bolt_refused(rc, &error, ended ? BOLT_ERR_CONNECT : BOLT_ERR_PROTOCOL,
                            CASES[i].says);
        assert_null(c);
    }
}

static void a_version_that_was_changed_on_the_way_is_noticed(void **state)
{
    (void)state;
    struct bolt_connection *c = NULL;
    struct bolt_error error;

    assert_bolt_refused(try("H: manifest 5.7\nC: HELLO *\nC: LOGON *\n"
                            "S: SUCCESS {\"protocol_version\": \"5.8\"}\nS: SUCCESS {}\n",
                            NULL, &c, &error),
                        &error, BOLT_ERR_PROTOCOL, "5.7 was agreed on");
}

static void a_refused_logon_says_so_and_not_the_password(void **state)
{
    (void)state;
    static const char *const SCRIPTS[] = {
        "H: 5.0\nC: HELLO *\n"
        "S: FAILURE {\"code\": \"Neo.ClientError.Security.Unauthorized\", \"message\": \"no\"}\n"
        "S: <EXIT>\n",
        "H: 5.4\nC: HELLO *\nC: LOGON *\nS: SUCCESS {}\n"
        "S: FAILURE {\"code\": \"Neo.ClientError.Security.Unauthorized\", \"message\": \"no\"}\n"
        "S: <EXIT>\n",
        "H: 5.7\nC: HELLO *\nC: LOGON *\nS: SUCCESS {}\n"
        "S: FAILURE {\"neo4j_code\": \"Neo.ClientError.Security.Unauthorized\", \"message\": "
        "\"no\","
        " \"gql_status\": \"42NFF\"}\n"
        "S: <EXIT>\n",
    };
    const struct bolt_options options = {
        .uri = "bolt://peer",
        .auth = {.scheme = "basic", .principal = "neo4j", .credentials = "s3cret"},
    };

    for (size_t i = 0; i < 3; i++) {
        struct bolt_connection *c = NULL;
        struct bolt_error error;
        assert_bolt_refused(try(SCRIPTS[i], &options, &c, &error), &error, BOLT_ERR_AUTH,
                            "peer:7687 doesn't let us in: no (Neo.ClientError");
        assert_string_equal(error.code, "Neo.ClientError.Security.Unauthorized");
        assert_string_equal(error.gql_status, i == 2 ? "42NFF" : "");
        assert_null(strstr(error.message, "s3cret"));
        assert_false(bolt_error_is_retryable(&error));
    }
}

#define PASSWORD_BYTES 30000 /* as many bytes of both buffers were written */

static bool holds(const unsigned char *data, size_t size, const char *text)
{
    return data != NULL && memmem(data, size, text, strlen(text)) != NULL;
}

/* In HELLO (5.0) and in LOGON; long enough to make every buffer grow. */
static void a_password_is_wiped_once_it_is_sent(void **state)
{
    (void)state;
    static const char *const GREETING[] = {
        "H: 5.0\nC: HELLO *\nS: SUCCESS {}\n",
        "H: 5.4\nC: HELLO *\nC: LOGON *\nS: SUCCESS {}\nS: SUCCESS {}\n"};
    AUTO(free_ptr) char *password = xprintf("s3cret-%0*d", PASSWORD_BYTES, 0);
    const struct bolt_options options = {
        .uri = "bolt://peer",
        .auth = {.scheme = "basic", .principal = "u", .credentials = password, .realm = "r"},
    };

    for (size_t i = 0; i < 2; i++) {
        AUTO(free_ptr) char *script = xprintf("%sC: GOODBYE\nC: <EOF>\n", GREETING[i]);
        struct peer peer;
        peer_start(&peer, script, false);
        struct bolt_connection *c = peer_open(&peer, &options);
        assert_false(holds(c->scratch.data, PASSWORD_BYTES, "s3cret"));
        assert_false(holds(c->tx.data, PASSWORD_BYTES, "s3cret"));
        bolt_close(c);
        peer_end(&peer);
    }
}

static void credentials_in_the_clear_are_told_whenever_they_go(void **state)
{
    (void)state;
    static const struct bolt_auth NOBODY = {.scheme = "none"};
    static const struct bolt_auth SOMEBODY = {
        .scheme = "basic", .principal = "neo4j", .credentials = "s3cret"};
    struct peer peer;
    struct bolt_error error;

    peer_start(&peer,
               PEER_HELLO "C: LOGOFF\nC: LOGON *\nS: SUCCESS {}\nS: SUCCESS {}\n"
                          "C: LOGOFF\nC: LOGON *\nS: SUCCESS {}\nS: SUCCESS {}\n"
                          "C: LOGOFF\nC: LOGON *\nS: SUCCESS {}\nS: SUCCESS {}\n"
                          "C: GOODBYE\nC: <EOF>\n",
               false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    assert_false(c->exposed); /* a socket of this machine, */
    c->exposed = true;        /* as if it were none */
    assert_bolt_ok(bolt_logon(c, &NOBODY, soon(), &error), &error);
    assert_false(bolt_info(c)->clear_credentials);
    assert_bolt_ok(bolt_logon(c, &SOMEBODY, soon(), &error), &error);
    assert_true(bolt_info(c)->clear_credentials);
    assert_bolt_ok(bolt_logon(c, &NOBODY, soon(), &error), &error);
    assert_true(bolt_info(c)->clear_credentials); /* they went */
    bolt_close(c);
    peer_end(&peer);
}

static void hello_carries_routing_and_notifications(void **state)
{
    (void)state;
    static const char *const DISABLED[] = {"HINT", "GENERIC", NULL};
    const struct bolt_options options = {
        .uri = "neo4j://peer?region=eu",
        .user_agent = "test/1",
        .notifications = {.least_severity = "WARNING", .disabled = DISABLED},
    };
    static const char *const SCRIPTS[] = {
        "H: 5.2\nC: HELLO {\"user_agent\": \"test/1\", \"routing\": {\"address\": \"peer:7687\", "
        "\"region\": \"eu\"}, \"notifications_minimum_severity\": \"WARNING\", "
        "\"notifications_disabled_categories\": [\"HINT\", \"GENERIC\"]}\n"
        "C: LOGON {\"scheme\": \"none\"}\nS: SUCCESS {}\nS: SUCCESS {}\nC: GOODBYE\nC: <EOF>\n",
        "H: 5.6\nC: HELLO {\"user_agent\": \"test/1\", \"bolt_agent\": " AGENT
        ", \"routing\": {\"address\": \"peer:7687\", "
        "\"region\": \"eu\"}, \"notifications_minimum_severity\": \"WARNING\", "
        "\"notifications_disabled_classifications\": [\"HINT\", \"GENERIC\"]}\n"
        "C: LOGON {\"scheme\": \"none\"}\nS: SUCCESS {}\nS: SUCCESS {}\nC: GOODBYE\nC: <EOF>\n",
    };
    struct bolt_connection *c = NULL;
    struct bolt_error error;

    assert_bolt_ok(try(SCRIPTS[0], &options, &c, &error), &error);
    assert_bolt_ok(try(SCRIPTS[1], &options, &c, &error), &error);
    assert_bolt_refused(try("H: 5.1\nC: <EOF>\n", &options, &c, &error), &error,
                        BOLT_ERR_UNSUPPORTED, "from Bolt 5.2 on");
}

static void what_the_server_says_about_itself_is_known(void **state)
{
    (void)state;
    static const char SCRIPT[] =
        "H: 4.4\nC: HELLO *\n"
        "S: SUCCESS {\"server\": \"Neo4j/4.4.0\", \"connection_id\": \"c\", "
        "\"hints\": {\"connection.recv_timeout_seconds\": 120, \"telemetry.enabled\": true}, "
        "\"patch_bolt\": [\"x\", \"utc\"]}\n"
        "C: GOODBYE\nC: <EOF>\n";
    struct peer peer;

    peer_start(&peer, SCRIPT, false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    assert_int_equal(bolt_info(c)->silence_max_ms, 120000);
    assert_false(bolt_info(c)->legacy_times);
    bolt_close(c);
    peer_end(&peer);
}

static void odd_options_are_refused_before_anything_is_sent(void **state)
{
    (void)state;
    static const struct {
        struct bolt_options options;
        const char *says;
    } CASES[] = {
        {{.uri = NULL}, "options.uri is missing"},
        {{.uri = "x"}, "no \"://\""},
        {{.uri = "bolt://h", .ca_file = "f"}, "need TLS"},
        {{.uri = "neo4j://h", .pinned_sha256 = "00"}, "need TLS"},
        {{.uri = "bolt+ssc://h", .ca_file = "f"}, "ca_file would mean nothing"},
        {{.uri = "bolt+s://h", .pinned_sha256 = "00"}, "64 hex digits"},
        {{.uri = "bolt+s://h", .ca_file = "/nonexistent"}, "can't be read"},
        {{.uri = "bolt://h", .fetch_size = -2}, "fetch_size is -2"},
    };
    struct bolt_error error;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct bolt_connection *c = NULL;
        assert_bolt_refused(try("C: <EOF>\n", &CASES[i].options, &c, &error), &error,
                            BOLT_ERR_USAGE, CASES[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_common_version_is_chosen),
        cmocka_unit_test(every_version_is_greeted_in_its_way),
        cmocka_unit_test(a_server_of_other_versions_is_refused),
        cmocka_unit_test(a_version_that_was_changed_on_the_way_is_noticed),
        cmocka_unit_test(a_refused_logon_says_so_and_not_the_password),
        cmocka_unit_test(a_password_is_wiped_once_it_is_sent),
        cmocka_unit_test(credentials_in_the_clear_are_told_whenever_they_go),
        cmocka_unit_test(hello_carries_routing_and_notifications),
        cmocka_unit_test(what_the_server_says_about_itself_is_known),
        cmocka_unit_test(odd_options_are_refused_before_anything_is_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
