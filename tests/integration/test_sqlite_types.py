"""Every kind of value, key and table of a SQLite file comes back as it was."""

from __future__ import annotations

import sqlite3

import pytest

from support.home import eventually
from support.sqlite_file import Captured, Tool, config_of
from support.terminal import resolve_all

KINDS = """
PRAGMA user_version = 7; PRAGMA application_id = 99;
CREATE TABLE notes (
  note_id INTEGER PRIMARY KEY AUTOINCREMENT,
  body TEXT NOT NULL,
  any_1, any_2, any_3, any_4, any_5,
  ratio REAL, amount NUMERIC, raw BLOB,
  size INTEGER DEFAULT 7 CHECK (size > 0),
  twice INTEGER GENERATED ALWAYS AS (note_id * 2) STORED,
  thrice INTEGER GENERATED ALWAYS AS (note_id * 3),
  "odd ""name, é" TEXT COLLATE NOCASE,
  UNIQUE (ratio, amount)
);
CREATE INDEX notes_body ON notes (lower(body)) WHERE size > 1;
CREATE TABLE pairs (a TEXT, b INTEGER, value, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE typeless (id PRIMARY KEY, text TEXT);
CREATE TABLE blobs (id BLOB PRIMARY KEY NOT NULL, text TEXT);
CREATE TABLE unique_only (name TEXT NOT NULL UNIQUE, value TEXT);
CREATE TABLE strict_one (id INTEGER PRIMARY KEY, n ANY, text TEXT) STRICT;
CREATE TABLE parts (id INTEGER PRIMARY KEY, note INTEGER REFERENCES notes ON DELETE CASCADE, text TEXT);
CREATE TABLE keyless (text TEXT);
CREATE VIEW latest AS SELECT * FROM notes ORDER BY note_id DESC;
CREATE VIRTUAL TABLE found USING fts5 (body, content = 'notes', content_rowid = 'note_id');
CREATE TRIGGER notes_in AFTER INSERT ON notes BEGIN INSERT INTO found (rowid, body) VALUES (new.note_id, new.body); END;
CREATE TRIGGER notes_out AFTER DELETE ON notes BEGIN INSERT INTO found (found, rowid, body) VALUES ('delete', old.note_id, old.body); END;
CREATE TRIGGER notes_up AFTER UPDATE ON notes BEGIN INSERT INTO found (found, rowid, body) VALUES ('delete', old.note_id, old.body);
  INSERT INTO found (rowid, body) VALUES (new.note_id, new.body); END;
"""

TABLES = {"notes": "1", "pairs": "1, 3", "typeless": "2, 1", "blobs": "1", "unique_only": "1", "strict_one": "1", "parts": "1"}


def fill(tool: Tool) -> None:
    connection = tool.connect()
    connection.executescript(KINDS)
    odd = [5, "5", 5.0, b"5", None, 2**63 - 1, -(2**63), 0.1, 1e300, 5e-324, float("inf"), float("-inf"), b"", "", b"\0\xff", "é\u20ac\U0001f600"]
    for number in range(16):
        values = [odd[(number + shift) % len(odd)] for shift in range(5)]
        connection.execute(
            'INSERT INTO notes (body, any_1, any_2, any_3, any_4, any_5, ratio, amount, raw, "odd ""name, é") VALUES (?,?,?,?,?,?,?,?,?,?)',
            [f"note {number} of the harbour", *values, number / 7, number * 1.5, bytes(range(number)), f"Name {number}"],
        )
    connection.execute("INSERT INTO notes (note_id, body, raw) VALUES (900, CAST(x'61006200ff' AS TEXT), zeroblob(3000))")
    connection.execute("INSERT INTO notes (note_id, body) VALUES (5000, 'the highest')")
    connection.execute("DELETE FROM notes WHERE note_id = 5000")
    connection.executemany("INSERT INTO pairs VALUES (?, ?, ?)", [("a", 1, "x"), ("a", 2, 2), ("b", 1, None), ("", -1, b"y")])
    connection.executemany("INSERT INTO typeless VALUES (?, ?)", [(1, "integer"), ("1", "text"), (1.5, "real"), (b"1", "blob")])
    connection.executemany("INSERT INTO blobs VALUES (?, ?)", [(b"\0\1", "one"), (b"\0\2", "two"), (b"ab", "three")])
    connection.executemany("INSERT INTO unique_only VALUES (?, ?)", [("a", "1"), ("b", "2")])
    connection.executemany("INSERT INTO strict_one VALUES (?, ?, ?)", [(1, "1", "a"), (2, 1, "b"), (3, 1.0, "c")])
    connection.executemany("INSERT INTO parts VALUES (?, ?, ?)", [(n, 1 + n % 3, f"part {n}") for n in range(1, 10)])
    connection.execute("INSERT INTO keyless VALUES ('left')")


