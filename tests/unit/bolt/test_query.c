/* query - queries and transactions, one at a time, against a scripted server; each script also with
 * the server's bytes coming one by one. */
#include "bolt/peer.h"

#define FAILURE_57                                                                                 \
    "S: FAILURE {\"neo4j_code\": \"Neo.ClientError.Statement.SyntaxError\", \"message\": "         \
    "\"bad\", "                                                                                    \
    "\"gql_status\": \"42001\", \"description\": \"error: syntax error\", \"diagnostic_record\": " \
    "{\"_idempotent\": true, \"_classification\": \"CLIENT_ERROR\"}, \"cause\": "                  \
    "{\"gql_status\": \"42I06\", \"message\": \"inner\", \"description\": \"error: input\", "      \
    "\"diagnostic_record\": {\"_position\": {\"offset\": 7, \"line\": 1, \"column\": 8}}, "        \
    "\"cause\": "                                                                                  \
    "{\"gql_status\": \"G2\", \"message\": \"innermost\"}}}\n"

#define BYE "C: GOODBYE\nC: <EOF>\n"

typedef void scenario_fn(struct bolt_connection *c);

static void play(const char *script, const struct bolt_options *options, scenario_fn *scenario)
{
    for (int drip = 0; drip < 2; drip++) {
        struct peer peer;
        peer_start(&peer, script, drip != 0);
        struct bolt_connection *c = peer_open(&peer, options);
        scenario(c);
        bolt_close(c);
        peer_end(&peer);
    }
}

/* ---- reading ---- */

static void read_two_records(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_record record;
    struct bolt_summary summary;
    size_t count = 0;

    assert_bolt_ok(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error);
    const struct bolt_string *fields = bolt_fields(c, &count);
    assert_int_equal(count, 2);
    assert_text(fields[0], "a");
    assert_text(fields[1], "b");
    assert_int_equal(bolt_next(c, &record, soon(), &error), 1);
    assert_int_equal(record.count, 2);
    assert_int_equal(record.values[0].as.integer, 1);
    assert_text(bolt_value_string(&record.values[1]), "x");
    assert_int_equal(bolt_next(c, &record, soon(), &error), 1);
    assert_int_equal(record.values[1].count, 3);
    assert_int_equal(bolt_next(c, &record, soon(), &error), 0);
    assert_int_equal(bolt_next(c, &record, soon(), &error), 0);
    assert_bolt_ok(bolt_consume(c, &summary, soon(), &error), &error);
    assert_text(summary.bookmark, "bm");
    assert_text(summary.database, "neo4j");
    assert_text(summary.type, "rw");
    assert_int_equal(summary.first_ms, 3);
    assert_int_equal(summary.last_ms, 4);
    assert_int_equal(summary.counters.nodes_created, 7);
    assert_string_equal(bolt_bookmark(c), "bm");
    assert_int_equal(bolt_in_flight(c), 0);
}

static void records_are_streamed(void **state)
{
    (void)state;

    play(PEER_HELLO
         "C: RUN \"Q\" {} {}\n"
         "C: PULL {\"n\": 1000}\n"
         "S: <NOOP>\n"
         "S: SUCCESS {\"fields\": [\"a\", \"b\"], \"t_first\": 3}\n"
         "S: <NOOP>\n"
         "S: RECORD [1, \"x\"]\n"
         "S: <NOOP>\n"
         "S: RECORD [2, [3, 4, 5]]\n"
         "S: SUCCESS {\"bookmark\": \"bm\", \"db\": \"neo4j\", \"type\": \"rw\", "
         "\"t_last\": 4, \"stats\": {\"nodes-created\": 7}, \"unknown\": {\"x\": 1}}\n" BYE,
         NULL, read_two_records);
}

static void read_in_batches(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_record record;
    int64_t seen = 0;

    assert_bolt_ok(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error);
    while (bolt_next(c, &record, soon(), &error) == 1) {
        assert_int_equal(record.values[0].as.integer, ++seen);
    }
    assert_int_equal(seen, 3);
}

