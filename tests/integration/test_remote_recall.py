"""`recall --remote`: a machine that has nothing finds what others sent to Neo4j, and nothing that it may not see."""

from __future__ import annotations

import base64
import itertools
import json
import struct

import pytest
from support.graph import access, rows, until

DIMENSIONS = 4
pytestmark = pytest.mark.dimensions(DIMENSIONS)
SESSIONS = [f"01990000-0000-7000-8000-00000000000{i}" for i in range(2)]
EVERYTHING = ("-k", "1000", "--all-projects")


def reach(server) -> dict[str, str]:
    found = access(server)
    return found | {"NEO4J_URI": f"{found['NEO4J_URI']}#dimensions={DIMENSIONS}"}


@pytest.fixture
def writer(homes, neo4j_server):
    """The machine that remembers, and sends to the server."""
    home = homes("writer")
    home.env |= reach(neo4j_server)
    home.call("sync")
    return home


@pytest.fixture
def fresh(homes, neo4j_server):
    """A machine that has nothing but the environment."""
    home = homes("fresh")
    (home.path / "holdfast.yaml").write_text("daemon:\n  project: test\n")
    home.env |= reach(neo4j_server)
    return home


@pytest.fixture
def visitor(fresh, neo4j_server):
    """A machine that only may ask: nothing that runs there mends the graph."""
    del fresh.env["NEO4J_URI"]
    fresh.spec = f"neo4j:{access(neo4j_server)['NEO4J_URI']}#password_file={neo4j_server.password_file}"
    return fresh


def send(home, memories: list[dict]) -> list[str]:
    lines = "".join(json.dumps(m) + "\n" for m in memories)
    ids = [answer["id"] for answer in home.lines("remember", "--jsonl", "-", input=lines)]
    home.call("sync")
    return ids


def found(home, *args: str) -> list[str]:
    return [hit["id"] for hit in home.lines("recall", "--remote", *args)]


