"""The graph vault by neo4j://: a single real server that answers ROUTE, and a cluster of proxies before it whose leader moves."""

from __future__ import annotations

import shutil

import pytest
from support.cluster import Cluster
from support.graph import access, everything_arrived, rows, until


def by_routing(server, port: int | None = None) -> dict[str, str]:
    env = access(server, port)
    return env | {"NEO4J_URI": env["NEO4J_URI"].replace("bolt://", "neo4j://")}


@pytest.fixture
def cluster(neo4j_server):
    with Cluster(neo4j_server) as made:
        yield made


def test_a_single_server_is_found_by_routing(homes, neo4j_server, graph):
    home = homes()
    home.env |= by_routing(neo4j_server)
    home.remember_many([f"note {i}" for i in range(20)])
    home.call("sync")
    assert everything_arrived(home, graph)
    assert home.json("verify", "neo4j")["ok"]
    before = home.export()
    home.call("stop")
    shutil.rmtree(home.path)
    home.write_config()
    home.json("recover", "--from", "neo4j")
    assert home.export() == before


def test_a_leader_that_moves_and_one_that_dies_are_followed(homes, neo4j_server, graph, cluster):
    home = homes()
    home.env |= by_routing(neo4j_server, cluster.members[0].port)
    home.remember_many([f"before {i}" for i in range(40)])
    home.call("sync")

    cluster.leader = 1  # the daemon's table names 0 for five minutes more
    home.remember_many([f"meanwhile {i}" for i in range(40)])
    home.call("sync")
    assert cluster.refused(0) >= 1
    assert everything_arrived(home, graph)

    cluster.leader = 2
    cluster.kill(1)
    home.remember_many([f"afterwards {i}" for i in range(40)])
    home.call("sync")
    until("all changes, once each", lambda: everything_arrived(home, graph))
    assert rows(graph, "MATCH (m:Memory) WHERE m.content IS NOT NULL RETURN count(m) AS n")[0]["n"] == 120
    assert rows(graph, "MATCH (c:Change) WHERE c.copy <> 1 RETURN count(c) AS n")[0]["n"] == 0
    assert home.alerts() == []
    assert home.json("verify", "neo4j")["ok"]
