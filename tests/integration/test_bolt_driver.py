"""The driver of bolt_driver.h against the real server, through the fault proxy.

What must hold whatever happens on the way: a transaction that was called done is there, once; one that was called failed is
not there; and only a lost reply to COMMIT is called unknown.
"""

from __future__ import annotations

import pytest

from support.bolt_tool import BoltTool
from support.home import eventually

CREATE = "CREATE (n:N {name: 'one'}) RETURN 1"
COUNT = "MATCH (n:N) RETURN count(n)"


def count(server) -> int:
    return server.query(COUNT)[0][0]


@pytest.fixture
def tools():
    """Make tools: tools(server) is on the server itself, tools(server, proxy) behind a proxy; options as driver_tool's."""
    made: list[BoltTool] = []

    def make(server, proxy=None, scheme: str = "bolt", host: str = "127.0.0.1", **options) -> BoltTool:
        port = proxy.port if proxy else server.bolt_port
        made.append(BoltTool(f"{scheme}://{host}:{port}", server.password, **options))
        return made[-1]

    yield make
    for tool in made:
        tool.close()


@pytest.fixture
def proxy(neo4j_server, fault_proxies):
    return fault_proxies(neo4j_server.bolt_port)


# ---- without faults ----


@pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
def test_what_is_written_is_read_back(neo4j_server, tools, scheme):
    tool = tools(neo4j_server, scheme=scheme)
    assert tool.ask("verify").ok
    assert tool.ask(f"write {CREATE}").numbers == [1]
    assert tool.ask(f"read {COUNT}").numbers == [1]
    assert count(neo4j_server) == 1
    assert tool.stats()["opened"] == 1 and tool.stats()["idle"] == 1


def test_a_reading_transaction_does_not_write(neo4j_server, tools):
    answer = tools(neo4j_server).ask(f"read {CREATE}")
    assert answer.kind == "server" and answer.code == "Neo.ClientError.Statement.AccessMode"
    assert count(neo4j_server) == 0


def test_a_failed_query_is_told_and_the_connection_goes_on(neo4j_server, tools):
    tool = tools(neo4j_server)
    answer = tool.ask("write RETURN nonsense")
    assert answer.code == "Neo.ClientError.Statement.SyntaxError"
    assert tool.ask(f"write {CREATE}").numbers == [1]
    assert tool.stats()["opened"] == 1


def test_a_database_that_does_not_exist(neo4j_server, tools):
    neo4j_server.query("CREATE (:N)")
    answer = tools(neo4j_server, scheme="neo4j").ask("read USE nowhere RETURN 1")
    assert answer.kind == "server"


@pytest.mark.threads
def test_deadlocks_of_eight_writers_are_tried_again(neo4j_server, tools):
    neo4j_server.query("CREATE (:C {id: 0, n: 0}), (:C {id: 1, n: 0})")
    query = "MATCH (a:C {id: $thread % 2}) SET a.n = a.n + 1 WITH a MATCH (b:C) WHERE b <> a SET b.n = b.n + 1 RETURN 1"
    tool = tools(neo4j_server, pool_max=4)
    assert tool.ask(f"hammer 8 20 {query}").numbers == [160, 0, 0]
    assert neo4j_server.query("MATCH (c:C) RETURN c.n ORDER BY c.id") == [[160], [160]]
    assert tool.stats()["opened"] <= 4


def test_a_wrong_password_is_told_at_once_and_not_shown(neo4j_server, tools):
    with BoltTool(neo4j_server.uri, "wrong-password") as tool:
        answer = tool.ask("verify")
        assert answer.kind == "auth" and answer.code == "Neo.ClientError.Security.Unauthorized"
        assert "wrong-password" not in answer.line
        assert tool.stats()["failed"] == 1
    tool = tools(neo4j_server)
    assert tool.ask("verify").ok
    neo4j_server.change_password("changed-meanwhile")
    assert tool.ask(f"write {CREATE}").ok  # this connection was let in before
    with BoltTool(neo4j_server.uri, neo4j_server.password) as new:
        assert new.ask("verify").ok


# ---- the server goes and comes ----


def test_a_server_killed_and_restarted_is_waited_for(neo4j_server, tools):
    tool = tools(neo4j_server)
    assert tool.ask(f"write {CREATE}").ok
    neo4j_server.kill9()
    tool.send(f"write {CREATE}")
    neo4j_server.restart()
    assert tool.answer().ok
    assert count(neo4j_server) == 2
    assert tool.stats()["retried"] >= 1


def test_a_server_killed_under_load_loses_nothing_that_was_called_done(neo4j_server, tools):
    neo4j_server.query("CREATE CONSTRAINT FOR (n:N) REQUIRE n.id IS UNIQUE")
    tool = tools(neo4j_server)
    tool.send("hammer 4 300 CREATE (n:N {id: $thread * 1000 + $turn}) RETURN 1")
    eventually(lambda: count(neo4j_server) >= 50)
    neo4j_server.kill9()
    neo4j_server.restart()
    done, unknown, failed = tool.answer().numbers
    assert done + unknown == 1200 and failed == 0
    assert done <= count(neo4j_server) <= done + unknown


