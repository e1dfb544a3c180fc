#include "cli/demo_input.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/utf8.h"

#define FILE_MAX_BYTES ((size_t)1024 * 1024)
#define SECTION_MAX_BYTES ((size_t)40000)
#define DEPTH_MAX 6

struct input {
    struct spool *spool;
    uint64_t count;
};

static int add_note(struct input *input, const char *heading, struct str text, const char *tag,
                    const char *file, struct err *err)
{
    while (text.len && strchr(" \r\n\t", text.ptr[0])) {
        text.ptr++, text.len--;
    }
    while (text.len && strchr(" \r\n\t", text.ptr[text.len - 1])) {
        text.len--;
    }
    text.len = utf8_cut(text, SECTION_MAX_BYTES);
    if (text.len < 20) { /* a heading with nothing below it */
        return 0;
    }
    AUTO(free_ptr)
    char *content = xprintf("%s%s" STR_FMT, heading, *heading ? "\n" : "", STR_ARG(text));
    AUTO(json_unref)
    json_t *memory =
        json_pack("{s:s,s:[s],s:{s:s}}", "content", content, "tags", tag, "metadata", "file", file);
    if (!memory) {
        return 0; /* not UTF-8 */
    }
    input->count++;
    return spool_add_json(input->spool, memory, err);
}

/* A memory a section: what stands between two headings. */
static int add_markdown(struct input *input, struct str text, const char *file, struct err *err)
{
    AUTO(free_ptr) char *heading = xstrdup("");
    size_t start = 0;
    bool fenced = false;
    int rc = 0;

    for (size_t at = 0; at <= text.len && rc == 0;) {
        const char *newline = at < text.len ? memchr(text.ptr + at, '\n', text.len - at) : NULL;
        size_t len = newline ? (size_t)(newline - text.ptr) - at : text.len - at;
        bool is_heading = !fenced && len > 2 && text.ptr[at] == '#';
        fenced = fenced != (len >= 3 && memcmp(text.ptr + at, "```", 3) == 0);
        if (is_heading || at == text.len) {
            rc = add_note(input, heading, (struct str){text.ptr + start, at - start}, "docs", file,
                          err);
            free(heading);
            heading = xstrndup(text.ptr + at, len);
            start = at + len;
        }
        if (at == text.len) {
            break;
        }
        at += len + 1;
        at = at > text.len ? text.len : at;
    }
    return rc;
}

/* The first comment of a header is a decision written down: what the part is for and what it
 * promises. */
static int add_header(struct input *input, struct str text, const char *file, struct err *err)
{
    const char *end =
        text.len > 3 && memcmp(text.ptr, "/*", 2) == 0 ? memmem(text.ptr, text.len, "*/", 2) : NULL;

    return end ? add_note(input, "", (struct str){text.ptr + 3, (size_t)(end - text.ptr) - 3},
                          "decision", file, err)
               : 0;
}

static int add_file(struct input *input, const char *path, const char *name, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(FILE_MAX_BYTES);
    struct err unread = ERR_INIT; /* one file less in a demonstration */
    size_t len = strlen(name);

    bool markdown = len > 3 && strcmp(name + len - 3, ".md") == 0;
    bool header = len > 2 && strcmp(name + len - 2, ".h") == 0;
    if ((!markdown && !header) || file_read(path, FILE_MAX_BYTES, &text, &unread) != 0 ||
        text.len == 0) {
        return 0;
    }
    return markdown ? add_markdown(input, buf_str(&text), name, err)
                    : add_header(input, buf_str(&text), name, err);
}

static int add_folder(struct input *input, const char *path, int depth, struct err *err)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    int rc = 0;

    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        AUTO(free_ptr) char *full = path_join(path, name);
        struct stat st;
        bool skip = name[0] == '.' || strcmp(name, "build") == 0 ||
                    strcmp(name, "node_modules") == 0 || lstat(full, &st) != 0;
        if (rc == 0 && !skip && S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            rc = add_folder(input, full, depth + 1, err);
        } else if (rc == 0 && !skip && S_ISREG(st.st_mode)) {
            rc = add_file(input, full, name, err);
        }
        free(entries[i]);
    }
    free(entries);
    return rc;
}

/* Each commit's subject and body. */
static int add_git_log(struct input *input, const char *root, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4 * FILE_MAX_BYTES);
    char chunk[65536];
    size_t got;
    int rc = 0;

    if (setenv("HOLDFAST_DEMO_ROOT", root, 1) != 0) {
        return 0;
    }
    FILE *git = popen("git -C \"$HOLDFAST_DEMO_ROOT\" log --format='%ad %an: %s%n%b%x00' "
                      "--date=short 2>/dev/null",
                      "r");
    if (!git) {
        return 0;
    }
    while (rc == 0 && (got = fread(chunk, 1, sizeof(chunk), git)) > 0) {
        rc = buf_add(&text, chunk, got, err);
    }
    (void)pclose(git); /* without git or a repository there is simply no log */
    for (size_t start = 0; start < text.len && rc == 0;) {
        size_t len = strnlen(text.data + start, text.len - start);
        rc = add_note(input, "", (struct str){text.data + start, len}, "git", "git log", err);
        start += len + 1;
    }
    return rc;
}

int demo_input(const char *root, struct spool *spool, uint64_t *ret_count, struct err *err)
{
    struct input input = {spool, 0};

    if (add_folder(&input, root, 0, err) != 0 || add_git_log(&input, root, err) != 0) {
        return -(int)err->code;
    }
    if (input.count == 0) {
        return err_set(err, ERR_NOT_FOUND,
                       "%s has no documentation to show; run the demo in a clone of the project, "
                       "or in a folder with Markdown files",
                       root);
    }
    *ret_count = input.count;
    return 0;
}
