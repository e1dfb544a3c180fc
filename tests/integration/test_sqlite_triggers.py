"""Triggers in somebody's SQLite file, where its owner allows them: every version, and the file has the last word."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing

import pytest

from support.home import eventually, is_holdfast
from support.sqlite_file import MEMORIES, Captured, Tool, config_of, id_of, insert

ALLOWED = "    triggers: true\n"


def schema(tool: Tool) -> list[tuple]:
    with sqlite3.connect(tool.path) as connection:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid").fetchall()
    connection.close()
    return rows


def make_triggers(homes, tool: Tool, more: str = "") -> Captured:
    home = homes(config=config_of(tool.path, ALLOWED + more))
    home.call("init", "sqlite", str(tool.path), "--triggers", "--yes")
    return Captured(home, tool)


@pytest.fixture
def captured(homes, tool):
    captured = make_triggers(homes, tool)
    captured.wait_rows(40)
    return captured


def versions(captured: Captured, id: str) -> list[tuple[str, str | None]]:
    """What the ledger's history has of a row, oldest first."""
    return [("delete", None) if m["deleted_at"] else ("put", m["content"]) for m in captured.home.lines("show", id, "--history")]


def eventually_versions(captured: Captured, id: str, wanted: list) -> None:
    """These and no others: as many came, and they are those."""
    eventually(lambda: len(versions(captured, id)) >= len(wanted))
    assert versions(captured, id) == wanted


def trouble(captured: Captured) -> str:
    return captured.source()["error"] or ""


def update(content: str, number: int = 2) -> str:
    return f"UPDATE memories SET content = '{content}' WHERE id = '{id_of(number)}';"


def first(number: int = 2) -> tuple[str, str]:
    """A row's version that was there before there were triggers."""
    return ("put", f"what agent {number} learned about the harbour")


def log_of(captured: Captured) -> str:
    return (captured.home.path / "daemon.log").read_text()


# ---- making and removing ----


def test_the_sql_is_shown_first_and_removing_leaves_nothing(homes, tool):
    home = homes(config=config_of(tool.path, ALLOWED))
    before, bytes_before = schema(tool), tool.path.read_bytes()
    shown = home.call("init", "sqlite", str(tool.path), "--triggers", "--dry-run").out
    assert 'CREATE TRIGGER "holdfast_insert_memories" AFTER INSERT ON "memories"' in shown and "CREATE TABLE holdfast_outbox" in shown
    refused = home.call("init", "sqlite", str(tool.path), "--triggers", check=False)
    assert refused.status == 3 and "nothing was run" in refused.err
    assert tool.path.read_bytes() == bytes_before

    home.call("init", "sqlite", str(tool.path), "--triggers", "--yes")
    made = schema(tool)
    assert [name for _, name, _, _ in made if name.startswith("holdfast_")] == [
        "holdfast_outbox",
        "holdfast_insert_memories",
        "holdfast_update_memories",
        "holdfast_delete_memories",
    ]
    assert "nothing has to be done" in home.call("init", "sqlite", str(tool.path), "--triggers", "--yes").out
    assert schema(tool) == made

    assert 'DROP TRIGGER "holdfast_insert_memories"' in home.call("init", "sqlite", str(tool.path), "--remove", "--dry-run").out
    assert schema(tool) == made
    assert "triggers: true" in home.call("init", "sqlite", str(tool.path), "--remove", "--yes").out
    assert schema(tool) == before
    assert "nothing has to be done" in home.call("init", "sqlite", str(tool.path), "--remove", "--yes").out


def test_a_source_is_added_with_its_triggers_in_one_call(homes, tool):
    home = homes()
    home.call("init", "sqlite", str(tool.path), "--name", "tool", "--triggers", "--yes")
    assert "triggers: true" in (home.path / "holdfast.yaml").read_text()
    captured = Captured(home, tool)
    captured.wait_rows(40)
    assert not trouble(captured)


def test_triggers_that_the_configuration_does_not_allow_are_not_made(homes, tool):
    home = homes(config=config_of(tool.path))
    before = schema(tool)
    refused = home.call("init", "sqlite", str(tool.path), "--triggers", "--yes", check=False)
    assert refused.status == 2 and "triggers: true" in refused.err
    assert schema(tool) == before


def test_a_daemon_that_runs_reads_triggers_that_are_allowed_since(homes, tool):
    home = homes(config=config_of(tool.path))
    captured = Captured(home, tool)
    captured.wait_rows(40)
    file = home.path / "holdfast.yaml"
    file.write_text(file.read_text().replace("kind: sqlite\n", "kind: sqlite\n" + ALLOWED))
    assert "captured already, as source tool" in home.call("init", "sqlite", str(tool.path), "--triggers", "--yes").out
    eventually(lambda: captured.source()["connected"])
    tool.cli(update("one") + update("two"))
    eventually_versions(captured, id_of(2), [first(), ("put", "one"), ("put", "two")])


def test_a_configuration_of_its_own_is_read_and_not_written(homes, tool, tmp_path):
    home, own, other = homes(), tmp_path / "own.yaml", Tool(tmp_path / "other" / "other.db")
    other.cli(MEMORIES)
    own.write_text(config_of(tool.path, ALLOWED))
    home.call("--config", str(own), "init", "sqlite", str(tool.path), "--triggers", "--yes")
    assert own.read_text() == config_of(tool.path, ALLOWED) and "holdfast_outbox" in str(schema(tool))
    refused = home.call("--config", str(own), "init", "sqlite", str(other.path), "--triggers", "--yes", check=False)
    assert refused.status == 2 and f"add it to {own} by hand" in refused.err and "holdfast" not in str(schema(other))
    home.call("--config", str(own), "stop")


