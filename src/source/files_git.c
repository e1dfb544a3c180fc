/*
 * What git knows. A checkout, a merge or a reset takes files away and changes others, all at once,
 * as an `rm -rf` does; yet nothing is lost by it that git has not got.
 *
 * The rule: a file was git's to take if a commit where HEAD was lately (the last of HEAD's reflog),
 * or the stash if that is of this minute, has the file as the ledger last heard of it, and the
 * commit where HEAD is now has it as it is now, or has none; or if HEAD has it so, and the index
 * has it no more. So a committed file that somebody removes is no work of git's, as the index still
 * has it; nor is one whose last text was never committed.
 *
 * Git is asked by its own program, which follows packs and deltas. The repository's configuration
 * can be anybody's: only plumbing is run that starts no program from it, and no transport.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "source/files_internal.h"

#define REFLOG_TAIL ((size_t)32 * 1024) /* bytes: more than the moves that are looked at */
#define MOVES_MAX 8                     /* of HEAD */
#define GIT_MS 3000                     /* for one question */
#define GIT_ANSWER_MAX ((size_t)64 * 1024 * 1024)
#define GIT_FILE_MAX ((size_t)4096)
#define STASH_US ((int64_t)60000000) /* so long it counts */
#define HEX_MAX 64

/* ---- where ---- */

static char *read_gitdir(const char *dot_git, const char *folder)
{
    AUTO(buf_done) struct buf text = BUF_INIT(GIT_FILE_MAX);
    struct err none = ERR_INIT;

    if (file_read(dot_git, GIT_FILE_MAX, &text, &none) < 0 ||
        !str_starts(buf_str(&text), STR("gitdir: "))) {
        return NULL;
    }
    char *name = text.data + strlen("gitdir: ");
    name[strcspn(name, "\r\n")] = '\0';
    return name[0] == '/' ? xstrdup(name) : path_join(folder, name);
}

char *git_folder_of(const char *root)
{
    AUTO(free_ptr) char *folder = xstrdup(root);

    for (;;) {
        AUTO(free_ptr) char *dot_git = path_join(folder, ".git");
        struct stat st;
        if (stat(dot_git, &st) == 0) {
            return S_ISDIR(st.st_mode) ? xstrdup(dot_git) : read_gitdir(dot_git, folder);
        }
        char *slash = strrchr(folder, '/');
        if (slash == NULL || folder[1] == '\0') {
            return NULL;
        }
        slash[slash == folder ? 1 : 0] = '\0';
    }
}

/* When a file in the git folder was changed; 0: there is none. */
static int64_t changed_us(const char *git, const char *name)
{
    AUTO(free_ptr) char *path = path_join(git, name);
    struct stat st;

    return stat(path, &st) != 0 ? 0
                                : (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
}

bool git_is_busy(const char *git, int64_t now_us)
{
    int64_t index_us = changed_us(git, "index");

    return changed_us(git, "index.lock") != 0 ||
           (index_us > changed_us(git, "logs/HEAD") && index_us > now_us - FILES_GIT_AFTER_US);
}

bool git_was_busy(const char *git, int64_t now_us)
{
    return changed_us(git, "index.lock") != 0 ||
           changed_us(git, "index") > now_us - FILES_GIT_LATELY_US;
}

/* ---- where HEAD was ---- */

struct moves {
    char before[MOVES_MAX][HEX_MAX + 1]; /* the newest first */
    size_t count;
    char head[HEX_MAX + 1];
};

static size_t hex_len(const char *text)
{
    return strspn(text, "0123456789abcdef");
}

static bool is_id(const char *text, char after)
{
    size_t len = hex_len(text);

    return (len == 40 || len == HEX_MAX) && text[len] == after && strspn(text, "0") != len;
}

/* "BEFORE AFTER Name <mail> time zone\twhat" */
static void note_line(struct moves *moves, const char *line)
{
    size_t len = hex_len(line);
    char before[HEX_MAX + 1];

    if (!is_id(line, ' ') || !is_id(line + len + 1, ' ') || moves->count == MOVES_MAX) {
        return;
    }
    if (moves->head[0] == '\0') {
        memcpy(moves->head, line + len + 1, len);
    }
    memcpy(before, line, len);
    before[len] = '\0';
    for (size_t i = 0; i < moves->count; i++) {
        if (strcmp(moves->before[i], before) == 0) {
            return;
        }
    }
    if (strcmp(before, moves->head) != 0) {
        memcpy(moves->before[moves->count++], before, sizeof(before));
    }
}

static void read_moves(const char *git, struct moves *ret)
{
    AUTO(free_ptr) char *path = path_join(git, "logs/HEAD");
    AUTO(free_ptr) char *text = xmalloc(REFLOG_TAIL + 1);
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    *ret = (struct moves){.count = 0};
    if (fd < 0 || fstat(fd, &st) != 0) {
        return;
    }
    off_t from = st.st_size > (off_t)REFLOG_TAIL ? st.st_size - (off_t)REFLOG_TAIL : 0;
    ssize_t got = pread(fd, text, REFLOG_TAIL, from);
    text[got < 0 ? 0 : got] = '\0';
    for (char *newline; (newline = strrchr(text, '\n')) != NULL;) {
        *newline = '\0';
        char *before = strrchr(text, '\n');
        note_line(ret, before == NULL ? text : before + 1);
    }
}

/* ---- one question ---- */

static int spawn_git(char *const *argv, int output, pid_t *ret)
{
    const char *path = getenv("PATH");
    AUTO(free_ptr)
    char *path_is = xprintf("PATH=%s", path == NULL ? "/usr/local/bin:/usr/bin:/bin" : path);
    char *const environment[] = {path_is,
                                 (char[]){"LC_ALL=C"},
                                 (char[]){"GIT_CONFIG_NOSYSTEM=1"},
                                 (char[]){"GIT_CONFIG_GLOBAL=/dev/null"},
                                 (char[]){"GIT_ALLOW_PROTOCOL=none"},
                                 (char[]){"GIT_NO_LAZY_FETCH=1"},
                                 (char[]){"GIT_OPTIONAL_LOCKS=0"},
                                 (char[]){"GIT_TERMINAL_PROMPT=0"},
                                 NULL};
    posix_spawn_file_actions_t actions;

    if (posix_spawn_file_actions_init(&actions) != 0) {
        return ENOMEM;
    }
    int rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    rc = rc == 0 ? posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO) : rc;
    rc = rc == 0
             ? posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
             : rc;
    rc = rc == 0 ? posix_spawnp(ret, "git", &actions, NULL, argv, environment) : rc;
    (void)posix_spawn_file_actions_destroy(&actions); /* it can't fail */
    return rc;
}