def vector(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def embed(graph, vectors: dict[str, list[float]]) -> None:
    rows(
        graph,
        "UNWIND $rows AS r MATCH (m:Memory {id: r.id}) CALL db.create.setNodeVectorProperty(m, 'embedding', r.vector)",
        rows=[{"id": id, "vector": list(v)} for id, v in vectors.items()],
    )
    until_indexed(graph, len(vectors))


def until_indexed(graph, count: int) -> None:
    query = "CALL db.index.vector.queryNodes('memory_embedding', 100000, [1.0, 1.0, 1.0, 1.0]) YIELD node RETURN count(*) AS n"
    until("all vectors", lambda: rows(graph, query)[0]["n"] >= count)


# ---- by words ----


@pytest.mark.parametrize("how", [(), ("--no-daemon",)])
def test_a_machine_that_has_nothing_finds_what_another_one_remembered(writer, fresh, how):
    [first, second, _] = send(
        writer,
        [
            {
                "content": "Kelp holds on with a holdfast — even in storms.",
                "memory_type": "procedural",
                "importance": 0.75,
                "session_id": SESSIONS[0],
                "tags": ["kelp", "storm"],
                "metadata": {"depth_m": 12, "where": {"name": "reef"}},
            },
            {
                "content": "It let go once, the storm of 2019.",
                "session_id": SESSIONS[0],
                "references": [{"id": "01990000-0000-7000-8000-00000000000a", "context": "the same plant"}],
                "task": {"id": "t-1", "title": "Look after kelp", "status": "doing", "source": "archon"},
            },
            {"content": "Nothing about the matter."},
        ],
    )
    there = writer.export()
    hits = fresh.lines("recall", "--remote", "does the holdfast go in storms", *how)
    assert [hit["id"] for hit in hits] == [first, second]
    for hit in hits:
        assert {key: hit[key] for key in there[hit["id"]]} == there[hit["id"]]
        assert set(hit) - set(there[hit["id"]]) == {"score", "snippet", "sync_status"} and hit["sync_status"] == "synced"
    assert hits[0]["snippet"] == "Kelp holds on with a [holdfast] — even in [storms]."
    assert hits[0]["score"] == 1 > hits[1]["score"] > 0
    assert fresh.export() == {}


def test_its_hits_have_the_fields_that_hits_of_the_ledger_have(writer, fresh):
    send(writer, [{"content": "the deploy key rotates on Mondays"}])
    [here], [there] = writer.lines("recall", "deploy key"), fresh.lines("recall", "--remote", "deploy key")
    assert {**here, "score": 0} == {**there, "score": 0}
    assert fresh.call("recall", "--remote", "deploy key").out.startswith(" 1.  1.00  test  ")


def test_every_filter_is_exact(writer, fresh):
    memories = [
        {
            "content": f"kelp number {i}",
            "project_id": project,
            "session_id": session,
            "tags": tags,
            "scope": scope,
            "created_at": f"2026-11-0{1 + i % 4}T00:00:00.00000{i % 3}Z",
        }
        for i, (project, session, tags, scope) in enumerate(
            itertools.product(["test", "sea", "a'b\\\"$x"], SESSIONS, [[], ["a"], ["a", "b b"]], ["shared", "project"])
        )
    ]
    send(writer, memories)
    there = writer.export().values()
    since, until_ = "2026-11-02T00:00:00.000001Z", "2026-11-04T00:00:00.000001Z"
    options = {
        "project": [None, "sea", "a'b\\\"$x", "nobody's"],
        "session": [None, SESSIONS[1]],
        "tags": [[], ["a"], ["b b", "a"], ["A"]],
        "all": [False, True],
        "times": [(None, None), (since, None), (None, until_), (since, until_)],
    }
    for project, session, tags, everywhere, (after, before) in itertools.product(*options.values()):
        if sum(map(bool, (project, session, tags, everywhere, after or before))) > 2:
            continue  # each alone, and in pairs
        mine = project or "test"
        expected = {
            m["id"]
            for m in there
            if (everywhere or m["project_id"] == mine)
            and (m["scope"] == "shared" or m["project_id"] == mine)
            and (not session or m["session_id"] == session)
            and set(tags) <= set(m["tags"])
            and (not after or m["created_at"] >= after)
            and (not before or m["created_at"] < before)
        }
        args = [f"--tag={tag}" for tag in tags] + ["-k", "100"]
        args += ["--project", project] if project else []
        args += ["--session", session] if session else []
        args += ["--since", after] if after else []
        args += ["--until", before] if before else []
        args += ["--all-projects"] if everywhere else []
        assert set(found(fresh, "kelp", *args)) == expected, args


def test_what_was_deleted_or_is_held_is_never_found(writer, fresh, graph):
    [gone, kept] = send(writer, [{"content": "kelp one"}, {"content": "kelp two"}])
    embed(graph, {gone: [1, 0, 0, 0], kept: [0, 1, 0, 0]})
    assert set(found(fresh, "kelp", "--vector", vector(1, 0, 0, 0))) == {gone, kept}
    writer.call("forget", gone)
    send(writer, [{"id": kept, "content": "zebra", "sync_version": 100000}])  # the guard holds such a leap
    assert writer.alerts() and writer.export()[kept]["content"] == "kelp two"
    assert found(fresh, "kelp", "--vector", vector(1, 0, 0, 0)) == [kept]
    assert found(fresh, "zebra") == []


def test_a_node_is_believed_for_finding_only(writer, fresh, graph):
    [hidden, shown] = send(writer, [{"content": "kelp one", "project_id": "sea", "scope": "project"}, {"content": "kelp two"}])
    rows(graph, "MATCH (m:Memory {id: $id}) SET m.scope = 'shared', m.source_project = 'test'", id=hidden)
    rows(graph, "MATCH (m:Memory {id: $id}) SET m.content = 'a lie about zebras'", id=shown)
    rows(graph, "CREATE (:Memory {id: 'not ours', content: 'zebra kelp'}), (:Memory {content: 'zebra', seq: 1})")
    assert found(fresh, "kelp", *EVERYTHING) == []
    [hit] = fresh.lines("recall", "--remote", "zebras", *EVERYTHING)
    assert (hit["id"], hit["content"]) == (shown, "kelp two")


def test_a_change_that_was_altered_is_told(writer, visitor, graph):
    [id] = send(writer, [{"content": "kelp one"}])
    writer.call("stop")  # it would mend it
    rows(graph, "MATCH (c:Change {id: $id}) SET c.record = replace(c.record, 'kelp', 'lies')", id=id)
    refused = visitor.call("recall", "--from", visitor.spec, "kelp", check=False)
    assert refused.status == 1 and id in refused.err and "it was altered" in refused.err


# ---- any text is a question ----

TEXTS = {
    "kelp": True,
    "KELP!": True,
    '"kelp holds on"': True,
    '"holds kelp"': False,
    "kelp's": True,
    "why did the kelp hold": True,
    "content:zebra": False,
    "content:kelp": True,  # its word
    "id:*": False,
    "*:*": False,
    "*": False,
    "k?lp": False,
    "ke*": False,
    "kelq~": False,
    "/ke.p/": False,
    "[a TO zebra]": False,
    "{kelp TO kelp}": True,
    "zebra OR NOT giraffe": False,
    "kelp AND NOT holds": True,
    "+zebra -kelp": True,
    "kelp && || ! ( ) { } [ ] ^ \" ~ * ? : \\ /": True,
    "kelp^99": True,
    '"kelp': True,
    'kelp\\" zebra': True,
    "(((": False,
    "\\": False,
    '"': False,
    "$words $limit": False,
    "kelp $words": True,
    "zebra\nkelp\r\n\t": True,
    "'}) MATCH (n) DETACH DELETE n //": False,
    "kelp' OR 1=1 --": True,
    "\\u006belp \\u0022": False,  # no escape: u006belp is a word
    "🦓 kelp": True,
    "\x01kelp\x7f": True,
}


def test_whatever_is_typed_is_text_and_no_syntax(writer, fresh, graph):
    send(writer, [{"content": "kelp holds on"}, {"content": "something else"}])
    before = rows(graph, "MATCH (n) RETURN count(n) AS n")
    for text, finds in TEXTS.items():
        hits = fresh.lines("recall", "--remote", *EVERYTHING, "--", text)
        assert [hit["content"] for hit in hits] == (["kelp holds on"] if finds else []), text
    assert rows(graph, "MATCH (n) RETURN count(n) AS n") == before


def test_words_are_found_as_they_are_cut_there(writer, fresh):
    texts = ["see src/foo.c first", "the token_cache leaks", "getUserName fails", "数据库迁移完成", "데이터베이스 이전", "le café noir"]
    ids = dict(zip(texts, send(writer, [{"content": text} for text in texts])))
    for text, query in zip(texts, ["foo.c", "token_cache", "getUserName", "数据库", "데이터베이스", "café"]):
        assert found(fresh, query) == [ids[text]], query


def test_a_question_may_be_long_and_not_longer(writer, fresh):
    send(writer, [{"content": "kelp holds on"}])
    words = " ".join(f"w{i}" for i in range(2000))
    for text in ("kelp " + words, "kelp " + "x/" * 2500, "kelp " + '\\"' * 2500):
        assert len(found(fresh, text[:4096])) == 1
    refused = fresh.call("recall", "--remote", words[:10000].ljust(10000, "x"), check=False)
    assert refused.status == 2 and "query has 10000 bytes; allowed are 1 to 4096" in refused.err


def test_everything_that_may_be_asked_at_once_is_asked(writer, fresh):
    """Query, tags and vector, each as long as it may be: together they are longer than a URL can be."""
    tags = [f"{i:02}" + "é" * 63 for i in range(64)]
    [id] = send(writer, [{"content": "kelp holds on", "tags": tags}])
    asked = ("kelp " + "é " * 1363, *(word for tag in tags for word in ("--tag", tag)))
    for how in ((), ("--no-daemon",)):
        fresh.call("stop")
        assert found(fresh, *asked, *how) == [id]
        refused = fresh.call("recall", "--remote", *asked, "--vector", vector(*[1.0] * 4096), *how, check=False)
        assert refused.status == 2 and "4096" in refused.err and f"{DIMENSIONS}" in refused.err, refused.err
    for more, why in ((("--tag", "one more"), "65"), (("--vector", vector(*[1.0] * 4097)), "vector")):
        refused = fresh.call("recall", "--remote", *asked, *more, check=False)
        assert refused.status == 2 and why in refused.err, refused.err


def test_so_many_are_found_as_are_asked_for_and_the_same_ones_each_time(writer, fresh):
    ids = send(writer, [{"content": "kelp again"} for _ in range(130)])
    assert found(fresh, "kelp", "-k", "1000") == sorted(ids)  # equal: by id
    assert found(fresh, "kelp", "-k", "7") == sorted(ids)[:7]
    assert len(found(fresh, "kelp")) == 10


# ---- by vectors ----


def test_the_nearest_come_first_and_words_and_vectors_are_fused(writer, fresh, graph):
    both, words, near, far = send(
        writer, [{"content": c} for c in ("kelp one", "kelp two kelp", "no such word", "nor here")]
    )
    embed(graph, {both: [1, 0, 0, 0], near: [0.9, 0.1, 0, 0], far: [-1, 0.1, 0, 0]})
    asked = ("--vector", vector(2, 0, 0, 0))
    assert found(fresh, "zebra", *asked) == [both, near, far]
    assert found(fresh, "!?", *asked) == [both, near, far]
    hits = fresh.lines("recall", "--remote", "kelp", *asked)
    assert [hit["id"] for hit in hits][0] == both and {hit["id"] for hit in hits} == {both, words, near, far}
    assert hits == fresh.lines("recall", "--remote", "kelp", *asked)
    assert all(a["score"] >= b["score"] for a, b in zip(hits, hits[1:]))
    assert found(fresh, "kelp", *asked, "-k", "1") == [both]


def test_a_filter_that_leaves_out_the_nearest_leaves_the_others(writer, fresh, graph):
    """The index gives the nearest, whosesoever they are: 1,500 of another project come before those that are wanted."""
    others = send(writer, [{"content": f"other {i}", "project_id": "sea"} for i in range(1500)])
    mine = send(writer, [{"content": f"mine {i}", "tags": ["t"]} for i in range(3)])
    embed(graph, {id: [1, i / 1e5, 0, 0] for i, id in enumerate(others)} | {id: [1, 2 + i, 0, 0] for i, id in enumerate(mine)})
    asked = ("zebra", "--vector", vector(1, 0, 0, 0))
    assert found(fresh, *asked) == mine  # in the order of their distance
    assert set(found(fresh, *asked, "--all-projects", "-k", "50")) < set(others)
    assert found(fresh, *asked, "--all-projects", "--tag", "t") == mine
    assert found(fresh, *asked, "--tag", "nobody's") == []


def test_many_equal_vectors_hide_no_other(writer, fresh, graph):
    """They cut the index's graph in pieces: of 1,501 vectors it gives 34 when asked for 1,000, and may not have the nearest."""
    equal = send(writer, [{"content": f"equal {i}"} for i in range(1500)])
    [other] = send(writer, [{"content": "another one"}])
    embed(graph, {id: [1, 0, 0, 0] for id in equal} | {other: [0, 1, 0, 0]})
    nearest = "CALL db.index.vector.queryNodes('memory_embedding', 1000, [0.0, 1.0, 0.0, 0.0]) YIELD node RETURN count(*) AS n"
    assert rows(graph, nearest)[0]["n"] < 1000
    assert found(fresh, "zebra", "--vector", vector(0, 1, 0, 0), "-k", "1") == [other]


def test_a_vector_that_can_not_be_compared_is_refused(writer, fresh):
    cases = {
        vector(1, 2, 3): "the vector has 3 numbers; the index memory_embedding there has vectors of 4",
        vector(*[1] * 4096): "the vector has 4096 numbers",
        vector(1, 2, 3, float("nan")): "vector holds a number that is not finite",
        vector(float("inf"), 0, 0, 0): "vector holds a number that is not finite",
        vector(0, 0, 0, 0): "vector is all zeros",
        "[1, 2, 3, 4]": "vector is not base64 of 32-bit floats",
        vector(*[1] * 4097): "vector has",
    }
    for text, why in cases.items():
        refused = fresh.call("recall", "--remote", "kelp", "--vector", text, check=False)
        assert refused.status == 2 and why in refused.err and refused.err.count("\n") == 1, refused.err
    refused = fresh.call("recall", "kelp", "--vector", vector(1, 0, 0, 0), check=False)
    assert refused.status == 2 and "only a vault ranks by vectors" in refused.err


# ---- what can't be asked ----


def refused(home, *args: str, status: int) -> str:
    answer = home.call("--json", "recall", "--remote", "kelp", *args, check=False)
    assert answer.status == status and answer.err.count("\n") == 1, answer.err
    assert answer.json()["message"] in answer.err
    return answer.err


def test_a_vault_that_can_not_search_is_told_and_so_is_none(home, fresh):
    assert "vault vault has no search of its own" in refused(home, "--from", "vault", status=2)
    assert "has no search of its own" in refused(home, "--from", f"file:{home.vault}", status=2)
    assert "no vault that can search is configured; set NEO4J_URI" in refused(home, status=2)
    assert '"nobody" is neither a configured vault nor a vault\'s spec' in refused(home, "--from", "nobody", status=2)


def test_a_server_that_is_away_is_told(fresh, fault_proxies, neo4j_server):
    proxy = fault_proxies(neo4j_server.bolt_port)
    fresh.env |= access(neo4j_server, proxy.port)
    fresh.call("sync")
    proxy.set("refuse")
    assert f"127.0.0.1:{proxy.port}" in refused(fresh, status=4)
    proxy.set("reset_before_reply")
    refused(fresh, status=4)
    proxy.set("pass")
    assert found(fresh, "kelp") == []


def test_a_wrong_password_is_told_without_it(fresh):
    fresh.env["NEO4J_PASSWORD"] = "not-the-password"
    message = refused(fresh, status=1)
    assert "unauthorized" in message and "not-the-password" not in message


def test_a_database_without_a_vault_and_a_missing_index_are_told(writer, visitor, graph):
    named = ("--from", visitor.spec)
    [id] = send(writer, [{"content": "kelp holds on"}])
    assert found(visitor, "kelp", *named) == [id]
    writer.call("stop")
    rows(graph, "DROP INDEX memory_content")
    assert "the index memory_content is missing there" in refused(visitor, *named, status=4)
    rows(graph, "DROP INDEX memory_embedding")
    message = refused(visitor, *named, "--vector", vector(1, 0, 0, 0), status=4)
    assert "is missing there" in message
    rows(graph, "MATCH (n) DETACH DELETE n")
    assert "there is no vault of Holdfast in this database" in refused(visitor, *named, status=4)
    assert rows(graph, "MATCH (n) RETURN count(n) AS n")[0]["n"] == 0  # asking makes nothing