def test_a_table_of_somebody_else_by_that_name_is_left_alone(homes, tool):
    tool.cli("CREATE TABLE holdfast_outbox (id INTEGER PRIMARY KEY, mine TEXT);")
    home = homes(config=config_of(tool.path, ALLOWED))
    before = schema(tool)
    refused = home.call("init", "sqlite", str(tool.path), "--triggers", "--yes", check=False)
    assert refused.status != 0 and "not Holdfast's" in refused.err
    home.call("init", "sqlite", str(tool.path), "--remove", "--yes")
    assert schema(tool) == before


def test_names_of_any_kind_are_quoted(homes, tmp_path):
    tool = Tool(tmp_path / "tool" / "memory.db")
    evil = 'we"ird\'; DROP TABLE notes; --\nDROP TABLE notes'
    quoted = '"' + evil.replace('"', '""') + '"'
    with sqlite3.connect(tool.path) as connection:
        connection.executescript(
            f"CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); CREATE TABLE {quoted} ({quoted} TEXT PRIMARY KEY, content TEXT);"
        )
    connection.close()
    captured = make_triggers(homes, tool)
    assert eventually(lambda: captured.source()["connected"])
    with sqlite3.connect(tool.path) as connection:
        connection.execute(f"INSERT INTO {quoted} VALUES ('k', 'first')")
        connection.execute(f"UPDATE {quoted} SET content = 'second'")
    connection.close()
    rows = captured.wait_rows(1)
    eventually_versions(captured, next(iter(rows)), [("put", "first"), ("put", "second")])
    assert [r[1] for r in schema(tool) if r[1] == "notes"] == ["notes"]


def test_triggers_that_are_allowed_and_were_never_made_are_told(homes, tool):
    captured = Captured(homes(config=config_of(tool.path, ALLOWED)), tool)
    captured.wait_rows(40)
    assert "there are no triggers in the file: holdfast init sqlite" in eventually(lambda: trouble(captured))
    captured.home.call("init", "sqlite", str(tool.path), "--triggers", "--yes")
    eventually(lambda: not trouble(captured))
    assert captured.home.alerts() == []


def test_a_table_too_wide_for_triggers_is_named_and_captured_without(homes, tmp_path):
    tool = Tool(tmp_path / "tool" / "memory.db")
    columns = ", ".join(f"c{i}" for i in range(120))
    tool.cli(MEMORIES + insert(2) + f"CREATE TABLE \"wide\n\" (id INTEGER PRIMARY KEY, {columns}); INSERT INTO \"wide\n\" (id, c1) VALUES (1, 'a');")
    home = homes(config=config_of(tool.path, ALLOWED))
    assert "-- left: wide? (more than 99 columns)\n" in home.call("init", "sqlite", str(tool.path), "--triggers", "--yes").out
    captured = Captured(home, tool)
    captured.wait_rows(3)
    assert "too many columns for triggers" in (home.path / "daemon.log").read_text() and not trouble(captured)
    tool.cli("UPDATE \"wide\n\" SET c1 = 'b';")
    eventually(lambda: any(m["metadata"]["row"].get("c1") == "b" for m in captured.rows().values()))


# ---- versions ----


def test_versions_that_were_overwritten_at_once_are_in_the_history(captured):
    captured.tool.cli(
        "BEGIN;"
        f"UPDATE memories SET content = 'one' WHERE id = '{id_of(2)}';"
        f"UPDATE memories SET content = 'two' WHERE id = '{id_of(2)}';"
        f"INSERT INTO memories (id, content) VALUES ('{id_of(99)}', 'born');"
        f"UPDATE memories SET content = 'three' WHERE id = '{id_of(2)}';"
        f"DELETE FROM memories WHERE id = '{id_of(99)}';"
        "COMMIT;"
    )
    first = ("put", "what agent 2 learned about the harbour")
    eventually_versions(captured, id_of(2), [first, ("put", "one"), ("put", "two"), ("put", "three")])
    eventually_versions(captured, id_of(99), [("put", "born"), ("delete", None)])
    assert captured.home.alerts() == [] and not trouble(captured)


def test_what_was_done_while_the_daemon_was_away_is_in_the_history(captured):
    captured.home.call("stop")
    captured.tool.cli("".join(f"UPDATE memories SET content = 'v{i}' WHERE id = '{id_of(5)}';" for i in range(5)))
    wanted = [("put", "what agent 5 learned about the harbour")] + [("put", f"v{i}") for i in range(5)]
    eventually_versions(captured, id_of(5), wanted)


def test_a_daemon_that_is_killed_takes_no_version_twice(captured):
    wanted = [("put", "what agent 5 learned about the harbour")]
    for round in range(4):
        captured.tool.cli("".join(f"UPDATE memories SET content = 'r{round} v{i}' WHERE id = '{id_of(5)}';" for i in range(3)))
        wanted += [("put", f"r{round} v{i}") for i in range(3)]
        if round % 2 == 0:
            eventually(lambda: versions(captured, id_of(5))[-1][1] == f"r{round} v2")
        captured.home.kill()
    eventually_versions(captured, id_of(5), wanted)


