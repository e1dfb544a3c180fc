"""Every kind of value and table comes back as it was."""

from __future__ import annotations

import os
import subprocess

import pytest
from postgres_server import programs
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


# All that a table may need besides itself, with texts in it that would end a careless quote or a list of statements.
KIT = r"""
CREATE SCHEMA kit;
CREATE EXTENSION citext SCHEMA kit;
CREATE EXTENSION pg_trgm SCHEMA kit;
CREATE TYPE kit.level AS ENUM ('low', 'it''s $make$ \', E'two;\n-- behind the rows\nlines');
CREATE TYPE kit.part AS (name text, level kit.level);
CREATE DOMAIN kit.score AS numeric(5,2) DEFAULT 1 NOT NULL CONSTRAINT positive CHECK (VALUE >= 0);
CREATE TYPE kit.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE FUNCTION kit.next_code() RETURNS text LANGUAGE sql AS $f$ SELECT 'code '';
-- behind the rows
CREATE TABLE IF NOT EXISTS $$ \ ' $f$;
CREATE FUNCTION kit.is_fine(code text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT code <> ''bad''';
CREATE FUNCTION kit.stamp() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END';
CREATE ROLE kit_owner;
REVOKE ALL ON FUNCTION kit.next_code() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kit.next_code() TO kit_owner;
ALTER FUNCTION kit.stamp() OWNER TO kit_owner;
CREATE TABLE kit.notes (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), content kit.citext, score kit.score, level kit.level DEFAULT 'low', parts kit.part[], span kit.span,
  code text DEFAULT kit.next_code() CHECK (kit.is_fine(code)), touched int DEFAULT 0,
  "odd; -- "" name'" text DEFAULT E'a;\n-- behind the rows\n\\''"'
);
CREATE INDEX notes_code ON kit.notes USING gin (code kit.gin_trgm_ops);
COMMENT ON TABLE kit.notes IS E'what agents wrote;\n-- behind the rows';
COMMENT ON COLUMN kit.notes.code IS 'its ''code''';
CREATE FUNCTION kit.may(code text) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT code IS NOT NULL';
CREATE POLICY fine ON kit.notes AS RESTRICTIVE FOR UPDATE TO kit_owner, CURRENT_USER USING (kit.may(code)) WITH CHECK (code <> E'\n');
CREATE POLICY all_of_it ON kit.notes USING (true);
ALTER TABLE kit.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE TRIGGER stamp BEFORE UPDATE ON kit.notes FOR EACH ROW EXECUTE FUNCTION kit.stamp();
INSERT INTO kit.notes (content, level, parts, span) SELECT 'Note ' || i, 'it''s $make$ \', ARRAY[ROW('x', 'low')]::kit.part[], kit.span(i, i + 1) FROM generate_series(1, 40) i;
"""


@pytest.mark.parametrize("how", ("DROP SCHEMA kit CASCADE", "DROP TABLE kit.notes"))
def test_what_a_table_needs_comes_back_with_it(homes, database, how):
    try:
        database.psql(KIT)
        captured = Captured(homes(config=config_of(database, "    tables: [kit.notes]\n")), database)
        captured.init()
        captured.wait_rows(40)
        before = dump(database, "kit"), database.rows("kit.notes")
        database.psql(how)
        captured.wait_alerts()
        assert captured.home.json("restore", "app")["restored"] == 40
        assert (dump(database, "kit"), database.rows("kit.notes")) == before
        database.psql("UPDATE kit.notes SET score = 2")
        assert database.query("SELECT DISTINCT touched FROM kit.notes") == "1"
    finally:
        database.psql("DROP SCHEMA IF EXISTS kit CASCADE; DROP OWNED BY kit_owner; DROP ROLE kit_owner")


def dump(database, schema: str) -> list[str]:
    """How everything in a schema is made, as pg_dump says it, in an order of its own; without what Holdfast puts there."""
    command = [programs() / "pg_dump", "-s", "-n", schema, "-d", database.url]
    done = subprocess.run(command, env=os.environ | {"PGPASSWORD": database.server.password}, check=True, capture_output=True, text=True)
    parts = done.stdout.split("\n--\n-- PostgreSQL database dump complete")[0].split("\n--\n-- Name: ")
    return sorted(part for part in parts[1:] if "holdfast" not in part)


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
