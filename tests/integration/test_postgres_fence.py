"""The fence: on an alert the database itself refuses further destruction, until a person decides."""

from __future__ import annotations

import pytest

from support.home import eventually
from support.source import MEMORIES, Captured, config_of, id_of, insert
from support.terminal import resolved

GUARD = "guard:\n  on_alert: fence\n"
DESTRUCTION = {
    "delete": "DELETE FROM memories",
    "delete as a replica": "SET session_replication_role = replica; DELETE FROM memories",
    "update": "UPDATE memories SET content = ''",
    "truncate": "TRUNCATE memories",
    "drop": "DROP TABLE memories",
    "drop a column": "ALTER TABLE memories DROP COLUMN content",
    "under another name": "ALTER TABLE memories RENAME TO hidden; DELETE FROM hidden",
}


@pytest.fixture
def captured(homes, database):
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database) + GUARD), database)
    captured.init()
    captured.wait_rows(40)
    return captured


def fenced(captured) -> str:
    """The alert for which it is fenced."""
    return eventually(lambda: captured.source()["fence"])


def refusal(captured, sql: str) -> str:
    done = captured.database.psql(f"BEGIN; {sql}; COMMIT;", check=False)
    assert done.returncode != 0, sql
    return done.stderr


@pytest.fixture
def wrecked(captured):
    """All rows deleted, the alert open, the fence up."""
    captured.database.psql("DELETE FROM memories;" + insert(3, 900))
    alert = captured.wait_alerts()[0]["id"]
    assert fenced(captured) == alert
    return captured


@pytest.mark.parametrize("how", DESTRUCTION)
def test_destruction_is_refused_and_the_message_says_what_to_do(wrecked, how):
    alert = wrecked.home.alerts()[0]["id"]
    said = refusal(wrecked, DESTRUCTION[how])
    assert f"alert {alert} is open" in said and f"holdfast resolve {alert} --revert (or --accept)" in said
    assert wrecked.database.query("SELECT count(*) FROM memories") == "3"


def test_what_adds_is_not_refused(wrecked):
    wrecked.database.psql(insert(5, 1000) + "CREATE TABLE other (id int); INSERT INTO other VALUES (1); DELETE FROM other; DROP TABLE other;")
    wrecked.wait_rows(48)


def test_nothing_is_refused_where_nothing_was_destroyed(captured):
    captured.database.psql(f"UPDATE memories SET importance = 1; DELETE FROM memories WHERE id = '{id_of(1)}'; CREATE TABLE other ();")
    captured.wait_rows(39)
    assert captured.source()["fence"] is None and captured.database.query("SELECT count(*) FROM holdfast.fence") == "0"


@pytest.mark.parametrize("word", ["--revert", "--accept"])
def test_a_restore_passes_it_and_a_persons_word_lowers_it(wrecked, word):
    database, home, alert = wrecked.database, wrecked.home, wrecked.home.alerts()[0]["id"]
    shown = home.call("status").out
    assert "fenced: UPDATE, DELETE, TRUNCATE and DROP are refused" in shown and alert in shown
    assert home.json("restore")["tables"][0]["inserted"] == 40
    assert "is open" in refusal(wrecked, "TRUNCATE memories")
    resolved(home, alert, word)
    eventually(lambda: wrecked.source()["fence"] is None)
    database.psql(f"DELETE FROM memories WHERE id = '{id_of(900)}';")
    assert database.query("SELECT count(*) FROM memories") == "42"


@pytest.mark.parametrize("way", ["stream", "outbox"])
def test_it_moves_as_soon_as_the_ledger_says_so(homes, database, way):
    """The look from outside, which else would move it, is ten minutes away."""
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database, f"    capture: {way}\n") + GUARD), database)
    captured.home.env["HOLDFAST_WATCH_MS"] = "600000"
    captured.init()
    captured.wait_rows(40)
    for n in range(1, 16):
        captured.home.call("forget", id_of(n), check=False)
    assert fenced(captured) == captured.wait_alerts()[0]["id"]
    resolved(captured.home, captured.home.alerts()[0]["id"])
    eventually(lambda: captured.source()["fence"] is None)
    database.psql(f"DELETE FROM memories WHERE id = '{id_of(30)}';")


def test_it_stands_while_the_daemon_does_not_run_and_after_it_is_back(wrecked):
    alert = wrecked.home.alerts()[0]["id"]
    wrecked.home.kill()
    assert alert in refusal(wrecked, "DELETE FROM memories")
    assert wrecked.home.call("--json", "--no-daemon", "restore").json()["restored"] == 40
    assert alert in refusal(wrecked, "DELETE FROM memories")
    assert fenced(wrecked) == alert
    assert alert in refusal(wrecked, "DELETE FROM memories")


