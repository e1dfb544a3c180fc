#include "vault/neo4j_statement.h"

static const struct {
    const char *name;
    const char *text;
} statements[NEO4J_STATEMENTS] = {
#define STATEMENT(name, text) [NEO4J_##name] = {#name, text},
#include "vault/neo4j_statements.def"
#undef STATEMENT
};

const char *neo4j_statement_text(enum neo4j_statement statement)
{
    return statements[statement].text;
}

const char *neo4j_statement_name(enum neo4j_statement statement)
{
    return statements[statement].name;
}
