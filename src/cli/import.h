/*
 * import - what other memory tools left, read as memory objects, a line each. Nothing is invented:
 * types, importance and times are set only where the source says them; what has no place in a
 * memory is noted by name.
 *
 * mcp-memory: the official memory server's file, a JSON object a line:
 * {"type":"entity","name","entityType","observations"} and
 * {"type":"relation","from","to","relationType"}. Each observation becomes a memory "NAME:
 * observation", each entity without one the memory "NAME (entityType)", each relation "FROM
 * relationType TO" that references its entities' first memories. basic-memory: a folder of Markdown
 * notes with YAML front matter (title, type, permalink, tags): a memory a file. claude-code: Claude
 * Code's memory folder (*.md, front matter name, description, type) or a CLAUDE.md: a memory a
 * file. Ids are derived from what the source calls a thing, so that importing again changes
 * nothing.
 */
#ifndef HOLDFAST_CLI_IMPORT_H
#define HOLDFAST_CLI_IMPORT_H

#include "api/spool.h"

struct import_notes {
    char **items; /* heap strings: what could not be mapped, and why */
    size_t count;
};
void import_note(struct import_notes *notes, const char *format, ...) PRINTF(2, 3);
void import_notes_done(struct import_notes *notes);

/* Read path as format into spool; *ret_fd reads the lines (the caller's). ERR_USAGE for an unknown
 * format. */
int import_read(const char *format, const char *path, struct spool *spool,
                struct import_notes *notes, int *ret_fd, struct err *err) MUST_CHECK;

/* The readers: lines into spool. */
int import_graph(const char *path, struct spool *spool, struct import_notes *notes, struct err *err)
    MUST_CHECK;
int import_markdown(const char *path, const char *format, struct spool *spool,
                    struct import_notes *notes, struct err *err) MUST_CHECK;

/* The id of the thing that this tool calls `name`. */
void import_id(const char *format, const char *name, char ret_text[37]);

#endif