@pytest.mark.parametrize("point", ["outbox_read", "outbox_kept"])
def test_a_kill_before_or_after_the_ledgers_commit_loses_nothing_and_takes_nothing_twice(captured, point):
    home = captured.home
    home.call("stop")
    home.env["HOLDFAST_CRASH_AT"] = f"source.sqlite.{point}"
    eventually(lambda: captured.source()["connected"])
    pid = home.daemon_pid()
    captured.tool.cli("".join(update(text) for text in ("one", "two", "three")) + f"DELETE FROM memories WHERE id = '{id_of(3)}';")
    eventually(lambda: not is_holdfast(pid))
    del home.env["HOLDFAST_CRASH_AT"]
    wanted = [first()] + [("put", text) for text in ("one", "two", "three")]
    eventually_versions(captured, id_of(2), wanted)
    eventually_versions(captured, id_of(3), [first(3), ("delete", None)])
    captured.tool.cli(update("four"))
    eventually_versions(captured, id_of(2), wanted + [("put", "four")])


KINDS = """
CREATE TABLE kinds (a INTEGER, b TEXT COLLATE NOCASE, content, r REAL, x BLOB, made GENERATED ALWAYS AS (content || '!') VIRTUAL, PRIMARY KEY (a, b));
CREATE TABLE bare (name TEXT PRIMARY KEY, content TEXT, n NUMERIC) WITHOUT ROWID;
CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT);
CREATE TABLE keyless (content TEXT, more);
"""


def test_every_form_of_table_and_class_of_value_comes_as_it_is(homes, tmp_path):
    tool = Tool(tmp_path / "tool" / "memory.db")
    tool.cli(KINDS)
    tables = "    tables: [kinds, bare, numbered, {table: keyless, id: rowid}]\n"
    captured = make_triggers(homes, tool, tables)
    assert eventually(lambda: captured.source()["connected"])
    tool.cli(
        "BEGIN; INSERT INTO kinds (a, b, content, r, x) VALUES (1, 'k', 'text', 0.1, x'00ff'), (1, 'l', 7, 3, NULL), (2, 'm', CAST(x'ff' AS TEXT), 9e999, 2.5);"
        "UPDATE kinds SET content = CAST(x'610062' AS TEXT), r = 5 WHERE b = 'k';"
        "UPDATE kinds SET x = 9223372036854775807, r = 1e-310 WHERE b = 'l';"
        "INSERT INTO bare VALUES ('n', 'first', '12'); UPDATE bare SET content = 'second', n = 'z';"
        "INSERT INTO numbered (content) VALUES ('first'); UPDATE numbered SET content = 'second';"
        "INSERT INTO keyless VALUES ('first', 1); UPDATE keyless SET content = 'second'; COMMIT;"
    )
    captured.wait_rows(6)
    by_key = {(m["metadata"]["source"]["table"], m["metadata"]["source"]["key"]): id for id, m in captured.rows().items()}
    for table, key in (("bare", "n"), ("numbered", "1"), ("keyless", "1")):
        eventually_versions(captured, by_key[table, key], [("put", "first"), ("put", "second")])
    one, two = (m["metadata"]["row"] for m in captured.home.lines("show", by_key["kinds", '[i"1","k"]'], "--history"))
    assert (one["r"], two["r"], one["x"], two["content"]) == ({"real": "0.1"}, {"real": "5"}, {"blob": "AP8="}, {"text": "YQBi"})
    # A comparison of everything finds nothing else: entries and rows say the same to the byte.
    before = captured.home.json("status")["changes"]
    captured.home.call("stop")
    captured.wait_rows(6)
    eventually(lambda: captured.source()["connected"])
    assert captured.home.json("status")["changes"] == before


def test_a_key_that_changes_is_the_end_of_the_one_and_the_begin_of_the_other(captured):
    captured.tool.cli(f"UPDATE memories SET id = upper('abcdef00-0000-4000-8000-000000000001') WHERE id = '{id_of(3)}';")
    eventually(lambda: versions(captured, id_of(3))[-1][0] == "delete")
    assert len(captured.wait_rows(40)) == 40


def test_rows_too_large_for_a_memory_are_noted_by_their_key(captured):
    captured.tool.cli(
        f"BEGIN; UPDATE memories SET content = 'short' WHERE id = '{id_of(4)}';"
        f"UPDATE memories SET content = hex(zeroblob(100000)) WHERE id = '{id_of(4)}';"
        f"UPDATE memories SET content = 'short again' WHERE id = '{id_of(4)}'; COMMIT;"
    )
    eventually_versions(captured, id_of(4), [("put", "what agent 4 learned about the harbour"), ("put", "short"), ("put", "short again")])
    assert int(captured.tool.cli("SELECT max(length(v1)) FROM holdfast_outbox;")) < 100


# ---- the guard ----


@pytest.mark.parametrize("how", ["DELETE FROM memories;", "UPDATE memories SET content = '';", f"DELETE FROM memories WHERE id <> '{id_of(1)}';"])
def test_destruction_is_held_once_and_put_back_and_the_restore_is_no_change(captured, how):
    home, tool = captured.home, captured.tool
    before, known = tool.rows(), captured.rows()
    tool.cli(how)
    captured.wait_alerts()
    assert {id: m["content"] for id, m in captured.rows().items()} == {id: m["content"] for id, m in known.items()}
    noted = tool.cli("SELECT count(*), max(n) FROM holdfast_outbox;")
    home.json("restore", "tool")
    assert tool.rows() == before
    assert tool.cli("SELECT count(*), max(n) FROM holdfast_outbox;") == noted
    first = "what agent 9 learned about the harbour"
    wrecked = ("delete", None) if how.startswith("DELETE") else ("put", " ")
    eventually_versions(captured, id_of(9), [("put", first), wrecked, ("put", first)])
    home.call("stop")
    assert eventually(lambda: captured.source()["connected"])
    assert versions(captured, id_of(9)) == [("put", first), wrecked, ("put", first)]
    assert len(home.alerts()) == 1 and captured.rows().keys() == known.keys()


