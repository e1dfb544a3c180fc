"""Every kind of value and table comes back as it was."""

from __future__ import annotations

import pytest

from support.home import eventually
from support.source import KINDS, KINDS_TABLES, MEMORIES, Captured, config_of, id_of, insert

SHAPE = """SELECT attname || ' ' || format_type(atttypid, atttypmod) || attnotnull::text || attidentity::text || attgenerated::text
    || coalesce(pg_get_expr(adbin, adrelid), '') FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE attrelid IN ('notes'::regclass, 'parts'::regclass) AND attnum > 0
UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid IN ('notes'::regclass, 'parts'::regclass)
UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN ('notes'::regclass, 'parts'::regclass) ORDER BY 1"""


@pytest.fixture
def captured(homes, database):
    database.psql(KINDS)
    captured = Captured(homes(config=config_of(database, KINDS_TABLES)), database)
    captured.init()
    captured.wait_rows(12)
    return captured


def both(database) -> list[str]:
    return database.rows("notes", "note_id") + database.rows("parts")


def all_held(captured) -> bool:
    """The end of all twelve rows is captured, and held."""
    histories = [captured.home.lines("show", id, "--history") for id in captured.rows()]
    return len(histories) == 12 and all(history[-1]["change"]["held"] for history in histories)


@pytest.mark.parametrize("how", ["DROP TABLE parts; DROP TABLE notes; DROP TYPE mood", "DROP TABLE notes CASCADE; DROP TABLE parts", "TRUNCATE notes CASCADE", "DELETE FROM notes"])
def test_values_keys_defaults_and_dependents_come_back(captured, how):
    database = captured.database
    rows, shape = both(database), database.query(SHAPE)
    database.psql(how)
    captured.wait_alerts()
    eventually(lambda: all_held(captured))
    done = captured.home.json("restore", "app")
    assert sum(t["inserted"] for t in done["tables"]) == 12, done
    assert both(database) == rows and database.query(SHAPE) == shape
    # The next number is above those that came back.
    assert int(database.query("INSERT INTO notes (body) VALUES ('next') RETURNING note_id")) > 3


def test_an_update_that_leaves_a_large_value_alone_keeps_it(captured):
    large = "large " * 4000
    captured.database.psql("UPDATE notes SET team = 'moved' WHERE note_id = 3;")
    moved = eventually(lambda: [m for m in captured.rows().values() if m["project_id"] == "moved"])
    assert moved[0]["content"] == large


def test_a_key_that_changes_moves_the_row(captured):
    captured.database.psql("UPDATE parts SET id = 100 WHERE id = 1;")
    eventually(lambda: "100" in {m["metadata"]["source"]["key"] for m in captured.rows().values() if m["metadata"]["source"]["table"] == "public.parts"})
    assert len(captured.rows()) == 12


def test_a_renamed_column_is_read_anew_and_raises_nothing(captured):
    captured.database.psql("ALTER TABLE parts RENAME note TO of_note;")
    eventually(lambda: all("of_note" in m["metadata"]["row"] for m in captured.rows().values() if m["metadata"]["source"]["table"] == "public.parts"))
    assert captured.home.alerts() == []


def test_a_table_without_a_key_is_captured_too(homes, database):
    database.psql("CREATE TABLE loose (id int, content text); INSERT INTO loose SELECT i, 'loose ' || i FROM generate_series(1, 20) i;")
    captured = Captured(homes(config=config_of(database, "    tables: [loose]\n")), database)
    captured.init()
    captured.wait_rows(20)
    database.psql("UPDATE loose SET content = 'changed' WHERE id = 1; DELETE FROM loose WHERE id = 2;")
    captured.wait_rows(19)
    database.psql("DELETE FROM loose;")
    captured.wait_alerts()
    # The guard holds the whole incident: the deletion right before it, too.
    assert captured.home.json("restore")["tables"][0]["inserted"] == 20
    assert database.query("SELECT content FROM loose WHERE id = 1") == "changed"