/* Until its end, the deadline, or a shutdown. */
static bool read_answer(const struct files *files, int fd, struct buf *answer)
{
    struct deadline deadline = deadline_in(GIT_MS);
    struct wake *cancel = files->options->cancel;
    struct err none = ERR_INIT;

    while (deadline_left_ms(deadline) > 0 && (cancel == NULL || !wake_cancelled(cancel))) {
        struct pollfd polls[] = {{.fd = fd, .events = POLLIN},
                                 {.fd = cancel == NULL ? -1 : cancel->fd, .events = POLLIN}};
        if (poll(polls, 2, (int)deadline_left_ms(deadline)) <= 0 || polls[0].revents == 0) {
            continue;
        }
        if (buf_reserve(answer, REFLOG_TAIL, &none) < 0) {
            return false;
        }
        ssize_t got = read(fd, answer->data + answer->len, REFLOG_TAIL);
        if (got <= 0) {
            return got == 0;
        }
        answer->len += (size_t)got;
    }
    return false;
}

/* What differs from `before` in `after`: two commits; NULL: the index. */
static bool ask(const struct files *files, char *before, char *after, struct buf *answer)
{
    char *const argv[] = {(char[]){"git"},
                          (char[]){"-c"},
                          (char[]){"core.fsmonitor=false"},
                          (char[]){"-C"},
                          files->root,
                          after == NULL ? (char[]){"diff-index"} : (char[]){"diff-tree"},
                          after == NULL ? (char[]){"--cached"} : (char[]){"-r"},
                          (char[]){"-z"},
                          (char[]){"--raw"},
                          (char[]){"--no-renames"},
                          (char[]){"--no-abbrev"},
                          (char[]){"--relative"},
                          before,
                          after,
                          NULL};
    int ends[2];
    pid_t child;
    int status = 0;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    int why = spawn_git(argv, ends[1], &child);
    close_fd(&ends[1]);
    bool is_whole = why == 0 && read_answer(files, ends[0], answer);
    close_fd(&ends[0]);
    if (why != 0) {
        return false; /* there is no git */
    }
    if (!is_whole) {
        (void)kill(child, SIGKILL);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return is_whole && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- what it says ---- */

void git_changes_done(struct git_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        free(changes->items[i].path);
    }
    free(changes->items);
    *changes = (struct git_changes){.items = NULL};
}

static unsigned digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* Zeros: there is none. */
static bool read_blob(const char *hex, struct git_blob *ret)
{
    size_t len = hex_len(hex);

    *ret = (struct git_blob){.len = 0};
    if ((len != 40 && len != HEX_MAX) || hex[len] != ' ') {
        return false;
    }
    if (strspn(hex, "0") == len) {
        return true;
    }
    ret->len = (uint8_t)(len / 2);
    for (size_t i = 0; i < ret->len; i++) {
        ret->bytes[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    }
    return true;
}

/* ":100644 000000 BEFORE AFTER D" and a path. */
static bool note_change(struct git_changes *changes, const char *what, const char *path,
                        bool only_gone)
{
    struct git_change change;
    size_t modes = strlen(":100644 100644 ");

    if (what[0] != ':' || strlen(what) < modes + 80 || !read_blob(what + modes, &change.before) ||
        !read_blob(what + modes + hex_len(what + modes) + 1, &change.after)) {
        return false;
    }
    if (only_gone && change.after.len > 0) {
        return true;
    }
    if (changes->count == changes->capacity) {
        changes->capacity = changes->capacity == 0 ? 64 : changes->capacity * 2;
        changes->items = xrealloc(changes->items, changes->capacity * sizeof(*changes->items));
    }
    change.path = xstrdup(path);
    changes->items[changes->count++] = change;
    return true;
}

static void note_answer(struct git_changes *changes, const struct buf *answer, bool only_gone)
{
    for (size_t at = 0; at < answer->len;) {
        const char *what = answer->data + at;
        size_t what_len = strlen(what); /* the buffer ends with a NUL */
        at += what_len + 1;
        if (at >= answer->len || !note_change(changes, what, answer->data + at, only_gone)) {
            return;
        }
        at += strlen(answer->data + at) + 1;
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct git_change *)a)->path, ((const struct git_change *)b)->path);
}

