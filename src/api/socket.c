#include "api/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"

/* An address that reaches home/daemon.sock through an open descriptor of home, which the caller
 * closes after use. */
static int address_of(const char *home, struct sockaddr_un *ret, int *ret_folder, struct err *err)
{
    int folder = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0) {
        return err_errno(err, errno == ENOENT ? ERR_UNAVAILABLE : ERR_IO, errno, "can't open %s",
                         home);
    }
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", folder,
                   SOCKET_NAME);
    *ret_folder = folder;
    return 0;
}

int socket_listen(const char *home, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int folder = -1;
    struct sockaddr_un address;

    if (address_of(home, &address, &folder, err) != 0) {
        return -(int)err->code;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_errno(err, ERR_IO, errno, "can't make a socket");
    }
    if (unlinkat(folder, SOCKET_NAME, 0) != 0 && errno != ENOENT) {
        close_fd(&fd);
        return err_errno(err, ERR_IO, errno, "can't replace %s/%s", home, SOCKET_NAME);
    }
    mode_t before = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    int why = errno;
    (void)umask(before);
    if (rc != 0 || listen(fd, SOCKET_BACKLOG) != 0) {
        why = rc != 0 ? why : errno;
        close_fd(&fd);
        return err_errno(err, ERR_IO, why, "can't listen on %s/%s", home, SOCKET_NAME);
    }
    *ret_fd = fd;
    return 0;
}

void socket_remove(const char *home)
{
    AUTO(free_ptr) char *path = xprintf("%s/%s", home, SOCKET_NAME);

    (void)unlink(path); /* one that stays is replaced at the next start */
}

int socket_connect(const char *home, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int folder = -1;
    struct sockaddr_un address;

    if (address_of(home, &address, &folder, err) != 0) {
        return -(int)err->code;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_errno(err, ERR_IO, errno, "can't make a socket");
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int why = errno;
        close_fd(&fd);
        return err_errno(err, ERR_UNAVAILABLE, why, "no daemon answers at %s/%s", home,
                         SOCKET_NAME);
    }
    *ret_fd = fd;
    return 0;
}