def test_columns_can_be_left_out(homes, database):
    database.psql(MEMORIES.replace("content text,", "content text, embedding float8[],") + insert(3))
    database.psql("UPDATE memories SET embedding = (SELECT array_agg(random()) FROM generate_series(1, 1536));")
    tables = "    tables:\n      - {table: memories, ignore: [embedding]}\n"
    captured = Captured(homes(config=config_of(database, tables)), database)
    captured.init()
    rows = captured.wait_rows(3)
    assert "embedding" not in rows[id_of(1)]["metadata"]["row"]


# ---- values that no memory can hold ----

LARGE = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 2000) i)"  # 64,000 characters that don't compress


@pytest.fixture
def wide(homes, database):
    database.psql(MEMORIES.replace("content text,", "content text, extra text,") + insert(20) + "UPDATE memories SET extra = 'extra of ' || id;")
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    captured.wait_rows(20)
    return captured


def test_a_large_value_of_another_column_does_not_hide_what_happens_to_the_content(wide):
    database = wide.database
    before = database.rows("memories")
    database.psql(f"UPDATE memories SET extra = {LARGE}, content = '';")
    wide.wait_alerts()
    assert wide.home.json("restore")["tables"][0]["updated"] == 20
    assert database.rows("memories") == before


def test_a_large_value_that_is_there_is_left_and_what_it_was_is_put_back_when_it_is_gone(wide):
    database = wide.database
    database.psql(f"UPDATE memories SET extra = {LARGE} WHERE id = '{id_of(1)}';")
    eventually(lambda: "too_large" in wide.rows()[id_of(1)]["metadata"])
    assert "too large" in eventually(lambda: wide.source()["error"])
    database.psql(f"UPDATE memories SET importance = 1 WHERE id = '{id_of(1)}';")  # which does not send it again
    eventually(lambda: wide.rows()[id_of(1)]["importance"] == 1)
    assert "too_large" in wide.rows()[id_of(1)]["metadata"]
    before = database.rows("memories")

    database.psql("UPDATE memories SET content = '';")
    wide.wait_alerts()
    assert wide.home.json("restore")["tables"][0]["updated"] == 20
    assert database.rows("memories") == before

    database.psql("TRUNCATE memories;")
    eventually(lambda: wide.home.lines("show", id_of(1), "--history")[-1]["change"]["op"] == "delete")
    assert wide.home.json("restore")["tables"][0]["inserted"] == 20
    assert database.query(f"SELECT extra FROM memories WHERE id = '{id_of(1)}'") == f"extra of {id_of(1)}"


def test_a_row_that_was_never_whole_is_counted_when_it_can_not_be_put_back(wide):
    wide.database.psql(f"INSERT INTO memories (id, content) VALUES ('{id_of(30)}', {LARGE});")
    wide.wait_rows(21)
    wide.database.psql("TRUNCATE memories;")
    wide.wait_alerts()
    done = wide.home.json("restore")["tables"][0]
    assert (done["inserted"], done["lost"]) == (20, 1)


# ---- work that raises nothing ----


def test_ordinary_work_raises_no_alert(homes, database):
    database.psql(MEMORIES + insert(500))
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    captured.wait_rows(500)
    database.psql(
        "ALTER TABLE memories ADD COLUMN extra text DEFAULT 'x'; CREATE INDEX ON memories (project_id); CREATE TABLE other (id int);"
        "UPDATE memories SET sync_version = sync_version + 1, updated_at = now();"
        f"DELETE FROM memories WHERE id IN ('{id_of(1)}', '{id_of(2)}', '{id_of(3)}');"
    )
    for statement in ("VACUUM FULL memories", "REINDEX TABLE memories", "CLUSTER memories USING memories_pkey", "CHECKPOINT"):
        database.psql(statement)
    database.psql("ALTER TABLE memories ADD COLUMN body text; UPDATE memories SET body = content; DROP TABLE other;" + insert(2000, 1000))
    captured.wait_rows(2497)
    database.server.restart()
    captured.database.psql(insert(1, 9000))
    captured.wait_rows(2498)
    assert captured.home.alerts() == []
