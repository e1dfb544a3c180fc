/* config - what a person wrote is understood whole or refused by file, line and key. */
#include "support/unit.h"

#include <unistd.h>

#include "base/file.h"
#include "engine/config_keys.h"

static int parse(const char *text, struct config *ret, struct err *err)
{
    struct err unset = ERR_INIT;

    (void)unsetenv("SYNC_BATCH_SIZE");
    assert_ok(config_load("/nonexistent", NULL, ret, &unset), &unset);
    return config_parse("/home/x/holdfast.yaml", str_of(text), ret, err);
}

static void every_key_is_read_where_it_belongs(void **state)
{
    AUTO(config_done) struct config config = {.path = NULL};
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(parse("daemon:\n  project: my project\n  ack: vault\n  log_level: warn\n"
                    "  log_format: json\n  session_idle: 10m\n"
                    "guard:\n  enabled: false\n  on_alert: pause\n  allow_yes: true\n"
                    "  command: notify me\n  webhook: https://example.org/x\n  delete_max: 3\n"
                    "  delete_window: 500s\n  share_max: 0.5\n  version_jump_max: 7\n"
                    "sync:\n  batch_size: 42\n  initial_backoff: 250ms\n  max_backoff: 1h\n"
                    "vaults:\n  - kind: file\n    path: /mnt/x\n"
                    "  - name: second\n    kind: file\n    path: beside\n"
                    "  - kind: neo4j\n    url: bolt://graph:7687#dimensions=384\n",
                    &config, &err),
              &err);
    assert_string_equal(config.daemon.project, "my project");
    assert_int_equal(config.daemon.ack, ACK_VAULT);
    assert_int_equal(config.daemon.log_level, LOG_WARN);
    assert_true(config.daemon.log_json);
    assert_int_equal(config.daemon.session_idle_ms, 600000);
    assert_false(config.guard.rules.enabled);
    assert_int_equal(config.guard.on_alert, ON_ALERT_PAUSE);
    assert_true(config.guard.allow_yes);
    assert_int_equal(config.guard.rules.delete_max, 3);
    assert_int_equal(config.guard.rules.delete_window_ms, 500000);
    assert_true(config.guard.rules.share_max > 0.49 && config.guard.rules.share_max < 0.51);
    assert_int_equal(config.sync.batch_size, 42);
    assert_int_equal(config.sync.backoff_initial_ms, 250);
    assert_int_equal(config.vault_count, 3);
    assert_string_equal(config.vaults[2].name, "neo4j");
    assert_string_equal(config.vaults[2].spec, "neo4j:bolt://graph:7687#dimensions=384");
    assert_string_equal(config.vaults[0].name, "file");
    assert_string_equal(config.vaults[0].spec, "file:/mnt/x");
    assert_string_equal(config.vaults[1].name, "second");
    assert_string_equal(config.vaults[1].spec, "file:/home/x/beside");
}

static void nothing_written_means_the_defaults(void **state)
{
    static const char *const texts[] = {"", "# only a comment\n", "daemon:\nguard:\nvaults:\n"};
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        AUTO(config_done) struct config config = {.path = NULL};
        assert_ok(parse(texts[i], &config, &err), &err);
        assert_int_equal(config.vault_count, 0);
        assert_int_equal(config.guard.rules.delete_max, 10);
        assert_int_equal(config.sync.batch_size, 500);
        assert_int_equal(config.daemon.session_idle_ms, 1800000);
    }
}

