/* Whose password goes where. */
#include "support/unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "vault/neo4j_vault.h"

static void the_same_host_and_port_are_the_same_server(void **state)
{
    (void)state;
    assert_true(neo4j_same_server("bolt://graph:7687", "bolt://graph:7687"));
    assert_true(neo4j_same_server("bolt://graph", "bolt://GRAPH:7687#dimensions=4"));
    assert_true(neo4j_same_server("neo4j://[::1]:7000#database=a", "bolt://[::1]:7000"));
    assert_false(neo4j_same_server("bolt://graph:7688", "bolt://graph:7687"));
    assert_false(neo4j_same_server("bolt://graph.example:7687", "bolt://graph:7687"));
    assert_false(neo4j_same_server("bolt://graph.evil#bolt://graph", "bolt://graph"));
    assert_false(neo4j_same_server("graph:7687", "graph:7687"));
}

static void a_less_safe_way_to_it_is_not_the_same(void **state)
{
    static const char *const ways[] = {"bolt://graph", "bolt+ssc://graph", "neo4j+s://graph"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            assert_int_equal(neo4j_same_server(ways[i], ways[j]), i >= j);
        }
    }
}

static int credentials(const char *target, bool stranger, struct neo4j_vault *vault,
                       struct err *err)
{
    *vault = (struct neo4j_vault){.uri = NULL};
    int rc = neo4j_target_parse(target, vault, err);
    return rc == 0 ? neo4j_credentials(vault, stranger, err) : rc;
}

static void forget(struct neo4j_vault *vault)
{
    free(vault->uri);
    free(vault->user);
    free(vault->password);
    free(vault->password_file);
}

static void a_stranger_has_what_its_options_say_and_nothing_of_the_environment(void **state)
{
    char path[] = "/tmp/holdfast-secret-XXXXXX";
    struct neo4j_vault vault;
    struct err err = ERR_INIT;

    (void)state;
    AUTO(close_fd) int file = mkstemp(path);
    assert_int_equal(write(file, "its own\n", 8), 8);
    AUTO(free_ptr) char *own = xprintf("bolt://graph#user=reader,password_file=%s", path);
    assert_int_equal(setenv("NEO4J_USER", "writer", 1), 0);
    assert_int_equal(setenv("NEO4J_PASSWORD", "of the environment", 1), 0);

    assert_ok(credentials("bolt://graph", false, &vault, &err), &err);
    assert_string_equal(vault.user, "writer");
    assert_string_equal(vault.password, "of the environment");
    forget(&vault);
    for (int stranger = 0; stranger <= 1; stranger++) {
        assert_ok(credentials(own, stranger == 1, &vault, &err), &err);
        assert_string_equal(vault.user, "reader");
        assert_string_equal(vault.password, "its own");
        forget(&vault);
    }
    assert_int_equal(credentials("bolt://graph", true, &vault, &err), -ERR_AUTH);
    assert_null(vault.password);
    assert_string_equal(vault.user, "neo4j");
    forget(&vault);
    assert_int_equal(unlink(path), 0);
}

static void a_password_file_has_an_absolute_path(void **state)
{
    struct neo4j_vault vault;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(credentials("bolt://graph#password_file=secret", true, &vault, &err),
                     -ERR_CONFIG);
    assert_non_null(strstr(err.message, "password_file=secret is not absolute"));
    forget(&vault);
}

int main(void)
{
    const struct CMUnitTest neo4j_target_tests[] = {
        cmocka_unit_test(the_same_host_and_port_are_the_same_server),
        cmocka_unit_test(a_less_safe_way_to_it_is_not_the_same),
        cmocka_unit_test(a_stranger_has_what_its_options_say_and_nothing_of_the_environment),
        cmocka_unit_test(a_password_file_has_an_absolute_path),
    };

    return cmocka_run_group_tests(neo4j_target_tests, NULL, NULL);
}
