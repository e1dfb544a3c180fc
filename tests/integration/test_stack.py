"""./dev stack: people's own Neo4j."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from postgres_server import Postgres
from support.neo4j import Neo4j

STACK = Path(__file__).parents[2] / "tools" / "stack.py"


@pytest.fixture
def stack(tmp_path):
    """Call it: stack("up", "neo4j") -> the finished process."""

    def call(*arguments: str) -> subprocess.CompletedProcess:
        env = os.environ | {"HOLDFAST_STACK": str(tmp_path)}
        return subprocess.run([sys.executable, STACK, *arguments], env=env, capture_output=True, text=True)

    yield call
    Neo4j(tmp_path / "mine").kill9()


def test_up_down_and_up_again_keeps_data_port_and_password(stack, tmp_path):
    assert "there is none" in stack("status").stderr
    up = stack("up", "neo4j", "mine")
    assert up.returncode == 0, up.stderr
    server = Neo4j(tmp_path / "mine")
    assert up.stdout == f"export NEO4J_URI={server.uri} NEO4J_USER=neo4j NEO4J_PASSWORD=$(cat {server.password_file})\n"
    assert server.password not in up.stdout + up.stderr
    server.query("CREATE (:Kept)")
    assert f"mine: runs, pid {server.pid()}, {server.uri}" in stack("status").stderr
    assert "runs already" in stack("up", "neo4j", "mine").stderr

    assert "mine: stopped; its data stays" in stack("down").stderr
    assert server.pid() is None and "mine: stopped" in stack("status").stderr
    again = stack("up", "neo4j", "mine")
    assert again.stdout == up.stdout
    assert server.query("MATCH (n:Kept) RETURN count(n)") == [[1]]


def test_postgres_goes_up_and_down_too_and_keeps_its_data(stack, tmp_path):
    tmp_path.chmod(0o711)
    for parent in tmp_path.parents[:2]:  # pytest's folders, which the user postgres must be able to enter
        parent.chmod(parent.stat().st_mode | 0o011)
    server = None
    try:
        up = stack("up", "postgres", "pg")
        assert up.returncode == 0, up.stderr
        server = Postgres(tmp_path / "pg")
        assert up.stdout == f"export DATABASE_URL={server.url()} PGPASSWORD=$(cat {server.password_file})\n"
        assert server.password not in up.stdout + up.stderr
        server.query("CREATE TABLE kept(a int)")
        assert server.query("SHOW wal_level") == "logical"
        assert f"pg: runs, pid {server.pid()}, {server.url()}" in stack("status").stderr
        assert "of another kind" in stack("up", "neo4j", "pg").stderr
        assert "pg: stopped" in stack("down").stderr and server.pid() is None
        assert stack("up", "postgres", "pg").stdout == up.stdout
        assert server.query("SELECT count(*) FROM kept") == "0"
    finally:
        if server:
            server.stop()


@pytest.mark.parametrize(
    "arguments, word",
    [(["up", "oracle"], "neo4j"), (["up", "neo4j", "../x"], "no name"), (["down", "nobody"], "there is no 'nobody'"), ([], "command")],
)
def test_wrong_usage_says_what_is_allowed(stack, arguments, word):
    done = stack(*arguments)
    assert done.returncode != 0 and re.search(word, done.stderr), done.stderr
