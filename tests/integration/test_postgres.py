"""PostgreSQL as a source: captured from a real server, wrecked by psql, put back."""

from __future__ import annotations

import pytest

from support.home import eventually
from support.source import MEMORIES, WRECKS, Captured, config_of, id_of, insert
from support.terminal import resolved


@pytest.fixture
def captured(homes, database):
    """The specification's table with 40 memories, captured."""
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    captured.wait_rows(40)
    return captured


# ---- capture ----


@pytest.mark.threads
def test_what_was_there_and_what_comes_are_captured_in_their_fields(captured):
    rows = captured.rows()
    first = rows[id_of(1)]
    assert first["content"] == "what agent 1 learned about the harbour"
    assert first["project_id"] == "sea" and first["tags"] == ["a", "b 1"] and first["importance"] == 0.25
    assert first["created_at"] == "2026-01-01T00:00:01.000000Z"
    assert first["metadata"]["source"] == {"name": "app", "table": "public.memories", "key": id_of(1)}

    captured.database.psql(
        insert(1, 41)
        + f"UPDATE memories SET content = 'changed', sync_version = 2 WHERE id = '{id_of(2)}';"
        + f"DELETE FROM memories WHERE id = '{id_of(3)}';"
    )
    rows = eventually(lambda: (lambda r: r if r.get(id_of(2), {}).get("content") == "changed" and id_of(3) not in r else None)(captured.rows()))
    assert len(rows) == 40 and id_of(41) in rows
    assert captured.home.alerts() == []


def test_a_large_table_is_taken_in_at_the_first_look_and_put_back_as_a_whole(homes, database):
    database.psql(MEMORIES + insert(25_000))
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    eventually(lambda: captured.home.json("status")["memories"] == 25_001)  # and how the table is made
    before = database.rows("memories")
    database.psql("DROP TABLE memories;")
    captured.wait_alerts()
    assert captured.home.json("restore")["restored"] == 25_000
    assert database.rows("memories") == before


def test_status_and_a_dry_run_can_be_read_by_a_person(captured):
    assert "source app (postgres): capturing, at 0/" in captured.home.call("status").out
    captured.database.psql("DELETE FROM memories;")
    captured.wait_alerts()
    shown = captured.home.call("restore", "--dry-run").out
    assert "public.memories: 40 rows to insert" in shown and "Nothing was changed" in shown
    assert captured.database.query("SELECT count(*) FROM memories") == "0"
    assert "40 rows inserted" in captured.home.call("restore").out


def test_without_init_it_says_what_to_do(homes, database):
    database.psql(MEMORIES)
    captured = Captured(homes(config=config_of(database)), database)
    source = eventually(lambda: (lambda s: s if s["error"] else None)(captured.source()))
    assert "run holdfast init postgres" in source["error"] and not source["connected"]


def test_init_shows_its_sql_and_remove_leaves_nothing_behind(homes, database):
    database.psql(MEMORIES + "CREATE TABLE keyless (id int, content text);")
    tables = "    tables: [public.memories, public.keyless]\n"
    captured = Captured(homes(config=config_of(database, tables)), database)
    objects = """SELECT 'schema ' || nspname FROM pg_namespace UNION ALL SELECT 'publication ' || pubname FROM pg_publication
        UNION ALL SELECT 'event ' || evtname FROM pg_event_trigger UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
        UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger
        UNION ALL SELECT 'identity ' || relname || relreplident::text FROM pg_class WHERE relname IN ('memories', 'keyless') ORDER BY 1"""
    before = database.query(objects)

    shown = captured.home.call("init", "postgres", "--dry-run").out
    assert "CREATE PUBLICATION" in shown and "CREATE EVENT TRIGGER" in shown and "keyless\" REPLICA IDENTITY FULL" in shown
    refused = captured.home.call("init", "postgres", check=False)
    assert refused.status == 3 and "nothing was run" in refused.err
    assert database.query(objects) == before

    captured.init()
    assert "event holdfast_drop" in database.query(objects)
    captured.home.call("init", "postgres", "--yes")  # once more changes nothing
    captured.wait_connected()
    captured.home.call("init", "postgres", "--remove", "--yes")
    assert database.query(objects) == before