static void what_is_wrong_is_named_by_line_and_key(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"daemon:\n  projct: x\n", "line 2: unknown key \"daemon.projct\""},
        {"deamon:\n  project: x\n", "line 1: unknown section \"deamon\""},
        {"guard:\n  delete_max: 0\n",
         "guard.delete_max is \"0\"; allowed is a whole number from 1"},
        {"guard:\n  share_max: 1.5\n", "allowed is a number from 0 to 1"},
        {"guard:\n  share_max: nan\n", "allowed is a number from 0 to 1"},
        {"guard:\n  enabled: maybe\n", "allowed are true and false"},
        {"guard:\n  webhook: ftp://x\n", "must begin with http://"},
        {"guard:\n  delete_window: 60\n", "a duration such as"},
        {"guard:\n  delete_window: 10ms\n", "allowed are 1 to 3600 seconds"},
        {"daemon:\n  project: [a]\n", "must be one value"},
        {"daemon:\n  project: a\n  project: b\n", "line 3: \"project\" stands here a second time"},
        {"daemon: text\n", "must hold keys"},
        {"- a\n", "expected sections"},
        {"vaults:\n  kind: file\n", "must be a list"},
        {"vaults:\n  - kind: ftp\n    path: /x\n", "allowed are file and neo4j"},
        {"vaults:\n  - kind: neo4j\n    path: /x\n", "needs a url"},
        {"vaults:\n  - kind: neo4j\n    url: bolt://me:secret@host\n", "without user and password"},
        {"vaults:\n  - kind: file\n", "needs a path"},
        {"vaults:\n  - kind: file\n    path: /x\n    colour: red\n", "line 4: unknown key"},
        {"vaults:\n  - {name: a, kind: file, path: /x}\n  - {name: a, kind: file, path: /y}\n",
         "two vaults are named \"a\""},
        {"vaults:\n  - {name: A/B, kind: file, path: /x}\n", "allowed are 1 to 63 of a-z"},
        {"sources:\n  kind: postgres\n", "must be a list"},
        {"sources:\n  - kind: oracle\n    url: x\n", "allowed are files, postgres"},
        {"sources:\n  - name: x\n", "a source is"},
        {"sources:\n  - kind: postgres\n", "needs a url"},
        {"sources:\n  - kind: sqlite\n", "needs a path"},
        {"sources:\n  - {kind: sqlite, path: x.db}\n", "is absolute"},
        {"sources:\n  - {kind: sqlite, path: /f, url: postgresql://h/d}\n", "no url"},
        {"sources:\n  - {kind: sqlite, path: /f, slot: s}\n", "no url, slot"},
        {"sources:\n  - kind: files\n", "needs a path"},
        {"sources:\n  - {kind: files, path: x}\n", "is absolute"},
        {"sources:\n  - {kind: files, path: /x, slot: a}\n", "has no url, slot"},
        {"sources:\n  - {kind: files, path: /x, on_alert: fence}\n", "on_alert, capture or"},
        {"sources:\n  - {kind: sqlite, path: /x, on_alert: fence}\n", "on_alert, capture or"},
        {"sources:\n  - {kind: files, path: /x, include: [../y]}\n", "no \"..\""},
        {"sources:\n  - {kind: files, path: /x, capture: outbox}\n", "capture or mirror"},
        {"sources:\n  - {kind: sqlite, path: /x, capture: outbox}\n", "capture or mirror"},
        {"sources:\n  - {kind: files, path: /x, mirror: true}\n", "capture or mirror"},
        {"sources:\n  - {kind: sqlite, path: /x, mirror: true}\n", "capture or mirror"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d, mirror: yes}\n",
         "mirror must be true or false"},
        {"sources:\n  - {kind: sqlite, path: /x, triggers: maybe}\n", "true or false"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d, triggers: true}\n",
         "ignore or triggers"},
        {"sources:\n  - {kind: files, path: /x, triggers: true}\n", "tables, triggers"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d, capture: magic}\n",
         "allowed are stream, outbox"},
        {"sources:\n  - kind: postgres\n    url: mysql://h/d\n", "postgresql://USER@HOST"},
        {"sources:\n  - kind: postgres\n    url: postgresql://u:secret@h/d\n", "no password"},
        {"sources:\n  - kind: postgres\n    url: postgresql://h/d?password=x\n", "no password"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d, slot: A}\n", "allowed are 1 to 63"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d, name: A}\n", "allowed are 1 to 63"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d, colour: red}\n",
         "sources[].colour"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d, tables: x}\n", "must be a list"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d, tables: [{id: x}]}\n",
         "needs its name"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d, tables: [{tabel: x}]}\n",
         "sources[].tables[].tabel"},
        {"sources:\n  - {kind: postgres, url: postgresql://h/d}\n  - {kind: postgres, url: "
         "postgresql://h/e}\n",
         "two sources are named \"postgres\""},
        {"sources:\n  - kind: files\n    path: /x\n    guard: loose\n", "line 4"},
        {"sources:\n  - kind: files\n    path: /x\n    guard:\n      delete_max: 0\n",
         "line 5: sources[].guard.delete_max is \"0\""},
        {"sources:\n  - kind: files\n    path: /x\n    guard:\n      drip_window: 5\n",
         "sources[].guard.drip_window is \"5\"; it is a duration"},
        {"sources:\n  - kind: files\n    path: /x\n    guard:\n      share_max: [1]\n",
         "sources[].guard.share_max must be one value"},
        {"sources:\n  - kind: files\n    path: /x\n    guard:\n      on_alert: fence\n",
         "unknown key \"sources[].guard.on_alert\"; a source's guard knows enabled, delete_max"},
        {"sources:\n  - {kind: files, path: /x, guard: {share_min: 2, share_min: 3}}\n",
         "a second time"},
        {"sources:\n  - {kind: files, path: /x, name: cli}\n", "changes by a door"},
        {"a: &x 1\nb: *x\n", "aliases"},
        {"daemon: {\n", "line"},
        {"daemon:\n\tproject: x\n", "line 2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO(config_done) struct config config = {.path = NULL};
        struct err err = ERR_INIT;
        assert_refused(parse(cases[i].text, &config, &err), &err, ERR_CONFIG, cases[i].says);
        assert_non_null(strstr(err.message, "/home/x/holdfast.yaml"));
    }
}

