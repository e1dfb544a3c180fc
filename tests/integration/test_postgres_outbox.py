"""PostgreSQL without logical replication: triggers write each change into a table, and that is read."""

from __future__ import annotations

import signal

import pytest

from support.home import eventually, is_holdfast
from support.postgres import Session, other_cluster
from support.source import KINDS, KINDS_TABLES, MEMORIES, WRECKS, Captured, config_of, id_of, insert
from support.terminal import resolved

OUTBOX = "    capture: outbox\n"
WAITING = "SELECT count(*) FROM holdfast.outbox"
# Settings of an application's session under which nothing is written as it is kept.
STRANGE = (
    "SET datestyle = 'German'; SET intervalstyle = iso_8601; SET extra_float_digits = -5; SET bytea_output = escape;"
    "SET timezone = 'Asia/Kathmandu';"
)


@pytest.fixture
def captured(homes, database):
    """The specification's table with 40 memories, captured by an outbox."""
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database, OUTBOX)), database)
    captured.init()
    captured.wait_rows(40)
    return captured


def content_of(captured, number: int) -> str:
    return captured.rows()[id_of(number)]["content"]


def versions_of(captured, number: int) -> list[str]:
    """What a row's content was, the first first."""
    return [version["content"] for version in captured.home.lines("show", id_of(number), "--history")]


def update(number: int, content: str) -> str:
    return f"UPDATE memories SET content = '{content}' WHERE id = '{id_of(number)}';"


# ---- capture ----


@pytest.mark.threads
def test_what_was_there_and_what_comes_are_captured_and_taken_out_of_the_outbox(captured):
    captured.database.psql(insert(1, 41) + update(2, "changed") + f"DELETE FROM memories WHERE id = '{id_of(3)}';")
    rows = eventually(lambda: (lambda r: r if r.get(id_of(2), {}).get("content") == "changed" and id_of(3) not in r else None)(captured.rows()))
    assert len(rows) == 40 and id_of(41) in rows
    assert rows[id_of(41)]["created_at"] == "2026-01-01T00:00:41.000000Z" and rows[id_of(41)]["tags"] == ["a", "b 41"]
    assert captured.home.alerts() == []
    eventually(lambda: captured.database.query(WAITING) == "0")


def test_status_doctor_and_init_say_that_it_is_weaker(captured):
    source = captured.source()
    assert source["capture"] == "outbox" and source["position"].startswith("transaction ")
    for said in (
        captured.home.call("status").out,
        captured.home.call("doctor").out,
        captured.home.call("init", "postgres", "--dry-run").out,
    ):
        assert "by an outbox" in said and "weaker than logical replication" in said, said


def test_a_server_with_logical_replication_is_followed_by_it_unless_the_configuration_says_otherwise(homes, database):
    database.psql(MEMORIES)
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    assert captured.source()["capture"] == "stream"
    assert "weaker" not in captured.home.call("status").out
    assert "by logical replication" in captured.home.call("doctor").out
    assert database.query("SELECT to_regclass('holdfast.outbox') IS NULL") == "t"


def test_rows_of_every_kind_are_kept_as_the_comparison_reads_them(homes, database):
    """The triggers' texts must be those of our own sessions: else a comparison would find every row changed."""
    begin = KINDS.index("INSERT INTO notes")
    database.psql(KINDS[:begin] + "CREATE TABLE parts (id int PRIMARY KEY, note bigint REFERENCES notes ON DELETE CASCADE, content text, c char(5), inet inet, f float8);")
    captured = Captured(homes(config=config_of(database, OUTBOX + KINDS_TABLES)), database)
    captured.init()
    rows = KINDS[begin : KINDS.index("CREATE TABLE parts")]
    parts = "INSERT INTO parts SELECT i, 1 + i % 3, 'part ' || i, 'ab', '10.0.0.1', 0.1::float8 + 0.2 FROM generate_series(1, 9) i;"
    database.psql(STRANGE + "SET datestyle = ISO;" + rows + "SET datestyle = German;" + parts)
    captured.wait_rows(12)
    # What goes by unseen is found by a comparison, and with it all other rows are read.
    off, on = "ALTER TABLE {0} DISABLE TRIGGER holdfast_keep;", "ALTER TABLE {0} ENABLE ALWAYS TRIGGER holdfast_keep;"
    for table, columns in (("notes", "(note_id, body)"), ("parts", "(id, content)")):
        unseen = f"INSERT INTO {table} {columns} VALUES (100, 'unseen');"
        database.psql(f"BEGIN; {off.format(table)} {unseen} {on.format(table)} COMMIT;")
    seen = captured.wait_rows(14)
    eventually(lambda: [a["rule"] for a in captured.home.alerts()] == ["source_unguarded"])
    assert {m["sync_version"] for m in seen.values()} == {1}

    before = database.rows("notes", "note_id") + database.rows("parts")
    database.psql("DROP TABLE parts; DROP TABLE notes; DROP TYPE mood")
    eventually(lambda: {a["rule"] for a in captured.home.alerts()} > {"source_unguarded"})
    eventually(lambda: all(captured.home.lines("show", id, "--history")[-1]["change"]["held"] for id in captured.rows()))
    assert captured.home.json("restore", "app")["restored"] == 14
    assert database.rows("notes", "note_id") + database.rows("parts") == before