def test_destruction_that_runs_over_the_ring_is_held_whole(captured):
    home, tool = captured.home, captured.tool
    tool.cli(insert(5000, 1000))
    captured.wait_rows(5040)
    before = tool.rows()
    tool.cli("DELETE FROM memories;")
    captured.wait_alerts()
    eventually(lambda: captured.source()["position"].startswith("0 rows"))
    assert len(captured.rows()) == 5040
    home.json("restore", "tool")
    assert tool.rows() == before


def test_destruction_is_not_hidden_by_forged_entries(captured):
    tool = captured.tool
    tool.cli("UPDATE memories SET uses = uses + 1;")
    eventually(lambda: captured.rows()[id_of(40)]["metadata"]["row"]["uses"] == {"integer": "41"})
    columns = ", ".join(["shape", "op", *(f"v{i}" for i in range(9))])
    tool.cli(f"BEGIN; DELETE FROM memories; INSERT INTO holdfast_outbox ({columns}) SELECT {columns} FROM holdfast_outbox WHERE op = 'put'; COMMIT;")
    captured.wait_alerts()
    assert len(captured.rows()) == 40


def test_rows_that_are_written_anew_in_one_go_are_no_deletion(captured):
    captured.tool.cli(
        "BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM memories; DELETE FROM memories;"
        "INSERT INTO memories SELECT * FROM kept; UPDATE memories SET uses = uses + 1; COMMIT;"
    )
    eventually(lambda: captured.rows()[id_of(7)]["metadata"]["row"]["uses"] == {"integer": "8"})
    assert captured.home.alerts() == [] and len(captured.rows()) == 40


# ---- what bypasses them, and what is forged: the file has the last word ----