static void the_next_batch_is_asked_for(void **state)
{
    (void)state;
    const struct bolt_options options = {.uri = "bolt://peer", .fetch_size = 2};

    play(PEER_HELLO "C: RUN \"Q\" {} {}\n"
                    "C: PULL {\"n\": 2}\n"
                    "S: SUCCESS {\"fields\": [\"a\"]}\n"
                    "S: RECORD [1]\n"
                    "S: RECORD [2]\n"
                    "S: SUCCESS {\"has_more\": true}\n"
                    "C: PULL {\"n\": 2}\n"
                    "S: RECORD [3]\n"
                    "S: SUCCESS {\"has_more\": false}\n" BYE,
         &options, read_in_batches);
}

static void consume_early(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_record record;
    struct bolt_summary summary;

    assert_bolt_ok(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error);
    assert_int_equal(bolt_next(c, &record, soon(), &error), 1);
    assert_bolt_refused(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error, BOLT_ERR_USAGE,
                        "still running");
    assert_bolt_ok(bolt_consume(c, &summary, soon(), &error), &error);
    assert_text(summary.type, "r");
}

static void what_is_left_can_be_dropped(void **state)
{
    (void)state;
    const struct bolt_options options = {.uri = "bolt://peer", .fetch_size = 2};

    play(PEER_HELLO "C: RUN \"Q\" {} {}\n"
                    "C: PULL {\"n\": 2}\n"
                    "S: SUCCESS {\"fields\": [\"a\"]}\n"
                    "S: RECORD [1]\n"
                    "S: RECORD [2]\n"
                    "S: SUCCESS {\"has_more\": true}\n"
                    "C: DISCARD {\"n\": -1}\n"
                    "S: SUCCESS {\"type\": \"r\"}\n" BYE,
         &options, consume_early);
}

/* ---- what RUN and BEGIN carry ---- */

static void run_with_everything(struct bolt_connection *c)
{
    static const char *const BOOKMARKS[] = {"b1", "b2", NULL};
    static const char *const DISABLED[] = {"HINT", NULL};
    struct bolt_packer parameters;
    struct bolt_packer metadata;
    struct bolt_error error;
    struct bolt_summary summary;

    bolt_packer_init(&parameters, 0);
    bolt_pack_map(&parameters, 1);
    bolt_pack_key(&parameters, "x");
    bolt_pack_list(&parameters, 1);
    bolt_pack_integer(&parameters, 1);
    bolt_packer_init(&metadata, 0);
    bolt_pack_map(&metadata, 1);
    bolt_pack_key(&metadata, "app");
    bolt_pack_text(&metadata, "t");
    const struct bolt_tx_options options = {
        .mode = BOLT_READ,
        .database = "db",
        .impersonated_user = "u",
        .bookmarks = BOOKMARKS,
        .timeout_ms = 1500,
        .metadata = &metadata,
        .notifications = {.least_severity = "OFF", .disabled = DISABLED},
    };
    const struct bolt_tx_options unlimited = {.timeout_ms = BOLT_NO_LIMIT};
    assert_bolt_ok(bolt_execute(c, "Q", &parameters, &options, NULL, soon(), &error), &error);
    assert_bolt_ok(bolt_execute(c, "Q", NULL, &unlimited, &summary, soon(), &error), &error);
    assert_null(summary.bookmark.data);
    bolt_packer_done(&parameters);
    bolt_packer_done(&metadata);
}

static void a_query_carries_its_options(void **state)
{
    (void)state;

    play(
        PEER_HELLO
        "C: RUN \"Q\" {\"x\": [1]} {\"mode\": \"r\", \"db\": \"db\", \"imp_user\": \"u\", "
        "\"bookmarks\": [\"b1\", \"b2\"], \"tx_timeout\": 1500, \"tx_metadata\": {\"app\": \"t\"}, "
        "\"notifications_minimum_severity\": \"OFF\", "
        "\"notifications_disabled_categories\": [\"HINT\"]}\n"
        "C: DISCARD {\"n\": -1}\n"
        "S: SUCCESS {\"fields\": []}\n"
        "S: SUCCESS {}\n"
        "C: RUN \"Q\" {} {\"tx_timeout\": 0}\n"
        "C: DISCARD {\"n\": -1}\n"
        "S: SUCCESS {\"fields\": []}\n"
        "S: SUCCESS {}\n" BYE,
        NULL, run_with_everything);
}

