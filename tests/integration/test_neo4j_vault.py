"""The graph vault on a real Neo4j: what is remembered stands there, read with the official driver, and comes back from there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.graph import access, changes_of, everything_arrived, rows, until
from support.home import contents
from support.neo4j import STATEMENTS


def unit_program(name: str) -> Path:
    return Path(os.environ["HOLDFAST_BIN"]).parents[1] / "tests/unit" / name


@pytest.fixture
def graph_home(homes, neo4j_server):
    """A home whose vaults are a folder and the server, this by the environment alone."""
    home = homes()
    home.env |= access(neo4j_server)
    return home


def damage_alerts(home) -> list[dict]:
    return [a for a in home.alerts() if a["rule"] == "vault_damaged" and "neo4j" in a["actor"]]


# ---- the contract, and the statements ----


@pytest.mark.parametrize("program", ["vault_live_neo4j_contract", "vault_live_neo4j_view"])
def test_the_driver_keeps_the_contract_of_vaults_and_shows_what_it_should(neo4j_server, program):
    done = subprocess.run(
        [unit_program(program)],
        env={**os.environ, **access(neo4j_server)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def statements() -> dict[str, str]:
    text = re.sub(r"/\*.*?\*/", "", STATEMENTS.read_text(), flags=re.S)
    parts = {}
    for define, name, body in re.findall(r"(#define (\w+)((?:.*\\\n)*.*\n))", text):
        parts[name] = "".join(re.findall(r'"([^"]*)"', body))
        text = text.replace(define, "")
    found = {}
    for name, body in re.findall(r"STATEMENT\((\w+),(.*?)\)\n(?=\s*(?:STATEMENT|$))", text, re.S):
        for part, what in parts.items():
            body = body.replace(f" {part}", f' "{what}"')
        found[name] = "".join(re.findall(r'"([^"]*)"', body))
    assert len(found) > 40
    return found


def operators(plan: dict) -> set[str]:
    names = {plan["operatorType"].split("@")[0]}
    for child in plan.get("children", []):
        names |= operators(child)
    return names


def test_no_statement_looks_through_the_whole_graph(graph_home, graph):
    graph_home.call("remember", "the schema is made")
    graph_home.call("sync")
    scans = {"AllNodesScan", "NodeByLabelScan", "NodeIndexScan", "NodeUniqueIndexScan", "DirectedAllRelationshipsScan"}
    parameters = {
        "origin": "o", "copy": 1, "from": 1, "to": 9, "after": 0, "limit": 5, "id": "v", "format": 1, "kind": "memory", "rows": [],
        "words": '"w"', "vector": [1.0] * 768, "ids": [], "project": None, "asking": None, "session": None, "since": None,
        "until": None, "tags": [],
    }  # fmt: skip
    with graph.session(database="neo4j") as session:
        for name, text in statements().items():
            if name.startswith("SCHEMA"):
                continue
            plan = session.run("EXPLAIN " + text, parameters).consume().plan
            found = operators(plan) & scans
            allowed = {"NodeByLabelScan"} if name == "ORIGINS" else set()  # as many as there are installations
            assert found <= allowed, f"{name}: {found}"


# ---- what stands there ----


def remember_everything(home) -> dict:
    """Two memories of a session, one of them changed, referring and with a task; the ids by name."""
    session = "01990000-0000-7000-8000-000000000001"
    first = "01990000-0000-7000-8000-00000000000a"
    second = "01990000-0000-7000-8000-00000000000b"
    memories = [
        {
            "id": first,
            "content": "Kelp holds on with a holdfast — even in storms.",
            "memory_type": "semantic",
            "importance": 0.75,
            "project_id": "sea",
            "session_id": session,
            "tags": ["kelp", "storm"],
            "metadata": {"depth_m": 12, "where": {"name": "reef"}},
        },
        {
            "id": second,
            "content": "It let go once.",
            "memory_type": "episodic",
            "project_id": "sea",
            "session_id": session,
            "references": [{"id": first, "context": "the same plant"}],
            "task": {"id": "t-1", "title": "Look after kelp", "status": "doing", "source": "archon"},
        },
    ]
    home.call("remember", "--jsonl", "-", input="".join(json.dumps(m) + "\n" for m in memories))
    home.call("sync")
    return {"first": first, "second": second, "session": session}


def test_a_memory_is_there_within_seconds_as_the_specification_says(graph_home, graph):
    ids = remember_everything(graph_home)
    [first] = rows(graph, "MATCH (m:Memory {id: $id}) RETURN m", id=ids["first"])
    memory = first["m"]
    assert memory["content"] == "Kelp holds on with a holdfast — even in storms."
    assert (memory["memory_type"], memory["importance"], memory["tags"]) == ("semantic", 0.75, ["kelp", "storm"])
    assert (memory["source_project"], memory["session_id"], memory["sync_version"]) == ("sea", ids["session"], 1)
    assert json.loads(memory["metadata"]) == {"depth_m": 12, "where": {"name": "reef"}}
    exported = graph_home.export()[ids["first"]]
    for key in ("created_at", "updated_at"):
        there = memory[key].to_native().astimezone(timezone.utc)
        assert there == datetime.fromisoformat(exported[key].replace("Z", "+00:00"))
    assert "deleted_at" not in memory

    [path] = rows(
        graph,
        "MATCH (m:Memory {id: $id})-[:BELONGS_TO]->(s:Session)-[:PART_OF]->(p:Project), (m)-[:TAGGED_WITH]->(p)"
        " RETURN s.id AS session, s.memory_count AS count, p.id AS project",
        id=ids["second"],
    )
    assert path == {"session": ids["session"], "count": 2, "project": "sea"}
    [reference] = rows(
        graph,
        "MATCH (:Memory {id: $id})-[r:REFERENCES]->(o:Memory) RETURN o.id AS to, r.context AS context",
        id=ids["second"],
    )
    assert reference == {"to": ids["first"], "context": "the same plant"}
    [task] = rows(graph, "MATCH (:Memory {id: $id})-[:FOR_TASK]->(t:Task) RETURN t.title AS title", id=ids["second"])
    assert task == {"title": "Look after kelp"}


def test_a_large_session_is_counted_behind_the_next_check(graph_home, graph):
    session = "01990000-0000-7000-8000-000000000001"

    def remember(contents: list[str]) -> None:
        lines = [json.dumps({"content": text, "project_id": "sea", "session_id": session}) + "\n" for text in contents]
        graph_home.call("remember", "--jsonl", "-", input="".join(lines))
        graph_home.call("sync")

    def counted() -> dict:
        [found] = rows(graph, "MATCH (s:Session {id: $id}) RETURN s.memory_count AS count, s.count_due AS due", id=session)
        return found

    remember([f"memory number {i}" for i in range(230)])
    until("230 counted", lambda: counted() == {"count": 230, "due": None})
    remember(["one more"])
    until("231 counted", lambda: counted() == {"count": 231, "due": None})


def test_every_version_stays_and_a_deletion_is_a_mark(graph_home, graph):
    memory_id = graph_home.json("remember", "the first words")["id"]
    graph_home.call("remember", "--jsonl", "-", input=json.dumps({"id": memory_id, "content": "other words"}) + "\n")
    graph_home.call("forget", memory_id)
    graph_home.call("sync")
    [memory] = rows(graph, "MATCH (m:Memory {id: $id}) RETURN m.content AS content, m.deleted_at AS at, m.sync_version AS v", id=memory_id)
    assert memory["at"] is not None and memory["v"] == 3
    history = rows(
        graph, "MATCH (c:Change)-[:OF]->(:Memory {id: $id}) RETURN c.op AS op, c.record AS record ORDER BY c.seq", id=memory_id
    )
    assert [h["op"] for h in history] == ["put", "put", "delete"]
    assert json.loads(history[0]["record"])["body"]["content"] == "the first words"


def test_what_the_guard_holds_does_not_show(graph_home, graph):
    ids = graph_home.remember_many([f"memory number {i}" for i in range(40)])
    graph_home.call("sync")
    for memory_id in ids[:25]:
        graph_home.call("forget", memory_id, check=False)
    assert graph_home.alerts()
    last = "MATCH (c:Change) RETURN max(c.seq) AS n"
    until("all changes", lambda: rows(graph, last)[0]["n"] == changes_of(graph_home))
    assert rows(graph, "MATCH (c:Change {op: 'delete'}) RETURN count(c) AS n")[0]["n"] > 0  # it is history
    living = "MATCH (m:Memory) WHERE m.content IS NOT NULL AND m.deleted_at IS NULL RETURN count(m) AS n"
    assert rows(graph, living)[0]["n"] == len(graph_home.export()) == len(ids)


def test_a_memory_that_two_installations_changed_is_a_conflict_event_with_both_versions(homes, neo4j_server, graph):
    here, there = homes("here"), homes("there")
    for home in (here, there):
        home.env |= access(neo4j_server)
    memory_id = here.json("remember", "the words that both know")["id"]
    here.call("sync")
    there.json("recover", "--from", "neo4j")
    for home, words in ((here, "words from here"), (there, "words from there")):
        home.call("remember", "--jsonl", "-", input=json.dumps({"id": memory_id, "content": words}) + "\n")
        home.call("sync")
    until("both versions", lambda: rows(graph, "MATCH (c:Change {id: $id, version: 2}) RETURN count(c) AS n", id=memory_id)[0]["n"] == 2)
    [conflict] = until("an event", lambda: [e for e in there.lines("sync", "events") if e["result"] == "conflict"])
    assert memory_id in conflict["error"] and "words from here" in conflict["error"] and "words from there" in conflict["error"]
    assert [e for e in here.lines("sync", "events") if e["result"] == "conflict"] == []


def test_a_damaged_change_of_another_installation_keeps_none_of_ours_back(homes, neo4j_server, graph):
    """Its twin, and what is shown in place of what is held, are read there: also what somebody altered."""
    here, there = homes("here"), homes("there")
    for home in (here, there):
        home.env |= access(neo4j_server)
    ids = there.remember_many([f"of there, {i}" for i in range(20)])
    lines = [json.dumps({"id": id, "content": f"of here, {id}", "sync_version": 2, "project_id": "test"}) + "\n" for id in ids]
    here.call("import", "-", input="".join(lines))
    here.call("sync")
    here.call("stop")  # it would mend what follows
    rows(graph, "MATCH (c:Change {id: $id}) WHERE c.record CONTAINS 'of here' SET c.record = 'junk'", id=ids[0])
    rows(graph, "MATCH (c:Change {id: $id}) WHERE c.record CONTAINS 'of here' SET c.record = 7", id=ids[1])
    for id in ids[:3]:
        there.call("remember", "the second of there", "--id", id)
    for id in ids:
        there.call("forget", id)
    assert "share" in {alert["rule"] for alert in there.alerts()}, "some of it is held"
    origin = until("its changes", lambda: rows(graph, "MATCH (c:Change) WHERE c.record CONTAINS 'of there' RETURN DISTINCT c.origin AS id"))[0]["id"]
    sent = "MATCH (c:Change {origin: $id, copy: 1}) RETURN count(c) AS n"
    until("all of them", lambda: rows(graph, sent, id=origin)[0]["n"] == changes_of(there))
    assert rows(graph, "MATCH (o:Origin {id: $id}) RETURN o.copy AS copy", id=origin) == [{"copy": 1}]
    told = " ".join(e["error"] for e in there.lines("sync", "events", "-n", "1000") if e["result"] == "conflict")
    assert [id in told for id in ids[:3]] == [False, False, True], "a conflict with what can be read"


# ---- what comes back ----


def test_after_the_home_is_gone_everything_comes_back_from_the_graph(graph_home, graph):
    remember_everything(graph_home)
    ids = graph_home.remember_many([f"memory number {i}" for i in range(500)])
    graph_home.call("forget", ids[0])
    graph_home.call("sync")
    before = graph_home.export()
    history = graph_home.lines("show", ids[0], "--history")
    graph_home.call("stop")
    shutil.rmtree(graph_home.path)

    graph_home.write_config()
    answer = graph_home.json("recover", "--from", "neo4j")
    assert answer["recovered_count"] >= len(before)
    assert graph_home.export() == before
    assert graph_home.lines("show", ids[0], "--history") == history
    assert graph_home.json("verify")["ok"] and graph_home.json("verify", "neo4j")["ok"]


@pytest.mark.parametrize("part", ["project", "session", "memory", "since", "at"])
def test_a_part_comes_back_from_the_graph(graph_home, graph, part):
    """The chain is taken in whole, as it proves itself only so; what is shown of it is the recovery's to choose."""
    one = graph_home.remember_many([f"one {i}" for i in range(10)], project="one")
    moment = graph_home.json("show", graph_home.json("remember", "marks the moment", "--project", "two")["id"])["updated_at"]
    session = graph_home.lines("session", "list", "--project", "two")[0]["id"]
    graph_home.call("remember", "overwritten", "--id", one[0], "--project", "one")
    graph_home.call("sync")
    graph_home.call("stop")
    shutil.rmtree(graph_home.path)

    graph_home.write_config()
    value = {"project": "one", "session": session, "memory": one[3], "since": moment, "at": moment}[part]
    graph_home.json("recover", "--from", "neo4j", f"--{part}", value)
    first = {"project": "overwritten", "since": "overwritten", "at": "one 0"}
    expected = {
        "project": {"overwritten"} | {f"one {i}" for i in range(1, 10)},
        "session": {"marks the moment"},
        "memory": {"one 3"},
        "since": {"overwritten", "marks the moment"},
        "at": {"marks the moment"} | {f"one {i}" for i in range(10)},
    }
    assert set(contents(graph_home.export()).values()) == expected[part]
    graph_home.json("recover", "--from", "neo4j")
    assert contents(graph_home.export())[one[0]] == first.get(part, "overwritten")
    assert graph_home.json("verify")["ok"] and graph_home.json("verify", "neo4j")["ok"]


