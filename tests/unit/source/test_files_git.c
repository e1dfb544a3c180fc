/* What git took, and what it did not. */
#include "support/unit.h"

#include "source/files_internal.h"

/* `printf one | git hash-object --stdin`, and of two. */
#define ONE "\x43\xdd\x47\xea\x69\x1c\x90\xa5\xfa\x78\x27\x89\x2c\x70\x24\x19\x13\x35\x19\x63"
#define TWO "\x64\xc5\xe5\x88\x5a\x4b\x06\x01\x0b\x3a\x0c\x20\xed\xb7\x90\x0d\xd0\x31\x10\x25"
/* The same in a repository of SHA-256. */
#define ONE_256                                                                                    \
    "\x43\x76\x13\xf2\x00\x0d\x14\x88\x21\x13\xa8\xce\xeb\x5e\x68\x57"                             \
    "\x25\x89\xed\xac\x29\x23\x0c\x9f\xec\xd0\x9d\x68\x26\x12\xc4\xa3"

static struct git_blob blob(const char *bytes)
{
    struct git_blob blob = {.len = bytes == NULL ? 0 : 20};

    if (bytes != NULL) {
        memcpy(blob.bytes, bytes, 20);
    }
    return blob;
}

static void a_file_is_gits_if_a_commit_had_it_and_head_has_it_as_it_is(void **state)
{
    struct git_change items[] = {
        {.path = (char[]){"changed.md"}, .before = blob(ONE), .after = blob(TWO)},
        {.path = (char[]){"gone.md"}, .before = blob(TWO), .after = blob(NULL)},
        {.path = (char[]){"gone.md"}, .before = blob(ONE), .after = blob(NULL)},
        {.path = (char[]){"new.md"}, .before = blob(NULL), .after = blob(ONE)},
    };
    struct git_changes changes = {.items = items, .count = 4};
    const struct str one = STR("one");
    const struct str two = STR("two");

    (void)state;
    assert_true(git_explains(&changes, "changed.md", one, &two));
    assert_false(git_explains(&changes, "changed.md", two, &one)); /* nobody committed that */
    assert_false(git_explains(&changes, "changed.md", one, &one));
    assert_false(git_explains(&changes, "changed.md", one, NULL)); /* HEAD still has it */
    assert_true(git_explains(&changes, "gone.md", one, NULL));
    assert_true(git_explains(&changes, "gone.md", two, NULL));
    assert_false(git_explains(&changes, "gone.md", STR("three"), NULL));
    assert_false(git_explains(&changes, "gone.md", one, &two));
    assert_false(git_explains(&changes, "new.md", one, &one));
    assert_false(git_explains(&changes, "other.md", one, NULL));
    assert_true(git_knows(&changes, "gone.md"));
    assert_false(git_knows(&changes, "other.md"));
}

static void a_repository_of_longer_hashes_is_understood(void **state)
{
    struct git_change item = {.path = (char[]){"a.md"}, .before = {.len = 32}};
    struct git_changes changes = {.items = &item, .count = 1};

    (void)state;
    memcpy(item.before.bytes, ONE_256, 32);
    assert_true(git_explains(&changes, "a.md", STR("one"), NULL));
    assert_false(git_explains(&changes, "a.md", STR("two"), NULL));
}

static void without_git_nothing_is_explained(void **state)
{
    struct git_changes changes = {.items = NULL};

    (void)state;
    assert_false(git_explains(&changes, "a.md", STR("one"), NULL));
    assert_false(git_knows(&changes, "a.md"));
    assert_null(git_folder_of("/proc/self"));
    git_changes_done(&changes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_gits_if_a_commit_had_it_and_head_has_it_as_it_is),
        cmocka_unit_test(a_repository_of_longer_hashes_is_understood),
        cmocka_unit_test(without_git_nothing_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