def test_what_passes_the_triggers_by_is_found_as_ever(captured):
    with sqlite3.connect(captured.tool.path, isolation_level=None) as connection:
        kept = [row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")]
        drops = "".join(f"DROP TRIGGER holdfast_{what}_memories;" for what in ("insert", "update", "delete"))
        again = "".join(sql + ";" for sql in kept)
        connection.executescript(
            f"BEGIN; {drops} UPDATE memories SET content = 'past them' WHERE id = '{id_of(8)}'; DELETE FROM memories WHERE id = '{id_of(6)}';"
            f"INSERT INTO memories (id, content) VALUES ('{id_of(77)}', 'past them, too'); {again} COMMIT;"
        )
    connection.close()
    rows = eventually(lambda: (lambda r: r if id_of(6) not in r and id_of(77) in r else None)(captured.rows()))
    assert rows[id_of(8)]["content"] == "past them" and rows[id_of(77)]["content"] == "past them, too"


def test_replace_that_takes_another_row_away_is_found(captured):
    captured.tool.cli(
        "CREATE UNIQUE INDEX by_tags ON memories (tags);"
        f"REPLACE INTO memories (id, content, tags) SELECT '{id_of(50)}', 'instead', tags FROM memories WHERE id = '{id_of(11)}';"
    )
    rows = eventually(lambda: (lambda r: r if id_of(50) in r and id_of(11) not in r else None)(captured.rows()))
    assert rows[id_of(50)]["content"] == "instead" and len(rows) == 40


FORGERIES = {
    "another_text": "INSERT INTO holdfast_outbox (shape, op, v0, v1) SELECT shape, 'put', '{id}', 'forged' FROM holdfast_outbox;",
    "a_deletion": "INSERT INTO holdfast_outbox (shape, op, v0) SELECT shape, 'delete', '{id}' FROM holdfast_outbox;",
    "a_row_that_is_not": "INSERT INTO holdfast_outbox (shape, op, v0, v1, v8) SELECT shape, 'put', '{other}', 'forged', 9223372036854775807 FROM holdfast_outbox;",
    "a_key_that_is_none": "INSERT INTO holdfast_outbox (shape, op, v1) SELECT shape, 'put', 'forged' FROM holdfast_outbox;",
    "another_operation": "INSERT INTO holdfast_outbox (shape, op, v0) SELECT shape, 'DROP TABLE memories', '{id}' FROM holdfast_outbox;",
    "another_shape": "INSERT INTO holdfast_outbox (shape, op, v0, v1) VALUES (x'00ff', 'put', '{id}', '''; DROP TABLE memories; --');",
    "numbers_at_the_end": "INSERT INTO holdfast_outbox (n, shape, op, v0, v1) SELECT 9223372036854775807, shape, 'put', '{id}', 'forged' FROM holdfast_outbox;",
    "numbers_below": "INSERT INTO holdfast_outbox (n, shape, op, v0, v1) SELECT -9223372036854775807, shape, 'put', '{id}', 'forged' FROM holdfast_outbox;",
    "the_last_one_altered": "UPDATE holdfast_outbox SET v1 = 'forged';",
    "all_of_them_deleted": "DELETE FROM holdfast_outbox;",
    "more_than_a_ring": "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 9000) "
    "INSERT INTO holdfast_outbox (shape, op, v0, v1) SELECT shape, 'put', '{id}', 'forged' FROM i, (SELECT shape FROM holdfast_outbox LIMIT 1);",
}


@pytest.mark.parametrize("how", FORGERIES)
def test_forged_entries_never_stand(captured, how):
    tool = captured.tool
    tool.cli(f"UPDATE memories SET uses = 1000 WHERE id = '{id_of(1)}';")
    eventually(lambda: captured.rows()[id_of(1)]["metadata"]["row"]["uses"] == {"integer": "1000"})
    before = tool.rows()
    tool.cli(FORGERIES[how].format(id=id_of(12), other=id_of(98)))
    tool.cli(f"UPDATE memories SET uses = 1001 WHERE id = '{id_of(1)}';")
    eventually(lambda: captured.rows()[id_of(1)]["metadata"]["row"]["uses"] == {"integer": "1001"})

    def is_as_in_the_file():
        rows = captured.rows()
        return id_of(98) not in rows and len(rows) == 40 and rows[id_of(12)]["content"] == "what agent 12 learned about the harbour"

    eventually(is_as_in_the_file)
    assert len(tool.rows()) == len(before) == 40
    tool.cli(f"UPDATE memories SET content = 'goes on' WHERE id = '{id_of(13)}';")
    eventually(lambda: captured.rows()[id_of(13)]["content"] == "goes on")
    captured.home.call("stop")
    eventually(lambda: captured.source()["connected"])
    eventually(is_as_in_the_file)


def test_a_forged_state_that_comes_true_past_the_triggers_is_no_hiding_place(captured):
    """The ledger heard: forged, then what the row really is. When the row becomes the forged text unnoticed, that is a change."""
    tool = captured.tool
    shape = tool.cli(f"UPDATE memories SET uses = 5 WHERE id = '{id_of(12)}'; SELECT shape FROM holdfast_outbox ORDER BY n DESC LIMIT 1;").strip()
    tool.cli(
        f"INSERT INTO holdfast_outbox (shape, op, v0, v1, v8) VALUES ('{shape}', 'put', '{id_of(12)}', 'forged', -1);"
    )
    eventually(lambda: "forged" in [content for _, content in versions(captured, id_of(12))])
    eventually(lambda: captured.rows()[id_of(12)]["content"] == "what agent 12 learned about the harbour")
    with sqlite3.connect(tool.path, isolation_level=None) as connection:
        update = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'holdfast_update_memories'").fetchone()[0]
        connection.executescript(
            f"BEGIN; DROP TRIGGER holdfast_update_memories; UPDATE memories SET content = 'forged' WHERE id = '{id_of(12)}'; {update}; COMMIT;"
        )
    connection.close()
    eventually(lambda: captured.rows()[id_of(12)]["content"] == "forged")


def test_entries_that_were_overwritten_unread_are_told_and_the_rows_are_right(captured):
    captured.home.call("stop")
    captured.tool.cli(update("one") + update("two") + insert(6000, 1000) + update("three") + update("four"))
    captured.wait_rows(6040)
    eventually_versions(captured, id_of(2), [first(), ("put", "three"), ("put", "four")])
    assert "1908 entries of holdfast_outbox were overwritten before they were read" in log_of(captured)
    assert captured.tool.cli("SELECT count(*) FROM holdfast_outbox;").strip() == "4096"
    captured.tool.cli(update("five") + update("six"))
    eventually_versions(captured, id_of(2), [first()] + [("put", text) for text in ("three", "four", "five", "six")])


def test_entries_that_are_taken_out_unread_are_told_and_the_others_are_taken(captured):
    captured.home.call("stop")
    captured.tool.cli("".join(update(text) for text in ("one", "two", "three", "four")))
    captured.tool.cli("DELETE FROM holdfast_outbox WHERE v1 IN ('two', 'three');")
    eventually_versions(captured, id_of(2), [first(), ("put", "one"), ("put", "four")])
    assert "2 entries of holdfast_outbox were overwritten before they were read" in log_of(captured)


def test_an_older_copy_with_its_own_outbox_is_held_and_versions_go_on(captured):
    home, tool = captured.home, captured.tool
    tool.cli("PRAGMA wal_checkpoint(TRUNCATE);")
    copy = tool.beside(".copy")
    shutil.copy(tool.path, copy)
    tool.cli("UPDATE memories SET uses = uses + 100; PRAGMA wal_checkpoint(TRUNCATE);")
    eventually(lambda: captured.rows()[id_of(40)]["metadata"]["row"]["uses"] == {"integer": "140"})
    before = tool.rows()
    os.rename(copy, tool.path)
    assert captured.wait_alerts()[0]["rule"] == "source_replaced"
    home.json("restore", "tool")
    assert tool.rows() == before
    tool.cli(f"UPDATE memories SET content = 'one' WHERE id = '{id_of(2)}'; UPDATE memories SET content = 'two' WHERE id = '{id_of(2)}';")
    eventually(lambda: [content for _, content in versions(captured, id_of(2))][-2:] == ["one", "two"])


def test_an_older_copy_that_came_while_nobody_looked_is_told_and_compared(captured):
    home, tool = captured.home, captured.tool
    tool.cli(update("one") + "PRAGMA wal_checkpoint(TRUNCATE);")
    eventually_versions(captured, id_of(2), [first(), ("put", "one")])
    shutil.copy(tool.path, tool.beside(".copy"))
    tool.cli(update("two") + update("three"))
    eventually_versions(captured, id_of(2), [first()] + [("put", text) for text in ("one", "two", "three")])
    home.call("stop")
    for end in ("-wal", "-shm"):
        tool.beside(end).unlink(missing_ok=True)
    os.rename(tool.beside(".copy"), tool.path)
    tool.cli(update("four", 5) + update("five", 5) + update("six", 5))  # its entries have the numbers of others
    eventually(lambda: captured.rows()[id_of(2)]["content"] == "one" and captured.rows()[id_of(5)]["content"] == "six")
    assert "holdfast_outbox was emptied, or altered" in log_of(captured)
    tool.cli(update("seven", 5) + update("eight", 5))
    eventually_versions(captured, id_of(5), [first(5)] + [("put", text) for text in ("six", "seven", "eight")])


# ---- an outbox that is damaged ----


def damage_outbox(tool: Tool) -> None:
    """Nothing but the outbox's own page."""
    tool.cli("PRAGMA wal_checkpoint(TRUNCATE);")
    page = int(tool.cli("SELECT rootpage FROM sqlite_schema WHERE name = 'holdfast_outbox';"))
    size = int(tool.cli("PRAGMA page_size;"))
    with open(tool.path, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))