def test_an_emptied_graph_raises_an_alert_and_is_filled_again(graph_home, graph):
    graph_home.remember_many([f"memory number {i}" for i in range(50)])
    graph_home.call("sync")
    there = rows(graph, "MATCH (c:Change) RETURN c.hash AS hash ORDER BY c.origin, c.seq")
    rows(graph, "MATCH (n) DETACH DELETE n")
    graph_home.call("sync")
    assert until("an alert", lambda: damage_alerts(graph_home))
    until("all changes", lambda: rows(graph, "MATCH (c:Change) RETURN count(c) AS n")[0]["n"] >= len(there))
    now = [r["hash"] for r in rows(graph, "MATCH (c:Change) RETURN c.hash AS hash ORDER BY c.origin, c.seq")]
    assert now[: len(there)] == [r["hash"] for r in there]
    assert rows(graph, "MATCH (m:Memory) RETURN count(m) AS n")[0]["n"] == 50


@pytest.mark.parametrize(
    "harm",
    [
        "MATCH (c:Change {seq: 7}) SET c.record = replace(c.record, 'memory number', 'lies, number')",
        "MATCH (c:Change {seq: 7}) SET c.hash = c.prev",
        "MATCH (c:Change {seq: 7}) DETACH DELETE c",
        "MATCH (c:Change {seq: 7})-[o:OF]->() DELETE o",
        "MATCH (c:Change {seq: 7})-[o:OF]->(), (c2:Change {seq: 8})-[:OF]->(other) DELETE o CREATE (c)-[:OF]->(other)",
        "MATCH (c:Change {seq: 7}) SET c.version = 99",
        "MATCH (c:Change {seq: 7}) SET c.kind = 'other'",
        "MATCH (c:Change {seq: 7}) SET c.op = 'delete'",
        "MATCH (c:Change {seq: 7}), (c2:Change {seq: 8}) SET c.id = c2.id",
    ],
)
def test_an_altered_change_raises_an_alert_and_the_chain_is_filled_again(graph_home, graph, harm):
    graph_home.remember_many([f"memory number {i}" for i in range(50)])
    graph_home.call("sync")
    rows(graph, harm)
    graph_home.call("sync")
    assert until("an alert", lambda: damage_alerts(graph_home))
    until(
        "a second copy",
        lambda: rows(graph, "MATCH (c:Change {copy: 2}) RETURN count(c) AS n")[0]["n"] >= 50,
    )
    assert rows(graph, "MATCH (c:Change {copy: 1}) RETURN count(c) AS n")[0]["n"] >= 49  # put aside, not deleted
    assert graph_home.json("verify", "neo4j")["ok"]


