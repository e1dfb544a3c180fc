/* The official memory server's file (npm @modelcontextprotocol/server-memory): a graph as JSON
 * lines. */
#include "base/file.h"
#include "cli/import.h"

#define FORMAT "mcp-memory"
#define GRAPH_MAX_BYTES ((size_t)1024 * 1024 * 1024)

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* The id of what an entity is referred to by: its first observation, or the entity itself when it
 * has none. */
static void entity_id(const char *name, char ret_text[37])
{
    AUTO(free_ptr) char *key = xprintf("entity\n%s\n0", name);

    import_id(FORMAT, key, ret_text);
}

static int add_memory(struct spool *spool, const char *id, const char *content, json_t *metadata,
                      json_t *references, struct err *err)
{
    AUTO(json_unref)
    json_t *memory = json_pack("{s:s,s:s,s:n,s:o}", "id", id, "content", content, "session_id",
                               "metadata", metadata);

    if (references) {
        json_object_set_new(memory, "references", references);
    }
    return spool_add_json(spool, memory, err);
}

static void note_extra(const json_t *object, const char *const *known, uint64_t line,
                       struct import_notes *notes)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        bool is_known = false;
        for (const char *const *k = known; *k; k++) {
            is_known = is_known || strcmp(*k, key) == 0;
        }
        if (!is_known) {
            import_note(notes, "line %llu: the field \"%s\"", (unsigned long long)line, key);
        }
    }
}

static int add_entity(const json_t *entity, uint64_t line, struct spool *spool,
                      struct import_notes *notes, struct err *err)
{
    static const char *const known[] = {"type", "name", "entityType", "observations", NULL};
    const char *name = text_of(entity, "name");
    const char *type = text_of(entity, "entityType");
    const json_t *observations = json_object_get(entity, "observations");
    char id[37];
    size_t i;
    const json_t *observation;
    int rc = 0;

    if (!name || !*name) {
        import_note(notes, "line %llu: an entity without a name", (unsigned long long)line);
        return 0;
    }
    note_extra(entity, known, line, notes);
    if (json_array_size(observations) == 0) {
        AUTO(free_ptr) char *content = xprintf(type ? "%s (%s)" : "%s", name, type);
        entity_id(name, id);
        return add_memory(spool, id, content,
                          json_pack("{s:s,s:s*}", "entity", name, "entity_type", type), NULL, err);
    }
    json_array_foreach (observations, i, observation) {
        const char *text = json_string_value(observation);
        if (!text || !*text) {
            import_note(notes, "line %llu: observation %zu of \"%.100s\" is not text",
                        (unsigned long long)line, i, name);
            continue;
        }
        AUTO(free_ptr) char *key = xprintf("entity\n%s\n%zu", name, i);
        AUTO(free_ptr) char *content = xprintf("%s: %s", name, text);
        import_id(FORMAT, key, id);
        if (rc == 0) {
            rc =
                add_memory(spool, id, content,
                           json_pack("{s:s,s:s*}", "entity", name, "entity_type", type), NULL, err);
        }
    }
    return rc;
}

static int add_relation(const json_t *relation, uint64_t line, struct spool *spool,
                        struct import_notes *notes, struct err *err)
{
    static const char *const known[] = {"type", "from", "to", "relationType", NULL};
    const char *from = text_of(relation, "from");
    const char *to = text_of(relation, "to");
    const char *type = text_of(relation, "relationType");
    char id[37], from_id[37], to_id[37];

    if (!from || !to || !type) {
        import_note(notes, "line %llu: a relation needs from, to and relationType",
                    (unsigned long long)line);
        return 0;
    }
    note_extra(relation, known, line, notes);
    AUTO(free_ptr) char *key = xprintf("relation\n%s\n%s\n%s", from, type, to);
    AUTO(free_ptr) char *content = xprintf("%s %s %s", from, type, to);
    import_id(FORMAT, key, id);
    entity_id(from, from_id);
    entity_id(to, to_id);
    json_t *references = json_pack("[{s:s,s:s},{s:s,s:s}]", "id", from_id, "context", "from", "id",
                                   to_id, "context", "to");
    return add_memory(
        spool, id, content,
        json_pack("{s:{s:s,s:s,s:s}}", "relation", "from", from, "type", type, "to", to),
        references, err);
}

int import_graph(const char *path, struct spool *spool, struct import_notes *notes, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(GRAPH_MAX_BYTES);
    uint64_t line = 0;
    int rc = 0;

    if (file_read(path, GRAPH_MAX_BYTES, &text, err) != 0) {
        return -(int)err->code;
    }
    for (size_t start = 0; start < text.len && rc == 0;) {
        const char *newline = memchr(text.data + start, '\n', text.len - start);
        size_t len = newline ? (size_t)(newline - text.data) - start : text.len - start;
        AUTO(json_unref) json_t *object = NULL;
        struct err why = ERR_INIT;
        struct str s = {text.data + start, len};
        start += len + 1;
        line++;
        if (strspn(s.ptr, " \t\r") >= s.len) {
            continue;
        }
        if (json_parse(s, &object, &why) != 0) {
            import_note(notes, "line %llu: %s", (unsigned long long)line, why.message);
            continue;
        }
        const char *type = text_of(object, "type");
        if (type && strcmp(type, "entity") == 0) {
            rc = add_entity(object, line, spool, notes, err);
        } else if (type && strcmp(type, "relation") == 0) {
            rc = add_relation(object, line, spool, notes, err);
        } else {
            import_note(notes, "line %llu: the type \"%.50s\"", (unsigned long long)line,
                        type ? type : "");
        }
    }
    return rc;
}
