/*
 * demo_input - real text for the demonstration: the project's own documentation (a memory a
 * section) and its git log.
 */
#ifndef HOLDFAST_CLI_DEMO_INPUT_H
#define HOLDFAST_CLI_DEMO_INPUT_H

#include "api/spool.h"

/* Memory objects, a line each, from the Markdown files and headers under root and from its git log.
 * ERR_NOT_FOUND when root has none. */
int demo_input(const char *root, struct spool *spool, uint64_t *ret_count, struct err *err)
    MUST_CHECK;

#endif
