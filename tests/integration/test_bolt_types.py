"""The Bolt client of bolt.h and the official Python driver on one real server: what either writes the other reads, equal in
value and type."""

from __future__ import annotations

import datetime
import math
import os
import subprocess
from pathlib import Path

import neo4j.exceptions
import pytest
import pytz
from neo4j.spatial import CartesianPoint, WGS84Point
from neo4j.time import Date, DateTime, Duration, Time
from pytz import FixedOffset

LARGE = 2000  # rows of 3.4 KB: messages of many chunks


def tool(server, *command: str, scheme: str = "bolt") -> list[str]:
    """What tests/bolt/type_tool.c prints, by lines."""
    program = Path(os.environ["HOLDFAST_BIN"]).parents[1] / "tests" / "bolt" / "type_tool"
    done = subprocess.run(
        [program, f"{scheme}://127.0.0.1:{server.bolt_port}", *command],
        env=os.environ | {"BOLT_PASSWORD": server.password},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def values(driver, label: str) -> dict:
    records = driver.execute_query(f"MATCH (n:{label}) RETURN n.name, n.value").records
    return {record[0]: record[1] for record in records}


def zone(time) -> str | None:
    """The name of its time zone, which an offset alone has not."""
    return getattr(time.tzinfo, "zone", None)


def same(a, b) -> bool:
    """Equal, of one type, and a NaN equals a NaN; 0.0 and -0.0 differ."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b) or math.isnan(a) and math.isnan(b)
    if isinstance(a, (DateTime, Time)):
        return a == b and a.utcoffset() == b.utcoffset() and zone(a) == zone(b)
    return a == b


FROM_C = {
    "ints": [0, 1, -1, -16, -17, 127, 128, -128, -129, 32767, -32768, 32768]
    + [2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63)],
    "texts": ["", "Käse 中文 😀", "a\0b", "x" * 300, "x" * 70000],
    "bytes": bytes(i % 256 for i in range(300)),
    "floats": [0.0, -0.0, 1.1, -1e308, 5e-324, math.pi],
    "infinity": math.inf,
    "nan": math.nan,
    "true": True,
    "date": Date(1, 1, 1),
    "time": Time(12, 34, 56, 123456789, tzinfo=FixedOffset(-210)),
    "local time": Time(23, 59, 59, 999999999),
    "local datetime": DateTime(1969, 12, 31, 23, 59, 59, 999999999),
    "duration": Duration(months=14, days=-3, seconds=5, nanoseconds=6),
    "points": [WGS84Point((13.4, 52.5)), WGS84Point((-180.0, -90.0))],
    "point 3d": CartesianPoint((1.5, -2.5, 3.5)),
}

FROM_PYTHON = FROM_C | {
    "false": False,
    "empty": [],
    "dates": [Date(9999, 12, 31), Date(1970, 1, 1)],
    "durations": [Duration(), Duration(months=-1, seconds=-1)],
    "booleans": [True, False],
    "wgs 3d": WGS84Point((1.0, 2.0, 3.0)),
    "cartesian": CartesianPoint((-0.0, 1e300)),
    "datetime": DateTime(2023, 11, 15, 0, 13, 20, 123456789, tzinfo=FixedOffset(120)),
    "before 1970": DateTime(1900, 1, 1, 0, 0, 0, 1, tzinfo=FixedOffset(-720)),
    "zoned": pytz.timezone("America/New_York").localize(datetime.datetime(2024, 11, 3, 1, 30), is_dst=False),  # its second 01:30
}


def test_the_driver_reads_what_we_wrote(neo4j_server):
    tool(neo4j_server, "write")
    with neo4j_server.driver() as driver:
        read = values(driver, "FromC")
    zoned, offset = read.pop("zoned"), read.pop("datetime")
    for name, expected in FROM_C.items():
        assert same(read.pop(name), expected), name
    assert not read
    instant = datetime.datetime.fromtimestamp(1700000000, datetime.timezone.utc)
    assert zoned.to_native() == instant and zoned.nanosecond == 1
    assert zone(zoned) == "Europe/Berlin"
    assert offset.nanosecond == 123456789 and offset.utcoffset() == datetime.timedelta(hours=2)
    assert offset.to_native().replace(microsecond=0) == instant


def test_we_read_what_the_driver_wrote(neo4j_server):
    with neo4j_server.driver() as driver:
        for name, value in FROM_PYTHON.items():
            driver.execute_query("CREATE (:FromPython {name: $name, value: $value})", name=name, value=value)
        assert tool(neo4j_server, "copy") == [str(len(FROM_PYTHON))]
        written, copied = values(driver, "FromPython"), values(driver, "Copy")
        # the server compares too: equal instants in other zones are not the same to it
        differing = driver.execute_query(
            "MATCH (a:FromPython), (b:Copy {name: a.name}) WHERE a.name <> 'nan' AND NOT a.value = b.value RETURN a.name"
        ).records
    assert written.keys() == copied.keys() == FROM_PYTHON.keys()
    for name, value in written.items():
        assert same(copied[name], value), name
    assert differing == []


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
