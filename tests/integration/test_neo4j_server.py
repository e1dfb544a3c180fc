"""The real Neo4j that tests run on does what their other tests rely on; the official driver asks it."""

from __future__ import annotations

import os
import stat

import neo4j
import pytest
from neo4j.exceptions import AuthError, IncompleteCommit, ServiceUnavailable

from neo4j_server import ServerError
from support.neo4j import lease

COUNT = "MATCH (n) RETURN count(n) AS count"


def count(server) -> int:
    return server.query(COUNT)[0][0]


def test_a_test_gets_it_empty(neo4j_server):
    neo4j_server.query("CREATE CONSTRAINT one FOR (n:N) REQUIRE n.id IS UNIQUE")
    neo4j_server.query("CREATE INDEX two FOR (n:N) ON (n.name)")
    neo4j_server.query("UNWIND range(1, 12000) AS i CREATE (:N {id: i})-[:R]->(:M)")
    neo4j_server.empty()
    assert count(neo4j_server) == 0
    assert neo4j_server.query("SHOW CONSTRAINTS YIELD name") == []
    assert neo4j_server.query("SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP'") == []


def test_the_official_driver_reads_what_was_written(neo4j_server):
    with neo4j_server.driver() as driver:
        driver.execute_query("CREATE (:N {list: $list, text: $text})", list=[1.5, -2.0], text="é")
        records, _, _ = driver.execute_query("MATCH (n:N) RETURN n.list, n.text")
        assert records[0].values() == [[1.5, -2.0], "é"]
        assert driver.get_server_info().protocol_version == (5, 8)


def test_committed_data_outlives_kill_9_and_the_ports_stay(neo4j_server):
    ports = neo4j_server.bolt_port, neo4j_server.http_port
    neo4j_server.query("CREATE (:N)")
    pid = neo4j_server.pid()
    neo4j_server.kill9()
    assert neo4j_server.pid() is None
    with neo4j_server.driver() as driver, pytest.raises(ServiceUnavailable):
        driver.verify_connectivity()
    neo4j_server.restart()
    assert (neo4j_server.bolt_port, neo4j_server.http_port) == ports
    assert neo4j_server.pid() != pid and count(neo4j_server) == 1


def test_the_password_is_random_private_and_asked_for(neo4j_server):
    assert len(neo4j_server.password) == 32
    assert stat.S_IMODE(os.stat(neo4j_server.password_file).st_mode) == 0o600
    with open(f"/proc/{neo4j_server.pid()}/cmdline", "rb") as arguments:
        assert neo4j_server.password.encode() not in arguments.read()
    for auth in (None, ("neo4j", "wrong")):
        with neo4j.GraphDatabase.driver(neo4j_server.uri, auth=auth) as driver, pytest.raises(AuthError):
            driver.verify_connectivity()


def test_a_changed_password(neo4j_server):
    old = neo4j_server.auth
    neo4j_server.change_password("another-long-one")
    neo4j_server.query("RETURN 1")
    with neo4j.GraphDatabase.driver(neo4j_server.uri, auth=old) as driver, pytest.raises(AuthError):
        driver.verify_connectivity()


@pytest.mark.neo4j
def test_the_next_test_gets_the_first_password_back():
    passwords = []
    for _ in range(2):
        with lease() as server:
            passwords.append(server.password)
            server.change_password("yet-another-one")
    assert passwords[0] == passwords[1] != "yet-another-one"


def test_plain_and_tls_on_one_port(neo4j_server):
    neo4j_server.query("CREATE (:N)")
    crt = neo4j_server.home / "certificates" / "server.crt"
    with neo4j_server.driver(encrypted=True, trusted_certificates=neo4j.TrustCustomCAs(str(crt))) as driver:
        assert driver.execute_query(COUNT).records[0]["count"] == 1


def test_a_lost_reply_to_commit_leaves_the_data_there(neo4j_server, fault_proxies):
    """What makes a lost reply dangerous: the server did it, the client can't know."""
    proxy = fault_proxies(neo4j_server.bolt_port)
    with neo4j_server.driver(proxy.port) as driver, driver.session() as session:
        transaction = session.begin_transaction()
        transaction.run("CREATE (:N)").consume()
        proxy.set("reset_before_reply", message="COMMIT")
        with pytest.raises(IncompleteCommit):
            transaction.commit()
    assert proxy.fired == 1 and count(neo4j_server) == 1


def test_a_lost_commit_leaves_nothing(neo4j_server, fault_proxies):
    proxy = fault_proxies(neo4j_server.bolt_port)
    with neo4j_server.driver(proxy.port) as driver, driver.session() as session:
        transaction = session.begin_transaction()
        transaction.run("CREATE (:N)").consume()
        proxy.set("reset_before_request", message="COMMIT")
        with pytest.raises(IncompleteCommit):
            transaction.commit()
    assert proxy.fired == 1 and count(neo4j_server) == 0


def test_a_server_of_ones_own(neo4j_servers):
    first = neo4j_servers("first")
    assert first.pid() is None
    first.start()
    first.settings = {"server.databases.read_only": "neo4j"}
    first.restart()
    with pytest.raises(ServerError, match="read-only"):
        first.query("CREATE (:N)")
    with pytest.raises(ServerError, match="in use"):
        neo4j_servers("second").start(bolt_port=first.bolt_port)
    first.stop()
    assert first.pid() is None


def test_a_broken_configuration_is_told_by_the_servers_own_words(neo4j_servers):
    server = neo4j_servers(settings={"server.memory.pagecache.size": "lots"})
    with pytest.raises(ServerError, match="lots"):
        server.start()
    assert server.pid() is None
