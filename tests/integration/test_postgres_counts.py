"""Rows that are gone, and nothing told of it: the number of rows shows it, and where that stays the same, a comparison by time."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager

import pytest
from postgres_server import programs

from support.door import Door
from support.home import eventually
from support.source import MEMORIES, Captured, config_of, id_of, insert
from support.terminal import resolved

WAYS = ["stream", "outbox"]


@pytest.fixture
def capture(homes, database):
    """Begin to capture the specification's table with 40 memories, in one way or the other."""

    def begin(way: str, make: str = MEMORIES, more: str = "", **env: str) -> Captured:
        database.psql(make + insert(40))
        captured = Captured(homes(config=config_of(database, f"    capture: {way}\n{more}")), database)
        captured.home.env.update(env)
        captured.init()
        captured.wait_rows(40)
        return captured

    return begin


def wait_gap(captured, text: str) -> dict:
    alerts = eventually(lambda: [a for a in captured.home.alerts() if a["rule"] == "source_gap"])
    assert len(alerts) == 1 and text in alerts[0]["summary"], alerts
    return alerts[0]


def of_source(captured) -> list[str]:
    """The rules of its alerts that the guard's numbers don't raise."""
    return [a["rule"] for a in captured.home.alerts() if a["rule"].startswith("source_")]


def compared(captured) -> int:
    """How often a table's number of rows was another than was told."""
    return (captured.home.path / "daemon.log").read_text().count("and by what was told it should have")


# What takes three rows away by a way that tells nothing.
UNSEEN = {
    # Who owns the schema deletes what the triggers wrote, in the very transaction.
    "outbox": f"BEGIN; DELETE FROM memories WHERE id <= '{id_of(3)}'; DELETE FROM holdfast.outbox; COMMIT;",
    # Beneath SQL, as a damaged file would: such a row is in no log of changes.
    "stream": "CREATE EXTENSION pg_surgery; DO $$ DECLARE rows tid[] := ARRAY(SELECT ctid FROM memories ORDER BY id LIMIT 3);"
    "BEGIN PERFORM heap_force_kill('memories'::regclass, rows); END $$;",
}


@pytest.mark.parametrize("running", [True, False], ids=["seen by a count", "seen at the next start"])
@pytest.mark.parametrize("way", WAYS)
def test_a_few_rows_that_are_gone_and_of_which_nothing_told_are_found_and_held(capture, way, running):
    captured = capture(way)
    before = captured.database.rows("memories")
    captured.database.psql(insert(1, 41) + f"DELETE FROM memories WHERE id = '{id_of(41)}';")  # what is told is no difference
    if not running:
        captured.home.call("stop")
    captured.database.psql(UNSEEN[way])
    captured.home.json("status")
    alert = wait_gap(captured, "3 rows are missing")
    assert alert["memories_affected"] == 3 and compared(captured) == 1
    assert len(captured.wait_rows(40)) == 40
    assert captured.home.json("restore", "app")["restored"] == 3
    assert captured.database.rows("memories") == before
    resolved(captured.home, alert["id"])
    captured.database.psql(insert(1, 50))
    captured.wait_rows(41)
    assert compared(captured) == 1


def test_where_the_number_stays_the_same_a_comparison_by_time_finds_what_was_done(capture):
    """What came and went has the same number; the outbox is compared as a whole now and then."""
    captured = capture("outbox", HOLDFAST_COMPARE_MS="1000")
    captured.database.psql(
        f"BEGIN; DELETE FROM memories WHERE id <= '{id_of(2)}';" + insert(2, 100)
        + f"UPDATE memories SET content = 'overwritten' WHERE id = '{id_of(7)}'; DELETE FROM holdfast.outbox; COMMIT;"
    )  # fmt: skip
    alert = wait_gap(captured, "2 rows are missing, and 1 say something else")
    assert alert["memories_affected"] == 2 and compared(captured) == 0
    rows = captured.wait_rows(42)
    assert id_of(1) in rows and rows[id_of(7)]["content"] == "overwritten"
    assert len(captured.home.lines("show", id_of(7), "--history")) == 2