static int ask_and_note(const struct files *files, char *before, char *after, struct buf *answer,
                        struct git_changes *ret, struct err *err)
{
    buf_reset(answer);
    if (buf_add(answer, "", 0, err) < 0) {
        return -(int)err->code;
    }
    if (ask(files, before, after, answer)) {
        answer->data[answer->len] = '\0';
        note_answer(ret, answer, after == NULL);
    }
    return 0;
}

int git_read_changes(struct files *files, struct git_changes *ret, struct err *err)
{
    AUTO(buf_done) struct buf answer = BUF_INIT(GIT_ANSWER_MAX);
    struct env *env = ledger_env(files->options->ledger);
    bool is_stashed = changed_us(files->git, "logs/refs/stash") > env->now_us(env) - STASH_US;
    char head[] = "HEAD";
    char stash[] = "refs/stash";
    char untracked[] = "refs/stash^3"; /* only where there were such */
    struct moves moves;

    read_moves(files->git, &moves);
    int rc = ask_and_note(files, head, NULL, &answer, ret, err);
    for (size_t i = 0; i < moves.count && rc == 0; i++) {
        rc = ask_and_note(files, moves.before[i], moves.head, &answer, ret, err);
    }
    if (is_stashed && rc == 0) {
        rc = ask_and_note(files, stash, head, &answer, ret, err);
        rc = rc == 0 ? ask_and_note(files, untracked, head, &answer, ret, err) : rc;
    }
    if (rc < 0) {
        return rc;
    }
    if (ret->count > 1) {
        qsort(ret->items, ret->count, sizeof(*ret->items), by_path);
    }
    return source_cancelled(files->options, err);
}

/* ---- the rule ---- */

/* Is the text this blob? Git's name of it is the hash of "blob LENGTH", a NUL, and the text. */
static bool is_blob(const struct git_blob *blob, struct str text)
{
    AUTO(free_ptr) char *head = xprintf("blob %zu", text.len);
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *algorithm = blob->len == SHA256_LEN ? EVP_sha256() : EVP_sha1();

    bool done = context != NULL && EVP_DigestInit_ex(context, algorithm, NULL) == 1 &&
                EVP_DigestUpdate(context, head, strlen(head) + 1) == 1 &&
                EVP_DigestUpdate(context, text.ptr, text.len) == 1 &&
                EVP_DigestFinal_ex(context, hash, &len) == 1;
    EVP_MD_CTX_free(context);
    return done && len == blob->len && memcmp(hash, blob->bytes, len) == 0;
}

static const struct git_change *find_first(const struct git_changes *changes, const char *path)
{
    size_t low = 0;

    for (size_t high = changes->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(changes->items[middle].path, path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < changes->count && strcmp(changes->items[low].path, path) == 0
               ? &changes->items[low]
               : NULL;
}

bool git_knows(const struct git_changes *changes, const char *path)
{
    return find_first(changes, path) != NULL;
}

bool git_explains(const struct git_changes *changes, const char *path, struct str before,
                  const struct str *after)
{
    const struct git_change *first = find_first(changes, path);
    size_t begin = first == NULL ? changes->count : (size_t)(first - changes->items);

    for (size_t i = begin; i < changes->count && strcmp(changes->items[i].path, path) == 0; i++) {
        const struct git_change *change = &changes->items[i];
        bool is_after = after == NULL ? change->after.len == 0
                                      : change->after.len > 0 && is_blob(&change->after, *after);
        if (is_after && change->before.len > 0 && is_blob(&change->before, before)) {
            return true;
        }
    }
    return false;
}
