"""The graph vault when things break: nothing acknowledged is lost, nothing is there twice, and it goes on by itself."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager

import pytest
from neo4j.exceptions import TransientError
from support.disk import SmallDisk
from support.fault_proxy import Mode
from support.graph import access, everything_arrived, rows, until
from support.home import is_holdfast
from support.terminal import at_terminal

REQUESTS = ["BEGIN", "RUN", "COMMIT"]
BEFORE = 40  # memories there before the fault
MEANWHILE = 60  # memories remembered during it


@pytest.fixture
def distant_home(homes, neo4j_server, fault_proxies):
    """A home whose Neo4j is behind a fault proxy, and that proxy."""
    proxy = fault_proxies(neo4j_server.bolt_port)
    home = homes()
    home.env |= access(neo4j_server, proxy.port) | {"SYNC_INITIAL_BACKOFF": "1", "SYNC_MAX_BACKOFF": "1"}
    return home, proxy


@pytest.mark.parametrize("message", REQUESTS)
@pytest.mark.parametrize("mode", ["reset_before_request", "reset_after_request", "reset_before_reply", "truncate_reply", "garbage_reply"])
def test_a_line_that_breaks_in_a_batch_loses_and_doubles_nothing(distant_home, graph, mode, message):
    home, proxy = distant_home
    home.remember_many([f"before {i}" for i in range(BEFORE)])
    home.call("sync")
    proxy.set(mode, message=message)
    home.remember_many([f"meanwhile {i}" for i in range(MEANWHILE)])
    until("the fault", lambda: proxy.fired)
    proxy.set("pass")
    home.call("sync")
    until("all changes, once each", lambda: everything_arrived(home, graph))
    assert rows(graph, "MATCH (m:Memory) WHERE m.content IS NOT NULL RETURN count(m) AS n")[0]["n"] == BEFORE + MEANWHILE
    assert rows(graph, "MATCH (c:Change) WHERE c.copy <> 1 RETURN count(c) AS n")[0]["n"] == 0
    assert home.alerts() == []
    assert home.json("verify", "neo4j")["ok"]


def test_a_daemon_killed_before_a_commit_sends_it_again(homes, neo4j_server, graph, tmp_path):
    home = homes()
    home.env |= access(neo4j_server) | {"HOLDFAST_CRASH_AT": "vault.neo4j.before_commit:2", "HOLDFAST_CRASH_LOG": str(tmp_path / "points")}
    for i in range(20):
        home.call("remember", f"note {i}", check=False)
        home.call("sync", check=False)
        if home.daemon_pid() is None or not is_holdfast(home.daemon_pid()):
            break
    del home.env["HOLDFAST_CRASH_AT"], home.env["HOLDFAST_CRASH_LOG"]
    assert "vault.neo4j.before_commit" in (tmp_path / "points").read_text().split()
    home.call("sync")
    until("all changes, once each", lambda: everything_arrived(home, graph))
    assert home.alerts() == []
    assert home.json("verify", "neo4j")["ok"]


def test_a_server_killed_in_the_middle_of_a_drain_gets_the_rest_when_it_is_back(homes, neo4j_server):
    home = homes()
    home.env |= access(neo4j_server)
    home.call("remember", "one")
    home.call("sync")
    assert at_terminal(home, ["pause"])[0] == 0
    home.remember_many([f"memory number {i}" for i in range(3000)])
    home.call("resume")
    drain = threading.Thread(target=lambda: home.call("sync", "--timeout", "1", check=False))
    drain.start()
    with neo4j_server.driver() as first:
        until("the first of them", lambda: rows(first, "MATCH (c:Change) RETURN count(c) AS n")[0]["n"] > 500)
    neo4j_server.kill9()
    drain.join()
    neo4j_server.start()
    home.call("sync")
    with neo4j_server.driver() as graph:
        until("all changes, once each", lambda: everything_arrived(home, graph))
    assert home.alerts() == []
    assert home.json("verify", "neo4j")["ok"]


def test_a_missing_index_is_made_again(homes, neo4j_server, graph):
    home = homes()
    home.env |= access(neo4j_server)
    home.call("remember", "one")
    home.call("sync")
    rows(graph, "DROP INDEX memory_content")
    rows(graph, "DROP CONSTRAINT change_place")
    home.call("sync")
    names = {r["name"] for r in rows(graph, "SHOW INDEXES YIELD name RETURN name")}
    assert {"memory_content", "change_place"} <= names


@contextmanager
def only_to_be_read(server):
    """The server's data may be read and not written."""
    try:
        server.settings = {"server.databases.read_only": "neo4j"}
        server.restart()
        yield
    finally:
        server.settings = {}
        server.restart()


