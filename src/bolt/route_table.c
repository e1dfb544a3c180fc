#include "bolt/driver_internal.h"

bool bolt_address_eq(const struct bolt_address *a, const struct bolt_address *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

static size_t index_of(const struct address_list *list, const struct bolt_address *address)
{
    size_t i = 0;

    while (i < list->count && !bolt_address_eq(&list->all[i], address)) {
        i++;
    }
    return i;
}

bool bolt_address_list_has(const struct address_list *list, const struct bolt_address *address)
{
    return index_of(list, address) < list->count;
}

bool bolt_address_list_add(struct address_list *list, const struct bolt_address *address)
{
    if (bolt_address_list_has(list, address)) {
        return true;
    }
    if (list->count == BOLT_ROUTE_ADDRESSES_MAX) {
        return false;
    }
    list->all[list->count++] = *address;
    return true;
}

void bolt_address_list_remove(struct address_list *list, const struct bolt_address *address)
{
    size_t at = index_of(list, address);

    if (at < list->count) {
        list->count--;
        memmove(&list->all[at], &list->all[at + 1], (list->count - at) * sizeof(list->all[0]));
    }
}

/* Add the addresses of one entry of `servers` to its role; roles of later servers are left out. */
static int read_server(const struct bolt_value *server, struct address_list roles[ROUTE_ROLES],
                       struct bolt_error *error)
{
    static const char *const ROLES[ROUTE_ROLES] = {"ROUTE", "READ", "WRITE"};
    struct bolt_value role, addresses, text;
    size_t which = 0;

    if (!bolt_map_get(server, "role", &role) || !bolt_map_get(server, "addresses", &addresses) ||
        addresses.type != BOLT_LIST) {
        return bolt_fail(error, BOLT_ERR_PROTOCOL,
                         "a server of the routing table has no role or no addresses");
    }
    while (which < ROUTE_ROLES && !bolt_string_is(bolt_value_string(&role), ROLES[which])) {
        which++;
    }
    if (which == ROUTE_ROLES) {
        return 0;
    }
    struct bolt_iter iter = bolt_iter_of(&addresses);
    while (bolt_iter_next(&iter, &text)) {
        struct bolt_address address;
        int rc = bolt_address_parse(bolt_value_string(&text), address.host, &address.port, error);
        if (rc < 0) {
            (void)bolt_fail_context(error, "an address of the routing table");
            error->kind = BOLT_ERR_PROTOCOL;
            return -BOLT_ERR_PROTOCOL;
        }
        if (!bolt_address_list_add(&roles[which], &address)) {
            return bolt_fail(error, BOLT_ERR_LIMIT,
                             "the routing table names more than %d servers of one role",
                             BOLT_ROUTE_ADDRESSES_MAX);
        }
    }
    return 0;
}

int bolt_route_table_read(const struct bolt_value *table, struct address_list roles[ROUTE_ROLES],
                          int64_t *ret_ttl_s, struct bolt_error *error)
{
    struct bolt_value ttl, servers, server;

    for (size_t i = 0; i < ROUTE_ROLES; i++) {
        roles[i].count = 0;
    }
    if (!bolt_map_get(table, "ttl", &ttl) || ttl.type != BOLT_INTEGER ||
        !bolt_map_get(table, "servers", &servers) || servers.type != BOLT_LIST) {
        return bolt_fail(error, BOLT_ERR_PROTOCOL, "the routing table has no ttl or no servers");
    }
    struct bolt_iter iter = bolt_iter_of(&servers);
    while (bolt_iter_next(&iter, &server)) {
        int rc = read_server(&server, roles, error);
        if (rc < 0) {
            return rc;
        }
    }
    if (roles[ROUTE_ROUTERS].count == 0 || roles[ROUTE_READERS].count == 0) {
        return bolt_fail(error, BOLT_ERR_PROTOCOL, "the routing table has no %s",
                         roles[ROUTE_ROUTERS].count == 0 ? "routers" : "readers");
    }
    *ret_ttl_s = ttl.as.integer < 0                      ? 0
                 : ttl.as.integer > BOLT_ROUTE_TTL_MAX_S ? BOLT_ROUTE_TTL_MAX_S
                                                         : ttl.as.integer;
    return 0;
}
