/* Patterns of paths. */
#include "support/unit.h"

#include "source/globs.h"

static struct globs globs_of(const char *pattern)
{
    struct globs globs = {.count = 0};
    struct err err = ERR_INIT;

    assert_ok(globs_add(&globs, pattern, &err), &err);
    return globs;
}

struct sample {
    const char *pattern;
    const char *path;
    bool matches;
};

static void check(const struct sample *samples, size_t count,
                  bool (*match)(const struct globs *globs, const char *path))
{
    for (size_t i = 0; i < count; i++) {
        struct globs globs = globs_of(samples[i].pattern);
        if (match(&globs, samples[i].path) != samples[i].matches) {
            fail_msg("%s and %s", samples[i].pattern, samples[i].path);
        }
        globs_done(&globs);
    }
}

#define CHECK(samples, match) check(samples, sizeof(samples) / sizeof((samples)[0]), match)

static void a_name_is_meant_in_any_folder_and_a_path_from_the_root_on(void **state)
{
    static const struct sample samples[] = {
        {"CLAUDE.md", "CLAUDE.md", true},
        {"CLAUDE.md", "a/b/CLAUDE.md", true},
        {"CLAUDE.md", "XCLAUDE.md", false},
        {"CLAUDE.md", "CLAUDE.md/x", false},
        {"*.md", "a.md", true},
        {"*.md", "a/b.md", true},
        {"*.md", "a.mdx", false},
        {"*.md", ".md", true},
        {"docs/*.md", "docs/a.md", true},
        {"docs/*.md", "x/docs/a.md", false},
        {"docs/*.md", "docs/x/a.md", false},
        {"docs/a?.md", "docs/ab.md", true},
        {"docs/a?.md", "docs/a\xc3\xa9.md", true},
        {"docs/a?.md", "docs/a/.md", false},
    };

    (void)state;
    CHECK(samples, globs_match);
}

static void two_stars_are_any_folders_and_none(void **state)
{
    static const struct sample samples[] = {
        {"**/*.md", "a.md", true},
        {"**/*.md", "a/b/c.md", true},
        {"a/**/z.md", "a/z.md", true},
        {"a/**/z.md", "a/b/c/z.md", true},
        {"a/**/z.md", "b/a/z.md", false},
        {"a/**", "a/b/c", true},
        {"a/**", "a", false},
        {"a/**", "ab/c", false},
        {"**", "any/thing", true},
        {"a**b/x", "aXb/x", true},
        {"a**b/x", "a/b/x", false},
    };

    (void)state;
    CHECK(samples, globs_match);
}

static void brackets_are_one_of_several_characters(void **state)
{
    static const struct sample samples[] = {
        {"[abc].md", "b.md", true},   {"[abc].md", "d.md", false}, {"[a-c].md", "c.md", true},
        {"[!a-c].md", "c.md", false}, {"[!a-c].md", "x.md", true}, {"[]].md", "].md", true},
        {"[a.md", "[a.md", true},     {"\\*.md", "*.md", true},    {"\\*.md", "a.md", false},
        {"x[/]y", "x/y", false},
    };

    (void)state;
    CHECK(samples, globs_match);
}

static void a_folder_that_is_meant_takes_all_below_it(void **state)
{
    static const struct sample folders[] = {
        {"node_modules", "node_modules", true},
        {"node_modules/", "a/node_modules", true},
        {"node_modules/**", "node_modules", true},
        {"node_modules/**", "a/node_modules", false},
        {"**/node_modules/**", "a/node_modules", true},
        {"**/.git/**", ".git", true},
        {"*.md", "a", false},
        {"**/*.md", "docs", false},
    };
    static const struct sample below[] = {
        {"**/.git/**", ".git/refs/x.md", true}, {"private", "a/private/b/c.md", true},
        {"private/", "private/x.md", true},     {"private/**", "a/private/x.md", false},
        {"draft*", "a/draft1.md", true},        {"draft*", "a/b.md", false},
    };

    (void)state;
    CHECK(folders, globs_match_folder);
    CHECK(below, globs_match_below);
}

static void what_leads_out_of_the_folder_is_refused(void **state)
{
    static const char *const wrong[] = {"", "/etc/*", "../x", "a/../b", "a/.."};
    struct globs globs = {.count = 0};
    char longest[GLOB_MAX_BYTES + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct err err = ERR_INIT;
        assert_int_equal(globs_add(&globs, wrong[i], &err), -ERR_CONFIG);
    }
    struct err err = ERR_INIT;
    memset(longest, 'x', sizeof(longest));
    longest[GLOB_MAX_BYTES + 1] = '\0';
    assert_int_equal(globs_add(&globs, longest, &err), -ERR_CONFIG);
    err = (struct err)ERR_INIT;
    longest[GLOB_MAX_BYTES] = '\0';
    assert_ok(globs_add(&globs, longest, &err), &err);
    while (globs.count < GLOBS_MAX) {
        assert_ok(globs_add(&globs, "a..b", &err), &err);
    }
    assert_int_equal(globs_add(&globs, "a", &err), -ERR_CONFIG);
    globs_done(&globs);
}

static void a_pattern_of_many_stars_comes_to_an_end(void **state)
{
    struct globs globs = globs_of("**/*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b");
    char path[201];

    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_false(globs_match(&globs, path));
    globs_done(&globs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_meant_in_any_folder_and_a_path_from_the_root_on),
        cmocka_unit_test(two_stars_are_any_folders_and_none),
        cmocka_unit_test(brackets_are_one_of_several_characters),
        cmocka_unit_test(a_folder_that_is_meant_takes_all_below_it),
        cmocka_unit_test(what_leads_out_of_the_folder_is_refused),
        cmocka_unit_test(a_pattern_of_many_stars_comes_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