def test_a_read_only_database_is_told_and_gets_all_when_it_is_not_any_more(homes, neo4j_server):
    home = homes()
    home.env |= access(neo4j_server) | {"SYNC_INITIAL_BACKOFF": "1", "SYNC_MAX_BACKOFF": "1"}
    home.call("remember", "one")
    home.call("sync")
    with only_to_be_read(neo4j_server):
        home.call("remember", "two")
        home.call("sync", "--timeout", "2", check=False)
        [line] = [line for line in home.lines("doctor") if "neo4j" in line["check"]]
        assert not line["ok"] and "read" in line["detail"].lower(), line
    home.call("sync")
    with neo4j_server.driver() as graph:
        until("all changes", lambda: everything_arrived(home, graph))


def test_a_changed_password_stops_nothing_but_this_vault(distant_home, neo4j_server):
    home, proxy = distant_home
    home.call("remember", "one")
    home.call("sync")
    neo4j_server.change_password("another-one-entirely")
    proxy.cut()  # who is logged on stays so
    home.call("remember", "two")
    home.call("sync", "--timeout", "2", check=False)
    [line] = [line for line in home.lines("doctor") if "neo4j" in line["check"]]
    assert not line["ok"] and "another-one" not in line["detail"]
    home.call("stop")
    home.env |= access(neo4j_server, proxy.port)
    # The server keeps out for 5 s who was wrong three times.
    until("to be let in", lambda: home.call("sync", check=False).status == 0)
    with neo4j_server.driver() as graph:
        until("all changes", lambda: everything_arrived(home, graph))


def test_a_server_with_little_memory_gets_smaller_transactions(homes, neo4j_servers):
    server = neo4j_servers("graph", settings={"db.memory.transaction.max": "4m"})
    server.start()
    home = homes()
    with server.driver() as graph, pytest.raises(TransientError, match="memory"):
        rows(graph, "UNWIND range(1, 1000) AS i CREATE (:Filler {text: $text + i})", text="x" * 4000)
    home.env |= access(server) | {"SYNC_BATCH_SIZE": "5000"}
    home.call("remember", "one")
    home.call("sync")
    home.call("pause")
    home.remember_many([f"memory number {i} " + "x" * 2000 for i in range(3000)])
    home.call("resume")
    home.call("sync")
    with server.driver() as graph:
        until("all changes", lambda: everything_arrived(home, graph))


class TooSlowForMuch(Mode):
    """A request of many rows is never answered in time; a small one is."""

    LONGEST = 400_000  # bytes

    async def frame(self, link, down, frame):
        if not down and len(frame.data) > self.LONGEST:
            self.fired += 1
            link.silent = True
        await link.send(down, frame.data)


def test_a_server_too_slow_for_a_batch_gets_smaller_ones(distant_home, graph):
    home, proxy = distant_home
    home.call("remember", "one")
    home.call("sync")
    home.call("pause")
    home.call("stop")
    home.env["HOLDFAST_CALL_MS"] = "5000"
    home.remember_many([f"memory number {i} " + "x" * 2000 for i in range(400)])
    mode = TooSlowForMuch()
    proxy.use(mode)
    home.call("resume")
    until("all changes, once each", lambda: everything_arrived(home, graph))
    assert mode.fired > 0 and home.json("verify", "neo4j")["ok"]


# ---- outages ----


def waiting(home) -> int:
    [vault] = [v for v in home.json("status")["vaults"] if v["name"] == "neo4j"]
    assert vault["dead"] == 0
    return vault["queue"]


def test_a_server_that_is_down_at_the_start_gets_everything_when_it_comes(distant_home, graph):
    home, proxy = distant_home
    proxy.set("refuse")
    home.remember_many([f"note {i}" for i in range(20)])
    assert home.call("sync", "--timeout", "2", check=False).status == 4
    proxy.set("pass")
    until("all changes, once each", lambda: everything_arrived(home, graph))
    assert home.alerts() == []