static void seventeen_vaults_are_one_too_many(void **state)
{
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(buf_add_c(&text, "vaults:\n", &err), &err);
    for (int i = 0; i <= CONFIG_VAULTS_MAX; i++) {
        AUTO(config_done) struct config config = {.path = NULL};
        if (i == CONFIG_VAULTS_MAX) {
            assert_ok(parse(text.data, &config, &err), &err);
            assert_int_equal(config.vault_count, CONFIG_VAULTS_MAX);
        }
        assert_ok(buf_printf(&text, &err, "  - {name: v%d, kind: file, path: /v%d}\n", i, i), &err);
    }
    AUTO(config_done) struct config config = {.path = NULL};
    assert_refused(parse(text.data, &config, &err), &err, ERR_CONFIG, "at most 16 vaults");
}

static void the_environment_overrides_the_file_and_is_checked(void **state)
{
    AUTO(config_done) struct config config = {.path = NULL};
    struct err err = ERR_INIT;

    (void)state;
    (void)setenv("SYNC_INITIAL_BACKOFF", "3", 1);
    (void)setenv("DESTRUCTION_THRESHOLD", "25", 1);
    assert_ok(config_load("/nonexistent", NULL, &config, &err), &err);
    assert_int_equal(config.sync.backoff_initial_ms, 3000);
    assert_int_equal(config.guard.rules.delete_max, 25);
    (void)setenv("SYNC_BATCH_SIZE", "lots", 1);
    struct config bad;
    assert_refused(config_load("/nonexistent", NULL, &bad, &err), &err, ERR_CONFIG,
                   "SYNC_BATCH_SIZE is \"lots\"");
    (void)unsetenv("SYNC_BATCH_SIZE");
    (void)unsetenv("SYNC_INITIAL_BACKOFF");
    (void)unsetenv("DESTRUCTION_THRESHOLD");
}