def test_an_unlogged_table_that_is_empty_after_a_crash_is_found_and_held(capture):
    captured = capture("outbox", MEMORIES.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"))
    server = captured.database.server
    server.stop(signal.SIGQUIT)
    eventually(lambda: not captured.source()["connected"])
    server.start()
    wait_gap(captured, "40 rows are missing")
    eventually(lambda: any(a["rule"] in ("deletes", "share") for a in captured.home.alerts()))
    assert captured.database.query("SELECT count(*) FROM memories") == "0" and len(captured.wait_rows(40)) == 40


# An application's work: rows that come, change and go, some of it rolled back, some of it in subtransactions.
WORK = """
\\set n random(1000, 1000000)
\\set one random(1, 40)
BEGIN;
INSERT INTO memories (content, sync_version) SELECT 'work ' || i, :n FROM generate_series(1, 3) i;
SAVEPOINT s;
DELETE FROM memories WHERE sync_version = :n - 1;
ROLLBACK TO s;
UPDATE memories SET importance = random() WHERE id = ('00000000-0000-4000-8000-' || lpad((:one)::text, 12, '0'))::uuid;
DELETE FROM memories WHERE ctid = (SELECT ctid FROM memories WHERE sync_version > 999 LIMIT 1 FOR UPDATE SKIP LOCKED);
COMMIT;
BEGIN; DELETE FROM memories WHERE id = '00000000-0000-4000-8000-000000000040'; ROLLBACK;
"""


@contextmanager
def work(captured, folder, rate: int):
    """pgbench with four sessions, until it is left."""
    script = folder / "work.sql"
    script.write_text(WORK)
    command = [programs() / "pgbench", "-n", "-f", script, "-c", "4", "-T", "120", "-R", str(rate), captured.database.url]
    env = {"PGPASSWORD": captured.database.server.password, "PGAPPNAME": "work"}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
        assert process.poll() is None, process.stdout.read()
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.threads
@pytest.mark.parametrize("way", WAYS)
def test_work_that_goes_on_is_no_difference_and_does_not_hide_one(capture, way, tmp_path):
    captured = capture(way, more="    guard: {enabled: false}\n", HOLDFAST_WATCH_MS="20")  # so often it is counted
    before = captured.database.rows("memories")[:3]
    with work(captured, tmp_path, rate=100):
        eventually(lambda: int(captured.database.query("SELECT count(*) FROM memories")) > 1000)
        assert compared(captured) == 0 and of_source(captured) == []
        captured.database.psql(UNSEEN[way].replace("DELETE FROM holdfast.outbox", "DELETE FROM holdfast.outbox WHERE xid = pg_current_xact_id()"))
        alert = wait_gap(captured, "rows are missing")
        more = int(captured.database.query("SELECT count(*) FROM memories")) + 600
        eventually(lambda: int(captured.database.query("SELECT count(*) FROM memories")) > more)
    assert compared(captured) == 1 and of_source(captured) == ["source_gap"]
    resolved(captured.home, alert["id"])
    captured.home.json("restore", "app")
    assert [row.split(",")[:2] for row in captured.database.rows("memories")[:3]] == [row.split(",")[:2] for row in before]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_told_is_no_difference_whatever_takes_the_rows(capture, way):
    captured = capture(way, HOLDFAST_WATCH_MS="20")
    database = captured.database
    database.psql("BEGIN; TRUNCATE memories;" + insert(5, 200) + "ROLLBACK; BEGIN;" + insert(5, 300) + "TRUNCATE memories;" + insert(7, 400) + "COMMIT;")
    captured.wait_alerts()
    captured.home.json("restore", "app")
    database.psql(f"UPDATE memories SET id = '{id_of(500)}' WHERE id = '{id_of(1)}'; ALTER TABLE memories ADD COLUMN extra int;" + insert(3, 600))
    database.psql("BEGIN; LOCK memories; SELECT pg_sleep(0.5);" + insert(3, 700) + "COMMIT; VACUUM FULL memories;")
    database.psql("BEGIN; DROP TABLE memories;" + MEMORIES + insert(9, 800) + "COMMIT;")
    eventually(lambda: id_of(809 - 1) in captured.rows())
    database.psql(insert(1, 900))
    eventually(lambda: id_of(900) in captured.rows())
    rules = {a["rule"] for a in captured.home.alerts()}
    assert compared(captured) == 0 and "source_gap" not in rules and "source_unguarded" not in rules, rules


def test_rows_of_an_inheriting_table_are_no_difference_again_and_again(capture):
    captured = capture("stream", HOLDFAST_WATCH_MS="20")
    captured.database.psql("CREATE TABLE more () INHERITS (memories); INSERT INTO more (content) VALUES ('not told');")
    for number in range(100, 110):
        captured.database.psql(insert(1, number))
        eventually(lambda number=number: id_of(number) in captured.rows())
    assert compared(captured) == 0 and captured.home.alerts() == []


@pytest.mark.parametrize("running", [True, False], ids=["seen by a look", "seen at the next start"])
@pytest.mark.parametrize("way", WAYS)
def test_a_table_that_is_rewritten_where_no_event_trigger_tells_is_compared(homes, database, way, running):
    """ALTER TABLE may give each row another content, and none of them is in any log of changes."""
    role = f"owner_of_{database.name}"
    database.psql(
        f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{database.server.password}';"
        f"GRANT CREATE ON DATABASE {database.name} TO {role}; GRANT CREATE ON SCHEMA public TO {role}; SET ROLE {role};" + MEMORIES + insert(40)
    )
    captured = Captured(homes(config=config_of(database, f"    capture: {way}\n").replace("://postgres@", f"://{role}@")), database)
    captured.init()
    before = captured.wait_rows(40)
    rows = database.rows("memories")
    if not running:
        captured.home.call("stop")
    database.psql(f"SET ROLE {role}; ALTER TABLE memories ALTER content TYPE text USING '';")
    captured.home.json("status")
    alert = captured.wait_alerts()[0]
    assert alert["memories_affected"] == 40 and {id: m["content"] for id, m in captured.rows().items()} == {id: m["content"] for id, m in before.items()}
    assert captured.home.json("restore", "app")["restored"] == 40
    assert database.rows("memories") == rows


# ---- what doors said meanwhile ----

# What only a comparison finds: a row that is new (by a number that differs), or what a rewritten table says.
FOUND = {
    "outbox": ("BEGIN; INSERT INTO memories (id, content) VALUES ('{id}', '{text}'); DELETE FROM holdfast.outbox; COMMIT;", 500),
    "stream": ("ALTER TABLE memories ALTER content TYPE text USING CASE WHEN id = '{id}' THEN '{text}' ELSE content END;", 3),
}


@pytest.mark.parametrize("mirror", [False, True], ids=["plain", "mirrored"])
@pytest.mark.parametrize("way", WAYS)
def test_a_comparison_undoes_nothing_that_a_door_said(capture, way, mirror):
    captured = capture(way, more="    mirror: true\n" if mirror else "")
    database, door = captured.database, Door(captured.home)
    made = door.remember("by a door", metadata={"mine": 1}, scope="project", project_id="test")["id"]
    if mirror:  # then the database says something of it, too, and the memory keeps what no row has
        eventually(lambda: database.query(f"SELECT content FROM memories WHERE id = '{made}'") == "by a door")
        database.psql(f"UPDATE memories SET content = 'by the database' WHERE id = '{made}'")
        eventually(lambda: captured.home.export()[made]["content"] == "by the database")
    else:
        door.one("POST", "/api/memory", {"id": id_of(1), "content": "said by a door"})
        door.forget(id_of(2))
    watched = [id_of(1), id_of(2), made]
    before = {id: captured.home.lines("show", id, "--history") for id in watched}
    sql, number = FOUND[way]
    for i in range(2):
        found = id_of(number + i)
        database.psql(sql.format(id=found, text=f"found {i}"))
        eventually(lambda found=found, i=i: captured.home.export().get(found, {}).get("content") == f"found {i}")
    assert {id: captured.home.lines("show", id, "--history") for id in watched} == before
    assert captured.home.alerts() == []
