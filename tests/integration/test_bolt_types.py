"""The Bolt client of bolt.h and the official Python driver on one real server: what either writes the other reads, equal in
value and type."""

from __future__ import annotations

import neo4j.exceptions
import pytest
from support.bolt_types import the_driver_reads_what_we_wrote, tool, we_read_what_the_driver_wrote

LARGE = 2000  # rows of 3.4 KB: messages of many chunks


def test_the_driver_reads_what_we_wrote(neo4j_server):
    the_driver_reads_what_we_wrote(neo4j_server)


def test_we_read_what_the_driver_wrote(neo4j_server):
    we_read_what_the_driver_wrote(neo4j_server)


def test_nodes_relationships_and_paths_are_those_that_the_driver_reads(neo4j_server):
    with neo4j_server.driver() as driver:
        record = driver.execute_query(
            "CREATE p = (a:A {n: 1})-[r:R {n: 2}]->(:B:X {n: 3})<-[:R {n: 4}]-(:C {n: 5}) RETURN a, r, p"
        ).records[0]

    def node(n) -> str:
        return " ".join(["node", n.element_id, *sorted(n.labels), str(n["n"])])

    def relationship(r) -> str:
        ends = (r.start_node.element_id, r.end_node.element_id)
        return " ".join(["relationship", r.element_id, r.type, *ends, str(r["n"])])

    path = record["p"]
    expected = [node(record["a"]), relationship(record["r"])]
    for at, step in enumerate(path.relationships):
        expected += [node(path.nodes[at]), relationship(step), node(path.nodes[at + 1])]
    assert tool(neo4j_server, "graph") == expected


def gql(status) -> str:
    """As type_tool prints it."""
    position = status.diagnostic_record.get("_position", {})
    classification = status.diagnostic_record.get("_classification", "")
    description = getattr(status, "gql_status_description", "") or status.status_description
    return "\t".join(map(str, [status.gql_status, description, classification, position.get("line", 0), position.get("column", 0)]))


def test_what_gql_says_of_failures_and_results_is_what_the_driver_reads(neo4j_server):
    with neo4j_server.driver() as driver:
        with pytest.raises(neo4j.exceptions.Neo4jError) as refused:
            driver.execute_query("CREATE (n:A)\nDELETE 5")
        statuses = driver.execute_query("MATCH (n:NeverMade) RETURN n").summary.gql_status_objects
    failure = [refused.value]
    while failure[-1].__cause__ is not None:
        failure.append(failure[-1].__cause__)
    said = tool(neo4j_server, "gql")
    assert said[: len(failure)] == [gql(status) for status in failure]
    assert sorted(said[len(failure) :]) == sorted(gql(status) for status in statuses)
    assert said[0].startswith("42001\terror: ") and said[0].endswith("\tCLIENT_ERROR\t2\t8"), said
    assert said[1].startswith("22NB1\terror: ") and any("NeverMade" in line for line in said[2:]), said


@pytest.mark.parametrize("scheme", ["bolt", "bolt+ssc", "neo4j+ssc"])
def test_large_flights_come_back_float_by_float(neo4j_server, scheme):
    assert tool(neo4j_server, "bulk", str(LARGE), scheme=scheme) == [str(LARGE)]
    with neo4j_server.driver() as driver:
        records = driver.execute_query("MATCH (n:Bulk) RETURN n.i, n.v ORDER BY n.i").records
    assert [record[0] for record in records] == list(range(LARGE))
    assert all(len(record[1]) == 384 for record in records)
