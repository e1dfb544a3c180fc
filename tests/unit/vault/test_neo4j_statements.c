/* What is said to Neo4j can neither delete nor alter history. */
#include "support/unit.h"

#include <ctype.h>

#include "base/buf.h"
#include "vault/neo4j_statement.h"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static const char *find_word(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = text; *at != '\0'; at++) {
        if (strncasecmp(at, word, len) == 0 && (at == text || !is_word(at[-1])) &&
            !is_word(at[len])) {
            return at;
        }
    }
    return NULL;
}

/* Text outside of quotes: a word within a quoted value is no word of Cypher. */
static void without_quotes(const char *text, char *ret)
{
    bool quoted = false;

    for (; *text != '\0'; text++) {
        quoted = *text == '\'' ? !quoted : quoted;
        *ret++ = quoted ? '\'' : *text;
    }
    *ret = '\0';
}

/* Is the variable bound somewhere with a label or type, and not one of history? */
static bool is_settable(const char *text, struct str variable)
{
    bool bound = false;

    for (const char *at = text; (at = strpbrk(at, "([")) != NULL; at++) {
        if (strncmp(at + 1, variable.ptr, variable.len) == 0 && at[1 + variable.len] == ':') {
            const char *label = at + 2 + variable.len;
            bound = true;
            if (find_word(label, "Change") == label || find_word(label, "Gap") == label) {
                return false;
            }
        }
    }
    return bound;
}

static bool starts_clause(const char *at)
{
    static const char *const clauses[] = {"MERGE", "WITH",   "RETURN", "CREATE", "CALL",
                                          "MATCH", "UNWIND", "SET",    "ON"};

    for (size_t i = 0; i < sizeof(clauses) / sizeof(clauses[0]); i++) {
        size_t len = strlen(clauses[i]);
        if (strncmp(at, clauses[i], len) == 0 && !is_word(at[len])) {
            return true;
        }
    }
    return false;
}

/* Every item of the SET clause that begins at `at` is of a variable that may be set. */
static bool sets_only_what_it_may(const char *text, const char *at)
{
    int depth = 0;
    bool item = true;

    for (; *at != '\0'; at++) {
        if (depth == 0 && at[-1] == ' ' && starts_clause(at)) {
            return true;
        }
        if (item && is_word(*at)) {
            struct str variable = {at, 0};
            while (is_word(at[variable.len])) {
                variable.len++;
            }
            if (!is_settable(text, variable)) {
                return false;
            }
            item = false;
        }
        depth += strchr("({[", *at) != NULL ? 1 : strchr(")}]", *at) != NULL ? -1 : 0;
        item = item || (depth == 0 && *at == ',');
    }
    return true;
}

static bool is_harmless(const char *statement)
{
    static const char *const banned[] = {"DELETE", "DETACH", "REMOVE", "DROP", "FOREACH", "LOAD"};
    char text[4096];

    assert_true(strlen(statement) < sizeof(text));
    without_quotes(statement, text);
    for (size_t i = 0; i < sizeof(banned) / sizeof(banned[0]); i++) {
        if (find_word(text, banned[i]) != NULL) {
            return false;
        }
    }
    for (const char *at = text; (at = find_word(at, "SET")) != NULL; at += 3) {
        if (!sets_only_what_it_may(text, at + 4)) {
            return false;
        }
    }
    return true;
}

static void no_statement_deletes_or_alters_history(void **state)
{
    (void)state;
    for (int i = 0; i < NEO4J_STATEMENTS; i++) {
        const char *text = neo4j_statement_text((enum neo4j_statement)i);
        if (!is_harmless(text)) {
            fail_msg("%s: %s", neo4j_statement_name((enum neo4j_statement)i), text);
        }
    }
}

/* The test above can fail. */
static void harmful_statements_are_told_from_others(void **state)
{
    static const char *const harmful[] = {
        "MATCH (n) DETACH DELETE n",
        "MATCH (c:Change) delete c",
        "MATCH (m:Memory) REMOVE m.content",
        "DROP INDEX memory_embedding",
        "MATCH (c:Change {seq: 1}) SET c.record = ''",
        "MATCH (m:Memory) SET m.seq = 1 WITH m MATCH (c:Change) SET c += $fields",
        "MATCH (m:Memory)<-[:OF]-(c) SET c.hash = ''",
        "MATCH (m:Memory), (c:Change) SET m.x = 1, c.x = [1, 2]",
        "MERGE (c:Change {seq: 1}) ON CREATE SET c.hash = ''",
        "MATCH (g:Gap) SET g.hash = ''",
        "MATCH (c:Change:Old) SET c:New",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++) {
        if (is_harmless(harmful[i])) {
            fail_msg("not seen: %s", harmful[i]);
        }
    }
    assert_true(is_harmless("MATCH (m:Memory) SET m.content = 'DELETE', m.tags = [1, 2]"));
}

/* A Change and a Gap are made without a name, so that nothing that follows can speak of them. */
static void history_is_only_created(void **state)
{
    (void)state;
    for (int i = 0; i < NEO4J_STATEMENTS; i++) {
        const char *text = neo4j_statement_text((enum neo4j_statement)i);
        assert_null(strstr(text, "MERGE (c:Change"));
        assert_null(strstr(text, "MERGE (:Change"));
        assert_null(strstr(text, "CREATE (c:Change"));
        assert_null(strstr(text, "CREATE (g:Gap"));
    }
    assert_non_null(strstr(neo4j_statement_text(NEO4J_ADD_OF_MEMORY), "CREATE (:Change {"));
    assert_non_null(strstr(neo4j_statement_text(NEO4J_ADD_GAP), "CREATE (:Gap {"));
}

int main(void)
{
    const struct CMUnitTest neo4j_statements[] = {
        cmocka_unit_test(no_statement_deletes_or_alters_history),
        cmocka_unit_test(harmful_statements_are_told_from_others),
        cmocka_unit_test(history_is_only_created),
    };

    return cmocka_run_group_tests(neo4j_statements, NULL, NULL);
}