def test_ten_thousand_changes_wait_through_an_outage_and_are_drained(distant_home, graph):
    home, proxy = distant_home
    home.call("remember", "before")
    home.call("sync")
    proxy.set("refuse")
    proxy.cut()
    home.remember_many([f"meanwhile {i}" for i in range(10_000)])
    until("all of them to wait", lambda: waiting(home) >= 10_000)
    proxy.set("pass")
    home.call("sync")
    assert everything_arrived(home, graph)
    assert rows(graph, "MATCH (m:Memory) WHERE m.content IS NOT NULL RETURN count(m) AS n")[0]["n"] == 10_001
    assert home.alerts() == []


# ---- disks and folders ----


@pytest.fixture
def small_disk(tmp_path):
    disk = SmallDisk(tmp_path / "disk", 192 << 20)
    yield disk
    disk.close()


def test_a_full_disk_loses_nothing(small_disk, homes, neo4j_servers):
    server = neo4j_servers(small_disk.root / "server")
    server.start()
    home = homes()
    home.env |= access(server) | {"SYNC_INITIAL_BACKOFF": "1", "SYNC_MAX_BACKOFF": "1"}
    home.remember_many([f"before {i}" for i in range(20)])
    home.call("sync")
    small_disk.fill()
    for i in range(20):  # some go into what the server has allocated already
        home.remember_many([f"meanwhile {i} {j} " + "x" * 5_000 for j in range(20)])
        if home.call("sync", "--timeout", "3", check=False).status != 0:
            break
    else:
        pytest.fail("the server took everything on a full disk")
    [line] = [line for line in home.lines("doctor") if "neo4j" in line["check"]]
    assert not line["ok"], line
    small_disk.free()
    server.kill9()  # what Neo4j itself asks for, without its last writes on a disk that it holds to be broken
    server.start()
    home.call("sync")
    with server.driver() as graph:
        until("all changes, once each", lambda: everything_arrived(home, graph))
    assert home.json("verify", "neo4j")["ok"]
    server.kill9()


def test_an_older_copy_in_place_of_the_data_raises_an_alert_and_is_filled_up(homes, neo4j_server, tmp_path):
    home = homes()
    home.env |= access(neo4j_server) | {"SYNC_INITIAL_BACKOFF": "1", "SYNC_MAX_BACKOFF": "1"}
    home.remember_many([f"before {i}" for i in range(20)])
    home.call("sync")
    data = neo4j_server.home / "data"
    neo4j_server.stop()
    shutil.copytree(data, tmp_path / "older")
    neo4j_server.start()
    home.remember_many([f"afterwards {i}" for i in range(30)])
    home.call("sync")
    assert home.alerts() == []
    neo4j_server.stop()
    shutil.rmtree(data)
    shutil.move(tmp_path / "older", data)
    neo4j_server.start()
    [alert] = until("an alert, by the clock alone", home.alerts)
    assert alert["rule"] == "vault_damaged" and "rolled back" in alert["summary"]
    with neo4j_server.driver() as graph:
        until("all changes, once each", lambda: everything_arrived(home, graph))
        assert rows(graph, "MATCH (m:Memory) WHERE m.content IS NOT NULL RETURN count(m) AS n")[0]["n"] == 50
    assert home.json("verify", "neo4j")["ok"]


# ---- certificates ----


@pytest.mark.parametrize("name", ["expired", "wrong_host", "self_signed"])
@pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s"])
def test_a_bad_certificate_is_refused_before_a_byte_of_payload(homes, tls_peers, certificates, name, scheme):
    peer = tls_peers(getattr(certificates, name))
    home = homes()
    home.env |= {
        "NEO4J_URI": f"{scheme}://localhost:{peer.port}#ca_file={certificates.ca.crt}",
        "NEO4J_PASSWORD": "the-password",
    }
    home.call("remember", "one")
    assert home.call("sync", "--timeout", "5", check=False).status != 0
    [line] = [line for line in home.lines("doctor") if "neo4j" in line["check"]]
    assert not line["ok"] and "certificate" in line["detail"], line
    assert peer.payload == b"" and peer.plain == b""


def test_a_certificate_of_the_authority_that_was_named_is_let_in(homes, neo4j_server, graph):
    home = homes()
    trusted = neo4j_server.home / "certificates" / "server.crt"
    home.env |= access(neo4j_server) | {"NEO4J_URI": f"bolt+s://localhost:{neo4j_server.bolt_port}#ca_file={trusted}"}
    home.call("remember", "one")
    home.call("sync")
    assert everything_arrived(home, graph)
