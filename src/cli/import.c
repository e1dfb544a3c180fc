#include "cli/import.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/uuid.h"

void import_note(struct import_notes *notes, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    notes->items = xrealloc(notes->items, (notes->count + 1) * sizeof(*notes->items));
    notes->items[notes->count++] = xstrdup(text);
}

void import_notes_done(struct import_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++) {
        free(notes->items[i]);
    }
    free(notes->items);
    *notes = (struct import_notes){NULL, 0};
}

void import_id(const char *format, const char *name, char ret_text[37])
{
    struct uuid id = uuid_derive(str_of(format), str_of(name));

    uuid_format(&id, ret_text);
}

/* The spool's lines as something to read from. */
static int spool_fd(struct spool *spool, int *ret_fd, struct err *err)
{
    char chunk[65536];
    size_t got = 0;
    int fd = memfd_create("holdfast-import", MFD_CLOEXEC);

    if (fd < 0) {
        return err_errno(err, ERR_IO, errno, "can't make a place for the import's lines");
    }
    int rc = 0;
    for (uint64_t at = 0; rc == 0; at += got) {
        rc = spool_read(spool, at, chunk, sizeof(chunk), &got, err);
        if (rc != 0 || got == 0) {
            break;
        }
        rc = file_write_all(fd, chunk, got, "the import's lines", err);
    }
    if (rc == 0 && lseek(fd, 0, SEEK_SET) < 0) {
        rc = err_errno(err, ERR_IO, errno, "can't read the import's lines back");
    }
    if (rc != 0) {
        close_fd(&fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

int import_read(const char *format, const char *path, struct spool *spool,
                struct import_notes *notes, int *ret_fd, struct err *err)
{
    int rc;

    if (strcmp(format, "mcp-memory") == 0) {
        rc = import_graph(path, spool, notes, err);
    } else if (strcmp(format, "basic-memory") == 0 || strcmp(format, "claude-code") == 0) {
        rc = import_markdown(path, format, spool, notes, err);
    } else {
        return err_set(
            err, ERR_USAGE,
            "format \"%s\" is not known; allowed are jsonl, mcp-memory, basic-memory, claude-code",
            format);
    }
    return rc == 0 ? spool_fd(spool, ret_fd, err) : rc;
}
