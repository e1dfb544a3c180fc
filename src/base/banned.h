/*
 * banned - functions that nobody here may call, because each has overrun a buffer or lost an error
 * somewhere.
 *
 * Included last by base/err.h, so that every file has it. What to use instead: struct buf
 * (base/buf.h), num_parse_* (base/num.h), timestamp_* (base/timestamp.h).
 */
#ifndef HOLDFAST_BASE_BANNED_H
#define HOLDFAST_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef sprintf /* a macro in glibc's fortified headers for clang */

#pragma GCC poison strcpy strncpy strcat strncat sprintf vsprintf strtok strtok_r atoi atol atoll  \
    atof gets localtime gmtime

#endif