def test_a_key_that_changes_moves_the_row(captured):
    captured.database.psql(f"UPDATE memories SET id = '{id_of(100)}' WHERE id = '{id_of(1)}';")
    rows = eventually(lambda: (lambda r: r if id_of(100) in r else None)(captured.rows()))
    assert len(rows) == 40 and id_of(1) not in rows


def test_columns_that_come_go_and_are_renamed_are_read_as_they_were_at_each_row(captured):
    database = captured.database
    captured.home.call("stop")  # all of it waits in the outbox
    database.psql(
        update(1, "before")
        + "ALTER TABLE memories RENAME content TO body; ALTER TABLE memories RENAME memory_type TO content;"
        + f"UPDATE memories SET body = 'between' WHERE id = '{id_of(2)}';"
        + "ALTER TABLE memories RENAME content TO memory_type; ALTER TABLE memories RENAME body TO content;"
        + "ALTER TABLE memories ADD COLUMN extra text DEFAULT 'x', DROP COLUMN sync_version;"
        + update(3, "after")
    )
    captured.home.json("status")
    rows = eventually(lambda: (lambda r: r if r[id_of(3)]["content"] == "after" else None)(captured.rows()))
    assert rows[id_of(1)]["content"] == "before" and rows[id_of(1)]["metadata"]["row"].get("extra") in (None, "x")
    eventually(lambda: all(m["metadata"]["row"].get("extra") == "x" for m in captured.rows().values()))
    assert content_of(captured, 2) == "between" and len(captured.rows()) == 40


def test_partitions_are_captured_under_their_tables_name_and_a_row_that_moves_is_no_deletion(homes, database):
    database.psql(
        "CREATE TABLE events (id int, at date NOT NULL, content text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
        "CREATE TABLE january (content text, at date NOT NULL, id int NOT NULL);"  # its columns in another order
        "ALTER TABLE events ATTACH PARTITION january FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
        "CREATE TABLE february PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');"
    )
    captured = Captured(homes(config=config_of(database, OUTBOX + "    tables: [events]\n")), database)
    captured.init()
    database.psql("INSERT INTO events SELECT i, '2026-01-05', 'event ' || i FROM generate_series(1, 30) i;")
    rows = captured.wait_rows(30)
    assert {m["metadata"]["source"]["table"] for m in rows.values()} == {"public.events"}
    assert {m["content"] for m in rows.values()} == {f"event {i}" for i in range(1, 31)}
    database.psql("UPDATE events SET at = '2026-02-05';")
    rows = eventually(lambda: (lambda r: r if all(m["metadata"]["row"]["at"] == "2026-02-05" for m in r.values()) else None)(captured.rows()))
    assert len(rows) == 30 and captured.home.alerts() == []
    database.psql("CREATE TABLE march PARTITION OF events FOR VALUES FROM ('2026-03-01') TO ('2026-04-01'); INSERT INTO events VALUES (31, '2026-03-01', 'new');")
    captured.wait_rows(31)
    before = database.rows("events")
    database.psql("TRUNCATE events;")
    captured.wait_alerts()
    assert captured.home.json("restore")["restored"] == 31 and database.rows("events") == before
    # Made anew under its name, with rows that come at once: they are its rows, too.
    database.psql(
        "BEGIN; DROP TABLE events; CREATE TABLE events (id int, at date NOT NULL, content text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); COMMIT;"
        "CREATE TABLE everything PARTITION OF events DEFAULT; INSERT INTO events VALUES (100, '2026-05-05', 'made anew');"
    )
    eventually(lambda: "made anew" in {m["content"] for m in captured.rows().values()})
    eventually(lambda: database.query("SELECT count(*) FROM pg_trigger WHERE tgname = 'holdfast_keep' AND tgenabled = 'A'") == "2")
    database.psql("UPDATE events SET content = 'followed' WHERE id = 100;")
    eventually(lambda: "followed" in {m["content"] for m in captured.rows().values()})


