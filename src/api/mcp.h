/*
 * mcp - the Model Context Protocol over stdio: `holdfast mcp`.
 *
 * Speaks the stateless revision 2026-07-28 and `initialize` for 2024-11-05 to 2025-11-25, told
 * apart per request as the newest revision says. Tools are the rows of ops.def that name one.
 * stdout carries protocol lines only; initialize and tools/list are answered before a daemon is
 * needed.
 *
 * Thread: mcp_handle one at a time.
 */
#ifndef HOLDFAST_API_MCP_H
#define HOLDFAST_API_MCP_H

#include "api/client.h"

struct mcp;

#define MCP_LINE_MAX (8 * 1024 * 1024) /* bytes of one message; SDKs cap theirs at 10 MiB */

int mcp_new(struct client *client, struct mcp **ret, struct err *err) MUST_CHECK;
void mcp_free(struct mcp *mcp);

/* One message in, none or one out (reply empty: none; no newline). Never fails: what is wrong
 * becomes a JSON-RPC error. */
void mcp_handle(struct mcp *mcp, struct str message, struct buf *reply);

/* Read lines from in_fd until its end, answer on out_fd. 0 at the end of input. */
int mcp_serve(struct mcp *mcp, int in_fd, int out_fd, struct err *err) MUST_CHECK;

#endif