static void neo4j_uri_alone_is_a_vault(void **state)
{
    static const char text[] =
        "vaults:\n  - {name: graph, kind: neo4j, url: 'bolt://a:1#database=x'}\n";
    char home[] = "/tmp/hf-config-XXXXXX";
    struct err err = ERR_INIT;
    struct config config;

    (void)state;
    assert_non_null(mkdtemp(home));
    (void)setenv("NEO4J_URI", "bolt://a:1", 1);
    assert_ok(config_load(home, NULL, &config, &err), &err);
    assert_int_equal(config.vault_count, 1);
    assert_string_equal(config.vaults[0].name, "neo4j");
    assert_string_equal(config.vaults[0].spec, "neo4j:bolt://a:1");
    config_done(&config);

    AUTO(free_ptr) char *path = path_join(home, "holdfast.yaml");
    assert_ok(file_replace(path, str_of(text), 0600, &err), &err);
    assert_ok(config_load(home, NULL, &config, &err), &err);
    assert_int_equal(config.vault_count, 1);
    assert_string_equal(config.vaults[0].name, "graph");
    config_done(&config);

    (void)setenv("NEO4J_URI", "bolt://me:secret@a:1", 1);
    assert_refused(config_load(home, NULL, &config, &err), &err, ERR_CONFIG, "NEO4J_URI");
    assert_null(strstr(err.message, "secret"));
    (void)unsetenv("NEO4J_URI");
    assert_ok(file_remove_tree(home, &err), &err);
}

static void a_source_says_which_tables_and_columns(void **state)
{
    AUTO(config_done) struct config config = {.path = NULL};
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(
        parse("sources:\n  - name: app\n    kind: postgres\n    url: "
              "postgresql://u@h:5432/d\n    slot: mine\n    project: p\n    tables:\n      - "
              "notes\n      - table: team.parts\n        id: part\n        content: body\n     "
              "   project: team\n        ignore: [vector, other]\n",
              &config, &err),
        &err);
    const struct config_source *source = &config.sources[0];
    assert_int_equal(config.source_count, 1);
    assert_string_equal(source->slot, "mine");
    assert_string_equal(source->project, "p");
    assert_int_equal(source->table_count, 2);
    assert_string_equal(mapping_id(&source->tables[0]), "id");
    assert_string_equal(mapping_content(&source->tables[0]), "content");
    assert_string_equal(mapping_project(&source->tables[0]), "project_id");
    assert_string_equal(source->tables[1].table, "team.parts");
    assert_string_equal(mapping_id(&source->tables[1]), "part");
    assert_string_equal(mapping_content(&source->tables[1]), "body");
    assert_string_equal(mapping_project(&source->tables[1]), "team");
    assert_true(mapping_ignores(&source->tables[1], "other"));
    assert_false(mapping_ignores(&source->tables[1], "body"));
}

static void a_file_of_sqlite_is_found_from_home_and_may_name_no_table(void **state)
{
    AUTO(config_done) struct config config = {.path = NULL};
    AUTO(free_ptr) char *path = xprintf("%s/.tool/memory.db", getenv("HOME"));
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(parse("sources:\n  - {name: a, kind: sqlite, path: ~/.tool/memory.db}\n"
                    "  - {name: b, kind: sqlite, path: /b.db, tables: [notes], triggers: true}\n",
                    &config, &err),
              &err);
    assert_string_equal(config.sources[0].path, path);
    assert_int_equal(config.sources[0].table_count, 0);
    assert_string_equal(config.sources[1].path, "/b.db");
    assert_string_equal(config.sources[1].tables[0].table, "notes");
    assert_false(config.sources[0].triggers);
    assert_true(config.sources[1].triggers);
}

static void database_url_alone_is_a_source_of_memories(void **state)
{
    struct err err = ERR_INIT;
    struct config config;

    (void)state;
    (void)setenv("DATABASE_URL", "postgres://u:secret@h/d", 1);
    assert_ok(config_load("/nonexistent", NULL, &config, &err), &err);
    assert_int_equal(config.source_count, 1);
    assert_string_equal(config.sources[0].name, "postgres");
    assert_string_equal(config.sources[0].project, "postgres");
    assert_string_equal(config.sources[0].tables[0].table, "public.memories");
    config_done(&config);
    (void)setenv("DATABASE_URL", "mysql://u:secret@h/d", 1);
    assert_refused(config_load("/nonexistent", NULL, &config, &err), &err, ERR_CONFIG,
                   "DATABASE_URL");
    assert_null(strstr(err.message, "secret"));
    (void)unsetenv("DATABASE_URL");
}