static void two_queries_in_a_transaction(struct bolt_connection *c)
{
    const struct bolt_tx_options options = {.database = "db"};
    struct bolt_record record;
    struct bolt_error error;

    assert_bolt_refused(bolt_commit(c, soon(), &error), &error, BOLT_ERR_USAGE,
                        "no transaction is open");
    assert_bolt_ok(bolt_begin(c, &options, soon(), &error), &error);
    assert_bolt_refused(bolt_begin(c, NULL, soon(), &error), &error, BOLT_ERR_USAGE,
                        "open already");
    assert_bolt_refused(bolt_run(c, "Q", NULL, &options, soon(), &error), &error, BOLT_ERR_USAGE,
                        "BEGIN has them");
    assert_bolt_ok(bolt_execute(c, "Q1", NULL, NULL, NULL, soon(), &error), &error);
    assert_bolt_ok(bolt_run(c, "Q2", NULL, NULL, soon(), &error), &error);
    assert_int_equal(bolt_next(c, &record, soon(), &error), 1);
    assert_bolt_ok(bolt_commit(c, soon(), &error), &error); /* the rest of Q2 is dropped */
    assert_bolt_refused(bolt_consume(c, NULL, soon(), &error), &error, BOLT_ERR_USAGE,
                        "no query is running"); /* its views are gone */
    assert_string_equal(bolt_bookmark(c), "bm");
    assert_bolt_ok(bolt_begin(c, NULL, soon(), &error), &error);
    assert_bolt_ok(bolt_rollback(c, soon(), &error), &error);
    assert_string_equal(bolt_bookmark(c), "bm");
}

static void transactions_begin_and_end(void **state)
{
    (void)state;

    play(PEER_HELLO "C: BEGIN {\"db\": \"db\"}\n"
                    "S: SUCCESS {}\n"
                    "C: RUN \"Q1\" {} {}\n"
                    "C: DISCARD {\"n\": -1}\n"
                    "S: SUCCESS {\"fields\": [], \"qid\": 0}\n"
                    "S: SUCCESS {}\n"
                    "C: RUN \"Q2\" {} {}\n"
                    "C: PULL {\"n\": 1000}\n"
                    "S: SUCCESS {\"fields\": [\"a\"], \"qid\": 1}\n"
                    "S: RECORD [1]\n"
                    "S: RECORD [2]\n"
                    "S: SUCCESS {}\n"
                    "C: COMMIT\n"
                    "S: SUCCESS {\"bookmark\": \"bm\"}\n"
                    "C: BEGIN {}\n"
                    "S: SUCCESS {}\n"
                    "C: ROLLBACK\n"
                    "S: SUCCESS {}\n" BYE,
         NULL, two_queries_in_a_transaction);
}

/* ---- failures ---- */

static void fail_and_reset(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_record record;

    assert_bolt_refused(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error, BOLT_ERR_SERVER,
                        "bad (Neo.ClientError.Statement.SyntaxError)");
    assert_string_equal(error.code, "Neo.ClientError.Statement.SyntaxError");
    assert_string_equal(error.gql_status, "42001");
    assert_int_equal(error.cause_count, 2);
    assert_string_equal(error.causes[0].gql_status, "42I06");
    assert_string_equal(error.causes[0].message, "inner");
    assert_string_equal(error.causes[1].message, "innermost");
    assert_true(error.idempotent_hint);
    assert_true(bolt_needs_reset(c));
    assert_bolt_refused(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error, BOLT_ERR_USAGE,
                        "until bolt_reset");
    assert_bolt_refused(bolt_next(c, &record, soon(), &error), &error, BOLT_ERR_USAGE,
                        "no query is running");
    assert_bolt_ok(bolt_reset(c, soon(), &error), &error);
    assert_false(bolt_needs_reset(c));
    assert_bolt_ok(bolt_execute(c, "Q", NULL, NULL, NULL, soon(), &error), &error);
}

static void after_a_failure_a_reset_helps(void **state)
{
    (void)state;

    play("H: 5.7\nC: HELLO *\nC: LOGON *\nS: SUCCESS {}\nS: SUCCESS {}\n"
         "C: RUN *\nC: PULL *\n" FAILURE_57 "S: IGNORED\n"
         "C: RESET\n"
         "S: SUCCESS {}\n"
         "C: RUN *\nC: DISCARD *\nS: SUCCESS {\"fields\": []}\nS: SUCCESS {}\n" BYE,
         NULL, fail_and_reset);
}