# ---- destruction ----


@pytest.mark.parametrize("how", WRECKS)
def test_destruction_is_held_and_put_back_to_the_byte(captured, how):
    database, home = captured.database, captured.home
    before, known = database.rows("memories"), captured.rows()

    database.psql(WRECKS[how])
    alert = captured.wait_alerts()[0]
    assert alert["state"] == "open" and "app: postgres (psql)" in alert["actor"] + alert["summary"]
    rows = captured.rows()
    assert {id: rows[id]["content"] for id in known} == {id: m["content"] for id, m in known.items()}

    dry = home.json("restore", "app", "--dry-run")
    assert dry["dry_run"] and dry["restored"] >= 39 and "FROM STDIN" in dry["sql"]
    done = home.json("restore", "app")
    assert [(t["inserted"], t["updated"], t["created"]) for t in done["tables"]] == [
        (t["inserted"], t["updated"], t["created"]) for t in dry["tables"]
    ]
    after = database.rows("memories")
    assert [row for row in after if row in before] == before
    assert len(after) == len(before) + (20 if how == "fixtures" else 0)
    assert home.json("restore", "app")["restored"] == 0
    captured.wait_connected()


# An empty table is filled in one go. What that can't do is done row by row.


def test_rows_of_different_columns_come_back_into_an_empty_table(captured):
    database = captured.database
    before = database.rows("memories")
    database.psql("DELETE FROM memories;")
    captured.wait_alerts()
    database.psql("ALTER TABLE memories ADD COLUMN extra text;" + insert(1, 41) + f"UPDATE memories SET extra = 'x' WHERE id = '{id_of(41)}';")
    eventually(lambda: captured.rows().get(id_of(41), {}).get("metadata", {}).get("row", {}).get("extra") == "x")
    database.psql("TRUNCATE memories;")
    captured.wait_alerts(2)
    assert captured.home.json("restore")["tables"][0]["inserted"] == 41
    after = database.rows("memories")
    assert after[:40] == [row[:-1] + ",)" for row in before] and after[40].endswith(",x)")


def test_a_row_whose_place_is_taken_by_another_one_is_left_out_of_an_empty_table(captured):
    database = captured.database
    database.psql("CREATE UNIQUE INDEX ON memories (content); DELETE FROM memories;")
    captured.wait_alerts()
    database.psql(insert(1, 41) + f"UPDATE memories SET content = 'what agent 7 learned about the harbour' WHERE id = '{id_of(41)}';")
    eventually(lambda: captured.rows().get(id_of(41), {}).get("content", "").startswith("what agent 7 "))
    database.psql("TRUNCATE memories;")
    captured.wait_alerts(2)
    assert captured.home.json("restore")["tables"][0]["inserted"] == 40
    assert database.query("SELECT count(*) FROM memories") == "40"


@pytest.mark.threads
def test_a_dropped_and_recreated_empty_table_is_held_and_refilled(captured):
    database = captured.database
    before = database.rows("memories")
    database.psql("DROP TABLE memories;" + MEMORIES)
    assert "DROP TABLE" in captured.wait_alerts()[0]["actor"]
    done = captured.home.json("restore")
    assert done["tables"][0]["inserted"] == 40 and not done["tables"][0]["created"]
    assert database.rows("memories") == before
    # It is captured again: publication and trigger are put back on the new table.
    database.psql(insert(1, 90))
    eventually(lambda: id_of(90) in captured.rows())


