/*
 * analyzer - what clang-tidy must know to follow errors; tools/lint.py includes it before each file but those that define what is here.
 *
 * The analyzer sees one file at a time. Without this it believes that err_set might return 0, and then complains of whatever
 * a failed function did not set.
 */
#include "base/err.h"
#include "bolt/error.h"

#define err_set(...) ((err_set)(__VA_ARGS__), -1)
#define err_errno(...) ((err_errno)(__VA_ARGS__), -1)
#define err_context(...) ((err_context)(__VA_ARGS__), -1)
#define err_copy(...) ((err_copy)(__VA_ARGS__), -1)
#define bolt_fail(...) ((bolt_fail)(__VA_ARGS__), -1)
#define bolt_fail_context(...) ((bolt_fail_context)(__VA_ARGS__), -1)
#define bolt_fail_errno(...) ((bolt_fail_errno)(__VA_ARGS__), -1)
#define bolt_fail_memory(...) ((bolt_fail_memory)(__VA_ARGS__), -1)