static void look_at_diagnostics(const struct bolt_error *error)
{
    struct bolt_value record;
    struct bolt_value value;

    assert_string_equal(error->description, "error: syntax error");
    assert_true(bolt_diagnostics_map(&error->diagnostics, &record));
    assert_int_equal(record.count, 2);
    assert_true(bolt_map_get(&record, "_classification", &value));
    assert_text(bolt_value_string(&value), "CLIENT_ERROR");
    assert_string_equal(error->causes[0].description, "error: input");
    assert_true(bolt_diagnostics_map(&error->causes[0].diagnostics, &record));
    assert_true(bolt_map_get(&record, "_position", &value));
    assert_true(bolt_map_get(&value, "column", &value));
    assert_int_equal(value.as.integer, 8);
    assert_string_equal(error->causes[1].description, "");
    assert_false(bolt_diagnostics_map(&error->causes[1].diagnostics, &record));
}

/* What a failure says is the caller's, and stays when the connection goes on; another error
 * forgets it. */
static void fail_and_go_on(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_error other;
    struct bolt_value record;

    assert_bolt_refused(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error, BOLT_ERR_SERVER,
                        "bad");
    look_at_diagnostics(&error);
    assert_bolt_ok(bolt_reset(c, soon(), &other), &other);
    look_at_diagnostics(&error);
    assert_bolt_refused(bolt_commit(c, soon(), &error), &error, BOLT_ERR_USAGE, "no transaction");
    assert_string_equal(error.description, "");
    assert_false(bolt_diagnostics_map(&error.diagnostics, &record));
}

static void a_failure_keeps_what_gql_says_of_it(void **state)
{
    (void)state;
    static const char *const HELLOS[] = {"H: 5.7\n", "H: manifest 5.8\n", "H: manifest 6.0\n"};
    char script[4096];

    for (size_t i = 0; i < sizeof(HELLOS) / sizeof(HELLOS[0]); i++) {
        (void)snprintf(script, sizeof(script),
                       "%sC: HELLO *\nC: LOGON *\nS: SUCCESS {}\nS: SUCCESS {}\n"
                       "C: RUN *\nC: PULL *\n" FAILURE_57 "S: IGNORED\n"
                       "C: RESET\nS: SUCCESS {}\n" BYE,
                       HELLOS[i]);
        play(script, NULL, fail_and_go_on);
    }
}

static void fail_at_length(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_value record;

    assert_bolt_refused(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error, BOLT_ERR_SERVER,
                        "bad");
    assert_int_equal(strlen(error.description), BOLT_DESCRIPTION_MAX - 1);
    assert_false(bolt_diagnostics_map(&error.diagnostics, &record));
}

/* A map of one key of one byte: marker, key, head of the text of 3 bytes. */
static void fail_with_the_largest(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_value record;
    struct bolt_value value;

    assert_bolt_refused(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error, BOLT_ERR_SERVER,
                        "bad");
    assert_true(bolt_diagnostics_map(&error.diagnostics, &record));
    assert_true(bolt_map_get(&record, "k", &value));
    assert_int_equal(value.count, BOLT_DIAGNOSTICS_MAX - 6);
}

static void what_gql_says_has_its_limits(void **state)
{
    (void)state;
    static const struct {
        int size;
        scenario_fn *scenario;
    } CASES[] = {{BOLT_DIAGNOSTICS_MAX - 6, fail_with_the_largest},
                 {BOLT_DIAGNOSTICS_MAX - 5, fail_at_length}};
    char script[4096];

    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(script, sizeof(script),
                       "H: 5.7\nC: HELLO *\nC: LOGON *\nS: SUCCESS {}\nS: SUCCESS {}\n"
                       "C: RUN *\nC: PULL *\nS: FAILURE {\"message\": \"bad\", \"description\": "
                       "\"%0*d\", \"diagnostic_record\": {\"k\": \"%0*d\"}}\nS: IGNORED\n" BYE,
                       2 * BOLT_DESCRIPTION_MAX, 0, CASES[i].size, 0);
        play(script, NULL, CASES[i].scenario);
    }
}

