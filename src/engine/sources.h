/*
 * sources - the engine's sources: their threads, and opening one for a question.
 */
#ifndef HOLDFAST_ENGINE_SOURCES_H
#define HOLDFAST_ENGINE_SOURCES_H

#include "engine/engine.h"

int sources_start(struct engine *engine, struct err *err) MUST_CHECK;
void sources_stop(struct engine *engine);

/*
 * Where two homes capture one database, each has its slot and publication: a source whose
 * configuration names none gets a name made of the home's path.
 */
void sources_name_slots(const char *home, struct config *config);

/* A configured source's options by its name; NULL: the only one there is. They borrow from the
 * configuration. ERR_NOT_FOUND lists those there are. */
int sources_find(const struct config *config, const char *name, struct source_options *ret,
                 const struct source_ops **ret_ops, struct err *err) MUST_CHECK;

#endif