def test_a_copied_node_without_its_constraint_raises_an_alert_and_is_waited_out(graph_home, graph):
    graph_home.remember_many([f"memory number {i}" for i in range(20)])
    graph_home.call("sync")
    rows(graph, "DROP CONSTRAINT memory_id")
    rows(graph, "MATCH (m:Memory) WITH m LIMIT 1 CREATE (d:Memory:Copy) SET d = properties(m)")
    graph_home.call("remember", "the next one")
    graph_home.call("sync", check=False)
    alerts = until("an alert", lambda: damage_alerts(graph_home))
    assert "a person has deleted the copy" in alerts[0]["summary"]
    rows(graph, "MATCH (d:Copy) DELETE d")
    graph_home.call("sync")
    assert rows(graph, "SHOW CONSTRAINTS YIELD name WHERE name = 'memory_id' RETURN count(*) AS n")[0]["n"] == 1
    assert graph_home.json("verify", "neo4j")["ok"]


ORIGIN_HARMS = [
    "MATCH (o:Origin) SET o.copy = 'x'",
    "MATCH (o:Origin) SET o.copy = -1.5",
    "MATCH (o:Origin) REMOVE o.copy",
    "MATCH (o:Origin) SET o.id = 'nobody'",
    "MATCH (o:Origin) SET o.id = '01900000-0000-7000-8000-00000000dead'",
    "MATCH (o:Origin) DELETE o",
]