static void fail_in_a_stream(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_record record;

    assert_bolt_ok(bolt_begin(c, NULL, soon(), &error), &error);
    assert_bolt_ok(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error);
    assert_int_equal(bolt_next(c, &record, soon(), &error), 1);
    assert_bolt_refused(bolt_next(c, &record, soon(), &error), &error, BOLT_ERR_SERVER, "deadlock");
    assert_true(bolt_error_is_retryable(&error));
    assert_bolt_refused(bolt_commit(c, soon(), &error), &error, BOLT_ERR_USAGE, "bolt_reset");
    assert_bolt_ok(bolt_reset(c, soon(), &error), &error);
    assert_bolt_refused(bolt_commit(c, soon(), &error), &error, BOLT_ERR_USAGE,
                        "no transaction is open");
}

static void a_failure_may_come_between_records(void **state)
{
    (void)state;

    play(PEER_HELLO "C: BEGIN {}\nS: SUCCESS {}\n"
                    "C: RUN *\nC: PULL *\nS: SUCCESS {\"fields\": [\"a\"]}\nS: RECORD [1]\n"
                    "S: FAILURE {\"code\": \"Neo.TransientError.Transaction.DeadlockDetected\", "
                    "\"message\": \"deadlock\"}\n"
                    "C: RESET\nS: SUCCESS {}\n" BYE,
         NULL, fail_in_a_stream);
}

static void reset_is_refused(struct bolt_connection *c)
{
    struct bolt_error error;

    assert_bolt_refused(bolt_reset(c, soon(), &error), &error, BOLT_ERR_SERVER, "no");
    assert_false(bolt_is_alive(c));
    assert_bolt_refused(bolt_begin(c, NULL, soon(), &error), &error, BOLT_ERR_LOST, "broke before");
}

static void a_reset_that_fails_ends_the_connection(void **state)
{
    (void)state;

    play(PEER_HELLO "C: RESET\nS: FAILURE {\"code\": \"Neo.X\", \"message\": \"no\"}\nC: <EOF>\n",
         NULL, reset_is_refused);
}

/* ---- the rest ---- */

static void log_on_as_another(struct bolt_connection *c)
{
    const struct bolt_auth auth = {.scheme = "bearer", .credentials = "t0ken"};
    struct bolt_error error;

    assert_bolt_ok(bolt_logon(c, &auth, soon(), &error), &error);
    assert_bolt_refused(bolt_logon(c, &auth, soon(), &error), &error, BOLT_ERR_AUTH, "expired");
    assert_false(bolt_is_alive(c));
}

static void the_user_can_be_changed(void **state)
{
    (void)state;

    play(PEER_HELLO "C: LOGOFF\n"
                    "C: LOGON {\"scheme\": \"bearer\", \"credentials\": \"t0ken\"}\n"
                    "S: SUCCESS {}\nS: SUCCESS {}\n"
                    "C: LOGOFF\nC: LOGON *\nS: SUCCESS {}\n"
                    "S: FAILURE {\"code\": \"Neo.ClientError.Security.TokenExpired\", \"message\": "
                    "\"expired\"}\nC: <EOF>\n",
         NULL, log_on_as_another);
}

static void ask_for_routes(struct bolt_connection *c)
{
    static const char *const BOOKMARKS[] = {"b", NULL};
    struct bolt_error error;
    struct bolt_value table;
    struct bolt_value value;

    assert_bolt_ok(bolt_route(c, "db", NULL, BOOKMARKS, soon(), &table, &error), &error);
    assert_true(bolt_map_get(&table, "ttl", &value));
    assert_int_equal(value.as.integer, 300);
    assert_true(bolt_map_get(&table, "servers", &value));
    assert_int_equal(value.count, 1);
}

static void routes_are_asked_for_as_each_version_wants(void **state)
{
    (void)state;
    const struct bolt_options options = {.uri = "neo4j://peer?a=b"};

    play("H: 4.3\nC: HELLO *\nS: SUCCESS {}\n"
         "C: ROUTE {\"address\": \"peer:7687\", \"a\": \"b\"} [\"b\"] \"db\"\n"
         "S: SUCCESS {\"rt\": {\"ttl\": 300, \"servers\": [{\"role\": \"READ\"}]}}\n" BYE,
         &options, ask_for_routes);
    play("H: 4.4\nC: HELLO *\nS: SUCCESS {}\n"
         "C: ROUTE {\"address\": \"peer:7687\", \"a\": \"b\"} [\"b\"] {\"db\": \"db\"}\n"
         "S: SUCCESS {\"rt\": {\"ttl\": 300, \"servers\": [{\"role\": \"READ\"}]}}\n" BYE,
         &options, ask_for_routes);
}

