/* Standard input and output: one message a line, nothing else on stdout. */
#include <errno.h>
#include <unistd.h>

#include "api/mcp_internal.h"
#include "base/file.h"

#define CHUNK_BYTES ((size_t)64 * 1024)

static int answer_line(struct mcp *mcp, struct str line, struct buf *reply, int out_fd,
                       struct err *err)
{
    while (line.len && strchr(" \t\r", line.ptr[line.len - 1])) {
        line.len--;
    }
    if (line.len == 0) {
        return 0;
    }
    mcp_handle(mcp, line, reply);
    if (reply->len == 0) {
        return 0;
    }
    if (buf_add_c(reply, "\n", err) != 0) {
        return -(int)err->code;
    }
    return file_write_all(out_fd, reply->data, reply->len, "standard output", err);
}

static int refuse_long_line(int out_fd, struct err *err)
{
    static const char text[] =
        "{\"error\":{\"code\":-32700,\"message\":\"the message is longer than 8 MiB\"},"
        "\"id\":null,\"jsonrpc\":\"2.0\"}\n";

    return file_write_all(out_fd, text, sizeof(text) - 1, "standard output", err);
}

/* Answer the whole lines in input and keep the rest. A line that is too long is answered once and
 * skipped to its end. */
static int answer_lines(struct mcp *mcp, struct buf *input, bool *skipping, struct buf *reply,
                        int out_fd, struct err *err)
{
    size_t start = 0;
    int rc = 0;

    while (rc == 0) {
        const char *newline =
            input->len > start ? memchr(input->data + start, '\n', input->len - start) : NULL;
        if (!newline) {
            break;
        }
        struct str line = {input->data + start, (size_t)(newline - input->data) - start};
        start += line.len + 1;
        if (!*skipping) {
            rc = line.len > MCP_LINE_MAX ? refuse_long_line(out_fd, err)
                                         : answer_line(mcp, line, reply, out_fd, err);
        }
        *skipping = false;
    }
    if (start) {
        memmove(input->data, input->data + start, input->len - start);
        input->len -= start;
    }
    if (rc == 0 && input->len > MCP_LINE_MAX) {
        rc = *skipping ? 0 : refuse_long_line(out_fd, err);
        *skipping = true;
        buf_reset(input);
    }
    return rc;
}

/* The agent says good-bye: its open sessions end now instead of by idleness. */
static void say_goodbye(struct mcp *mcp)
{
    struct err err = ERR_INIT;
    AUTO(json_unref)
    json_t *done = mcp->used ? mcp_call(mcp, op_by_name("agent_gone"), NULL, &err) : NULL;

    if (mcp->used && !done) {
        log_warn("mcp.goodbye", "%s; its session ends by idleness", err.message);
    }
}

int mcp_serve(struct mcp *mcp, int in_fd, int out_fd, struct err *err)
{
    AUTO(buf_done) struct buf input = BUF_INIT(MCP_LINE_MAX + 2 * CHUNK_BYTES);
    AUTO(buf_done) struct buf reply = BUF_INIT(4 * MCP_LINE_MAX);
    bool skipping = false;
    int rc = 0;

    while (rc == 0) {
        if (buf_reserve(&input, CHUNK_BYTES, err) != 0) {
            return -(int)err->code;
        }
        ssize_t got = read(in_fd, input.data + input.len, CHUNK_BYTES);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            rc = err_errno(err, ERR_IO, errno, "can't read standard input");
        }
        if (got <= 0) {
            break;
        }
        input.len += (size_t)got;
        rc = answer_lines(mcp, &input, &skipping, &reply, out_fd, err);
    }
    if (rc == 0 && input.len && !skipping) {
        rc = answer_line(mcp, buf_str(&input), &reply, out_fd, err);
    }
    say_goodbye(mcp);
    return rc;
}
