/* Where the caller stands: the git root above a folder, its remote, its .holdfast; and which
 * process stands for an agent. */
#include <errno.h>
#include <unistd.h>

#include "api/client.h"
#include "base/file.h"

#define GIT_CONFIG_MAX_BYTES ((size_t)1024 * 1024)
#define MARKER_MAX_BYTES ((size_t)4096)

int64_t agent_process(void)
{
    pid_t leader = getsid(0);

    return leader > 1 && leader != getpid() ? leader : getppid();
}

static struct str trim(struct str s)
{
    while (s.len && strchr(" \t\r\n", s.ptr[0])) {
        s.ptr++, s.len--;
    }
    while (s.len && strchr(" \t\r\n", s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

/* Cut the next line off text. */
static struct str next_line(struct str *text)
{
    const char *newline = text->len ? memchr(text->ptr, '\n', text->len) : NULL;
    struct str line = {text->ptr, newline ? (size_t)(newline - text->ptr) : text->len};
    size_t step = line.len + (newline ? 1 : 0);

    text->ptr += step;
    text->len -= step;
    return trim(line);
}

/* "https://user:token@host/x" without what stands before the @: a credential must never be stored.
 */
static char *without_credentials(struct str url)
{
    for (size_t i = 0; i + 3 < url.len; i++) {
        if (memcmp(url.ptr + i, "://", 3) != 0) {
            continue;
        }
        size_t start = i + 3;
        size_t slash = start;
        size_t at = 0;
        for (; slash < url.len && url.ptr[slash] != '/'; slash++) {
            at = url.ptr[slash] == '@' ? slash + 1 : at;
        }
        return at ? xprintf(STR_FMT STR_FMT, (int)start, url.ptr, (int)(url.len - at), url.ptr + at)
                  : xstrndup(url.ptr, url.len);
    }
    return xstrndup(url.ptr, url.len);
}

/* The url of [remote "origin"] in a git configuration. */
static char *remote_of(const char *config_path)
{
    AUTO(buf_done) struct buf text = BUF_INIT(GIT_CONFIG_MAX_BYTES);
    struct err ignored = ERR_INIT; /* no configuration, no remote */
    bool in_origin = false;

    if (file_read(config_path, GIT_CONFIG_MAX_BYTES, &text, &ignored) != 0) {
        return NULL;
    }
    for (struct str rest = buf_str(&text); rest.len;) {
        struct str line = next_line(&rest);
        if (line.len && line.ptr[0] == '[') {
            in_origin = str_eq(line, STR("[remote \"origin\"]"));
        }
        if (!in_origin || !str_starts(line, STR("url"))) {
            continue;
        }
        struct str value = trim((struct str){line.ptr + 3, line.len - 3});
        if (value.len && value.ptr[0] == '=') {
            return without_credentials(trim((struct str){value.ptr + 1, value.len - 1}));
        }
    }
    return NULL;
}

/* The folder that holds the repository's configuration: .git itself, or, for a worktree, what its
 * .git file leads to. */
static char *git_folder(const char *root)
{
    AUTO(free_ptr) char *dot_git = path_join(root, ".git");
    AUTO(buf_done) struct buf text = BUF_INIT(MARKER_MAX_BYTES);
    struct err ignored = ERR_INIT; /* .git is a folder then */

    if (file_read(dot_git, MARKER_MAX_BYTES, &text, &ignored) != 0 ||
        !str_starts(buf_str(&text), STR("gitdir:"))) {
        return xstrdup(dot_git);
    }
    struct str target = trim((struct str){text.data + 7, text.len - 7});
    AUTO(free_ptr) char *name = xstrndup(target.ptr, target.len);
    AUTO(free_ptr) char *folder = name[0] == '/' ? xstrdup(name) : path_join(root, name);
    AUTO(free_ptr) char *common_file = path_join(folder, "commondir");
    buf_reset(&text);
    if (file_read(common_file, MARKER_MAX_BYTES, &text, &ignored) != 0) {
        return xstrdup(folder);
    }
    struct str common = trim(buf_str(&text));
    AUTO(free_ptr) char *common_name = xstrndup(common.ptr, common.len);
    return common_name[0] == '/' ? xstrdup(common_name) : path_join(folder, common_name);
}

/* `project: NAME` in .holdfast. */
static char *marker_of(const char *root)
{
    AUTO(free_ptr) char *path = path_join(root, ".holdfast");
    AUTO(buf_done) struct buf text = BUF_INIT(MARKER_MAX_BYTES);
    struct err ignored = ERR_INIT; /* no marker */

    if (file_read(path, MARKER_MAX_BYTES, &text, &ignored) != 0) {
        return NULL;
    }
    for (struct str rest = buf_str(&text); rest.len;) {
        struct str line = next_line(&rest);
        if (!str_starts(line, STR("project:"))) {
            continue;
        }
        struct str value = trim((struct str){line.ptr + 8, line.len - 8});
        return value.len ? xstrndup(value.ptr, value.len) : NULL;
    }
    return NULL;
}

int caller_place(const char *folder, char **ret_name, char **ret_remote, char **ret_marker,
                 char **ret_root, struct err *err)
{
    char *here = realpath(folder, NULL);

    if (!here) {
        return err_errno(err, ERR_IO, errno, "can't tell where %s is", folder);
    }
    AUTO(free_ptr) char *start = here;
    AUTO(free_ptr) char *root = xstrdup(here);
    for (;;) {
        AUTO(free_ptr) char *dot_git = path_join(root, ".git");
        AUTO(free_ptr) char *dot_holdfast = path_join(root, ".holdfast");
        if (file_exists(dot_git) || file_exists(dot_holdfast)) {
            break;
        }
        char *slash = strrchr(root, '/');
        if (!slash || slash == root) {
            free(root);
            root = xstrdup(start); /* no repository: the folder itself */
            break;
        }
        *slash = 0;
    }
    const char *name = strrchr(root, '/');
    const char *home = getenv("HOME");
    bool named = name && name[1] && !(home && strcmp(home, root) == 0);
    AUTO(free_ptr) char *git = git_folder(root);
    AUTO(free_ptr) char *config = path_join(git, "config");
    *ret_name = xstrdup(named ? name + 1 : "default");
    *ret_remote = remote_of(config);
    *ret_marker = marker_of(root);
    *ret_root = root;
    root = NULL;
    return 0;
}