@pytest.fixture(params=["wal", "delete"])
def captured(request, homes, tmp_path):
    tool = Tool(tmp_path / "tool" / "memory.db", request.param)
    fill(tool)
    captured = Captured(homes(config=config_of(tool.path)), tool)
    captured.wait_rows(17 + 4 + 4 + 3 + 2 + 3 + 9)
    yield captured
    tool.close()


def everything(tool) -> dict[str, list]:
    return {table: tool.rows(table, order) for table, order in TABLES.items()}


SHAPE = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type <> 'table' OR sql NOT LIKE '%found_%' ORDER BY 1, 2, 3;"


@pytest.mark.parametrize("how", ["delete", "drop", "rm", "schema"])
def test_values_classes_keys_and_what_is_built_on_them_come_back(captured, how):
    tool, home = captured.tool, captured.home
    rows, shape = everything(tool), tool.cli(SHAPE)
    mode = tool.path.stat().st_mode
    if how == "rm":
        tool.close()
        for end in ("", "-wal", "-shm"):
            tool.beside(end).unlink(missing_ok=True)
    else:
        verb = {"delete": "DELETE FROM", "drop": "DROP TABLE"}.get(how)
        broken = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE x (' WHERE name = 'notes';"
        tool.cli("".join(f"{verb} {table};" for table in TABLES) if verb else broken)
    captured.wait_alerts()

    def all_gone():
        histories = [home.lines("show", id, "--history") for id in captured.rows()]
        return len(histories) == 42 and all(history[-1]["deleted_at"] for history in histories)

    eventually(all_gone)
    done = home.json("restore", "tool")
    tool.close()
    assert sum(t["inserted"] for t in done["tables"]) == 42 and sum(t["kept"] for t in done["tables"]) == 0, done
    assert everything(tool) == rows
    assert tool.cli(SHAPE) == shape
    assert tool.cli("PRAGMA integrity_check; PRAGMA foreign_key_check;").strip() == "ok"
    assert tool.path.stat().st_mode == mode and tool.cli("PRAGMA user_version;").strip() == "7"
    assert tool.cli("PRAGMA journal_mode;").strip() == tool.mode
    # The search table finds what came back, and numbers are not given twice.
    assert tool.cli("SELECT count(*) FROM found WHERE found MATCH 'harbour';").strip() == "16"
    assert tool.cli("INSERT INTO notes (body) VALUES ('next') RETURNING note_id > 900;").strip() == "1"
    assert tool.cli("SELECT count(*) FROM found WHERE found MATCH 'next';").strip() == "1"


def test_init_shows_what_it_finds_and_begins_to_capture(homes, tmp_path):
    tool = Tool(tmp_path / "tool" / "memory.db")
    fill(tool)
    home = homes()
    before = tool.path.read_bytes()
    shown = home.call("init", "sqlite", "../tool/memory.db", "--dry-run").out
    assert "captured: notes (17 rows; key note_id; content body)" in shown and "captured: pairs (4 rows; key a, b; content none)" in shown
    assert "captured: unique_only (2 rows; key name; content value)" in shown
    assert "left: keyless (it has no primary key" in shown and "left: found (a virtual table" in shown and "found_data" not in shown
    assert "kind: sqlite" not in (home.path / "holdfast.yaml").read_text()
    refused = home.call("init", "sqlite", str(tool.path), check=False)
    assert refused.status == 3 and "nothing was run" in refused.err
    home.call("init", "sqlite", str(tool.path), "--name", "tool", "--yes")
    captured = Captured(home, tool)
    captured.wait_rows(42)
    assert "It is captured already, as source tool" in home.call("init", "sqlite", str(tool.path), "--yes").out
    assert tool.path.read_bytes() == before
    for path, status, words in (("none.db", 1, "No such file"), (str(home.path / "holdfast.yaml"), 1, "not a database")):
        wrong = home.call("init", "sqlite", path, "--yes", check=False)
        assert wrong.status == status and words in wrong.err, wrong.err


def test_what_can_not_be_captured_is_named(captured):
    shown = captured.home.call("doctor", check=False)
    log = (captured.home.path / "daemon.log").read_text()
    assert "table keyless is not captured: it has no primary key" in log, shown.out
    assert "table found is not captured: a virtual table" in log and "table latest is not captured: a view" in log
    assert "found_data" not in log
    assert not any(m["metadata"]["source"]["table"] in ("keyless", "found", "found_data", "latest") for m in captured.rows().values())


def test_tables_and_columns_are_chosen_by_the_configuration(homes, tmp_path):
    tool = Tool(tmp_path / "tool" / "memory.db")
    fill(tool)
    tables = "    tables:\n      - {table: keyless, id: rowid}\n      - {table: NOTES, content: any_1, project: BODY, ignore: [RAW, any_5]}\n"
    captured = Captured(homes(config=config_of(tool.path, tables)), tool)
    rows = captured.wait_rows(18)
    assert {m["metadata"]["source"]["table"] for m in rows.values()} == {"keyless", "NOTES"}
    first = next(m for m in rows.values() if m["metadata"]["source"]["key"] == "1" and m["metadata"]["source"]["table"] == "NOTES")
    assert first["content"] == "5" and first["project_id"] == "note 0 of the harbour"
    assert "raw" not in first["metadata"]["row"] and "any_5" not in first["metadata"]["row"]
    tool.close()
    before = tool.rows("keyless")
    tool.cli("DROP TABLE keyless; DELETE FROM notes;")
    captured.wait_alerts()
    captured.home.json("restore", "tool", "--table", "notes")
    assert len(tool.rows("notes")) == 17 and "keyless" not in tool.cli(".tables")
    captured.home.json("restore", "tool")
    assert tool.rows("keyless") == before


def test_a_dropped_column_raises_an_alert(captured):
    captured.tool.cli("ALTER TABLE parts DROP COLUMN text;")
    alert = captured.wait_alerts()[0]
    assert alert["rule"] == "source_column_dropped" and "Column text of table parts of source tool was dropped, and 9 values with it" in alert["summary"]


def test_a_column_that_is_renamed_by_add_copy_and_drop_raises_nothing(captured):
    def parts() -> list[dict]:
        return [m for m in captured.rows().values() if m["metadata"]["source"]["table"] == "parts"]

    def row_of(part) -> dict:
        return part["metadata"]["row"]

    captured.tool.cli("ALTER TABLE parts ADD COLUMN body TEXT;")
    eventually(lambda: all("body" in row_of(part) for part in parts()))
    captured.tool.cli("UPDATE parts SET body = text;")
    eventually(lambda: all(row_of(part)["body"] == part["content"] for part in parts()))
    captured.tool.cli("ALTER TABLE parts DROP COLUMN text;")
    eventually(lambda: all(list(row_of(part)) == ["id", "note"] and part["content"].startswith("part ") for part in parts()))
    assert len(parts()) == 9 and captured.home.alerts() == []


def test_a_key_that_changes_moves_the_row(captured):
    captured.tool.cli("UPDATE parts SET id = 100 WHERE id = 1;")
    eventually(lambda: "100" in {m["metadata"]["source"]["key"] for m in captured.rows().values() if m["metadata"]["source"]["table"] == "parts"})
    assert len(captured.rows()) == 42


def test_a_row_that_is_too_large_is_told_and_holds_nothing_back(captured):
    captured.tool.cli(
        "INSERT INTO blobs VALUES (zeroblob(50000), 'what says which row it is must be kept'); INSERT INTO parts VALUES (50, 1, 'small');"
        "INSERT INTO strict_one VALUES (9, zeroblob(50000000), 'x'); INSERT INTO parts VALUES (51, 1, printf('%.*c', 60000, 'x'));"
    )
    captured.wait_rows(45)
    eventually(lambda: "3 changes of rows could not be kept whole" in (captured.source()["error"] or ""))
    captured.tool.cli("DELETE FROM strict_one WHERE id = 9; INSERT INTO parts VALUES (52, 1, 'after'), (53, 1, 'more');")
    captured.wait_rows(46)
    assert captured.home.alerts() == []


def row_of_note(captured, number: int) -> dict:
    return next(m for m in captured.rows().values() if m["metadata"]["source"]["table"] == "notes" and m["metadata"]["source"]["key"] == str(number))


def test_a_large_value_of_another_column_does_not_hide_what_happens_to_the_content(captured):
    before = everything(captured.tool)
    captured.tool.cli("UPDATE notes SET raw = zeroblob(20000 + note_id), body = '';")
    captured.wait_alerts()
    restored = next(t for t in captured.home.json("restore")["tables"] if t["table"] == "notes")
    assert (restored["updated"], restored["kept"], restored["lost"]) == (17, 0, 0)
    assert everything(captured.tool) == before


def test_a_large_value_that_is_there_is_left_and_what_it_was_is_put_back_when_it_is_gone(captured):
    tool = captured.tool
    whole = tool.rows("notes")
    tool.cli("UPDATE notes SET raw = zeroblob(70000) WHERE note_id = 1;")
    eventually(lambda: "raw" in row_of_note(captured, 1)["metadata"].get("too_large", {}))
    assert "too large" in eventually(lambda: captured.source()["error"])
    before = tool.rows("notes")

    tool.cli("UPDATE notes SET body = '';")
    captured.wait_alerts()
    restored = next(t for t in captured.home.json("restore")["tables"] if t["table"] == "notes")
    assert (restored["updated"], restored["kept"], restored["lost"]) == (17, 0, 0)
    assert tool.rows("notes") == before

    resolve_all(captured.home)
    tool.cli("INSERT INTO notes (note_id, body, raw) VALUES (901, 'large from its first moment', zeroblob(70000));")
    captured.wait_rows(43)
    tool.cli("DELETE FROM notes;")
    captured.wait_alerts()
    restored = next(t for t in captured.home.json("restore")["tables"] if t["table"] == "notes")
    assert (restored["inserted"], restored["kept"], restored["lost"]) == (17, 0, 1)
    assert tool.rows("notes") == whole


def test_a_large_value_is_missed_with_its_column_but_not_when_that_is_renamed(captured):
    def columns():
        return {key for m in captured.rows().values() if m["metadata"]["source"]["table"] == "strict_one" for key in m["metadata"].get("too_large", {})}

    captured.tool.cli("UPDATE strict_one SET n = zeroblob(70000);")
    eventually(lambda: columns() == {"n"})
    captured.tool.cli("ALTER TABLE strict_one RENAME COLUMN n TO m;")
    eventually(lambda: columns() == {"m"})
    assert captured.home.alerts() == []
    captured.tool.cli("ALTER TABLE strict_one DROP COLUMN m;")
    [alert] = captured.wait_alerts()
    assert alert["rule"] == "source_column_dropped" and "3 values with it" in alert["summary"] and "of 3, too large to be kept" in alert["summary"]


def test_a_forged_definition_is_never_run(captured):
    tool, home = captured.tool, captured.home
    before = tool.rows("pairs", "1, 3")
    definition = next(id for id, m in home.export().items() if m["metadata"]["source"]["table"] == "pairs" and "row" not in m["metadata"])
    tool.cli("DROP TABLE pairs;")
    captured.wait_alerts()
    home.call("remember", "CREATE TABLE forged (a);", "--id", definition)
    home.json("restore")
    assert tool.rows("pairs", "1, 3") == before
    assert tool.cli("SELECT count(*) FROM sqlite_schema WHERE name = 'forged';").strip() == "0"


def test_a_file_behind_a_link_is_followed(homes, tmp_path):
    one, two = Tool(tmp_path / "one" / "memory.db"), Tool(tmp_path / "two" / "memory.db")
    for tool, word in ((one, "first"), (two, "second")):
        tool.cli(f"CREATE TABLE notes (id INTEGER PRIMARY KEY, content TEXT); INSERT INTO notes VALUES (1, '{word}');")
    (tmp_path / "tool").mkdir()
    link = tmp_path / "tool" / "memory.db"
    link.symlink_to(one.path)
    captured = Captured(homes(config=config_of(link)), one)
    captured.wait_rows(1)
    one.cli("INSERT INTO notes VALUES (2, 'more');")
    captured.wait_rows(2)
    fresh = tmp_path / "tool" / "fresh"
    fresh.symlink_to(two.path)
    fresh.rename(link)
    eventually(lambda: "second" in {m["content"] for m in captured.rows().values()})
    two.cli("INSERT INTO notes VALUES (3, 'third');")
    eventually(lambda: "third" in {m["content"] for m in captured.rows().values()})


def test_python_reads_it_while_it_is_restored(captured):
    """The application's own connection sees the rows that came back in place."""
    application = sqlite3.connect(captured.tool.path, timeout=10)
    application.execute("DELETE FROM notes")
    application.commit()
    captured.wait_alerts()
    captured.home.json("restore")
    assert application.execute("SELECT count(*) FROM notes").fetchone() == (17,)
    application.close()