@pytest.mark.parametrize("is_away", [False, True], ids=["looking", "away"])
def test_a_damaged_page_of_the_outbox_alone_is_told_and_the_tables_are_captured(captured, is_away):
    home, tool = captured.home, captured.tool
    tool.cli(update("one"))
    eventually_versions(captured, id_of(2), [first(), ("put", "one")])
    if is_away:
        home.call("stop")
    damage_outbox(tool)
    told = eventually(lambda: trouble(captured))
    assert told.startswith("holdfast_outbox is damaged") and told.endswith(f"holdfast init sqlite {tool.path} --remove")
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        tool.connect().execute(update("refused"))
    refused = home.call("init", "sqlite", str(tool.path), "--triggers", "--yes", check=False)
    assert refused.status != 0 and "holdfast_outbox is damaged" in refused.err

    assert "-- left: holdfast_outbox (damaged" in home.call("init", "sqlite", str(tool.path), "--remove", "--yes").out
    tool.cli(update("two") + f"DELETE FROM memories WHERE id = '{id_of(3)}';" + insert(1, 41))
    rows = eventually(lambda: (lambda rows: rows if id_of(41) in rows and id_of(3) not in rows else None)(captured.rows()))
    assert rows[id_of(2)]["content"] == "two" and len(rows) == 40
    assert {alert["rule"] for alert in home.alerts()} <= {"source_unguarded"}  # the triggers' removal

    before = tool.rows()
    home.json("restore", "tool")  # finds the file damaged, and makes it anew
    assert tool.rows() == before and tool.cli("PRAGMA integrity_check;").strip() == "ok"
    home.call("init", "sqlite", str(tool.path), "--triggers", "--yes")
    eventually(lambda: not trouble(captured))
    tool.cli(update("three") + update("four"))
    eventually(lambda: [content for _, content in versions(captured, id_of(2))][-3:] == ["two", "three", "four"])


@pytest.mark.parametrize("numbers", ["(9223372036854775807)", "(-9223372036854775807), (-9223372036854775806)"])
def test_a_number_that_no_trigger_gave_is_told_until_the_outbox_is_made_anew(captured, numbers):
    tool = captured.tool
    eventually(lambda: captured.source()["connected"])
    tool.cli(f"DELETE FROM holdfast_outbox; INSERT INTO holdfast_outbox (n) VALUES {numbers};" + update("one"))
    assert "has an entry whose number no trigger gave it" in eventually(lambda: trouble(captured))
    eventually(lambda: captured.rows()[id_of(2)]["content"] == "one")
    captured.home.call("init", "sqlite", str(tool.path), "--triggers", "--yes")
    eventually(lambda: not trouble(captured))
    tool.cli(update("two") + update("three"))
    eventually_versions(captured, id_of(2), [first()] + [("put", text) for text in ("one", "two", "three")])
    assert captured.home.alerts() == []


# ---- triggers that go ----


def test_triggers_that_vanish_or_are_altered_are_an_alert(captured):
    home, tool = captured.home, captured.tool
    eventually(lambda: captured.source()["connected"])
    tool.cli("DROP TRIGGER holdfast_delete_memories;")
    alert = captured.wait_alerts()[0]
    assert alert["rule"] == "source_unguarded" and "triggers on memories of source tool" in alert["summary"] and "--triggers" in alert["summary"]
    assert "memories" in eventually(lambda: trouble(captured))
    tool.cli(f"DELETE FROM memories WHERE id = '{id_of(3)}';")
    captured.wait_rows(39)
    home.call("init", "sqlite", str(tool.path), "--triggers", "--yes")
    eventually(lambda: not trouble(captured))
    home.call("stop")
    tool.cli("DROP TRIGGER holdfast_update_memories; CREATE TRIGGER holdfast_update_memories AFTER UPDATE ON memories BEGIN SELECT 1; END;")
    assert len(captured.wait_alerts(2)) == 2
    home.call("stop")
    eventually(lambda: trouble(captured))
    assert len(home.alerts()) == 2


def test_an_outbox_that_is_dropped_alone_is_told_with_what_it_does_to_the_application(captured):
    captured.tool.cli("DROP TABLE holdfast_outbox;")
    assert "so that its application can't write" in eventually(lambda: trouble(captured))
    captured.home.call("init", "sqlite", str(captured.tool.path), "--remove", "--yes")
    captured.tool.cli(f"UPDATE memories SET content = 'writes again' WHERE id = '{id_of(3)}';")
    eventually(lambda: captured.rows()[id_of(3)]["content"] == "writes again")


