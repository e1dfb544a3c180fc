"""PostgreSQL as a source when things break, and when somebody takes the defences away."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from postgres_server import programs

from support.home import eventually, is_holdfast
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


@pytest.mark.threads
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


# ---- a commit that is in the log, and that nobody sees yet ----


@contextmanager
def unanswered(captured, sql):
    """Run it in a transaction whose commit waits for a standby that there is not, till the end of the block."""
    database = captured.database
    server = database.server
    server.psql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf();")
    with ThreadPoolExecutor() as pool:
        try:
            eventually(lambda: database.query("SHOW synchronous_standby_names") == "nobody")
            waiting = pool.submit(database.psql, f"SET synchronous_commit = on; SET application_name = 'waiting'; {sql}")
            eventually(lambda: database.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waiting' AND wait_event = 'SyncRep'") == "1")
            yield
        finally:
            server.psql("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf();")
        waiting.result()


@pytest.fixture
def replicated(homes, database):
    """Captured, where only who asks for it waits for a standby."""
    database.psql(f"ALTER DATABASE {database.name} SET synchronous_commit = off;")
    database.psql(MEMORIES + "ALTER TABLE memories ADD number int NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE;" + insert(40))
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    captured.wait_rows(40)
    return captured


def sent(captured):
    """The stream has come to here."""
    lsn = captured.database.query("SELECT pg_current_wal_insert_lsn()")
    return lambda: captured.database.query(f"SELECT bool_or(sent_lsn >= '{lsn}') FROM pg_stat_replication WHERE application_name = 'holdfast'") == "t"


def kept(captured):
    """All up to here is in the ledger."""
    lsn = captured.database.query("SELECT pg_current_wal_insert_lsn()")
    return lambda: captured.database.query(f"SELECT '{captured.source()['position']}'::pg_lsn >= '{lsn}'") == "t"


@pytest.mark.parametrize("sql, rule", [("ALTER TABLE memories DROP COLUMN importance;", "source_column_dropped"), ("DROP TABLE memories;", "deletes")])
def test_what_was_done_is_no_forgery_before_others_see_it(replicated, sql, rule):
    with unanswered(replicated, sql):
        eventually(sent(replicated))
    assert [alert["rule"] for alert in replicated.wait_alerts()] == [rule]
    assert len(replicated.wait_rows(40)) == 40


def test_a_comparison_waits_until_it_sees_what_the_stream_told(replicated):
    """A deletion that comes without the row's id is found by a comparison, which must not be earlier than it."""
    replicated.database.psql("ALTER TABLE memories REPLICA IDENTITY USING INDEX memories_number_key;" + insert(1, 41))
    replicated.wait_rows(41)
    with unanswered(replicated, f"DELETE FROM memories WHERE id = '{id_of(7)}';"):
        eventually(kept(replicated))
    assert id_of(7) not in replicated.wait_rows(40)
    assert replicated.home.alerts() == []


