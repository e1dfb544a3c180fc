"""The Bolt client and the graph vault against real servers of other versions than the one of stack/neo4j (5.26). Each is the
first or the last of what something is promised for; HOLDFAST_EVERY_NEO4J tries all."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from support.bolt_types import the_driver_reads_what_we_wrote, tool, we_read_what_the_driver_wrote
from support.graph import access
from support.neo4j_versions import OtherNeo4j

BOLT = {"4.4.44": "4.4", "5.1.0": "5.0", "5.15.0": "5.4", "2025.11.2": "6.0"}
OLD = ["4.4.44", "5.1.0"]  # without an index of vectors that a statement makes: no graph vault
ALWAYS = ["4.4.44", "5.15.0"]


@pytest.fixture(scope="module", params=list(BOLT) if os.environ.get("HOLDFAST_EVERY_NEO4J") else ALWAYS)
def version(request):
    return request.param


@pytest.fixture(scope="module")
def server(version):
    folder = Path(tempfile.mkdtemp(prefix="holdfast-neo4j-"))
    server = OtherNeo4j(version, folder / "home")
    try:
        server.start()
        yield server
    finally:
        server.kill9()
        shutil.rmtree(folder)


def test_values_of_all_types_come_and_go_as_they_are(server, version):
    assert tool(server, "version") == [BOLT[version]]
    the_driver_reads_what_we_wrote(server)
    we_read_what_the_driver_wrote(server)
    assert tool(server, "bulk", "500") == ["500"]


def test_the_graph_vault_keeps_the_contract_where_there_is_what_it_needs(server, version, homes):
    if version not in OLD:
        program = Path(os.environ["HOLDFAST_BIN"]).parents[1] / "tests/unit/vault_live_neo4j_contract"
        done = subprocess.run([program], env={**os.environ, **access(server)}, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return
    home = homes()
    home.env |= access(server)
    [line] = [line for line in home.lines("doctor") if line["check"].startswith("vault neo4j")]
    assert not line["ok"] and "the graph needs Neo4j 5.15 or later" in line["detail"], line
    with server.driver() as driver:
        assert driver.execute_query("SHOW CONSTRAINTS YIELD name RETURN name").records == []  # nothing is half made