def test_a_table_that_is_put_back_has_its_triggers_again(captured):
    before, made = captured.tool.rows(), sorted(schema(captured.tool))
    captured.tool.cli("DROP TABLE memories;")
    captured.wait_alerts()
    captured.home.json("restore", "tool")
    assert captured.tool.rows() == before and sorted(schema(captured.tool)) == made
    captured.tool.cli(f"UPDATE memories SET content = 'one' WHERE id = '{id_of(2)}'; UPDATE memories SET content = 'two' WHERE id = '{id_of(2)}';")
    eventually(lambda: [content for _, content in versions(captured, id_of(2))][-2:] == ["one", "two"])
    assert not trouble(captured)


# ---- the application goes on ----


def test_triggers_are_made_and_taken_out_while_the_application_writes(homes, tool):
    captured = Captured(homes(config=config_of(tool.path, ALLOWED)), tool)
    captured.wait_rows(40)
    is_over, wrong = threading.Event(), []

    def work():
        try:
            with closing(sqlite3.connect(tool.path, timeout=10, isolation_level=None)) as connection:
                for number in itertools.count():
                    connection.execute(insert(1, 1000 + number))
                    connection.execute(f"UPDATE memories SET uses = {number} WHERE id = '{id_of(1 + number % 40)}'")
                    if is_over.wait(0.002):  # an application's pace, which leaves a gap for others
                        return
        except sqlite3.Error as error:
            wrong.append(error)

    application = threading.Thread(target=work)
    application.start()
    try:
        for option in ("--triggers", "--remove", "--triggers"):
            captured.home.call("init", "sqlite", str(tool.path), option, "--yes")
    finally:
        is_over.set()
        application.join()
    assert wrong == []
    there = {row[0].decode(): str(row[8]) for row in tool.rows()}
    eventually(lambda: {id: m["metadata"]["row"]["uses"]["integer"] for id, m in captured.rows().items()} == there)
    tool.cli(update("one") + update("two"))
    eventually(lambda: [content for _, content in versions(captured, id_of(2))][-2:] == ["one", "two"])


def test_a_long_write_transaction_is_waited_for_and_taken_whole(captured):
    home, tool = captured.home, captured.tool
    home.call("init", "sqlite", str(tool.path), "--remove", "--yes")
    application = tool.connect()
    application.execute("BEGIN IMMEDIATE")
    command = subprocess.Popen(home.command("init", "sqlite", str(tool.path), "--triggers", "--yes"), env=home.env, stdout=subprocess.PIPE)
    assert command.stdout and command.stdout.readline() == f"-- in {tool.path}\n".encode()
    application.execute("COMMIT")
    assert command.wait(timeout=30) == 0
    command.stdout.close()

    application.execute("BEGIN IMMEDIATE")
    for text in ("one", "two", "three"):
        application.execute(update(text))
        assert versions(captured, id_of(2)) == [first()]
    application.execute("COMMIT")
    eventually_versions(captured, id_of(2), [first()] + [("put", text) for text in ("one", "two", "three")])