# ---- order ----


def test_a_transaction_that_commits_late_is_taken_and_holds_up_nobody(captured):
    """Its entries have lower numbers than those that were read long before it."""
    with Session(captured.database) as late:
        late.run("BEGIN;" + update(1, "written early, committed late"))
        captured.database.psql(update(2, "written late, committed early"))
        eventually(lambda: content_of(captured, 2) == "written late, committed early")
        eventually(lambda: captured.database.query(WAITING) == "0")
        assert content_of(captured, 1) != "written early, committed late"
        late.run("COMMIT;")
        eventually(lambda: content_of(captured, 1) == "written early, committed late")
    assert versions_of(captured, 1)[1:] == ["written early, committed late"]


@pytest.mark.parametrize("running", [True, False], ids=["read one by one", "read at once"])
def test_changes_of_one_row_come_in_the_order_in_which_they_were_committed(captured, running):
    """The transaction that began first, and has the lower number, changes the row last."""
    if not running:
        captured.home.call("stop")
    with Session(captured.database) as first, Session(captured.database) as second:
        first.run("BEGIN;" + update(1, "by the first"))
        second.run("BEGIN;" + update(3, "by the second") + update(2, "by the second") + "COMMIT;")
        if running:
            eventually(lambda: content_of(captured, 2) == "by the second")
        first.run(update(2, "by the first") + "COMMIT;")
        second.run(update(2, "at last"))
    captured.home.json("status")
    eventually(lambda: content_of(captured, 2) == "at last")
    assert versions_of(captured, 2)[1:] == ["by the second", "by the first", "at last"]


def test_what_is_rolled_back_is_never_seen(captured):
    with Session(captured.database) as session:
        session.run("BEGIN; DELETE FROM memories;" + "ROLLBACK;")
        session.run("BEGIN;" + update(1, "kept") + "SAVEPOINT s;" + update(2, "lost") + "ROLLBACK TO s;" + update(3, "kept") + "COMMIT;")
    eventually(lambda: content_of(captured, 3) == "kept")
    assert content_of(captured, 1) == "kept" and len(versions_of(captured, 2)) == 1 and captured.home.alerts() == []


def test_an_entry_whose_notification_was_lost_is_found_by_looking(captured):
    captured.database.psql(
        "INSERT INTO holdfast.outbox (op, relid, schema, name, columns, new) SELECT 'I', 'memories'::regclass, 'public', 'memories', "
        f"'{{id,content}}', '({id_of(77)},\"told to nobody\")';"
    )
    eventually(lambda: content_of(captured, 77) == "told to nobody" if id_of(77) in captured.rows() else None)


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
    assert home.json("restore", "app")["restored"] >= 39
    after = database.rows("memories")
    assert [row for row in after if row in before] == before
    assert home.json("restore", "app")["restored"] == 0
    captured.wait_connected()


def test_what_was_put_back_and_is_destroyed_again_is_held_again(captured):
    database, home = captured.database, captured.home
    before = database.rows("memories")
    database.psql("DROP TABLE memories;")
    first = captured.wait_alerts()[0]
    assert "DROP TABLE" in first["actor"] + first["summary"]
    home.json("restore", "app")
    # The new table is captured: its triggers are put back, which is no alarm, and each row was seen coming back.
    eventually(lambda: all(m["sync_version"] > 2 for m in captured.rows().values()))
    eventually(lambda: database.query("SELECT count(*) FROM pg_trigger WHERE tgname = 'holdfast_keep' AND tgenabled = 'A'") == "1")
    for alert in home.alerts():
        assert alert["rule"] != "source_unguarded"
        resolved(home, alert["id"])
    database.psql("TRUNCATE memories;")
    captured.wait_alerts()
    assert len(captured.rows()) == 40
    home.json("restore", "app")
    assert database.rows("memories") == before