@pytest.mark.parametrize("harm", ORIGIN_HARMS)
def test_an_altered_origin_raises_an_alert_and_is_put_right(graph_home, graph, harm):
    graph_home.remember_many([f"memory number {i}" for i in range(20)])
    graph_home.call("sync")
    before = rows(graph, "MATCH (o:Origin) RETURN o.id AS id, o.copy AS copy")
    rows(graph, harm)
    graph_home.call("remember", "the next one")
    graph_home.call("sync", check=False)  # what was sent before the check found it is tried again
    until("the node", lambda: before[0] in rows(graph, "MATCH (o:Origin) RETURN o.id AS id, o.copy AS copy"))
    until("an alert", lambda: any("node Origin" in alert["summary"] for alert in damage_alerts(graph_home)))
    graph_home.call("sync")
    assert everything_arrived(graph_home, graph)
    assert rows(graph, "MATCH (c:Change) RETURN max(c.copy) AS copy") == [{"copy": 1}]  # nothing was sent a second time
    assert graph_home.json("verify", "neo4j")["ok"]


def test_an_origin_is_put_right_with_the_copy_that_is_in_use(graph_home, graph):
    graph_home.remember_many([f"memory number {i}" for i in range(20)])
    graph_home.call("sync")
    rows(graph, "MATCH (c:Change {seq: 7}) SET c.record = replace(c.record, 'memory number', 'lies, number')")
    graph_home.call("sync")
    second = "MATCH (c:Change {copy: 2}) RETURN count(c) AS n"
    until("a second copy", lambda: rows(graph, second)[0]["n"] == changes_of(graph_home))
    rows(graph, "MATCH (o:Origin) DELETE o")
    graph_home.call("sync")
    assert rows(graph, "MATCH (o:Origin) RETURN o.copy AS copy") == [{"copy": 2}]
    assert graph_home.json("verify", "neo4j")["ok"]