def test_ordinary_work_raises_no_alert(captured):
    """What test_benign_sources.py does to a file without triggers, and what SQLite's own documentation does to alter a table."""
    home, tool = captured.home, captured.tool
    works = [
        (insert(1400, 41),),
        ("UPDATE memories SET uses = uses + 1;", "UPDATE memories SET tags = '[\"normalised\"]';"),
        ("REPLACE INTO memories SELECT * FROM memories;", "VACUUM;", "REINDEX;", "ANALYZE;", "PRAGMA wal_checkpoint(TRUNCATE);", "PRAGMA optimize;"),
        ("BEGIN; DELETE FROM memories; ROLLBACK;", f"DELETE FROM memories WHERE id IN ('{id_of(38)}', '{id_of(39)}', '{id_of(40)}');"),
        ("ALTER TABLE memories ADD COLUMN extra TEXT DEFAULT 'x'; CREATE INDEX more ON memories (content);", "UPDATE memories SET extra = hex(content);"),
        ("ALTER TABLE memories RENAME COLUMN extra TO digest; UPDATE memories SET vector = NULL;", "CREATE TABLE other (a); INSERT INTO other VALUES (1); DROP TABLE other;"),
        (
            "BEGIN; CREATE TABLE made (id TEXT PRIMARY KEY NOT NULL, content TEXT, project_id TEXT, importance REAL, uses INTEGER, tags TEXT,"
            "vector BLOB, created_at TEXT, digest TEXT); INSERT INTO made SELECT * FROM memories; DROP TABLE memories; ALTER TABLE made RENAME TO memories; COMMIT;",
        ),
    ]

    def in_the_file() -> dict[str, tuple]:
        with closing(sqlite3.connect(tool.path, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute("SELECT * FROM memories")]
        return {row["id"]: (row["content"], {"integer": str(row["uses"])}, row.get("extra", row.get("digest"))) for row in rows}

    def in_the_ledger() -> dict[str, tuple]:
        rows = {id: m["metadata"]["row"] | {"content": m["content"]} for id, m in captured.rows().items()}
        return {id: (row["content"], row["uses"], row.get("extra", row.get("digest"))) for id, row in rows.items()}

    def await_all(mark: int) -> None:
        tool.cli(insert(1, mark))
        there = in_the_file()
        eventually(lambda: in_the_ledger() == there)
        assert [alert["summary"] for alert in home.lines("alerts", "--all")] == []

    for number, scripts in enumerate(works):
        for script in scripts:
            tool.cli(script)
        await_all(90_000 + number)
        home.call("init", "sqlite", str(tool.path), "--triggers", "--yes")
        eventually(lambda: not trouble(captured))
    home.call("stop")
    tool.cli("UPDATE memories SET uses = uses + 1;")  # while nothing is captured, and a start
    await_all(91_000)
    tool.cli(f"VACUUM INTO '{tool.beside('.new')}';")  # a program that saves by rename
    for end in ("-wal", "-shm"):
        tool.beside(end).unlink(missing_ok=True)
    os.rename(tool.beside(".new"), tool.path)
    await_all(92_000)
    assert home.json("verify")["ok"]
    tool.cli(update("one") + update("two"))
    eventually(lambda: [content for _, content in versions(captured, id_of(2))][-2:] == ["one", "two"])


def test_versions_go_on_over_a_vacuum(captured):
    captured.tool.cli(update("one"))
    eventually_versions(captured, id_of(2), [first(), ("put", "one")])
    captured.tool.cli(update("two") + "VACUUM;" + update("three") + update("four"))
    eventually_versions(captured, id_of(2), [first()] + [("put", text) for text in ("one", "two", "three", "four")])
    assert "holdfast_outbox" not in log_of(captured)


def test_the_application_alters_its_table_with_triggers_there(captured):
    home, tool = captured.home, captured.tool
    tool.cli("ALTER TABLE memories ADD COLUMN mood TEXT; UPDATE memories SET mood = 'calm' WHERE id = '" + id_of(1) + "';")
    eventually(lambda: captured.rows()[id_of(1)]["metadata"]["row"].get("mood") == "calm")
    assert "memories" in trouble(captured)
    tool.cli(f"ALTER TABLE memories RENAME COLUMN uses TO used; UPDATE memories SET used = 77 WHERE id = '{id_of(1)}';")
    eventually(lambda: captured.rows()[id_of(1)]["metadata"]["row"].get("used") == {"integer": "77"})
    tool.cli("ALTER TABLE memories DROP COLUMN mood;")  # no trigger names it yet

    home.call("init", "sqlite", str(tool.path), "--triggers", "--yes")
    eventually(lambda: not trouble(captured))
    with pytest.raises(sqlite3.OperationalError, match="error in trigger holdfast_"):
        tool.connect().execute("ALTER TABLE memories DROP COLUMN used")
    assert "source_unguarded" not in {alert["rule"] for alert in home.alerts()}
    tool.cli(f"UPDATE memories SET used = 78 WHERE id = '{id_of(1)}';")
    home.call("init", "sqlite", str(tool.path), "--remove", "--yes")
    tool.cli("ALTER TABLE memories DROP COLUMN used;")
    home.call("init", "sqlite", str(tool.path), "--triggers", "--yes")

    tool.cli(f"ALTER TABLE memories RENAME TO notes; UPDATE notes SET content = 'renamed' WHERE id = '{id_of(2)}';")
    eventually(lambda: any(m["content"] == "renamed" for m in captured.rows().values()))


@pytest.mark.parametrize("recursive", [0, 1])
def test_what_the_application_asks_of_its_connection_is_as_before(homes, tmp_path, recursive):
    tool = Tool(tmp_path / "tool" / "memory.db")
    tool.cli(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT UNIQUE, content TEXT);"
        "CREATE TABLE lines (id INTEGER PRIMARY KEY, note INTEGER REFERENCES notes ON DELETE CASCADE, content TEXT);"
    )
    captured = make_triggers(homes, tool)
    assert eventually(lambda: captured.source()["connected"])
    with sqlite3.connect(tool.path, isolation_level=None) as connection:
        ask = lambda sql: connection.execute(sql).fetchall()  # noqa: E731
        ask("PRAGMA foreign_keys = ON")
        ask(f"PRAGMA recursive_triggers = {recursive}")
        ask("INSERT INTO notes (id, name, content) VALUES (100, 'a', 'first')")
        assert ask("SELECT last_insert_rowid(), changes()") == [(100, 1)]
        assert ask("INSERT INTO notes (name, content) VALUES ('b', 'x'), ('c', 'y') RETURNING id") == [(101,), (102,)]
        assert ask("SELECT last_insert_rowid(), changes()") == [(102, 2)]
        ask("INSERT INTO notes (name, content) VALUES ('a', 'upserted') ON CONFLICT (name) DO UPDATE SET content = excluded.content")
        assert ask("SELECT changes()") == [(1,)]
        ask("INSERT OR IGNORE INTO notes (id, name) VALUES (100, 'z')")
        ask("REPLACE INTO notes (id, name, content) VALUES (100, 'a', 'replaced')")
        ask("INSERT INTO lines (note, content) VALUES (101, 'one'), (101, 'two')")
        eventually(lambda: len(captured.rows()) == 5)
        ask("DELETE FROM notes WHERE id = 101")
        assert ask("SELECT changes(), (SELECT count(*) FROM lines)") == [(1, 0)]
        eventually(lambda: len(captured.rows()) == 2)
        id = next(id for id, m in captured.rows().items() if m["metadata"]["source"]["key"] == "100")
        assert [content for _, content in versions(captured, id)][-3:] == ["first", "upserted", "replaced"]
    connection.close()