def test_a_dropped_column_raises_an_alert_with_who_it_was(captured):
    captured.database.psql("ALTER TABLE memories DROP COLUMN importance;")
    alert = captured.wait_alerts()[0]
    assert alert["rule"] == "source_column_dropped" and "importance" in alert["summary"] and "psql" in alert["summary"]


def test_the_fence_goes_up_and_falls(homes, database):
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database, OUTBOX + "    on_alert: fence\n")), database)
    captured.init()
    captured.wait_rows(40)
    database.psql("DELETE FROM memories;" + insert(1, 900))
    alert = captured.wait_alerts()[0]["id"]
    eventually(lambda: captured.source()["fence"] == alert)
    for statement in ("DELETE FROM memories;", "TRUNCATE memories;", "UPDATE memories SET content = '';", "DROP TABLE memories;"):
        refused = database.psql(statement, check=False)
        assert refused.returncode != 0 and f"alert {alert} is open" in refused.stderr
    resolved(captured.home, alert)
    eventually(lambda: captured.source()["fence"] is None)
    database.psql(f"DELETE FROM memories WHERE id = '{id_of(900)}';")


# ---- faults ----


def test_a_daemon_that_is_killed_in_the_middle_loses_nothing_and_takes_nothing_twice(captured):
    for round in range(4):
        captured.database.psql(insert(3000, 1000 + round * 3000))
        captured.home.kill()  # perhaps in the middle of it
        captured.home.json("status")
    rows = captured.wait_rows(40 + 4 * 3000)
    assert {m["sync_version"] for m in rows.values()} == {1}
    assert captured.home.alerts() == []


def test_what_is_in_the_ledger_and_still_in_the_outbox_is_not_taken_twice(captured):
    home = captured.home
    home.call("stop")
    home.env["HOLDFAST_CRASH_AT"] = "source.postgres.outbox_kept"
    captured.wait_connected()
    pid = home.daemon_pid()
    captured.database.psql(update(1, "one") + update(1, "two") + update(1, "three"))
    eventually(lambda: not is_holdfast(pid))
    assert captured.database.query(WAITING) != "0"
    del home.env["HOLDFAST_CRASH_AT"]
    home.json("status")
    eventually(lambda: captured.database.query(WAITING) == "0")
    captured.database.psql(update(1, "four"))
    eventually(lambda: content_of(captured, 1) == "four")
    assert versions_of(captured, 1)[1:] == ["one", "two", "three", "four"]


def test_what_happens_while_nobody_looks_waits_in_the_outbox(captured):
    captured.home.call("stop")
    captured.database.psql(insert(10, 100) + "DELETE FROM memories WHERE sync_version = 1;")
    assert int(captured.database.query(WAITING)) == 61  # who deleted, 10 new rows, 50 deletions
    captured.home.json("status")
    captured.wait_alerts()
    assert len(captured.wait_rows(50)) == 50


@pytest.mark.parametrize("how", ["restart", "crash", "backend"])
def test_a_server_that_goes_away_is_waited_for(captured, how):
    server = captured.database.server
    if how == "backend":
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast';")
    else:
        server.stop(signal.SIGINT if how == "restart" else signal.SIGQUIT)
        eventually(lambda: not captured.source()["connected"])
        server.start()
    captured.database.psql(insert(10, 100))
    captured.wait_rows(50)
    captured.wait_connected()
    assert captured.home.alerts() == []


def test_a_large_transaction_is_taken_whole(captured):
    captured.database.psql(insert(20_000, 1000))
    eventually(lambda: captured.home.json("status")["memories"] >= 20_040, timeout_s=120)
    eventually(lambda: captured.database.query(WAITING) == "0")
    assert captured.home.alerts() == []


GAPS = {
    "the server went back in time": "UPDATE holdfast.outboxes SET taken = 0;",
    "ahead of the ledger": "UPDATE holdfast.outboxes SET taken = taken + 1000;",
    "outbox was removed": "DROP TABLE holdfast.outbox;",
}


