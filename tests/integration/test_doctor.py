"""What `holdfast doctor` says of remotes that say nothing. What it says of the others stands with their tests."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture
def silent_port():
    """Whoever connects is let in and never told anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("uri", ["neo4j://127.0.0.1", "postgresql://someone@127.0.0.1"])
def test_who_says_nothing_is_given_five_seconds(homes, silent_port, uri):
    home = homes()
    name = "DATABASE_URL" if uri.startswith("postgresql") else "NEO4J_URI"
    home.env |= {name: f"{uri}:{silent_port}", "NEO4J_PASSWORD": "unused"}
    [line] = [line for line in home.lines("doctor") if line["check"].startswith(("vault neo4j", "source "))]
    assert not line["ok"] and line["advice"]
    assert "in time" in line["detail"] or "deadline" in line["detail"], line
    assert line["detail"].endswith("; no more than 5 s are spent here on one check"), line