def test_somebody_who_lowers_it_is_told_and_it_is_put_back(wrecked):
    wrecked.database.psql("DELETE FROM holdfast.fence;")
    eventually(lambda: any("lowered the fence" in a["summary"] for a in wrecked.home.alerts()))
    eventually(lambda: wrecked.database.query("SELECT count(*) FROM holdfast.fence") == "1")
    refusal(wrecked, "DELETE FROM memories")


def test_init_remove_takes_it_out(wrecked):
    wrecked.home.call("init", "postgres", "--remove", "--yes")
    wrecked.database.psql("DELETE FROM memories;")
    assert wrecked.database.query("SELECT count(*) FROM memories") == "0"


def test_a_table_that_was_dropped_and_is_restored_is_fenced_too(captured):
    captured.database.psql("DROP TABLE memories;")
    alert = captured.wait_alerts()[0]["id"]
    assert captured.home.json("restore")["tables"][0]["created"]
    assert fenced(captured) == alert
    eventually(lambda: captured.database.psql("BEGIN; DELETE FROM memories; ROLLBACK;", check=False).returncode != 0)


def test_a_source_may_decide_otherwise_than_the_guard(homes, database):
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database, "    on_alert: hold\n") + GUARD), database)
    captured.init()
    captured.wait_rows(40)
    database.psql("DELETE FROM memories;")
    captured.wait_alerts()
    database.psql(insert(1) + "DELETE FROM memories;")
    assert captured.source()["fence"] is None


def test_an_alert_about_other_memories_fences_nothing(captured):
    ids = captured.home.remember_many([f"note {i} of somebody else" for i in range(30)])
    captured.home.call("forget", *ids, check=False)
    for id in ids[:15]:
        captured.home.call("forget", id, check=False)
    captured.wait_alerts()
    captured.database.psql(f"DELETE FROM memories WHERE id = '{id_of(1)}'; " + insert(1, 500))
    eventually(lambda: id_of(500) in captured.rows())
    assert captured.source()["fence"] is None


def test_an_unknown_word_is_refused(homes, database):
    refused = homes(config=config_of(database, "    on_alert: pause\n")).call("status", check=False)
    assert refused.status == 2 and "allowed are hold, fence" in refused.err


IMPOSTORS = """
CREATE SCHEMA evil; CREATE ROLE agent LOGIN; GRANT USAGE ON SCHEMA evil TO agent; GRANT ALL ON memories TO agent;
CREATE DOMAIN evil.text AS int; CREATE DOMAIN evil.regclass AS int;
CREATE FUNCTION evil.is_it(oid, oid) RETURNS bool LANGUAGE sql AS $$SELECT false$$;
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.is_it);
CREATE FUNCTION evil.to_regclass(pg_catalog.text) RETURNS pg_catalog.regclass LANGUAGE sql AS $$SELECT NULL::pg_catalog.regclass$$;
CREATE FUNCTION evil.json_build_object(VARIADIC "any") RETURNS json LANGUAGE internal AS $$json_build_array$$;
CREATE FUNCTION evil.format(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql AS $$SELECT 'evil'::pg_catalog.text$$;
CREATE FUNCTION evil.pg_logical_emit_message(bool, pg_catalog.text, pg_catalog.text) RETURNS pg_lsn LANGUAGE sql AS $$SELECT NULL::pg_lsn$$;
CREATE FUNCTION evil.pg_notify(pg_catalog.text, pg_catalog.text) RETURNS void LANGUAGE sql AS $$SELECT$$;
CREATE FUNCTION evil.current_setting(pg_catalog.text, bool) RETURNS pg_catalog.text LANGUAGE sql AS $$SELECT 'innocent'::pg_catalog.text$$;
CREATE FUNCTION evil.current_query() RETURNS pg_catalog.text LANGUAGE sql AS $$SELECT ''::pg_catalog.text$$;
CREATE FUNCTION evil.pg_backend_pid() RETURNS int LANGUAGE sql AS $$SELECT 1$$;
"""


@pytest.mark.parametrize("way", ["stream", "outbox"])
def test_a_search_path_leads_the_triggers_to_nothing_of_the_callers(homes, database, way):
    """They run for each statement, with their owner's rights, in the caller's session."""
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database, f"    capture: {way}\n") + GUARD), database)
    captured.init()
    captured.wait_rows(40)
    role = f"agent_{database.name}"
    database.psql(IMPOSTORS.replace("agent", role))
    astray = f"SET ROLE {role}; SET application_name = 'their tool'; SET search_path = evil, public, pg_catalog"
    try:
        database.psql(f"{astray}; DELETE FROM memories;")
        assert "their tool" in captured.wait_alerts()[0]["actor"]
        alert = fenced(captured)
        database.psql(insert(3, 900))
        said = refusal(captured, f"{astray}; DELETE FROM memories")
        assert f"alert {alert} is open" in said and f"holdfast resolve {alert} --revert" in said
        assert database.query("SELECT count(*) FROM memories") == "3"
    finally:
        database.psql(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role};")