/* A file of the test's own, read as the daemon reads it. */
static void load(const char *text, struct config *ret)
{
    char path[] = "/tmp/hf-config-XXXXXX";
    struct err err = ERR_INIT;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    assert_ok(config_load("/nonexistent", path, ret, &err), &err);
    assert_int_equal(unlink(path), 0);
}

/* Whatever comes first in the file, and whatever the environment sets. */
static void a_sources_guard_is_the_section_guard_but_for_what_it_gives(void **state)
{
    struct guard_source sources[CONFIG_SOURCES_MAX];
    AUTO(config_done) struct config config = {.path = NULL};

    (void)state;
    (void)setenv("DESTRUCTION_THRESHOLD", "12", 1);
    load("sources:\n  - {name: a, kind: files, path: /a, guard: {share_max: 0.9, drip_window: "
         "30m}}\n"
         "  - {name: b, kind: files, path: /b}\n"
         "  - name: c\n    kind: files\n    path: /c\n    guard:\n      delete_max: 3\n"
         "      enabled: false\n"
         "  - name: d\n    kind: files\n    path: /d\n    guard:\n"
         "guard:\n  loss_max: 0.4\n  delete_max: 11\n",
         &config);
    (void)unsetenv("DESTRUCTION_THRESHOLD");
    assert_int_equal(config_guard_sources(&config, sources), 4);
    assert_string_equal(sources[0].name, "a");
    assert_true(sources[0].options.enabled);
    assert_int_equal(sources[0].options.delete_max, 12);
    assert_int_equal(sources[0].options.drip_window_ms, 1800000);
    assert_true(sources[0].options.share_max > 0.89 && sources[0].options.share_max < 0.91);
    assert_true(sources[0].options.loss_max > 0.39 && sources[0].options.loss_max < 0.41);
    assert_string_equal(sources[1].name, "b");
    assert_int_equal(sources[1].options.delete_max, 12);
    assert_string_equal(sources[2].name, "c");
    assert_int_equal(sources[2].options.delete_max, 3);
    assert_false(sources[2].options.enabled);
    AUTO(free_ptr) char *text = config_guard_text(&config, &config.sources[0]);
    AUTO(free_ptr) char *other = config_guard_text(&config, &config.sources[2]);
    assert_string_equal(text, "share_max 0.9, drip_window 30m");
    assert_string_equal(other, "enabled false, delete_max 3");
    assert_null(config_guard_text(&config, &config.sources[1]));
    assert_null(config_guard_text(&config, &config.sources[3]));
}

