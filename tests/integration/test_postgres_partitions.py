"""A table with partitions: what is done to one of them by its own name is found, held and put back."""

from __future__ import annotations

import pytest

from support.home import eventually
from support.source import Captured, config_of

EVENTS = """
CREATE TABLE events (id int, at date NOT NULL, content text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
CREATE TABLE events_2_all PARTITION OF events_2 DEFAULT;
INSERT INTO events SELECT i, CASE WHEN i <= 20 THEN date '2026-01-05' ELSE date '2026-02-05' END, 'event ' || i FROM generate_series(1, 40) i;
"""


@pytest.fixture
def captured(homes, database):
    database.psql(EVENTS)
    config = config_of(database, "    tables: [events]\n") + "guard:\n  on_alert: fence\n"
    captured = Captured(homes(config=config), database)
    captured.init()
    captured.wait_rows(40)
    return captured


def all_seen(captured, gone: int) -> None:
    """The end of so many rows is in the ledger."""
    eventually(lambda: sum(captured.home.lines("show", id, "--history")[-1]["change"]["op"] == "delete" for id in captured.rows()) == gone)


WRECKS = {
    "truncate one": ("TRUNCATE events_1", 20),
    "delete from one": ("DELETE FROM events_2_all", 20),
    "drop one": ("DROP TABLE events_1", 20),
    "drop one with parts": ("DROP TABLE events_2", 20),
    "truncate all": ("TRUNCATE events", 40),
    "drop all": ("DROP TABLE events", 40),
}


@pytest.mark.parametrize("how", WRECKS)
def test_the_end_of_a_partition_is_held_and_put_back(captured, how):
    database = captured.database
    before = database.rows("events")
    sql, gone = WRECKS[how]
    database.psql(sql)
    captured.wait_alerts()
    all_seen(captured, gone)
    assert len(captured.rows()) == 40
    assert captured.home.json("restore")["tables"][0]["inserted"] == gone
    assert database.rows("events") == before
    # What was made again is followed, and guarded, as it was.
    eventually(lambda: database.query("SELECT count(*) FROM pg_trigger WHERE tgname = 'holdfast_tell' AND tgenabled = 'A'") == "4")
    database.psql("INSERT INTO events VALUES (99, '2026-01-09', 'more'), (98, '2026-02-09', 'more');")
    captured.wait_rows(42)


def test_a_partition_that_is_detached_is_held_and_the_restore_says_what_to_do(captured):
    database = captured.database
    before = database.rows("events")
    database.psql("ALTER TABLE events DETACH PARTITION events_1;")
    captured.wait_alerts()
    all_seen(captured, 20)
    refused = captured.home.call("restore", check=False)
    assert refused.status != 0 and "ATTACH PARTITION" in refused.err and len(refused.err.strip().splitlines()) == 1
    database.psql("ALTER TABLE events ATTACH PARTITION events_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');")
    assert captured.home.json("restore")["restored"] == 0
    assert database.rows("events") == before


def test_a_partition_that_comes_with_rows_is_captured_and_is_no_alarm(captured):
    captured.database.psql(
        "CREATE TABLE events_3 (LIKE events INCLUDING ALL); INSERT INTO events_3 VALUES (50, '2026-03-05', 'event 50');"
        "ALTER TABLE events ATTACH PARTITION events_3 FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');"
        "CREATE TABLE events_4 PARTITION OF events FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');"
        "UPDATE events SET at = '2026-04-05' WHERE id <= 20; VACUUM FULL events_2_all;"
    )
    rows = captured.wait_rows(41)
    eventually(lambda: sum(m["metadata"]["row"]["at"] == "2026-04-05" for m in captured.rows().values()) == 20)
    assert "event 50" in {m["content"] for m in rows.values()}
    assert captured.home.alerts() == []


def test_the_fence_holds_for_a_partition_by_its_own_name(captured):
    captured.database.psql("DELETE FROM events WHERE id <= 20;")
    captured.wait_alerts()
    eventually(lambda: captured.source()["fence"])
    for table in ("events", "events_1", "events_2", "events_2_all"):
        said = captured.database.psql(f"TRUNCATE {table};", check=False)
        assert said.returncode != 0 and "is open" in said.stderr, table
    said = captured.database.psql("DROP TABLE events_2_all;", check=False)
    assert said.returncode != 0 and "is open" in said.stderr


def test_partitions_without_a_key_are_refused_in_words(homes, database):
    database.psql("CREATE TABLE loose (id int, content text) PARTITION BY RANGE (id); CREATE TABLE loose_1 PARTITION OF loose DEFAULT;")
    captured = Captured(homes(config=config_of(database, "    tables: [loose]\n")), database)
    refused = captured.home.call("init", "postgres", "--yes", check=False)
    assert refused.status != 0 and "has partitions, and no primary key" in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_what_stands_in_a_default_is_never_run(homes, database):
    stolen = r"ALTER TABLE events ADD note text DEFAULT E'x;\nCREATE TABLE IF NOT EXISTS stolen AS SELECT 1;\n-- behind the rows\n';"
    database.psql(EVENTS + stolen)
    captured = Captured(homes(config=config_of(database, "    tables: [events]\n")), database)
    captured.init()
    captured.wait_rows(40)
    before = database.rows("events")
    database.psql("DROP TABLE events_1;")
    captured.wait_alerts()
    all_seen(captured, 20)
    assert captured.home.json("restore")["tables"][0]["inserted"] == 20
    database.psql("DROP TABLE events;")
    all_seen(captured, 40)
    assert captured.home.json("restore")["tables"][0]["inserted"] == 40
    assert database.rows("events") == before
    assert database.query("SELECT to_regclass('stolen') IS NULL") == "t"
