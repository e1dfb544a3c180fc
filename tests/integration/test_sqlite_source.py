"""Somebody's SQLite file as a source: captured, wrecked in every way, put back."""

from __future__ import annotations

import os
import random
import shutil
import time

import pytest

from support.home import eventually
from support.sqlite_file import MEMORIES, Captured, Tool, config_of, id_of, insert


@pytest.fixture
def captured(homes, tool):
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(40)
    return captured


# ---- capture ----


def test_what_was_there_and_what_comes_are_captured_in_their_fields(captured):
    first = captured.rows()[id_of(7)]
    assert first["content"] == "what agent 7 learned about the harbour"
    assert first["project_id"] == "sea" and first["tags"] == ["a", "b 7"]
    assert first["created_at"] == "2026-01-01T00:00:07.000000Z"
    assert first["metadata"]["source"] == {"name": "tool", "table": "memories", "key": id_of(7)}
    assert first["metadata"]["row"]["uses"] == {"integer": "7"} and first["metadata"]["row"]["importance"] == {"real": "1"}

    captured.tool.cli(
        insert(1, 41) + f"UPDATE memories SET content = 'changed' WHERE id = '{id_of(2)}'; DELETE FROM memories WHERE id = '{id_of(3)}';"
    )
    rows = eventually(lambda: (lambda r: r if r.get(id_of(2), {}).get("content") == "changed" and id_of(3) not in r else None)(captured.rows()))
    assert len(rows) == 40 and id_of(41) in rows
    assert captured.home.alerts() == []
    assert captured.source()["connected"] and captured.source()["position"].startswith("40 rows")


# ---- destruction ----

WRECKS = {
    "drop": "DROP TABLE memories;",
    "delete": "DELETE FROM memories;",
    "delete_most": f"DELETE FROM memories WHERE id <> '{id_of(1)}';",
    "blank": "UPDATE memories SET content = NULL;",
    "empty": "UPDATE memories SET content = '';",
    "replace": "REPLACE INTO memories (id, content) SELECT id, 'x' FROM memories;",
    "schema": "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE tbl_name = 'memories';",
    "recreated": "DROP TABLE memories;" + MEMORIES,
}


def restored(captured, before, how=""):
    home, tool = captured.home, captured.tool
    dry = home.json("restore", "tool", "--dry-run")
    assert dry["dry_run"] and dry["restored"] >= 39, dry
    done = home.json("restore", "tool")
    counts = [(t["inserted"], t["updated"], t["created"], t["kept"]) for t in done["tables"]]
    assert counts == [(t["inserted"], t["updated"], t["created"], t["kept"]) for t in dry["tables"]]
    assert tool.rows() == before
    assert tool.cli("PRAGMA integrity_check;").strip() == "ok"
    assert home.json("restore", "tool")["restored"] == 0
    return done


@pytest.mark.parametrize("how", WRECKS)
def test_destruction_by_sql_is_held_and_put_back_to_the_byte(captured, how):
    tool, home = captured.tool, captured.home
    before, known = tool.rows(), captured.rows()
    tool.cli(WRECKS[how])
    alert = captured.wait_alerts()[0]
    assert alert["state"] == "open"
    rows = captured.rows()
    assert {id: rows[id]["content"] for id in known} == {id: m["content"] for id, m in known.items()}
    restored(captured, before)


def rm(tool):
    for end in ("", "-wal", "-shm", "-journal"):
        tool.beside(end).unlink(missing_ok=True)


def garbage(tool):
    size = tool.path.stat().st_size
    with open(tool.path, "r+b") as file:
        file.write(os.urandom(size))


def garbage_in_the_middle(tool):
    tool.cli("PRAGMA wal_checkpoint(TRUNCATE);")
    with open(tool.path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(tool.path.stat().st_size - 4096))


def older_copy(tool):
    copy = tool.beside(".copy")
    shutil.copy(copy, tool.path)


def older_copy_moved(tool):
    os.rename(tool.beside(".copy"), tool.path)


FILE_WRECKS = {
    "rm": rm,
    "rm_only_the_file": lambda tool: tool.path.unlink(),
    "rm_folder": lambda tool: shutil.rmtree(tool.path.parent),
    "mv": lambda tool: os.rename(tool.path, tool.beside(".moved")),
    "truncate": lambda tool: os.truncate(tool.path, 0),
    "truncate_to_header": lambda tool: os.truncate(tool.path, 4096),
    "garbage": garbage,
    "garbage_in_the_middle": garbage_in_the_middle,
    "older_copy": older_copy,
    "older_copy_moved": older_copy_moved,
}


