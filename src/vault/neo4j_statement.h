/*
 * neo4j_statement - the fixed list of what the graph vault says to Neo4j
 * (neo4j_statements.def). Nothing else is ever sent, and no text is put together at run time.
 */
#ifndef HOLDFAST_VAULT_NEO4J_STATEMENT_H
#define HOLDFAST_VAULT_NEO4J_STATEMENT_H

enum neo4j_statement {
#define STATEMENT(name, text) NEO4J_##name,
#include "vault/neo4j_statements.def"
#undef STATEMENT
    NEO4J_STATEMENTS
};

const char *neo4j_statement_text(enum neo4j_statement statement); /* static */
const char *neo4j_statement_name(enum neo4j_statement statement); /* "ADD_GAP"; static */

#endif