@pytest.mark.parametrize("why", GAPS)
def test_an_outbox_that_does_not_fit_to_the_ledger_means_an_announced_comparison(captured, why):
    database, home = captured.database, captured.home
    database.psql(update(1, "a step, which is confirmed"))
    eventually(lambda: int(database.query("SELECT taken FROM holdfast.outboxes")) >= 2)
    database.psql(update(1, "one more, behind which that is known to be confirmed"))
    eventually(lambda: int(database.query("SELECT taken FROM holdfast.outboxes")) >= 3)
    home.call("stop")
    database.psql(GAPS[why] + "ALTER TABLE memories DISABLE TRIGGER ALL; DELETE FROM memories WHERE id > '" + id_of(2) + "';")
    home.json("status")
    eventually(lambda: any(a["rule"] in ("deletes", "share") for a in home.alerts()))
    gap = [a for a in home.alerts() if a["rule"] == "source_gap"]
    assert len(gap) == 1 and why in gap[0]["summary"]
    assert len(captured.wait_rows(40)) == 40


def test_entries_that_nobody_can_read_hold_nothing_up_and_everything_is_compared(captured):
    entry = "INSERT INTO holdfast.outbox (op, relid, schema, name, columns, new) VALUES ('{}', 'memories'::regclass, 'public', 'memories', {}, {});"
    captured.database.psql(
        entry.format("I", "'{id,content}'", "'(1)'") + entry.format("I", "NULL", "'(1,2)'") + entry.format("U", "'{id}'", "'(1'")
        + entry.format("?", "'{id}'", "'(1)'") + "INSERT INTO holdfast.outbox (op, body) VALUES ('M', 'no JSON'), ('M', NULL);"
    )  # fmt: skip
    captured.database.psql(insert(1, 300))
    captured.wait_rows(41)
    assert captured.home.alerts() == []


def test_an_outbox_that_grows_because_another_source_does_not_take_it_is_told(captured):
    captured.database.psql(
        "INSERT INTO holdfast.outboxes VALUES ('somebody_else', 'x', 0, pg_current_snapshot(), '{}');"
        "INSERT INTO holdfast.outbox (op, body) SELECT 'M', (SELECT string_agg(md5(i || ' ' || j), '') FROM generate_series(1, 1100) j) "
        "FROM generate_series(1, 2100) i;"
    )
    error = eventually(lambda: captured.source()["error"], timeout_s=60)
    assert "2100 rows" in error and "somebody_else" in error
    captured.database.psql("DELETE FROM holdfast.outboxes WHERE source = 'somebody_else';" + update(1, "goes on"))
    eventually(lambda: captured.database.query(WAITING) == "0")
    eventually(lambda: captured.source()["error"] is None)


# ---- the defences are taken away ----

REMOVALS = {
    "row trigger": "DROP TRIGGER holdfast_keep ON memories;",
    "truncate trigger": "ALTER TABLE memories DISABLE TRIGGER holdfast_keep_all;",
    "statement trigger": "ALTER TABLE memories DISABLE TRIGGER holdfast_tell;",
    "not always": "ALTER TABLE memories DISABLE TRIGGER ALL; ALTER TABLE memories ENABLE TRIGGER ALL;",
    "function": "CREATE OR REPLACE FUNCTION holdfast.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';",
    "event trigger": "DROP EVENT TRIGGER holdfast_drop;",
    "reader": "DELETE FROM holdfast.outboxes;",
    "outbox": "DROP TABLE holdfast.outbox;",
    "schema": "DROP SCHEMA holdfast CASCADE;",
}
ALL_THERE = """SELECT (SELECT count(*) FROM pg_trigger WHERE tgname IN ('holdfast_tell', 'holdfast_keep', 'holdfast_keep_all') AND tgenabled = 'A')
    || ' ' || (SELECT count(*) FROM pg_event_trigger WHERE evtenabled = 'A')"""


@pytest.mark.parametrize("what", REMOVALS)
def test_a_defence_that_is_removed_is_told_and_put_back_and_what_went_by_is_found(captured, what):
    database = captured.database
    database.psql(REMOVALS[what] + f"DELETE FROM memories WHERE id > '{id_of(5)}';")  # the application's work goes on
    eventually(lambda: {a["rule"] for a in captured.home.alerts()} & {"source_unguarded", "source_gap"})
    eventually(lambda: any(a["rule"] in ("deletes", "share") for a in captured.home.alerts()))
    eventually(lambda: database.query(ALL_THERE) == "3 2")
    assert len(captured.wait_rows(40)) == 40
    captured.wait_connected()
    database.psql(insert(1, 500))
    captured.wait_rows(41)