static void what_is_switched_off_is_told_for_each_source(void **state)
{
    const struct {
        const char *text;
        const char *says; /* NULL: nothing is off */
    } cases[] = {
        {"sources:\n  - {kind: files, path: /a, guard: {delete_max: 150, share_max: 0.9}}\n", NULL},
        {"sources:\n  - {kind: files, path: /a, guard: {delete_max: 201}}\n",
         "The configuration sets thresholds for source files at which rules of the guard never "
         "trip: guard.delete_max is 201 (200 at most). Destruction that they would see is no "
         "longer "
         "held back."},
        /* what all have is told once */
        {"guard: {share_max: 1}\nsources:\n  - {kind: files, path: /a, guard: {loss_min: 300}}\n",
         "The configuration sets thresholds at which rules of the guard never trip: "
         "guard.share_max "
         "is 1 (less than 1). Destruction that they would see is no longer held back. The "
         "configuration sets thresholds for source files at which rules of the guard never trip: "
         "guard.loss_min is 300 (200 at most). Destruction that they would see is no longer held "
         "back."},
        {"sources:\n  - {kind: files, path: /a, guard: {enabled: false}}\n",
         "The guard was switched off in the configuration for source files: destruction is no "
         "longer held back there."},
        {"guard: {enabled: false}\nsources:\n  - {kind: files, path: /a, guard: {loss_min: 9}}\n",
         "The guard was switched off in the configuration: destruction is no longer held back."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO(config_done) struct config config = {.path = NULL};
        load(cases[i].text, &config);
        AUTO(free_ptr) char *off = config_guard_off(&config);
        if (cases[i].says == NULL) {
            assert_null(off);
        } else {
            assert_non_null(off);
            assert_string_equal(off, cases[i].says);
        }
    }
}

/* Add a vault to this text; the new text is the caller's. */
static char *added(const char *text, const char *spec, bool expect_added)
{
    char home[] = "/tmp/hf-config-XXXXXX";
    AUTO(buf_done) struct buf now = BUF_INIT(CONFIG_FILE_MAX_BYTES);
    struct err err = ERR_INIT;
    bool was_added = false;

    assert_non_null(mkdtemp(home));
    AUTO(free_ptr) char *path = path_join(home, "holdfast.yaml");
    if (text) {
        assert_ok(file_replace(path, str_of(text), 0600, &err), &err);
    }
    assert_ok(config_add_vault(home, spec, &was_added, &err), &err);
    assert_int_equal(was_added, expect_added);
    assert_ok(file_read(path, CONFIG_FILE_MAX_BYTES, &now, &err), &err);
    assert_ok(file_remove_tree(home, &err), &err);
    return buf_take(&now);
}

static void a_vault_is_added_and_all_else_stays_to_the_letter(void **state)
{
    (void)state;
    AUTO(free_ptr) char *fresh = added(NULL, "file:/mnt/o'brien", true);
    assert_non_null(strstr(fresh, "path: '/mnt/o''brien'"));
    AUTO(free_ptr) char *graph = added(NULL, "neo4j:bolt://host:7687", true);
    assert_non_null(strstr(graph, "kind: neo4j\n    url: 'bolt://host:7687'"));
    AUTO(free_ptr) char *behind = added("daemon:\n  project: x # mine\n", "file:/v", true);
    assert_ptr_equal(strstr(behind, "daemon:\n  project: x # mine\n"), behind);
    AUTO(free_ptr)
    char *listed = added("vaults: # two\n  - kind: file\n    path: /a\nsync:\n  batch_size: 7\n",
                         "file:/b", true);
    assert_ptr_equal(
        strstr(listed, "vaults: # two\n  - kind: file\n    path: /a\n  - name: file-2\n"), listed);
    assert_non_null(strstr(listed, "path: '/b'\nsync:\n  batch_size: 7\n"));
    AUTO(free_ptr) char *same = added("vaults:\n  - kind: file\n    path: /a\n", "file:/a", false);
    assert_string_equal(same, "vaults:\n  - kind: file\n    path: /a\n");
}

static void a_list_on_one_line_is_left_to_the_person(void **state)
{
    char home[] = "/tmp/hf-config-XXXXXX";
    struct err err = ERR_INIT;
    bool was_added = false;

    (void)state;
    assert_non_null(mkdtemp(home));
    AUTO(free_ptr) char *path = path_join(home, "holdfast.yaml");
    assert_ok(file_replace(path, STR("vaults: [{kind: file, path: /a}]\n"), 0600, &err), &err);
    assert_refused(config_add_vault(home, "file:/b", &was_added, &err), &err, ERR_CONFIG,
                   "by hand");
    assert_ok(file_remove_tree(home, &err), &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read_where_it_belongs),
        cmocka_unit_test(nothing_written_means_the_defaults),
        cmocka_unit_test(what_is_wrong_is_named_by_line_and_key),
        cmocka_unit_test(seventeen_vaults_are_one_too_many),
        cmocka_unit_test(the_environment_overrides_the_file_and_is_checked),
        cmocka_unit_test(neo4j_uri_alone_is_a_vault),
        cmocka_unit_test(a_source_says_which_tables_and_columns),
        cmocka_unit_test(a_file_of_sqlite_is_found_from_home_and_may_name_no_table),
        cmocka_unit_test(database_url_alone_is_a_source_of_memories),
        cmocka_unit_test(a_sources_guard_is_the_section_guard_but_for_what_it_gives),
        cmocka_unit_test(what_is_switched_off_is_told_for_each_source),
        cmocka_unit_test(a_vault_is_added_and_all_else_stays_to_the_letter),
        cmocka_unit_test(a_list_on_one_line_is_left_to_the_person),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
