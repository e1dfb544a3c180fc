/*
 * error - filling a struct bolt_error, and what the server's codes mean.
 *
 * bolt.h is the manual of the struct itself. Thread: any.
 */
#ifndef HOLDFAST_BOLT_ERROR_H
#define HOLDFAST_BOLT_ERROR_H

#include <holdfast/bolt.h>

#include "base/err.h"

/* Fill error, all of it, and return -kind. The text is cut and made printable. */
int bolt_fail(struct bolt_error *error, enum bolt_err kind, const char *format, ...) PRINTF(3, 4);

/* Prepend "context: " to the message and return -kind. */
int bolt_fail_context(struct bolt_error *error, const char *format, ...) PRINTF(2, 3);

/* The same with ": " and the text of errno_value appended. */
int bolt_fail_errno(struct bolt_error *error, enum bolt_err kind, int errno_value,
                    const char *format, ...) PRINTF(4, 5);

int bolt_fail_memory(struct bolt_error *error);

/* Put text into a field of size bytes: cut between characters, printable, NUL-terminated. */
void bolt_error_text(char *field, size_t size, struct bolt_string text);

/* A failure with this code means that we are not let in. */
bool bolt_code_is_auth(const char *code);

/* A COMMIT that fails with this code may have happened all the same. */
bool bolt_code_is_doubtful(const char *code);

#endif
