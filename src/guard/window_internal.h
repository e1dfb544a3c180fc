/*
 * window_internal - what window.c and summary.c share.
 */
#ifndef HOLDFAST_GUARD_WINDOW_INTERNAL_H
#define HOLDFAST_GUARD_WINDOW_INTERNAL_H

#include "guard/window.h"

/* Is it a deletion or change of content (of those for updates: the latter only)? */
bool window_counts(const struct window_event *event, enum window_kind kind);

/* Add to or take from the project's totals what the memory counts for now. */
void window_account(struct window_memory *memory, enum window_kind kind, bool add);

/* Forget an event, the first of its chain, outside of a transaction; its memory goes with its last
 * event. */
void window_event_drop(struct windows *windows, struct window_event *event);
void window_actor_drop(struct window_event *event);
void window_memory_free(struct windows *windows, struct window_memory *memory);

/* Projects and actors, whatever names them. */
void window_names_free(struct windows *windows);

/* Make summaries of the oldest events until no more than `left` are left one by one. */
void windows_fold(struct windows *windows, size_t left);
void window_summaries_expire(struct windows *windows);
void window_summaries_drop_taken(struct windows *windows);

#endif
