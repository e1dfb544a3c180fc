"""PostgreSQL as a source when things break, and when somebody takes the defences away."""

from __future__ import annotations

import os
import signal

import pytest

from support.home import eventually
from support.source import MEMORIES, Captured, config_of, id_of, insert


@pytest.fixture
def captured(homes, database):
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    captured.wait_rows(40)
    return captured


@pytest.fixture
def owned(homes, database):
    """The same for a role that owns the table and is no superuser: without event triggers."""
    role = f"owner_of_{database.name}"
    database.psql(
        f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{database.server.password}';"
        f"GRANT CREATE ON DATABASE {database.name} TO {role}; GRANT CREATE ON SCHEMA public TO {role};"
        f"SET ROLE {role};" + MEMORIES + insert(40)
    )
    config = config_of(database).replace("://postgres@", f"://{role}@")
    assert role in config
    return Captured(homes(config=config), database)


# ---- crashes ----


def test_a_daemon_that_is_killed_in_the_middle_loses_nothing_and_takes_nothing_twice(captured):
    for round in range(4):
        captured.database.psql(insert(5000, 1000 + round * 5000))
        captured.home.kill()  # perhaps in the middle of it
        captured.home.json("status")
    rows = captured.wait_rows(40 + 4 * 5000)
    assert {m["sync_version"] for m in rows.values()} == {1}
    assert captured.home.alerts() == []


def test_a_destruction_during_which_the_daemon_dies_is_held_when_it_is_back(captured):
    captured.database.psql("BEGIN; DELETE FROM memories; COMMIT;")
    captured.home.kill()
    captured.wait_alerts()
    assert len(captured.wait_rows(40)) == 40


def test_a_destruction_while_nobody_looks_is_held_when_the_daemon_is_back(captured):
    captured.home.call("stop")
    captured.database.psql("DROP TABLE memories;" + MEMORIES)
    captured.home.json("status")
    captured.wait_alerts()
    assert len(captured.rows()) == 40
    assert captured.home.json("restore")["tables"][0]["inserted"] == 40


@pytest.mark.parametrize("how", ["restart", "crash", "backend"])
def test_a_server_that_goes_away_is_waited_for(captured, how):
    server = captured.database.server
    if how == "backend":
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast';")
    else:
        server.stop(signal.SIGINT if how == "restart" else signal.SIGQUIT)
        eventually(lambda: not captured.source()["connected"])
        assert len(captured.rows()) == 40  # an outage deletes nothing
        server.start()
    captured.database.psql(insert(10, 100))
    captured.wait_rows(50)
    captured.wait_connected()
    assert captured.home.alerts() == []


def test_a_wrong_password_and_a_missing_database_are_each_one_line(homes, database):
    home = homes(config=config_of(database))
    home.env["PGPASSWORD"] = "wrong"
    error = eventually(lambda: home.json("status")["sources"][0]["error"])
    assert "authentication failed" in error and "\n" not in error and "wrong" not in error
    other = homes(name="other", config=config_of(database).replace(database.name, "nowhere"))
    other.env["PGPASSWORD"] = database.server.password
    assert 'database "nowhere" does not exist' in eventually(lambda: other.json("status")["sources"][0]["error"])


# ---- the defences are taken away ----

REMOVALS = {
    "publication": "DROP PUBLICATION {publication};",
    "table of the publication": "ALTER PUBLICATION {publication} DROP TABLE memories;",
    "deletions of the publication": "ALTER PUBLICATION {publication} SET (publish = 'insert, update');",
    "rows of the publication": "ALTER PUBLICATION {publication} SET TABLE memories WHERE (id IS NULL);",
    "columns of the publication": "ALTER PUBLICATION {publication} SET TABLE memories (id);",
    "event trigger": "DROP EVENT TRIGGER holdfast_drop;",
    "event trigger off": "ALTER EVENT TRIGGER holdfast_ddl DISABLE;",
    "trigger off": "ALTER TABLE memories DISABLE TRIGGER ALL; ALTER TABLE memories ENABLE TRIGGER ALL;",
    "schema": "DROP SCHEMA holdfast CASCADE;",
}


@pytest.mark.parametrize("what", REMOVALS)
def test_a_defence_that_is_removed_is_told_and_put_back_and_the_rest_is_still_caught(captured, what):
    database = captured.database
    publication = database.query("SELECT pubname FROM pg_publication")
    database.psql(REMOVALS[what].format(publication=publication))
    rules = {alert["rule"] for alert in captured.wait_alerts()}
    assert rules & {"source_unguarded", "source_gap"}, rules
    eventually(lambda: database.query(f"SELECT count(*) FROM pg_publication_tables WHERE pubname = '{publication}'") == "1")
    eventually(lambda: database.query("SELECT pubupdate AND pubdelete AND pubtruncate FROM pg_publication") == "t")
    eventually(lambda: database.query("SELECT prqual IS NULL AND prattrs IS NULL FROM pg_publication_rel") == "t")
    eventually(lambda: database.query("SELECT count(*) FROM pg_event_trigger WHERE evtenabled = 'A'") == "2")
    eventually(lambda: database.query("SELECT count(*) FROM pg_trigger WHERE tgname = 'holdfast_tell' AND tgenabled = 'A'") == "1")
    database.psql("DELETE FROM memories;")
    eventually(lambda: any(a["rule"] in ("deletes", "share") for a in captured.home.alerts()))
    assert len(captured.wait_rows(40)) == 40


