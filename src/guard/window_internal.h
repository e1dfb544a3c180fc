/*
 * window_internal - what window.c and summary.c share.
 */
#ifndef HOLDFAST_GUARD_WINDOW_INTERNAL_H
#define HOLDFAST_GUARD_WINDOW_INTERNAL_H

#include "guard/window.h"

/* Is it by a member, and a change of content (but in those for updates: or a deletion, or a move)?
 */
bool window_counts(const struct windows *windows, const struct window_event *event, size_t slot);

/* What became of a memory from one of its events to its last. */
struct window_net window_net_since(const struct window_event *first);
/* Since the first of its changes that was no edit, less than a quarter of the text is left. */
bool window_replaced_since(const struct window_event *first);
void window_totals_add(struct window_totals *totals, const struct window_net *net, bool add);

/* Add to or take from the totals of its project and of all what the memory counts for now. */
void window_account(struct windows *windows, struct window_memory *memory, size_t slot, bool add);

/* How much of its content a change of it took. */
void window_event_weigh(struct window_event *event);

/* Forget an event, the first of its chain, outside of a transaction; its memory goes with its last
 * event. */
void window_event_drop(struct windows *windows, struct window_event *event);
void window_actor_drop(struct window_event *event);
void window_memory_free(struct windows *windows, struct window_memory *memory);

/* What a project, or all of them, has for each slot and watch. */
void window_project_init(const struct windows *windows, struct window_project *project);
void window_project_done(struct window_project *project);

/* Projects and actors, whatever names them. */
void window_names_free(struct windows *windows);

/* Make summaries of the oldest events until no more than `left` are left one by one. */
void windows_fold(struct windows *windows, size_t left);
void window_summaries_expire(struct windows *windows);
void window_summaries_drop_taken(struct windows *windows);

#endif