def test_everything_comes_back_from_a_graph_whose_origin_and_vault_were_altered(homes, neo4j_server, graph):
    lost, home = homes("lost"), homes("new")
    lost.env |= access(neo4j_server)
    lost.remember_many([f"memory number {i}" for i in range(20)])
    lost.call("sync")
    kept = lost.export()
    lost.close()
    rows(graph, "MATCH (o:Origin) SET o.id = 'nobody'")
    rows(graph, "MATCH (v:Vault) SET v.id = 'nothing'")
    home.env |= access(neo4j_server)
    assert home.json("recover", "--from", f"neo4j:{home.env['NEO4J_URI']}")["recovered_count"] == 20
    assert home.export() == kept


@pytest.mark.parametrize("harm", ["SET v.id = 'nothing'", "REMOVE v.id", "SET v.format = 'x'", "REMOVE v.format, v.id"])
def test_an_altered_vault_raises_an_alert_and_is_put_right(graph_home, graph, harm):
    graph_home.call("remember", "one")
    graph_home.call("sync")
    node = "MATCH (v:Vault {key: 'holdfast'}) RETURN v.id AS id, v.format AS format"
    before = rows(graph, node)
    rows(graph, "MATCH (v:Vault) " + harm)
    graph_home.call("remember", "two")
    graph_home.call("sync")
    assert rows(graph, node) == before
    [alert] = until("an alert", lambda: damage_alerts(graph_home))
    assert "the node Vault was altered; it was put right" in alert["summary"]
    assert everything_arrived(graph_home, graph)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("SET v.id = '01900000-0000-7000-8000-00000000dead'", "not the vault that was used here before"),
        ("SET v.format = 2", "format 2; this one knows 1; it is left as it is, and what comes waits here"),
    ],
)
def test_another_vault_and_a_newer_one_raise_an_alert_and_are_never_written(graph_home, graph, harm, said):
    graph_home.call("remember", "one")
    graph_home.call("sync")
    before = rows(graph, "MATCH (v:Vault) RETURN properties(v) AS p")[0]["p"]
    rows(graph, "MATCH (v:Vault) " + harm)
    rows(graph, "DROP INDEX hold_alert")
    everything = "MATCH (n) RETURN properties(n) AS p ORDER BY elementId(n)"
    there = rows(graph, everything)
    graph_home.call("sync", check=False)
    [alert] = until("an alert", lambda: damage_alerts(graph_home))
    assert said in alert["summary"], alert
    graph_home.call("remember", "two")
    assert graph_home.call("sync", "--timeout", "2", check=False).status != 0
    [line] = [line for line in graph_home.lines("doctor") if line["check"].startswith("vault neo4j")]
    assert not line["ok"] and said[:20] in line["detail"]
    assert rows(graph, everything) == there
    assert rows(graph, "SHOW INDEXES YIELD name WHERE name = 'hold_alert' RETURN name") == []
    rows(graph, "MATCH (v:Vault) SET v = $before", before=before)
    graph_home.call("sync")
    assert everything_arrived(graph_home, graph)
    assert len(damage_alerts(graph_home)) == 1


