/* fuzz_jsonrpc - whatever a client sends, the answer is nothing or one JSON-RPC object on one line.
 */
#include <unistd.h>

#include "api/mcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mcp *mcp;

static void start(void)
{
    /* A home that can't be made: tools that need the ledger fail in words, the protocol is what is
     * tested. */
    struct client_options options = {.home = "/proc/nowhere", .no_daemon = true, .label = "fuzz"};
    struct client *client = NULL;
    struct err err = ERR_INIT;

    if (client_new(&options, &client, &err) != 0 || mcp_new(client, &mcp, &err) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str message = {(const char *)data, size};
    AUTO(buf_done) struct buf reply = BUF_INIT((size_t)8 << 20);
    AUTO(json_unref) json_t *object = NULL;
    struct err err = ERR_INIT;

    if (!mcp) {
        start();
    }
    mcp_handle(mcp, message, &reply);
    if (reply.len == 0) {
        return 0;
    }
    if (memchr(reply.data, '\n', reply.len) || json_parse(buf_str(&reply), &object, &err) != 0 ||
        !json_is_object(object)) {
        abort();
    }
    return 0;
}