@pytest.mark.parametrize("how", FILE_WRECKS)
def test_what_is_done_to_the_file_is_held_and_put_back_to_the_byte(homes, tool, how):
    tool.cli("DELETE FROM memories; PRAGMA wal_checkpoint(TRUNCATE);")
    shutil.copy(tool.path, tool.beside(".copy"))
    tool.cli(insert(40))
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(40)
    before, known = tool.rows(), captured.rows()

    FILE_WRECKS[how](tool)
    alert = captured.wait_alerts()[0]
    assert alert["state"] == "open" and alert["summary"]
    rows = captured.rows()
    assert {id: rows[id]["content"] for id in known} == {id: m["content"] for id, m in known.items()}
    tool.path.parent.mkdir(exist_ok=True)
    restored(captured, before)
    # It is captured again.
    tool.cli(insert(1, 90))
    eventually(lambda: id_of(90) in captured.rows())


@pytest.mark.parametrize("ends", [["-wal"], ["-wal", "-shm"]])
@pytest.mark.parametrize("count", [3, 40])
def test_a_log_that_is_removed_under_its_application_is_held(homes, tmp_path, count, ends):
    """What was committed to the log is gone for whoever opens the file next; the application goes on in a log that nobody sees."""
    tool = Tool(tmp_path / "tool" / "memory.db")
    tool.cli(MEMORIES + insert(40) + "PRAGMA wal_checkpoint(TRUNCATE);")
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(40)
    application = tool.connect()
    application.execute("PRAGMA wal_autocheckpoint = 0")
    application.execute(insert(count, 100))
    captured.wait_rows(40 + count)
    before = tool.rows()

    for end in ends:
        tool.beside(end).unlink()
    alert = captured.wait_alerts()[0]
    assert "log was removed" in alert["summary"] + alert["actor"]
    assert len(captured.rows()) == 40 + count
    # It must not be written in place: the application's locks are on a file that has no name.
    done = captured.home.json("restore", "tool")
    assert "process" in done["sql"] and "put in the place of" in done["sql"]
    tool.close()
    assert tool.rows() == before
    assert tool.cli("PRAGMA integrity_check;").strip() == "ok"