def test_a_memory_without_a_session_that_moves_leaves_its_project(graph_home, graph):
    def moved_to(project):
        line = {"id": "01a1f000-0000-7000-8000-000000000001", "content": "moves", "project_id": project, "session_id": None}
        graph_home.call("import", "-", input=json.dumps(line))
        graph_home.call("sync")

    moved_to("one")
    moved_to("two")
    tagged = "MATCH (:Memory {content: 'moves'})-[t:TAGGED_WITH]->(p) WHERE t.until IS NULL RETURN p.id AS id"
    assert [row["id"] for row in rows(graph, tagged)] == ["two"]


# ---- looking at it ----


@pytest.mark.parametrize("command", [["init", "--vault"], ["verify"], ["recover", "--from"]])
def test_a_password_that_stands_in_a_uri_is_refused_and_not_repeated(homes, command):
    home = homes()
    home.call("remember", "one")
    refused = home.call(*command, "neo4j:bolt://someone:hunter2@127.0.0.1:7687", check=False)
    assert refused.status != 0 and "bolt://***@127.0.0.1:7687" in refused.err
    assert "hunter2" not in refused.out + refused.err


def test_doctor_says_what_the_vault_is_and_nobody_sees_the_password(graph_home, neo4j_server):
    graph_home.call("remember", "one")
    graph_home.call("sync")
    lines = [line for line in graph_home.lines("doctor") if "neo4j" in line["check"]]
    assert len(lines) == 1 and lines[0]["ok"], lines
    said = lines[0]["detail"]
    for part in ("Neo4j 5.26", "community", "Bolt 5.8", "20 of 20 indexes ONLINE", "vectors of 768", "its clock", "may be written", "answered in"):
        assert part in said, (part, said)
    assert lines[0]["advice"] == ""
    password = neo4j_server.password
    for path in [*graph_home.path.rglob("*"), *graph_home.vault.rglob("*")]:
        if path.is_file():
            assert password.encode() not in path.read_bytes(), path
    assert password.encode() not in Path(f"/proc/{graph_home.daemon_pid()}/cmdline").read_bytes()


def test_doctor_says_what_to_do(graph_home, graph):
    graph_home.call("remember", "one")
    graph_home.call("sync")
    graph_home.call("stop")
    graph_home.env["NEO4J_URI"] += "#dimensions=384"
    before = rows(graph, "MATCH (v:Vault) RETURN properties(v) AS p ORDER BY v.key")
    [line] = [line for line in graph_home.lines("doctor") if "neo4j" in line["check"]]
    assert not line["ok"]
    assert "768 dimensions" in line["advice"] and "384" in line["advice"], line
    assert rows(graph, "MATCH (v:Vault) RETURN properties(v) AS p ORDER BY v.key") == before  # the probe leaves nothing


def test_a_wrong_password_is_told_without_it(graph_home):
    graph_home.env["NEO4J_PASSWORD"] = "not-the-password"
    graph_home.call("remember", "one")
    [line] = [line for line in graph_home.lines("doctor") if "neo4j" in line["check"]]
    assert not line["ok"] and "not-the-password" not in json.dumps(line)
