"""Somebody's SQLite file as a source: captured, wrecked in every way, put back."""

from __future__ import annotations

import os
import shutil

import pytest

from support.home import eventually
from support.sqlite_file import MEMORIES, Captured, Tool, config_of, id_of, insert


@pytest.fixture(params=["wal", "delete"])
def tool(request, tmp_path):
    """The application's file with 40 memories, in both of SQLite's ways to commit."""
    tool = Tool(tmp_path / "tool" / "memory.db", request.param)
    tool.cli(MEMORIES + insert(40))
    yield tool
    tool.close()


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