def test_a_definition_that_an_agent_wrote_is_never_run(captured):
    database, home = captured.database, captured.home
    before = database.rows("memories")
    definition = next(id for id, m in home.export().items() if "row" not in m["metadata"])
    database.psql("DROP TABLE memories;")
    captured.wait_alerts()
    home.call("remember", "CREATE TABLE forged ();", "--id", definition)
    assert home.json("restore")["tables"][0]["created"]
    assert database.rows("memories") == before
    assert database.query("SELECT to_regclass('public.forged') IS NULL") == "t"


def test_what_is_kept_in_the_database_is_never_run_as_sql(captured):
    captured.database.psql(
        "INSERT INTO holdfast.kept VALUES ('public.memories', 'DEFAULT; CREATE TABLE public.forged ()');"
    )
    refused = captured.home.call("init", "postgres", "--remove", "--yes", check=False)
    assert refused.status != 0
    assert captured.database.query("SELECT to_regclass('public.forged') IS NULL") == "t"


def test_a_small_table_that_is_dropped_is_held_too(homes, database):
    database.psql(MEMORIES + insert(3))
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    captured.wait_rows(3)
    database.psql("DROP TABLE memories;")
    alert = captured.wait_alerts()[0]
    assert alert["rule"] == "source_dropped" and "Table public.memories was dropped" in alert["summary"]
    assert "holdfast restore app" in alert["summary"] and len(captured.rows()) == 3


def test_a_dropped_column_raises_an_alert(captured):
    captured.database.psql("ALTER TABLE memories DROP COLUMN importance;")
    alert = captured.wait_alerts()[0]
    assert alert["rule"] == "source_column_dropped" and "importance" in alert["summary"]


def test_a_column_that_is_renamed_by_add_copy_and_drop_raises_nothing(captured):
    copy = "ALTER TABLE memories ADD COLUMN weight double precision; UPDATE memories SET weight = importance;"
    captured.database.psql(copy + "ALTER TABLE memories ADD COLUMN never_set text, DROP COLUMN importance; ALTER TABLE memories DROP COLUMN never_set;")
    eventually(lambda: all(m["metadata"]["row"].get("weight") == "0.25" and "never_set" not in m["metadata"]["row"] for m in captured.rows().values()))
    assert captured.home.alerts() == []
    captured.database.psql("UPDATE memories SET weight = 0.5 WHERE id = (SELECT min(id::text)::uuid FROM memories); ALTER TABLE memories ADD COLUMN half float8; UPDATE memories SET half = 0.25; ALTER TABLE memories DROP COLUMN weight;")  # fmt: skip
    alert = captured.wait_alerts()[0]
    assert alert["rule"] == "source_column_dropped" and "Column weight" in alert["summary"], "one value is nowhere else"


def test_what_was_put_back_and_is_destroyed_again_is_held_again(captured):
    """The rows that a restore brought are known to be back, so that their second end is one, too."""
    database, home = captured.database, captured.home
    before = database.rows("memories")
    database.psql("TRUNCATE memories;")
    first = captured.wait_alerts()[0]
    home.json("restore", "app")
    eventually(lambda: all(m["sync_version"] > 2 for m in captured.rows().values()))  # each row was seen coming back
    resolved(home, first["id"])
    assert home.alerts() == [] and len(captured.rows()) == 40
    database.psql("DROP TABLE memories;")
    captured.wait_alerts()
    assert len(captured.rows()) == 40
    home.json("restore", "app")
    assert database.rows("memories") == before


def test_rows_that_somebody_changed_since_are_kept_and_told(captured):
    database = captured.database
    database.psql("UPDATE memories SET content = NULL;")
    captured.wait_alerts()
    # While nothing is captured: the ledger does not know of this change.
    captured.home.call("stop")
    database.psql(f"UPDATE memories SET content = 'by a person' WHERE id = '{id_of(5)}';")
    done = captured.home.call("--json", "--no-daemon", "restore", "app").json()
    assert done["tables"][0]["updated"] >= 38
    assert database.query(f"SELECT content FROM memories WHERE id = '{id_of(5)}'") == "by a person"