# ---- faults that a retry gets over ----

# The fault happens once, on the way of the first transaction of a new connection; the second try gets through.
PASSING = {
    "split": {},
    "one_segment": {},
    "noop_flood": {},
    "slow_handshake": {"delay_s": 0.01},
    "delay": {"delay_s": 0.01},
    "slow": {"bytes_per_s": 3000, "direction": "both"},
}


@pytest.mark.parametrize("mode", PASSING)
def test_slow_and_strange_but_whole(neo4j_server, tools, proxy, mode):
    proxy.set(mode, **PASSING[mode])
    tool = tools(neo4j_server, proxy)
    assert tool.ask(f"write {CREATE}").numbers == [1]
    assert tool.ask(f"read {COUNT}").numbers == [1]
    assert proxy.fired >= 1


BEFORE_COMMIT = [
    (mode, message)
    for mode in ("reset_before_request", "reset_before_reply", "close_before_reply", "truncate_reply")
    for message in ("BEGIN", "RUN", "PULL")
] + [("reset_after_reply", "BEGIN"), ("reset_after_reply", "RUN"), ("reset_after_request", "RUN")]


@pytest.mark.parametrize("mode, message", BEFORE_COMMIT)
def test_a_connection_lost_before_commit_is_tried_again(neo4j_server, tools, proxy, mode, message):
    tool = tools(neo4j_server, proxy)
    assert tool.ask("verify").ok
    proxy.set(mode, message=message)
    answer = tool.ask(f"write {CREATE}")
    assert answer.ok and answer.numbers[0] <= 2, answer
    assert proxy.fired == 1 and count(neo4j_server) == 1
    assert tool.stats()["retried"] == 1


def test_a_connection_that_a_balancer_forgot_is_found_out(neo4j_server, tools, proxy):
    tool = tools(neo4j_server, proxy, idle_check_ms=1)
    assert tool.ask("verify").ok
    proxy.set("drop_on_idle", idle_s=0.05)
    eventually(lambda: proxy.fired)
    proxy.set("pass")  # for new connections; the one that was forgotten stays so
    assert tool.ask(f"write {CREATE}").numbers == [1]  # the work was not even begun on it
    assert tool.stats()["checked"] >= 1 and tool.stats()["opened"] == 2


# ---- commits that nobody confirmed ----


@pytest.mark.parametrize("mode, there", [("reset_before_reply", 1), ("close_before_reply", 1), ("truncate_reply", 1), ("reset_after_request", None)])
def test_a_lost_reply_to_commit_is_unknown_and_not_repeated(neo4j_server, tools, proxy, mode, there):
    tool = tools(neo4j_server, proxy)
    proxy.set(mode, message="COMMIT")
    answer = tool.ask(f"write {CREATE}")
    assert answer.kind == "commit_unknown", answer
    assert proxy.fired == 1 and count(neo4j_server) in ([there] if there is not None else [0, 1])
    assert tool.stats()["retried"] == 0
    assert tool.ask(f"read {COUNT}").ok  # the driver goes on, by another connection


@pytest.mark.parametrize("mode, there", [("drop_reply", 1), ("stall_after", 0)])
def test_a_commit_not_answered_by_the_deadline_is_unknown(neo4j_server, tools, proxy, mode, there):
    tool = tools(neo4j_server, proxy, deadline_ms=3000)
    assert tool.ask("verify").ok
    # stall: the replies to BEGIN, RUN and PULL pass with its record, and then nothing either way
    proxy.set(mode, **({"message": "COMMIT"} if mode == "drop_reply" else {"messages": 4}))
    assert tool.ask(f"write {CREATE}").kind == "commit_unknown"
    assert count(neo4j_server) == there


@pytest.mark.parametrize("at", range(0, 130, 9))
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_reset_at_any_byte_tells_the_truth(neo4j_server, tools, proxy, at, direction):
    """Counted from the begin of the connection: handshake, logon, transaction. The deadline leaves no time for a retry."""
    proxy.set("reset_at_byte", at=at * 10 if direction == "up" else at * 4, direction=direction)
    answer = tools(neo4j_server, proxy, deadline_ms=800).ask(f"write {CREATE}")
    there = count(neo4j_server)
    if answer.ok:
        assert there == 1
    elif answer.kind == "commit_unknown":
        assert there in (0, 1)
    else:
        assert there == 0 and answer.kind in ("lost", "connect", "timeout"), answer


# ---- what is no Bolt server, or none that answers ----

HOPELESS = {
    "refuse": {"connect"},
    "reset_on_accept": {"connect", "lost"},
    "close_on_accept": {"connect", "lost"},
    "http": {"protocol"},
    "garbage": {"protocol"},
    "tls_alert": {"protocol"},
    "no_common_version": {"protocol"},
    "wrong_version": {"protocol"},
}