def test_a_file_that_vanishes_right_after_a_commit_gives_that_commit_away(homes, tmp_path):
    """The last look's connection is still open, and reads what has no name any more."""
    tool = Tool(tmp_path / "tool" / "memory.db")
    tool.cli(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(40)
    application = tool.connect()
    for number in range(41, 60):
        application.execute(insert(1, number))
    before = tool.rows()
    rm(tool)
    captured.wait_alerts()
    tool.close()
    captured.home.json("restore", "tool")
    assert [row for row in tool.rows() if row not in before] == [] and len(tool.rows()) >= 58


@pytest.mark.threads
def test_a_table_of_three_rows_is_held_too(homes, tmp_path):
    tool = Tool(tmp_path / "tool" / "memory.db")
    tool.cli(MEMORIES + insert(3))
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(3)
    before = tool.rows()
    tool.cli("DROP TABLE memories;")
    alert = captured.wait_alerts()[0]
    assert alert["rule"] == "source_dropped" and "Table memories of source tool was dropped" in alert["summary"]
    assert "holdfast restore tool" in alert["summary"] and len(captured.rows()) == 3
    captured.home.json("restore")
    assert tool.rows() == before
    eventually(lambda: captured.source()["position"].startswith("3 rows"))  # what came back unseen can't be missed
    rm(tool)
    alert = captured.wait_alerts(2)[1]
    assert alert["rule"] == "source_vanished" and f"The file {tool.path} of source tool is gone" in alert["summary"]
    captured.home.json("restore")
    assert tool.rows() == before


def test_three_rows_fewer_in_an_older_copy_are_held(homes, tool):
    """Too few for the guard's rules; but who puts an older copy back does not work."""
    tool.cli("PRAGMA wal_checkpoint(TRUNCATE);")
    shutil.copy(tool.path, tool.beside(".copy"))
    tool.cli(insert(3, 100) + "UPDATE memories SET content = content || ' and more' WHERE uses < 3; PRAGMA wal_checkpoint(TRUNCATE);")
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(43)
    before = tool.rows()
    older_copy(tool)
    alert = captured.wait_alerts()[0]
    how = "overwritten by what is not SQLite" if tool.mode == "wal" else "an older copy was written over it"
    assert alert["rule"] == "source_replaced" and how in alert["summary"]
    assert len(captured.rows()) == 43
    captured.home.json("restore")
    assert tool.rows() == before


@pytest.mark.parametrize("how", ["delete", "rm", "older"])
def test_a_destruction_while_nobody_looks_is_held_when_the_daemon_is_back(captured, how):
    tool, before = captured.tool, captured.tool.rows()
    captured.home.call("stop")
    if how == "older":
        tool.path.write_bytes(b"not a database at all, but a text of more than a hundred bytes" * 3)
        for end in ("-wal", "-shm"):
            tool.beside(end).unlink(missing_ok=True)
    elif how == "rm":
        shutil.rmtree(tool.path.parent)
    else:
        tool.cli("DELETE FROM memories;")
    captured.home.json("status")
    captured.wait_alerts()
    assert len(captured.rows()) == 40
    tool.path.parent.mkdir(exist_ok=True)
    captured.home.json("restore")
    assert tool.rows() == before


@pytest.mark.threads
def test_rows_that_somebody_changed_since_are_kept_and_told(captured):
    tool = captured.tool
    tool.cli("UPDATE memories SET content = NULL;")
    captured.wait_alerts()
    tool.cli(f"UPDATE memories SET content = 'by a person' WHERE id = '{id_of(5)}'; INSERT INTO memories (id, content) VALUES ('new', 'new');")
    eventually(lambda: captured.home.lines("show", id_of(5), "--history")[-1]["content"] == "by a person")
    captured.home.call("stop")
    tool.cli(f"UPDATE memories SET content = 'by another person' WHERE id = '{id_of(6)}';")
    done = captured.home.call("--json", "--no-daemon", "restore", "tool").json()
    assert done["tables"][0]["updated"] == 38 and done["tables"][0]["kept"] == 1, done["tables"]
    assert tool.cli(f"SELECT content FROM memories WHERE id IN ('{id_of(5)}', '{id_of(6)}', 'new') ORDER BY 1;").split("\n")[:3] == [
        "by a person", "by another person", "new",
    ]


def test_a_running_application_sees_what_was_put_back_and_goes_on(captured):
    """In place, in a transaction: the same file, and no later write of the application is lost."""
    tool = captured.tool
    application = tool.connect()
    inode, before = tool.path.stat().st_ino, tool.rows()
    application.execute("DELETE FROM memories")
    captured.wait_alerts()
    application.execute(insert(1, 77))
    captured.home.json("restore")
    assert application.execute("SELECT count(*) FROM memories").fetchone() == (41,)
    application.execute(insert(1, 78))
    eventually(lambda: id_of(78) in captured.rows())
    assert tool.path.stat().st_ino == inode
    assert [row for row in tool.rows() if row in before] == before and len(tool.rows()) == 42


# ---- work that raises nothing ----


def test_ordinary_work_raises_no_alert(captured):
    tool = captured.tool
    tool.cli(insert(460, 41))
    captured.wait_rows(500)
    tool.cli(
        "ALTER TABLE memories ADD COLUMN extra TEXT DEFAULT 'x'; CREATE INDEX more ON memories (content); CREATE TABLE other (a);"
        "UPDATE memories SET uses = uses + 1, tags = '[]';"
        f"DELETE FROM memories WHERE id IN ('{id_of(1)}', '{id_of(2)}', '{id_of(3)}');"
    )
    eventually(lambda: len(captured.rows()) == 497 and all(m["metadata"]["row"].get("extra") == "x" for m in captured.rows().values()))
    for statement in ("VACUUM;", "REINDEX;", "ANALYZE;", "PRAGMA wal_checkpoint(TRUNCATE);", "DROP TABLE other;"):
        tool.cli(statement)
    # The way in which SQLite's own documentation changes a table.
    tool.cli(
        "BEGIN; CREATE TABLE made (id TEXT PRIMARY KEY NOT NULL, content TEXT, project_id TEXT, importance REAL, uses INTEGER, tags TEXT,"
        "vector BLOB, created_at TEXT, extra TEXT); INSERT INTO made SELECT * FROM memories; DROP TABLE memories;"
        "ALTER TABLE made RENAME TO memories; COMMIT;"
    )
    tool.cli("ALTER TABLE memories RENAME COLUMN extra TO more;")
    eventually(lambda: all(m["metadata"]["row"].get("more") == "x" for m in captured.rows().values()))
    tool.cli("REPLACE INTO memories SELECT * FROM memories;" + insert(2000, 1000))
    captured.wait_rows(2497)
    # A program that saves by rename, with everything in it.
    tool.cli(f"VACUUM INTO '{tool.beside('.new')}';")
    for end in ("-wal", "-shm"):
        tool.beside(end).unlink(missing_ok=True)
    os.rename(tool.beside(".new"), tool.path)
    tool.cli(insert(1, 9000))
    captured.wait_rows(2498)
    assert captured.home.alerts() == []


def test_rows_that_are_replaced_again_and_again_before_a_walk_are_not_missed(captured):
    """REPLACE gives a row another place in the table, behind all others, where each look finds it at once."""
    tool = captured.tool
    tool.cli(insert(3000, 100))
    captured.wait_rows(3040)
    for _ in range(6):
        tool.cli("REPLACE INTO memories SELECT id, content, project_id, importance, uses + 1, tags, vector, created_at FROM memories;")
        time.sleep(0.05)  # a look for each, as an application's pace gives it
    eventually(lambda: captured.rows()[id_of(3000)]["metadata"]["row"]["uses"] == {"integer": "3006"})
    tool.cli("UPDATE memories SET uses = 0;")
    eventually(lambda: all(m["metadata"]["row"]["uses"] == {"integer": "0"} for m in captured.rows().values()))
    assert len(captured.rows()) == 3040 and captured.home.lines("alerts", "--all") == []


def test_a_column_that_is_renamed_while_the_table_is_read_loses_nothing(homes, tmp_path):
    """With a rollback journal a walk lets the file go from time to time: what it reads on may be called otherwise by then."""
    tool = Tool(tmp_path / "tool" / "memory.db", "delete")
    tool.cli(MEMORIES + insert(4000))
    captured = Captured(homes(config=config_of(tool.path)), tool)
    application = tool.connect()
    for round in range(20):
        captured.source()  # the first starts the daemon, which walks
        before, after = ("tags", "labels") if round % 2 == 0 else ("labels", "tags")
        application.execute(f"ALTER TABLE memories RENAME COLUMN {before} TO {after}")
    captured.wait_rows(4000)
    eventually(lambda: [captured.rows()[id_of(number)]["tags"] for number in (7, 4000)] == [["a", "b 7"], ["a", "b 4000"]])
    history = [version["metadata"]["row"] for number in (7, 2000, 4000) for version in captured.home.lines("show", id_of(number), "--history")]
    assert not [row for row in history if row.get("labels") == "labels" or row.get("tags") == "tags"]  # SQLite's way with names that are none
    assert captured.home.lines("alerts", "--all") == []


def test_what_was_written_right_before_the_file_is_saved_by_rename_is_no_loss(homes, tmp_path):
    """The copy's counter begins anew, as an older copy's would: only what was seen before tells them apart."""
    tool = Tool(tmp_path / "tool" / "memory.db", "delete")
    tool.cli(MEMORIES + insert(3000))
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(3000)
    for round in range(4):
        tool.cli("UPDATE memories SET uses = uses + 1;" * 2)
        tool.cli(insert(1, 5000 + round))
        eventually(lambda: id_of(5000 + round) in captured.rows())  # a look has been, though not at all rows
        tool.cli(f"VACUUM INTO '{tool.beside('.new')}';")
        os.rename(tool.beside(".new"), tool.path)
        tool.cli(insert(1, 6000 + round))
        eventually(lambda: id_of(6000 + round) in captured.rows())
    eventually(lambda: captured.rows()[id_of(3000)]["metadata"]["row"]["uses"] == {"integer": "3008"})
    assert captured.home.lines("alerts", "--all") == []


# ---- whose file it is ----


def test_the_file_stays_its_applications_to_the_byte(homes, tmp_path):
    """No checkpoint of ours, neither while capturing nor when the daemon ends; nothing of ours in it."""
    tool = Tool(tmp_path / "tool" / "memory.db")
    tool.cli(MEMORIES + insert(40))
    application = tool.connect()
    application.execute("PRAGMA wal_autocheckpoint = 0")
    application.execute(insert(10, 100))
    files = [tool.path, tool.beside("-wal")]
    before = [file.read_bytes() for file in files]
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(50)
    captured.home.call("stop")
    assert [file.read_bytes() for file in files] == before
    # Also without any other connection that could have hindered it: what a crash of the application leaves.
    copy = Tool.__new__(Tool)
    copy.path, copy.open_ones = tmp_path / "tool" / "crashed.db", []
    copy.path.write_bytes(before[0])
    copy.beside("-wal").write_bytes(before[1])
    other = Captured(homes(name="other", config=config_of(copy.path)), copy)
    other.wait_rows(50)
    other.home.call("stop")
    assert [copy.path.read_bytes(), copy.beside("-wal").read_bytes()] == before
    assert copy.cli("SELECT count(*) FROM memories;").strip() == "50"


def test_an_application_that_keeps_the_file_locked_is_waited_for(captured):
    application = captured.tool.connect()
    application.execute("BEGIN EXCLUSIVE")
    application.execute(insert(5, 100))
    assert len(captured.rows()) == 40
    application.execute("COMMIT")
    captured.wait_rows(45)
    assert captured.home.alerts() == []


def test_a_writer_is_never_turned_away_while_we_read(homes, tool):
    """An application without any patience: each lock that it meets is an error."""
    tool.cli(insert(5000, 41))
    hasty = tool.connect()
    hasty.execute("PRAGMA busy_timeout = 200")
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.home.json("status")
    for number in range(200):
        hasty.execute(f"UPDATE memories SET uses = uses + 1 WHERE id = '{id_of(number + 1)}'")
    captured.wait_rows(5040)
    eventually(lambda: captured.rows()[id_of(200)]["metadata"]["row"]["uses"] == {"integer": "201"})
    assert captured.home.alerts() == []


def test_an_idle_daemon_is_not_woken(captured):
    pid = captured.home.daemon_pid()

    def switches() -> int:
        total = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as status:
                total += sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
        return total

    def stands_still() -> bool:
        before = switches()
        time.sleep(1.5)
        return switches() == before

    eventually(stands_still)


# ---- crashes ----


def test_a_transaction_that_a_crash_interrupted_is_left_to_the_application(homes, tmp_path):
    """Only who may write can undo it; until then nothing is believed, and nothing deleted."""
    tool = Tool(tmp_path / "tool" / "memory.db", "delete")
    tool.cli(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(40)
    captured.home.call("stop")
    writer = tool.connect()
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("BEGIN")
    writer.execute("UPDATE memories SET content = 'half'")
    writer.execute(insert(3000, 1000))  # more than its cache: pages are written before the commit
    for end in ("", "-journal"):
        shutil.copy(tool.beside(end), tmp_path / ("crashed" + end))
    writer.execute("ROLLBACK")
    tool.close()
    for end in ("", "-journal"):
        os.rename(tmp_path / ("crashed" + end), tool.beside(end))
    captured.home.json("status")
    eventually(lambda: "interrupted" in (captured.source()["error"] or ""))
    assert len(captured.rows()) == 40 and captured.home.alerts() == []
    refused = captured.home.call("restore", "tool", check=False)
    assert refused.status == 4 and "open the file with it once" in refused.err
    tool.cli(insert(1, 50))
    captured.wait_rows(41)
    assert captured.home.alerts() == []


def test_a_daemon_that_is_killed_at_random_misses_nothing(homes, tool):
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(40)
    application = tool.connect()
    chance = random.Random(5)
    for round in range(6):
        for number in range(60):
            application.execute(insert(1, 1000 + round * 100 + number))
        application.execute(f"UPDATE memories SET content = content || ' and more in {round}' WHERE id = '{id_of(round + 1)}'")
        application.execute(f"DELETE FROM memories WHERE id = '{id_of(30 + round)}'")
        time.sleep(chance.random() * 0.05)
        captured.home.kill()
        captured.home.json("status")
    rows = captured.wait_rows(40 - 6 + 360)
    eventually(lambda: all(captured.rows()[id_of(n + 1)]["content"].endswith(f" and more in {n}") for n in range(6)))
    assert {m["sync_version"] for id, m in rows.items() if id >= id_of(1000)} == {1}
    assert captured.home.alerts() == []
    application.execute("DELETE FROM memories")
    captured.home.kill()
    captured.wait_alerts()
    assert len(captured.rows()) >= 394  # what was deleted in the minute before is held with it