static void ask_too_much_of_4_2(struct bolt_connection *c)
{
    const struct bolt_tx_options imp = {.impersonated_user = "u"};
    const struct bolt_tx_options quiet = {.notifications = {.least_severity = "OFF"}};
    static const float NUMBERS[] = {1};
    struct bolt_packer packer;
    struct bolt_error error;
    struct bolt_value table;

    assert_true(bolt_info(c)->legacy_times);
    assert_bolt_refused(bolt_begin(c, &imp, soon(), &error), &error, BOLT_ERR_UNSUPPORTED, "4.4");
    assert_bolt_refused(bolt_begin(c, &quiet, soon(), &error), &error, BOLT_ERR_UNSUPPORTED, "5.2");
    assert_bolt_refused(bolt_logon(c, &(struct bolt_auth){0}, soon(), &error), &error,
                        BOLT_ERR_UNSUPPORTED, "5.1");
    assert_bolt_refused(bolt_route(c, NULL, NULL, NULL, soon(), &table, &error), &error,
                        BOLT_ERR_UNSUPPORTED, "4.3");
    bolt_packer_init(&packer, 0);
    bolt_pack_map(&packer, 1);
    bolt_pack_key(&packer, "t");
    bolt_pack_datetime(&packer, 0, 0, 0);
    assert_bolt_refused(bolt_run(c, "Q", &packer, NULL, soon(), &error), &error,
                        BOLT_ERR_UNSUPPORTED, "older form");
    bolt_packer_reset(&packer);
    bolt_pack_map(&packer, 1);
    bolt_pack_key(&packer, "v");
    bolt_pack_vector(&packer, BOLT_VECTOR_FLOAT32, NUMBERS, 1);
    assert_bolt_refused(bolt_run(c, "Q", &packer, NULL, soon(), &error), &error,
                        BOLT_ERR_UNSUPPORTED, "vectors need Bolt 6.0");
    bolt_packer_reset(&packer);
    bolt_pack_list(&packer, 0);
    assert_bolt_refused(bolt_run(c, "Q", &packer, NULL, soon(), &error), &error, BOLT_ERR_USAGE,
                        "must be a map");
    bolt_packer_done(&packer);
}

static void what_a_version_lacks_is_refused_here(void **state)
{
    (void)state;

    play("H: 4.2\nC: HELLO *\nS: SUCCESS {}\n" BYE, NULL, ask_too_much_of_4_2);
}

static void say_what_is_used(struct bolt_connection *c)
{
    struct bolt_error error;

    assert_bolt_ok(bolt_send_telemetry(c, 2, &error), &error);
    assert_bolt_refused(bolt_send_telemetry(c, 4, &error), &error, BOLT_ERR_USAGE, "number 4");
    assert_bolt_ok(bolt_settle(c, soon(), &error), &error);
}

#define HELLO_TELEMETRY                                                                            \
    "H: 5.4\nC: HELLO *\nC: LOGON *\nS: SUCCESS {\"hints\": {\"telemetry.enabled\": true}}\n"      \
    "S: SUCCESS {}\n"

static void telemetry_is_sent_only_when_both_want_it(void **state)
{
    (void)state;
    const struct bolt_options wanted = {.uri = "bolt://peer", .telemetry = true};

    play(HELLO_TELEMETRY "C: TELEMETRY 2\nS: SUCCESS {}\n" BYE, &wanted, say_what_is_used);
    play(HELLO_TELEMETRY BYE, NULL, say_what_is_used);
    play(PEER_HELLO BYE, &wanted, say_what_is_used);
}

static void look_at_notices(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_summary summary;
    struct bolt_notice notice;

    assert_bolt_ok(bolt_execute(c, "Q", NULL, NULL, &summary, soon(), &error), &error);
    assert_true(bolt_summary_notice(&summary, 0, &notice));
    assert_text(notice.severity, "WARNING");
    assert_text(notice.classification, "HINT");
    assert_text(notice.code, "Neo.N");
    assert_text(notice.title, "T");
    assert_text(notice.description, "D");
    assert_int_equal(notice.line, 2);
    assert_int_equal(notice.column, 3);
    assert_int_equal(notice.offset, 10);
    assert_false(bolt_summary_notice(&summary, 1, &notice));
}