@pytest.mark.parametrize("mode", HOPELESS)
def test_what_is_no_bolt_server_is_told_as_such(neo4j_server, tools, proxy, mode):
    proxy.set(mode)
    tool = tools(neo4j_server, proxy, retry_ms=1)
    answer = tool.ask("verify")
    assert answer.kind in HOPELESS[mode], answer
    assert f"127.0.0.1:{proxy.port}" in answer.message, answer
    proxy.set("pass")
    assert tool.ask("verify").ok


@pytest.mark.parametrize("mode", ["connect_hangs", "black_hole", "slow_handshake"])
def test_silence_costs_connect_ms_and_no_more(neo4j_server, tools, proxy, mode):
    tool = tools(neo4j_server, proxy, connect_ms=200, retry_ms=1)
    proxy.set(mode, **({"delay_s": 100} if mode == "slow_handshake" else {}))
    assert tool.ask("verify").kind == "connect"
    proxy.set("pass")


@pytest.mark.parametrize("mode", ["black_hole", "half_open", "drop_reply"])
def test_silence_under_way_ends_by_the_deadline(neo4j_server, tools, proxy, mode):
    tool = tools(neo4j_server, proxy, deadline_ms=500)
    assert tool.ask("verify").ok
    proxy.set(mode, **({"message": "PULL"} if mode == "drop_reply" else {}))  # the last that is awaited before COMMIT
    assert tool.ask(f"write {CREATE}").kind == "timeout"
    assert proxy.fired >= 1
    proxy.set("pass")


def test_a_reply_too_many_is_noticed(neo4j_server, tools, proxy):
    """The second SUCCESS to RUN passes for the one to PULL; what then comes is no answer to COMMIT, whether that was sent yet or not."""
    tool = tools(neo4j_server, proxy)
    assert tool.ask("verify").ok
    proxy.set("duplicate_reply", message="RUN")
    assert tool.ask(f"write {CREATE}").kind in ("commit_unknown", "protocol")
    assert proxy.fired == 1


@pytest.mark.parametrize("mode", ["garbage_reply", "huge_reply"])
def test_a_server_that_breaks_the_rules_is_left(neo4j_server, tools, proxy, mode):
    tool = tools(neo4j_server, proxy)
    assert tool.ask("verify").ok
    proxy.set(mode, message="RUN")
    answer = tool.ask(f"write {CREATE}")
    assert answer.kind == "protocol", answer
    assert proxy.fired == 1 and count(neo4j_server) == 0
    assert tool.ask(f"write {CREATE}").ok
    assert tool.stats()["opened"] == 2


# ---- certificates ----


@pytest.mark.parametrize("name", ["expired", "wrong_host", "self_signed"])
@pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s"])
def test_a_bad_certificate_is_refused_before_a_byte_of_payload(tls_peers, certificates, name, scheme):
    peer = tls_peers(getattr(certificates, name))
    with BoltTool(f"{scheme}://localhost:{peer.port}", "secret", ca_file=certificates.ca.crt, retry_ms=1) as tool:
        answer = tool.ask("verify")
    assert answer.kind == "tls", answer
    assert peer.payload == b"" and peer.plain == b""


def test_a_pinned_certificate_is_the_only_one(tls_peers, certificates):
    peer = tls_peers(certificates.self_signed)
    uri = f"bolt+ssc://localhost:{peer.port}"
    with BoltTool(uri, "secret", pinned=certificates.good.sha256()) as tool:
        assert tool.ask("verify").kind == "tls"
    assert peer.payload == b""
    with BoltTool(uri, "secret", pinned=certificates.self_signed.sha256()) as tool:
        assert tool.ask("verify").kind == "protocol"  # let in; it then speaks no version of ours
    assert peer.payload.startswith(b"\x60\x60\xb0\x17")


def test_a_good_certificate_is_let_in(tls_peers, certificates):
    peer = tls_peers(certificates.good)
    for host in ("localhost", "127.0.0.1"):
        with BoltTool(f"bolt+s://{host}:{peer.port}", "secret", ca_file=certificates.ca.crt) as tool:
            assert tool.ask("verify").kind == "protocol"
    assert peer.payload.startswith(b"\x60\x60\xb0\x17") and b"secret" not in peer.payload


def test_tls_to_the_real_server(neo4j_server, tools):
    crt = neo4j_server.home / "certificates" / "server.crt"
    assert tools(neo4j_server, scheme="bolt+s", host="localhost", ca_file=crt).ask(f"write {CREATE}").ok
    assert tools(neo4j_server, scheme="bolt+ssc").ask(f"read {COUNT}").numbers == [1]
    assert tools(neo4j_server, scheme="bolt+s", host="localhost").ask("verify").kind == "tls"


def test_a_plain_server_is_never_talked_to_in_the_clear(neo4j_server, tools, proxy):
    proxy.set("tls_alert")
    answer = tools(neo4j_server, proxy, scheme="bolt+s", retry_ms=1).ask("verify")
    assert answer.kind == "tls", answer
    proxy.set("http")
    assert tools(neo4j_server, proxy, scheme="bolt+ssc", retry_ms=1).ask("verify").kind == "tls"
