/* engine - what is assembled from a home's configuration, before anybody asks it anything. */
#include "support/unit.h"

#include <unistd.h>

#include "base/file.h"
#include "engine/engine.h"

struct fixture {
    char path[64];
    char *home;
    char *vault; /* of which nothing is there yet */
    struct engine *engine;
};

static void configure(struct fixture *f, const char *more)
{
    AUTO(free_ptr) char *path = path_join(f->home, "holdfast.yaml");
    AUTO(free_ptr)
    char *text =
        xprintf("vaults:\n  - name: vault\n    kind: file\n    path: %s\n%s", f->vault, more);
    struct err err = ERR_INIT;

    assert_ok(file_replace(path, str_of(text), 0600, &err), &err);
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    const char *tmp = getenv("TMPDIR");
    struct err err = ERR_INIT;

    (void)snprintf(f->path, sizeof(f->path), "%s/hf-engine-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(f->path));
    f->home = path_join(f->path, "home");
    f->vault = path_join(f->path, "vault");
    assert_ok(file_mkdirs(f->home, 0700, &err), &err);
    configure(f, "");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    engine_close(f->engine);
    assert_ok(file_remove_tree(f->path, &err), &err);
    free(f->home);
    free(f->vault);
    free(f);
    return 0;
}

static void open_engine(struct fixture *f)
{
    struct engine_options options = {.home = f->home, .who = "a test"};
    struct err err = ERR_INIT;

    assert_ok(engine_open(&options, &f->engine, &err), &err);
}

static void close_engine(struct fixture *f)
{
    engine_close(f->engine);
    f->engine = NULL;
}

static void set_flag(struct fixture *f, const char *name, const char *value)
{
    struct sync_log *log = NULL;
    struct err err = ERR_INIT;

    assert_ok(sync_log_open(f->home, env_system(), &log, &err), &err);
    assert_ok(sync_flag_set(log, name, value, &err), &err);
    sync_log_close(log);
}

/* A vault that is asked anything is made. */
static void assert_vault_never_asked(struct fixture *f, int starts)
{
    for (int i = 0; i < starts; i++) {
        open_engine(f);
        close_engine(f);
        assert_int_equal(access(f->vault, F_OK), -1);
    }
}

static void a_paused_home_sends_nothing_at_its_start(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    set_flag(f, "paused", "1");
    assert_vault_never_asked(f, 20);
    open_engine(f);
    assert_ok(engine_resume(f->engine, false, &err), &err);
    assert_ok(replicator_drain(f->engine->replicators[0], deadline_in(30000), &err), &err);
    assert_int_equal(access(f->vault, F_OK), 0);
}

static void an_open_alert_that_pauses_lets_nothing_be_sent_at_the_start(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    configure(f, "guard:\n  enabled: false\n  on_alert: pause\n"); /* which is an alert */
    assert_vault_never_asked(f, 20);
    open_engine(f);
    assert_int_equal(engine_may_write(f->engine, &err), -ERR_PAUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_paused_home_sends_nothing_at_its_start),
        TEST(an_open_alert_that_pauses_lets_nothing_be_sent_at_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
