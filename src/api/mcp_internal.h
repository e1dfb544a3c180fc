/*
 * mcp_internal - what mcp.c (protocol), mcp_tools.c (tools) and mcp_context.c (resources, prompts)
 * share.
 */
#ifndef HOLDFAST_API_MCP_INTERNAL_H
#define HOLDFAST_API_MCP_INTERNAL_H

#include "api/mcp.h"

struct mcp {
    struct client *client;
    bool used; /* the daemon was called: at the end the agent's session ends */
};

/* Call an operation; lines become {"items": [...], "count": n}. New reference, or NULL with err
 * set. */
json_t *mcp_call(struct mcp *mcp, const struct op *op, const json_t *arguments, struct err *err);

json_t *mcp_tools(void); /* the array of tools/list */
/* A CallToolResult: what fails is a result with isError, so that the model can correct itself.
 * Never NULL. */
json_t *mcp_call_tool(struct mcp *mcp, const struct op *op, const json_t *arguments);

json_t *mcp_resources(struct mcp *mcp, struct err *err);
json_t *mcp_resource_templates(void);
json_t *mcp_read_resource(struct mcp *mcp, const char *uri, struct err *err);
json_t *mcp_prompts(void);
json_t *mcp_get_prompt(struct mcp *mcp, const char *name, const json_t *arguments, struct err *err);

#endif
