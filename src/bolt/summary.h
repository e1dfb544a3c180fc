/*
 * summary - what a query's last reply says.
 */
#ifndef HOLDFAST_BOLT_SUMMARY_H
#define HOLDFAST_BOLT_SUMMARY_H

#include <holdfast/bolt.h>

/* Views of metadata (a MAP); first_ms is of the reply to RUN. */
void summary_read(const struct bolt_value *metadata, int64_t first_ms, struct bolt_summary *ret);

#endif