def test_rows_deleted_under_another_name_are_held(owned):
    owned.init()
    owned.wait_rows(40)
    owned.database.psql(
        "BEGIN; ALTER TABLE memories RENAME TO hidden; DELETE FROM hidden; ALTER TABLE hidden RENAME TO memories; COMMIT;"
    )
    owned.wait_alerts()
    assert len(owned.wait_rows(40)) == 40


def test_rows_that_a_policy_hides_are_an_error_and_not_deleted(owned):
    hide = "ALTER TABLE memories {} ROW LEVEL SECURITY, {} ROW LEVEL SECURITY;"
    owned.database.psql(hide.format("ENABLE", "FORCE"))
    owned.home.call("init", "postgres", "--yes")
    assert "row-level security" in eventually(lambda: owned.source()["error"])
    owned.database.psql(hide.format("DISABLE", "NO FORCE"))
    assert len(owned.wait_rows(40)) == 40


def test_a_dropped_publication_with_a_deletion_behind_it_is_still_caught(captured):
    database = captured.database
    publication = database.query("SELECT pubname FROM pg_publication")
    database.psql(f"DROP PUBLICATION {publication}; DELETE FROM memories WHERE id <> '{id_of(1)}';")
    # The watcher and the stream notice it each by itself, in any order.
    eventually(lambda: any(a["rule"] in ("deletes", "share") for a in captured.home.alerts()))
    eventually(lambda: any(a["rule"] == "source_gap" for a in captured.home.alerts()))
    assert len(captured.wait_rows(40)) == 40


def test_a_lost_slot_means_an_announced_comparison_and_never_silence(captured):
    database, home = captured.database, captured.home
    home.call("stop")
    database.psql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;")
    database.psql(f"DELETE FROM memories WHERE id <> '{id_of(1)}';" + insert(2, 300))
    home.json("status")
    eventually(lambda: len([a for a in home.alerts() if a["rule"] in ("deletes", "share")]) == 1)
    gap = [a for a in home.alerts() if a["rule"] == "source_gap"]
    assert len(gap) == 1 and "replication slot is gone" in gap[0]["summary"]
    assert len(captured.wait_rows(42)) == 42


def test_another_database_in_its_place_deletes_nothing(captured):
    database, home = captured.database, captured.home
    home.call("stop")
    name = database.name
    database.server.psql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;")
    database.server.psql(f"DROP DATABASE {name} WITH (FORCE);")
    database.server.psql(f"CREATE DATABASE {name};")
    database.psql(MEMORIES)
    home.json("status")
    alerts = eventually(lambda: (lambda a: a if len(a) >= 2 else None)(home.alerts()))
    assert any("another database than before" in a["summary"] for a in alerts)
    assert len(captured.rows()) == 40
    assert home.json("restore")["tables"][0]["inserted"] == 40


# ---- amounts ----


def test_a_large_transaction_goes_through_with_little_memory(homes, database, monkeypatch):
    monkeypatch.setenv("HOLDFAST_BIN", os.environ["HOLDFAST_BIN_PLAIN"])  # a sanitizer's memory is not ours
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    captured.wait_rows(40)
    captured.database.psql(insert(100_000, 1000))
    eventually(lambda: captured.home.json("status")["memories"] >= 100_040, timeout_s=120)
    peak = [line for line in open(f"/proc/{captured.home.daemon_pid()}/status") if line.startswith("VmHWM")][0]
    assert int(peak.split()[1]) <= 128 * 1024, peak
    assert captured.home.alerts() == []


def test_an_idle_source_still_advances(captured):
    """The server's log is not kept for a table that nobody writes to, while others are written."""
    server = captured.database.server
    slot = "SELECT confirmed_flush_lsn > '{}'::pg_lsn FROM pg_replication_slots"
    server.psql("CREATE TABLE IF NOT EXISTS elsewhere(t text); INSERT INTO elsewhere SELECT repeat('x', 1000) FROM generate_series(1, 1000);")
    mark = server.query("SELECT pg_current_wal_lsn()")
    server.psql("INSERT INTO elsewhere SELECT repeat('y', 1000) FROM generate_series(1, 1000); DROP TABLE elsewhere;")
    eventually(lambda: server.query(slot.format(mark)) == "t", timeout_s=60)


def test_rows_that_can_not_be_kept_are_told_and_do_not_stop_the_others(captured):
    captured.database.psql("INSERT INTO memories (content) VALUES (repeat('x', 60000));" + insert(1, 500))
    eventually(lambda: id_of(500) in captured.rows())
    error = eventually(lambda: captured.source()["error"])
    assert "could not be kept" in error and "public.memories" in error
