/*
 * place - temporary folders of tests, and small ways to look at and damage files in them.
 */
#ifndef HOLDFAST_TESTS_VAULT_PLACE_H
#define HOLDFAST_TESTS_VAULT_PLACE_H

#include "support/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* A folder of its own on memory-backed disk when there is one; heap, the caller's. */
static inline char *place_new(void)
{
    char *path =
        xprintf("%s/holdfast-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");

    assert_non_null(mkdtemp(path));
    return path;
}

static inline void place_drop(char *path)
{
    struct err err = ERR_INIT;

    assert_ok(file_remove_tree(path, &err), &err);
    free(path);
}

static inline uint64_t place_size(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (uint64_t)st.st_size : UINT64_MAX;
}

static inline void place_write(const char *path, struct str content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.ptr, content.len), (ssize_t)content.len);
    (void)close(fd);
}

static inline struct buf place_read(const char *path)
{
    struct buf buf = BUF_INIT(SIZE_MAX / 2);
    struct err err = ERR_INIT;

    assert_ok(file_read(path, 1 << 30, &buf, &err), &err);
    return buf;
}

/* How many names in a folder begin with prefix. */
static inline int place_count(const char *folder, const char *prefix)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0 ? 1 : 0;
    }
    (void)closedir(dir);
    return count;
}

#endif