@pytest.mark.parametrize("running", [True, False], ids=["seen by a look", "seen at the next start"])
def test_a_trigger_that_is_switched_off_and_on_again_is_told_and_the_rows_are_compared(captured, running):
    if not running:
        captured.home.call("stop")
    captured.database.psql(
        f"BEGIN; ALTER TABLE memories DISABLE TRIGGER holdfast_keep; DELETE FROM memories WHERE id <> '{id_of(1)}';"
        "ALTER TABLE memories ENABLE ALWAYS TRIGGER holdfast_keep; COMMIT;"
    )
    captured.home.json("status")
    eventually(lambda: any(a["rule"] == "source_unguarded" and "changed it back" in a["summary"] for a in captured.home.alerts()))
    eventually(lambda: any(a["rule"] in ("deletes", "share") for a in captured.home.alerts()))
    assert len(captured.wait_rows(40)) == 40


def test_ordinary_work_and_a_restart_are_no_alarm(captured):
    captured.home.call("init", "postgres", "--yes")
    captured.database.psql("VACUUM FULL; ANALYZE; REINDEX SYSTEM " + captured.database.name)
    captured.database.psql("ALTER TABLE memories ADD COLUMN extra text DEFAULT 'x'; CREATE INDEX ON memories (project_id);" + insert(1, 100))
    captured.wait_rows(41)
    captured.home.call("stop")
    captured.wait_connected()
    captured.database.psql(insert(1, 101))
    captured.wait_rows(42)
    assert captured.home.alerts() == []


# ---- init ----

OBJECTS = """SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg_t%'
    UNION ALL SELECT 'relation ' || oid::regclass || ' ' || relreplident::text FROM pg_class WHERE oid >= 16384 AND relnamespace::regnamespace::text NOT LIKE 'pg_%'
    UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT 'trigger ' || tgname || ' ' || tgrelid::regclass FROM pg_trigger
    UNION ALL SELECT 'event ' || evtname FROM pg_event_trigger
    UNION ALL SELECT 'publication ' || pubname FROM pg_publication
    UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots ORDER BY 1"""


def test_init_shows_its_sql_and_remove_leaves_nothing_behind(homes, database):
    database.psql(MEMORIES + "CREATE TABLE keyless (id int, content text);")
    captured = Captured(homes(config=config_of(database, OUTBOX + "    tables: [public.memories, public.keyless]\n")), database)
    before = database.query(OBJECTS)
    shown = captured.home.call("init", "postgres", "--dry-run").out
    assert "CREATE TABLE IF NOT EXISTS holdfast.outbox" in shown and "CREATE TRIGGER holdfast_keep" in shown and "PUBLICATION" not in shown
    refused = captured.home.call("init", "postgres", check=False)
    assert refused.status == 3 and "nothing was run" in refused.err
    assert database.query(OBJECTS) == before
    captured.init()
    assert "trigger holdfast_keep keyless" in database.query(OBJECTS)
    database.psql("INSERT INTO keyless VALUES (1, 'a'), (1, 'b'); DELETE FROM keyless;")
    captured.home.call("init", "postgres", "--yes")  # once more changes nothing
    captured.wait_connected()
    captured.home.call("init", "postgres", "--remove", "--yes")
    assert database.query(OBJECTS) == before


def test_without_init_it_says_what_to_do(homes, database):
    database.psql(MEMORIES)
    captured = Captured(homes(config=config_of(database, OUTBOX)), database)
    assert "run holdfast init postgres" in eventually(lambda: captured.source()["error"])


def test_two_homes_read_one_outbox_and_one_can_leave(homes, database):
    database.psql(MEMORIES + insert(5))
    one = Captured(homes(config=config_of(database, OUTBOX)), database)
    two = Captured(homes(name="two", config=config_of(database, OUTBOX)), database)
    for captured in (one, two):
        captured.init()
        captured.wait_rows(5)
    two.home.call("stop")
    database.psql(insert(1, 50))
    one.wait_rows(6)
    assert database.query(WAITING) == "1"  # for the other
    two.home.json("status")
    two.wait_rows(6)
    eventually(lambda: database.query(WAITING) == "0")
    two.home.call("init", "postgres", "--remove", "--yes")
    database.psql(insert(1, 51))
    one.wait_rows(7)
    eventually(lambda: database.query(WAITING) == "0")
    assert one.home.alerts() == []


