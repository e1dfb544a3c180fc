#include "api/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"

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
    struct timeval wait = {.tv_sec = SOCKET_CONNECT_MS / 1000};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int why = errno;
        close_fd(&fd);
        return why == EAGAIN
                   ? err_set(err, ERR_TIMEOUT,
                             "the daemon of %s lets nobody in: it is stopped, or does not get on; "
                             "%s/lock says its pid",
                             home, home)
                   : err_errno(err, ERR_UNAVAILABLE, why, "no daemon answers at %s/%s", home,
                               SOCKET_NAME);
    }
    *ret_fd = fd;
    return 0;
}

/* By SIGSTOP, a terminal's Ctrl-Z, or a debugger. */
static bool is_stopped(pid_t pid)
{
    AUTO(free_ptr) char *path = xprintf("/proc/%ld/stat", (long)pid);
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct err ignored = ERR_INIT;

    if (file_read(path, 4096, &text, &ignored) < 0 || text.len == 0) {
        return false;
    }
    const char *name_end = strrchr(text.data, ')'); /* "pid (name) T ..." */
    return name_end && strlen(name_end) > 2 && (name_end[2] == 'T' || name_end[2] == 't');
}

static int says_nothing(const char *home, pid_t pid, struct err *err)
{
    if (pid <= 0) { /* of another pid namespace */
        return err_set(err, ERR_TIMEOUT, "the daemon of %s does not answer; %s/lock says who it is",
                       home, home);
    }
    if (is_stopped(pid)) {
        return err_set(err, ERR_TIMEOUT,
                       "the daemon of %s (pid %ld) does not answer, because it is stopped: let it "
                       "go on (kill -CONT %ld) or end it (kill -KILL %ld); what it acknowledged is "
                       "on disk",
                       home, (long)pid, (long)pid, (long)pid);
    }
    return err_set(err, ERR_TIMEOUT,
                   "the daemon of %s (pid %ld) does not answer any more; its log is "
                   "%s/daemon.log. To end it: kill -KILL %ld; what it acknowledged is on disk",
                   home, (long)pid, home, (long)pid);
}

/* Whatever it answers will do: whether its ledger is well is not the question, only that somebody
 * is there. */
int socket_check_alive(const char *home, struct err *err)
{
    static const char QUESTION[] =
        "GET /healthz HTTP/1.1\r\nHost: holdfast\r\nConnection: close\r\n\r\n";
    AUTO(close_fd) int fd = -1;
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof(peer);
    struct err gone = ERR_INIT;

    int rc = socket_connect(home, &fd, &gone);
    if (rc != 0) {
        return rc == -ERR_TIMEOUT ? err_copy(err, &gone) : 0;
    }
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len); /* pid 0: not known */
    if (peer.pid > 0 && is_stopped(peer.pid)) {
        return says_nothing(home, peer.pid, err);
    }
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    bool asked = send(fd, QUESTION, sizeof(QUESTION) - 1, MSG_NOSIGNAL) > 0;
    bool answered = asked && poll(&answer, 1, SOCKET_ANSWER_MS) != 0;
    return !asked || answered ? 0 : says_nothing(home, peer.pid, err);
}