def test_an_older_version_put_back_by_a_commit_that_nobody_sees_yet_is_a_change(homes, database):
    """Whether it is the echo of what the mirror wrote before, the row tells; but not the row as it was before that commit."""
    database.psql(f"ALTER DATABASE {database.name} SET synchronous_commit = off;")
    database.psql(MEMORIES + insert(3))
    windows = "".join(f"  {rule}_window: 10s\n" for rule in ("delete", "share", "update", "loss"))
    captured = Captured(homes(config=config_of(database, "    project: test\n    mirror: true\n") + "guard:\n" + windows), database)
    captured.init()
    captured.wait_rows(3)
    home = captured.home
    id = home.json("remember", "first", "--project", "test")["id"]
    for said, version in (("second", 2), ("third", 3)):
        home.call("remember", said, "--id", id, "--project", "test")
        eventually(lambda version=version: database.query(f"SELECT sync_version FROM memories WHERE id = '{id}'") == str(version))
    eventually(kept(captured))
    with unanswered(captured, f"UPDATE memories SET content = 'second', sync_version = 2 WHERE id = '{id}';"):
        eventually(sent(captured))
        eventually(lambda: database.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast' AND query LIKE '%current_snapshot%'") != "0")
    eventually(lambda: home.export()[id]["content"] == "second")
    assert [version["content"] for version in home.lines("show", id, "--history")] == ["first", "second", "third", "second"]


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


TOGGLES = {
    "publication": (
        "ALTER PUBLICATION {publication} SET (publish = 'insert');",
        "ALTER PUBLICATION {publication} SET (publish = 'insert, update, delete, truncate');",
    ),
    "table of the publication": ("ALTER PUBLICATION {publication} DROP TABLE memories;", "ALTER PUBLICATION {publication} ADD TABLE memories;"),
    "trigger": ("ALTER TABLE memories DISABLE TRIGGER holdfast_tell;", "ALTER TABLE memories ENABLE ALWAYS TRIGGER holdfast_tell;"),
    "event trigger": ("ALTER EVENT TRIGGER holdfast_drop DISABLE;", "ALTER EVENT TRIGGER holdfast_drop ENABLE ALWAYS;"),
}


def is_unguarded(captured) -> bool:
    return any(a["rule"] == "source_unguarded" and "changed it back" in a["summary"] for a in captured.home.alerts())


@pytest.mark.parametrize("running", [True, False], ids=["seen by a look", "seen at the next start"])
@pytest.mark.parametrize("what", TOGGLES)
def test_a_defence_that_is_switched_off_and_on_again_is_told_and_the_rows_are_compared(captured, what, running):
    database = captured.database
    publication = database.query("SELECT pubname FROM pg_publication")
    off, on = (sql.format(publication=publication) for sql in TOGGLES[what])
    if not running:
        captured.home.call("stop")
    # In one transaction: no look can come between. Its catalog is what the server decodes by, all the same.
    database.psql(f"BEGIN; {off} DELETE FROM memories WHERE id <> '{id_of(1)}'; {on} COMMIT;")
    captured.home.json("status")
    eventually(lambda: is_unguarded(captured))
    eventually(lambda: any(a["rule"] in ("deletes", "share") for a in captured.home.alerts()))
    assert len(captured.wait_rows(40)) == 40
    assert len([a for a in captured.home.alerts() if a["rule"] == "source_unguarded"]) == 1


def test_a_crash_between_a_repair_and_its_comparison_hides_no_gap(captured):
    database, home = captured.database, captured.home
    publication = database.query("SELECT pubname FROM pg_publication")
    home.call("stop")
    home.env["HOLDFAST_CRASH_AT"] = "source.postgres.repaired"
    captured.wait_connected()
    pid = home.daemon_pid()
    database.psql(f"ALTER PUBLICATION {publication} SET (publish = 'insert'); DELETE FROM memories WHERE id <> '{id_of(1)}';")
    eventually(lambda: not is_holdfast(pid))
    del home.env["HOLDFAST_CRASH_AT"]
    assert database.query("SELECT pubdelete FROM pg_publication") == "t"  # it was repaired
    home.json("status")
    eventually(lambda: any(a["rule"] in ("deletes", "share") for a in home.alerts()))
    assert len(captured.wait_rows(40)) == 40


def test_init_once_more_and_a_restart_are_no_alarm(captured):
    captured.home.call("init", "postgres", "--yes")
    captured.database.psql("VACUUM FULL; ANALYZE; REINDEX SYSTEM " + captured.database.name)
    captured.database.psql(insert(1, 100))
    captured.wait_rows(41)
    captured.home.call("stop")
    captured.wait_connected()
    captured.database.psql(insert(1, 101))
    captured.wait_rows(42)
    assert captured.home.alerts() == []


@pytest.mark.parametrize("thing", ["schema", "function"])
def test_a_schema_that_another_role_made_is_refused(homes, database, thing):
    role = f"stranger_of_{database.name}"
    database.psql(MEMORIES + f"CREATE ROLE {role}; GRANT CREATE ON DATABASE {database.name} TO {role};")
    database.psql(
        f"SET ROLE {role}; CREATE SCHEMA holdfast;"
        if thing == "schema"
        else f"CREATE SCHEMA holdfast; GRANT ALL ON SCHEMA holdfast TO {role}; SET ROLE {role};"
        "CREATE FUNCTION holdfast.tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    )
    captured = Captured(homes(config=config_of(database)), database)
    refused = captured.home.call("init", "postgres", "--yes", check=False)
    assert refused.status == 3 and role in refused.err and "DROP SCHEMA holdfast CASCADE" in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert database.query("SELECT count(*) FROM pg_publication") == "0"


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


# ---- long transactions, and a shutdown in the middle ----


@contextmanager
def long_transaction(database, sql: str):
    """A session of the application that has done this, and neither commits nor ends."""
    command = [programs() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database.url]
    env = os.environ | {"PGPASSWORD": database.server.password, "PGAPPNAME": "long"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=env, text=True) as process:
        process.stdin.write(f"BEGIN; {sql}\n")
        process.stdin.flush()
        idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'long' AND state = 'idle in transaction'"
        eventually(lambda: database.query(idle) == "1")
        try:
            yield
            assert database.query(idle) == "1"  # it was there all the time
        finally:
            process.stdin.write("ROLLBACK;\n")
            process.stdin.close()
            process.wait(timeout=30)


def test_a_repair_does_not_queue_behind_a_long_transaction_and_is_done_when_that_ends(captured):
    database = captured.database
    count = "SELECT count(*) FROM pg_event_trigger WHERE evtname = 'holdfast_drop'"
    with long_transaction(database, insert(1, 700)):
        database.psql("DROP EVENT TRIGGER holdfast_drop;")
        error = eventually(lambda: captured.source()["error"])
        assert "tried again" in error and "the event trigger holdfast_drop" in error
        database.psql(f"UPDATE memories SET importance = 1 WHERE id = '{id_of(1)}';")  # others are not kept waiting
        eventually(lambda: captured.rows()[id_of(1)]["importance"] == 1)
        assert database.query(count) == "0"
    eventually(lambda: database.query(count) == "1")
    eventually(lambda: captured.source()["error"] is None)
    assert [a["rule"] for a in captured.home.alerts()] == ["source_unguarded"]


def waits_for(captured, sql: str):
    """A statement of ours that the server works on just now."""
    query = f"SELECT pid FROM pg_stat_activity WHERE application_name = 'holdfast' AND state = 'active' AND query LIKE '{sql}'"
    return lambda: captured.database.query(query)


def test_a_restore_that_waits_for_a_lock_does_not_hold_up_a_shutdown(captured):
    captured.database.psql("TRUNCATE memories;")
    captured.wait_alerts()
    pid = captured.home.daemon_pid()
    with long_transaction(captured.database, "LOCK TABLE memories IN ACCESS EXCLUSIVE MODE;"), ThreadPoolExecutor() as pool:
        restore = pool.submit(captured.home.call, "restore", check=False)
        eventually(waits_for(captured, "CREATE TEMP TABLE%"))
        captured.home.call("stop")
        assert not is_holdfast(pid)
        assert restore.result().status != 0
    assert captured.database.query("SELECT count(*) FROM memories") == "0"
    assert captured.home.json("restore")["restored"] == 40


def test_a_restore_whose_server_takes_no_rows_does_not_hold_up_a_shutdown(captured):
    rows = f"INSERT INTO memories (content) SELECT repeat(md5(i::text), 1000) FROM generate_series(1, 1500) i;"
    captured.database.psql(rows)
    captured.wait_rows(1540)
    captured.database.psql("TRUNCATE memories;")
    captured.wait_alerts()
    pid = captured.home.daemon_pid()
    with ThreadPoolExecutor() as pool:
        for _ in range(20):  # until it is caught in the midst of sending
            restore = pool.submit(captured.home.call, "restore", "--dry-run", check=False)
            while not restore.done() and not (backend := waits_for(captured, "COPY%")()):
                pass
            if backend:
                break
        assert backend
        os.kill(int(backend), signal.SIGSTOP)
        try:
            captured.home.call("stop")
            assert not is_holdfast(pid)
        finally:
            os.kill(int(backend), signal.SIGCONT)
        assert restore.result().status != 0


def test_a_comparison_does_not_hold_up_a_shutdown(captured):
    pid = captured.home.daemon_pid()
    with long_transaction(captured.database, "LOCK TABLE memories IN ACCESS EXCLUSIVE MODE;"):
        captured.database.psql("DROP EVENT TRIGGER holdfast_drop;")  # it is told, and a comparison is due
        captured.wait_alerts()
        captured.home.call("stop")
        assert not is_holdfast(pid)


# ---- messages that somebody else writes ----

MESSAGE = "pg_logical_emit_message(true, 'holdfast', json_build_object({})::text)"
DROPPED = "'event', 'drop', 'tag', 'DROP TABLE', 'type', 'table', 'oid', {}, 'schema', 'public', 'table', 'memories', 'role', 'innocent', 'pid', 1"
INNOCENT = "'event', 'statement', 'tag', 'DELETE', 'schema', 'public', 'table', 'memories', 'role', 'innocent', 'application', 'x', 'pid', 1"


@pytest.mark.parametrize("oid", ["'memories'::regclass::oid::int8", "12345", "0", "-1", "'x'", "NULL"])
def test_a_forged_drop_journals_nothing(captured, oid):
    captured.database.psql(f"SELECT {MESSAGE.format(DROPPED.format(oid))};" + insert(1, 100))
    eventually(lambda: id_of(100) in captured.rows())
    if "regclass" in oid:
        told = eventually(lambda: [a for a in captured.home.alerts() if a["rule"] == "source_forged"])
        assert "memories was dropped, and it was not" in told[0]["summary"]
    captured.database.psql(insert(1, 101))
    rows = captured.wait_rows(42)
    assert {m["sync_version"] for m in rows.values()} == {1}
    assert {a["rule"] for a in captured.home.alerts()} <= {"source_forged"}


def test_an_end_that_was_told_can_not_be_told_again(captured):
    database = captured.database
    oid = database.query("SELECT 'memories'::regclass::oid::int8")
    database.psql("DROP TABLE memories;")
    captured.wait_alerts()
    captured.home.json("restore")
    eventually(lambda: {m["sync_version"] for m in captured.rows().values()} == {3})  # deleted, and back
    database.psql(f"SELECT {MESSAGE.format(DROPPED.format(oid))};" + insert(1, 100))
    eventually(lambda: id_of(100) in captured.rows())
    database.psql(insert(1, 101))
    rows = captured.wait_rows(42)
    assert {m["sync_version"] for m in rows.values()} == {1, 3}


def test_a_forged_drop_of_a_column_is_told(captured):
    lie = DROPPED.format(1).replace("'type', 'table'", "'type', 'table column', 'column', 'content'")
    captured.database.psql(f"SELECT {MESSAGE.format(lie)};")
    assert captured.wait_alerts()[0]["rule"] == "source_forged"


FORGERIES = {
    "before": f"BEGIN; SELECT {MESSAGE.format(INNOCENT)}; DELETE FROM memories; COMMIT;",
    "within": f"DELETE FROM memories WHERE (SELECT {MESSAGE.format(INNOCENT)}) IS NOT NULL;",
    "row by row": f"DELETE FROM memories WHERE {MESSAGE.format(INNOCENT + ', {}, content').format(chr(39) + 'c' + chr(39))} IS NOT NULL;",
}


@pytest.mark.parametrize("how", FORGERIES)
def test_nobody_is_blamed_where_the_messages_of_a_transaction_contradict_each_other(captured, how):
    captured.database.psql(FORGERIES[how])
    forged = eventually(lambda: [a for a in captured.home.alerts() if a["rule"] == "source_forged"])
    assert len(forged) == 1 and "postgres, pid" in forged[0]["summary"] and "innocent, pid 1" in forged[0]["summary"]
    held = eventually(lambda: [a for a in captured.home.alerts() if a["rule"] in ("deletes", "share")])
    assert "innocent" not in held[0]["actor"] and len(captured.wait_rows(40)) == 40


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