static void look_at_statuses(struct bolt_connection *c)
{
    struct bolt_error error;
    struct bolt_summary summary;
    struct bolt_notice notice;
    struct bolt_value value;

    assert_bolt_ok(bolt_execute(c, "Q", NULL, NULL, &summary, soon(), &error), &error);
    assert_true(bolt_summary_notice(&summary, 0, &notice));
    assert_text(notice.description, "note: done");
    assert_text(notice.gql_description, "note: done");
    assert_int_equal(notice.diagnostics.type, BOLT_NULL);
    assert_true(bolt_summary_notice(&summary, 1, &notice));
    assert_text(notice.description, "D");
    assert_text(notice.gql_description, "warn: G");
    assert_true(bolt_map_get(&notice.diagnostics, "OPERATION_CODE", &value));
    assert_text(bolt_value_string(&value), "1");
}

static void a_status_keeps_what_gql_says_of_it(void **state)
{
    (void)state;

    play("H: manifest 6.0\nC: HELLO *\nC: LOGON *\nS: SUCCESS {}\nS: SUCCESS {}\n"
         "C: RUN *\nC: DISCARD *\nS: SUCCESS {\"fields\": []}\n"
         "S: SUCCESS {\"statuses\": [{\"gql_status\": \"00000\", \"status_description\": "
         "\"note: done\"}, {\"gql_status\": \"01N00\", \"status_description\": \"warn: G\", "
         "\"description\": \"D\", \"neo4j_code\": \"Neo.N\", \"title\": \"T\", "
         "\"diagnostic_record\": {\"OPERATION_CODE\": \"1\"}}]}\n" BYE,
         NULL, look_at_statuses);
}

static void notices_are_read_in_both_forms(void **state)
{
    (void)state;

    play(PEER_HELLO
         "C: RUN *\nC: DISCARD *\nS: SUCCESS {\"fields\": []}\n"
         "S: SUCCESS {\"notifications\": [{\"severity\": \"WARNING\", \"category\": \"HINT\", "
         "\"code\": \"Neo.N\", \"title\": \"T\", \"description\": \"D\", \"position\": "
         "{\"offset\": 10, \"line\": 2, \"column\": 3}}]}\n" BYE,
         NULL, look_at_notices);
    play("H: 5.6\nC: HELLO *\nC: LOGON *\nS: SUCCESS {}\nS: SUCCESS {}\n"
         "C: RUN *\nC: DISCARD *\nS: SUCCESS {\"fields\": []}\n"
         "S: SUCCESS {\"statuses\": [{\"gql_status\": \"01N00\", \"status_description\": \"D\", "
         "\"neo4j_code\": \"Neo.N\", \"title\": \"T\", \"diagnostic_record\": {\"_severity\": "
         "\"WARNING\", \"_classification\": \"HINT\", \"_position\": {\"offset\": 10, \"line\": 2, "
         "\"column\": 3}}}]}\n" BYE,
         NULL, look_at_notices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_streamed),
        cmocka_unit_test(the_next_batch_is_asked_for),
        cmocka_unit_test(what_is_left_can_be_dropped),
        cmocka_unit_test(a_query_carries_its_options),
        cmocka_unit_test(transactions_begin_and_end),
        cmocka_unit_test(after_a_failure_a_reset_helps),
        cmocka_unit_test(a_failure_keeps_what_gql_says_of_it),
        cmocka_unit_test(what_gql_says_has_its_limits),
        cmocka_unit_test(a_failure_may_come_between_records),
        cmocka_unit_test(a_reset_that_fails_ends_the_connection),
        cmocka_unit_test(the_user_can_be_changed),
        cmocka_unit_test(routes_are_asked_for_as_each_version_wants),
        cmocka_unit_test(what_a_version_lacks_is_refused_here),
        cmocka_unit_test(telemetry_is_sent_only_when_both_want_it),
        cmocka_unit_test(notices_are_read_in_both_forms),
        cmocka_unit_test(a_status_keeps_what_gql_says_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