def test_one_database_is_captured_in_one_way(homes, database):
    database.psql(MEMORIES + insert(5))
    one = Captured(homes(config=config_of(database)), database)
    one.init()
    two = homes(name="two", config=config_of(database, OUTBOX))
    two.env["PGPASSWORD"] = database.server.password
    refused = two.call("init", "postgres", "--yes", check=False)
    assert refused.status == 3 and "capture: stream" in refused.err


@pytest.mark.parametrize("back", [False, True], ids=["to the outbox", "to the stream"])
def test_the_way_can_be_changed_by_init_and_everything_is_compared(homes, database, back):
    database.psql(MEMORIES + insert(40))
    ways = [OUTBOX, "    capture: stream\n"] if back else ["", OUTBOX]
    captured = Captured(homes(config=config_of(database, ways[0])), database)
    captured.init()
    captured.wait_rows(40)
    captured.home.call("stop")
    captured.home.write_config(config_of(database, ways[1]))
    assert "run holdfast init postgres" in eventually(lambda: captured.source()["error"])  # a person decides it
    captured.init()
    assert captured.source()["capture"] == ("stream" if back else "outbox")
    database.psql(insert(1, 50))
    captured.wait_rows(41)
    gap = eventually(lambda: [a for a in captured.home.alerts() if a["rule"] == "source_gap"])
    assert "captured otherwise" in gap[0]["summary"]
    assert database.query("SELECT count(*) FROM pg_publication") == ("1" if back else "0")
    assert database.query("SELECT count(*) FROM pg_replication_slots") == ("1" if back else "0")
    assert database.query("SELECT to_regclass('holdfast.outbox') IS NULL") == ("t" if back else "f")


def test_an_owner_who_is_no_superuser_has_an_outbox_without_event_triggers(homes, database):
    role = f"owner_of_{database.name}"
    database.psql(
        f"CREATE ROLE {role} LOGIN PASSWORD '{database.server.password}';"  # REPLICATION is not needed
        f"GRANT CREATE ON DATABASE {database.name} TO {role}; GRANT CREATE ON SCHEMA public TO {role};"
        f"SET ROLE {role};" + MEMORIES + insert(40)
    )
    captured = Captured(homes(config=config_of(database, OUTBOX).replace("://postgres@", f"://{role}@")), database)
    captured.init()
    captured.wait_rows(40)
    before = database.rows("memories")
    agent = f"agent_of_{database.name}"  # who may write the table, and has no right on our schema
    database.psql(f"CREATE ROLE {agent}; GRANT ALL ON memories TO {agent};")
    database.psql(f"SET ROLE {agent}; DELETE FROM memories;")
    captured.wait_alerts()
    database.psql("DROP TABLE memories;")
    eventually(lambda: any(a["rule"] == "source_vanished" for a in captured.home.alerts()) or captured.home.json("restore", "app")["tables"][0]["created"])
    captured.home.json("restore", "app")
    assert database.rows("memories") == before


# ---- a server without logical replication ----


@pytest.mark.postgres
def test_a_server_without_logical_replication_is_captured_by_itself(homes):
    with other_cluster(wal_level="replica") as database:
        database.psql(MEMORIES + insert(40))
        captured = Captured(homes(config=config_of(database)), database)
        captured.init()
        captured.wait_rows(40)
        assert captured.source()["capture"] == "outbox"
        before = database.rows("memories")
        database.server.restart()
        database.psql("DELETE FROM memories;")
        alert = captured.wait_alerts()[0]
        assert "app: postgres (psql)" in alert["actor"] + alert["summary"] and len(captured.rows()) == 40
        assert captured.home.json("restore")["restored"] == 40
        assert database.rows("memories") == before
        # Who asks for the stream there is told what to do.
        stream = homes(name="stream", config=config_of(database, "    capture: stream\n"))
        stream.env["PGPASSWORD"] = database.server.password
        error = eventually(lambda: stream.json("status")["sources"][0]["error"])
        assert "wal_level is replica" in error and "capture: outbox" in error
        captured.home.close()
        stream.close()
