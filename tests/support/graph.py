"""Asking the graph vault's Neo4j from beside Holdfast, with the official driver."""

from __future__ import annotations

import time

import pytest

WAIT_S = 60


def access(server, port: int | None = None) -> dict[str, str]:
    """The environment by which Holdfast finds the server, or a proxy before it."""
    user, password = server.auth
    return {"NEO4J_URI": f"bolt://127.0.0.1:{port or server.bolt_port}", "NEO4J_USER": user, "NEO4J_PASSWORD": password}


def rows(graph, query: str, **parameters) -> list[dict]:
    records, _, _ = graph.execute_query(query, parameters, database_="neo4j")
    return [record.data() for record in records]


def until(what, found):
    """Ask until there is an answer."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(0.2)
    pytest.fail(f"not within {WAIT_S} s: {what}")


def changes_of(home) -> int:
    return next(v for v in home.json("status")["vaults"] if v["name"] == "neo4j")["head_seq"]


def everything_arrived(home, graph) -> bool:
    """Every change of the journal is there, once."""
    found = rows(graph, "MATCH (c:Change) RETURN count(c) AS n, count(DISTINCT c.seq) AS seqs, max(c.seq) AS last")[0]
    return found["n"] == found["seqs"] == found["last"] == changes_of(home)
