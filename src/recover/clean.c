/* What recoveries that died left behind. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "recover/stage.h"

static int remove_all(const char *root, int folder, struct err *err)
{
    DIR *entries = fdopendir(folder);
    int result = 0;

    if (entries == NULL) {
        int errno_value = errno;
        (void)close(folder);
        return err_errno(err, ERR_IO, errno_value, "listing %s", root);
    }
    for (struct dirent *entry = readdir(entries); entry != NULL && result == 0;
         entry = readdir(entries)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            AUTO(free_ptr) char *path = path_join(root, entry->d_name);
            result = file_remove_tree(path, err);
        }
    }
    (void)closedir(entries); /* frees the lock */
    return result;
}

int recover_clean(const char *home, struct err *err)
{
    AUTO(free_ptr) char *root = path_join(home, STAGE_FOLDER);
    int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0) {
        return errno == ENOENT ? 0 : err_errno(err, ERR_IO, errno, "opening %s", root);
    }
    if (flock(folder, LOCK_EX | LOCK_NB) != 0) {
        int errno_value = errno;
        (void)close(folder);
        /* Held: a recovery of another engine is alive, and its things are its own. */
        return errno_value == EWOULDBLOCK ? 0
                                          : err_errno(err, ERR_IO, errno_value, "locking %s", root);
    }
    return remove_all(root, folder, err);
}
