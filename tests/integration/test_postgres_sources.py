"""Several sources on one server: none writes over what another one said."""

from __future__ import annotations

import pytest

from support.home import eventually
from support.postgres import Database, forget
from support.source import MEMORIES, Captured, id_of, insert


@pytest.fixture
def staging(database):
    """A second database on the same server."""
    staging = Database(database.server, database.name + "_staging")
    database.server.psql(f"CREATE DATABASE {staging.name}")
    yield staging
    forget(database.server, staging.name)


def both_of(database, staging) -> str:
    return (
        "daemon:\n  project: test\nsources:\n"
        f"  - name: app\n    kind: postgres\n    url: {database.url}\n"
        f"  - name: app-staging\n    kind: postgres\n    url: {staging.url}\n"
    )


@pytest.fixture
def two(homes, database, staging):
    """The same rows in both, with the same UUIDs."""
    database.psql(MEMORIES + insert(30))
    staging.psql(MEMORIES + insert(30) + "UPDATE memories SET content = 'staging: ' || content;")
    captured = Captured(homes(config=both_of(database, staging)), database)
    for name in ("app", "app-staging"):
        captured.home.call("init", "postgres", name, "--yes")
    captured.wait_rows(60)
    return captured


def contents_of(captured, source: str) -> list[str]:
    return sorted(m["content"] for m in captured.rows().values() if m["metadata"]["source"]["name"] == source)


def test_each_has_its_slot_and_publication(two, database, staging):
    slots = database.server.query("SELECT slot_name FROM pg_replication_slots ORDER BY database").splitlines()
    assert len(slots) == 2 and slots[0].endswith("_app") and slots[1].endswith("_app_staging")
    assert database.query("SELECT pubname FROM pg_publication") == slots[0]
    assert staging.query("SELECT pubname FROM pg_publication") == slots[1]


def test_the_same_uuids_in_two_databases_are_different_memories(two, database, staging):
    production, copy = contents_of(two, "app"), contents_of(two, "app-staging")
    assert [f"staging: {c}" for c in production] == copy and len(copy) == 30
    before = database.rows("memories"), staging.rows("memories")

    staging.psql("TRUNCATE memories;" + insert(1, 99))
    two.wait_alerts()
    assert contents_of(two, "app") == production
    assert two.home.json("restore", "app-staging")["restored"] == 30
    staging.psql(f"DELETE FROM memories WHERE id = '{id_of(99)}'")
    assert (database.rows("memories"), staging.rows("memories")) == before
    assert two.home.json("restore", "app")["restored"] == 0


def test_tables_of_that_name_in_two_schemas_are_different_memories(homes, database):
    database.psql(MEMORIES + insert(20) + "CREATE SCHEMA other; CREATE TABLE other.memories AS SELECT * FROM memories;")
    database.psql("UPDATE other.memories SET content = 'other: ' || content;")
    config = f"daemon:\n  project: test\nsources:\n  - name: app\n    kind: postgres\n    url: {database.url}\n    tables: [memories, other.memories]\n"
    captured = Captured(homes(config=config), database)
    captured.init()
    captured.wait_rows(40)
    database.psql("DELETE FROM other.memories;")
    captured.wait_alerts()
    assert captured.home.json("restore")["tables"][1]["inserted"] == 20
    assert database.query("SELECT count(*) FROM other.memories WHERE content LIKE 'other: %'") == "20"
    eventually(lambda: captured.source()["connected"])
    assert database.query("SELECT count(*) FROM memories WHERE content LIKE 'what %'") == "20"


def test_two_sources_with_one_slot_are_refused(homes, database, staging):
    config = both_of(database, staging).replace("    kind: postgres\n", "    kind: postgres\n    slot: same\n")
    refused = homes(config=config).call("status", check=False)
    assert refused.status == 2 and 'the slot "same"' in refused.err


TWO_IN_ONE = """daemon:
  project: test
sources:
  - {{name: app, kind: postgres, url: {url}, tables: [notes, common]}}
  - {{name: other, kind: postgres, url: {url}, tables: [parts, common]}}
"""


def test_two_sources_in_one_database_disturb_each_other_in_nothing(homes, database):
    tables = "".join(f"CREATE TABLE {name} (id int, content text); INSERT INTO {name} SELECT i, '{name} ' || i FROM generate_series(1, 10) i;" for name in ("notes", "parts", "common"))
    database.psql(tables)
    captured = Captured(homes(config=TWO_IN_ONE.format(url=database.url)), database)
    captured.home.call("init", "postgres", "app", "--yes")
    captured.wait_rows(20)
    captured.home.call("init", "postgres", "other", "--yes")
    captured.wait_rows(40)
    eventually(lambda: all(s["connected"] and s["error"] is None for s in captured.home.json("status")["sources"]))
    config = captured.home.path / "holdfast.yaml"
    config.write_text(config.read_text().replace("[notes, common]", "[notes, common, more]"))
    database.psql("CREATE TABLE more (id int PRIMARY KEY, content text); INSERT INTO more VALUES (1, 'more');")
    captured.home.call("stop")
    captured.home.call("init", "postgres", "app", "--yes")
    captured.wait_rows(41)
    assert captured.home.alerts() == []

    captured.home.call("init", "postgres", "app", "--remove", "--yes")
    triggers = "SELECT string_agg(tgrelid::regclass::text, ' ' ORDER BY 1) FROM pg_trigger WHERE tgname = 'holdfast_tell'"
    assert database.query(triggers) == "common parts"
    identity = "SELECT relreplident FROM pg_class WHERE relname = '{}'"
    assert [database.query(identity.format(name)) for name in ("notes", "parts", "common")] == ["d", "f", "f"]
    assert database.query("SELECT count(*) FROM pg_event_trigger") == "2"
    captured.home.call("stop")
    captured.home.call("init", "postgres", "other", "--remove", "--yes")
    assert database.query(triggers) == "" and database.query("SELECT count(*) FROM pg_event_trigger") == "0"
    assert database.query(identity.format("common")) == "d"
    assert database.query("SELECT to_regnamespace('holdfast') IS NULL") == "t"
