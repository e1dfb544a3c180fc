/* err - codes, classes and messages for people. */
#include "support/unit.h"

#include <errno.h>

static void a_failure_returns_its_code_negated(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    assert_int_equal(err_set(&err, ERR_LIMIT, "%d is too many", 7), -ERR_LIMIT);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.message, "7 is too many");
}

static void context_is_prepended_on_the_way_up(void **state)
{
    (void)state;
    struct err err;

    (void)err_set(&err, ERR_CORRUPT, "hash differs");
    assert_int_equal(err_context(&err, "record %d", 17), -ERR_CORRUPT);
    assert_int_equal(err_context(&err, "vault %s", "archive"), -ERR_CORRUPT);
    assert_string_equal(err.message, "vault archive: record 17: hash differs");
}

static void a_message_may_quote_the_one_it_replaces(void **state)
{
    (void)state;
    struct err err;

    (void)err_set(&err, ERR_IO, "inner");
    (void)err_set(&err, ERR_INTERNAL, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (inner)");
}

static void errno_is_explained_in_words(void **state)
{
    (void)state;
    struct err err;

    assert_int_equal(err_errno(&err, ERR_IO, EACCES, "opening %s", "x"), -ERR_IO);
    assert_string_equal(err.message, "opening x: Permission denied");
}

static void a_full_disk_is_always_full(void **state)
{
    (void)state;
    struct err err;

    assert_int_equal(err_errno(&err, ERR_IO, ENOSPC, "writing"), -ERR_FULL);
    assert_int_equal(err.code, ERR_FULL);
    assert_int_equal(err_errno(&err, ERR_CONFIG, EDQUOT, "writing"), -ERR_FULL);
}

static void a_message_of_the_greatest_length_is_whole(void **state)
{
    (void)state;
    struct err err;
    char text[ERR_MESSAGE_MAX];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    (void)err_set(&err, ERR_INVALID, "%s", text);
    assert_string_equal(err.message, text);
}

static void a_longer_message_ends_in_an_ellipsis(void **state)
{
    (void)state;
    struct err err;
    char text[ERR_MESSAGE_MAX + 1];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    (void)err_set(&err, ERR_INVALID, "%s", text);
    assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
    assert_string_equal(err.message + ERR_MESSAGE_MAX - 5, "x…");
}

static void a_message_is_never_cut_inside_of_a_character(void **state)
{
    (void)state;
    struct err err;

    for (int shift = 0; shift < 2; shift++) {
        char text[2 * ERR_MESSAGE_MAX];
        size_t len = 0;
        for (int i = 0; i < shift; i++) {
            text[len++] = 'x';
        }
        while (len + 3 < sizeof(text)) {
            memcpy(text + len, "ö", 2);
            len += 2;
        }
        text[len] = '\0';
        (void)err_set(&err, ERR_INVALID, "%s", text);
        size_t end = strlen(err.message);
        assert_string_equal(err.message + end - 5, "ö…");
    }
}

/* Messages quote what was refused, and are sent as JSON and shown on terminals. */
static void a_message_is_printable_utf8_whatever_it_quotes(void **state)
{
    (void)state;
    struct err err;

    (void)err_set(&err, ERR_INVALID, "\"%s\" is no name", "\x1B[2Jö\xFF");
    assert_string_equal(err.message, "\"?[2Jö?\" is no name");
    (void)err_context(&err, "folder %s", "\xC0");
    assert_string_equal(err.message, "folder ?: \"?[2Jö?\" is no name");
}

static void a_copy_has_code_and_message(void **state)
{
    (void)state;
    struct err from;
    struct err to = ERR_INIT;

    (void)err_set(&from, ERR_TIMEOUT, "late");
    assert_int_equal(err_copy(&to, &from), -ERR_TIMEOUT);
    assert_int_equal(err_copy(&to, &to), -ERR_TIMEOUT);
    assert_string_equal(to.message, "late");
}

static void each_code_has_its_row(void **state)
{
    (void)state;

    assert_string_equal(err_name(ERR_INVALID), "invalid");
    assert_int_equal(err_class(ERR_INVALID), ERR_CLASS_REJECT);
    assert_int_equal(err_http_status(ERR_INVALID), 422);
    assert_int_equal(err_jsonrpc_code(ERR_INVALID), -32602);
    assert_int_equal(err_exit_status(ERR_INVALID), 2);
    assert_int_equal(err_class(ERR_CORRUPT), ERR_CLASS_STOP);
    assert_int_equal(err_class(ERR_UNAVAILABLE), ERR_CLASS_RETRY);
    assert_string_equal(err_meaning(ERR_NOT_FOUND), "there is no such thing");
    assert_int_equal(err_exit_status(ERR_NONE), 0);
}

static void codes_may_be_given_as_they_are_returned(void **state)
{
    (void)state;

    for (int code = 0; code < ERR_CODES; code++) {
        assert_ptr_equal(err_name(-code), err_name(code));
    }
}

static void an_unknown_code_counts_as_a_defect(void **state)
{
    (void)state;

    assert_string_equal(err_name(ERR_CODES), "internal");
    assert_string_equal(err_name(INT32_MIN), "internal");
    assert_int_equal(err_class(9999), ERR_CLASS_STOP);
}

static void names_lead_back_to_codes(void **state)
{
    (void)state;

    for (int code = ERR_NONE + 1; code < ERR_CODES; code++) {
        assert_int_equal(err_by_name(err_name(code)), code);
    }
    assert_int_equal(err_by_name("none"), ERR_NONE);
    assert_int_equal(err_by_name("Invalid"), ERR_NONE);
    assert_int_equal(err_by_name(""), ERR_NONE);
    assert_int_equal(err_by_name(NULL), ERR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_returns_its_code_negated),
        cmocka_unit_test(context_is_prepended_on_the_way_up),
        cmocka_unit_test(a_message_may_quote_the_one_it_replaces),
        cmocka_unit_test(errno_is_explained_in_words),
        cmocka_unit_test(a_full_disk_is_always_full),
        cmocka_unit_test(a_message_of_the_greatest_length_is_whole),
        cmocka_unit_test(a_longer_message_ends_in_an_ellipsis),
        cmocka_unit_test(a_message_is_never_cut_inside_of_a_character),
        cmocka_unit_test(a_message_is_printable_utf8_whatever_it_quotes),
        cmocka_unit_test(a_copy_has_code_and_message),
        cmocka_unit_test(each_code_has_its_row),
        cmocka_unit_test(codes_may_be_given_as_they_are_returned),
        cmocka_unit_test(an_unknown_code_counts_as_a_defect),
        cmocka_unit_test(names_lead_back_to_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
