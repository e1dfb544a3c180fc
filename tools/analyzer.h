/*
 * analyzer - what clang-tidy must know to follow errors; tools/lint.py includes it before each file but base/err.c.
 *
 * The analyzer sees one file at a time. Without this it believes that err_set might return 0, and then complains of whatever
 * a failed function did not set.
 */
#include "base/err.h"

#define err_set(...) ((err_set)(__VA_ARGS__), -1)
#define err_errno(...) ((err_errno)(__VA_ARGS__), -1)
#define err_context(...) ((err_context)(__VA_ARGS__), -1)
#define err_copy(...) ((err_copy)(__VA_ARGS__), -1)
