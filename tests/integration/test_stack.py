"""./dev stack: people's own Neo4j."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from postgres_server import Postgres
from support.neo4j import Neo4j

STACK = Path(__file__).parents[2] / "tools" / "stack.py"


@pytest.fixture
def folder():
    """For the servers; not below pytest's own folders, which the user postgres may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-stack-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def stack(folder):
    """Call it: stack("up", "neo4j") -> the finished process."""

    def call(*arguments: str) -> subprocess.CompletedProcess:
        env = os.environ | {"HOLDFAST_STACK": str(folder)}
        return subprocess.run([sys.executable, STACK, *arguments], env=env, capture_output=True, text=True)

    yield call
    Neo4j(folder / "mine").kill9()


def test_up_down_and_up_again_keeps_data_port_and_password(stack, folder):
    assert "there is none" in stack("status").stderr
    up = stack("up", "neo4j", "mine")
    assert up.returncode == 0, up.stderr
    server = Neo4j(folder / "mine")
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


def test_postgres_goes_up_and_down_too_and_keeps_its_data(stack, folder):
    server = None
    try:
        up = stack("up", "postgres", "pg")
        assert up.returncode == 0, up.stderr
        server = Postgres(folder / "pg")
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
