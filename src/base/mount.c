#include "base/mount.h"

#include <stdlib.h>

#include "base/file.h"

#define MOUNTS "/proc/self/mountinfo"
#define MOUNTS_MAX                                                                                 \
    ((size_t)4 * 1024 * 1024) /* bytes; a host of many containers has some 100 KiB                 \
                               */

/* An absolute path through no link, as far as it exists: what is behind that is not mounted. Heap;
 * NULL when not even that can be told. */
static char *real_place(const char *path)
{
    AUTO(free_ptr) char *around = xstrdup(path);
    char *real = realpath(around, NULL);

    for (char *slash; real == NULL && (slash = strrchr(around, '/')) != NULL;) {
        *slash = '\0';
        real = realpath(slash == around ? "/" : around, NULL);
    }
    return real;
}

/* "\040" and its like, as proc(5) writes what would end the field, in place. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *at = text; *at != '\0'; at++) {
        bool escaped = at[0] == '\\' && strspn(at + 1, "01234567") >= 3;
        *to++ = escaped ? (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0')) : *at;
        at += escaped ? 3 : 0;
    }
    *to = '\0';
}

static bool is_below(const char *path, const char *mount)
{
    return strcmp(mount, "/") == 0 || path_is_below(path, mount);
}

/* The mount point in a line "36 35 98:0 /root /mount/point options - type …"; NULL for the
 * placeholder of what is mounted when somebody looks. A view into the line. */
static char *mount_of_line(char *line)
{
    char *rest = line;
    char *field = NULL;
    char *type = strstr(line, " - ");

    if (type == NULL || strncmp(type, " - autofs ", 10) == 0) {
        return NULL;
    }
    for (int i = 0; i < 5 && rest != NULL; i++) {
        field = strsep(&rest, " ");
    }
    if (rest != NULL) {
        unescape(field);
    }
    return rest == NULL ? NULL : field;
}

char *mount_of(const char *path)
{
    AUTO(buf_done) struct buf text = BUF_INIT(MOUNTS_MAX);
    AUTO(free_ptr) char *real = real_place(path);
    struct err ignored = ERR_INIT;
    const char *best = NULL;

    if (real == NULL || file_read(MOUNTS, MOUNTS_MAX, &text, &ignored) < 0 || text.len == 0) {
        return NULL;
    }
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        const char *mount = mount_of_line(line);
        if (mount != NULL && is_below(real, mount) &&
            (best == NULL || strlen(mount) > strlen(best))) {
            best = mount;
        }
    }
    return best == NULL ? NULL : xstrdup(best);
}
