/*
 * unit - what every unit test includes: cmocka and a few assertions that show the error when they
 * fail.
 *
 * A test file is static functions named as sentences, and one group:
 * `int main(void) { const struct CMUnitTest tests[] = {cmocka_unit_test(...)}; return
 * cmocka_run_group_tests(tests, NULL, NULL); }`
 */
#ifndef HOLDFAST_TESTS_UNIT_H
#define HOLDFAST_TESTS_UNIT_H

/* cmocka.h wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* How many of what a test repeats often: a tenth of it (one at least) under valgrind, which is 30
 * times slower. The other tools do all of it. */
static inline unsigned unit_times(unsigned count)
{
    const char *tool = getenv("HOLDFAST_TEST_TOOL");

    return tool != NULL && strcmp(tool, "valgrind") == 0 ? (count + 9) / 10 : count;
}

/* `assert_ok(buf_add(&buf, "x", 1, &err), &err);` */
#define assert_ok(call, err) unit_assert_ok((call), (err), #call, __FILE__, __LINE__)
static inline void unit_assert_ok(int rc, const struct err *err, const char *call, const char *file,
                                  int line)
{
    if (rc < 0) {
        print_error("%s failed: %s (%s)\n", call, err->message, err_name(rc));
        _fail(file, line);
    }
}

/* The call fails with this code, and its message (which is for people) mentions `part`. */
#define assert_refused(call, err, expected, part)                                                  \
    unit_assert_refused((call), (err), (expected), (part), #call, __FILE__, __LINE__)
static inline void unit_assert_refused(int rc, const struct err *err, enum err_code expected,
                                       const char *part, const char *call, const char *file,
                                       int line)
{
    if (rc != -(int)expected) {
        print_error("%s gave %s; expected %s\n", call, err_name(rc), err_name((int)expected));
        _fail(file, line);
    }
    if (err->code != expected || strstr(err->message, part) == NULL) {
        print_error("%s said \"%s\" (%s), which doesn't mention \"%s\"\n", call, err->message,
                    err_name((int)err->code), part);
        _fail(file, line);
    }
}

#endif
