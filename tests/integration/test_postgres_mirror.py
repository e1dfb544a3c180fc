"""What Holdfast writes into PostgreSQL: the marks of a row's synchronization, and memories that came by a door."""

from __future__ import annotations

import signal
import tempfile

import pytest

from support.door import Door
from support.home import eventually, new_id
from support.postgres import Session
from support.source import MEMORIES, Captured, config_of, id_of, insert
from support.terminal import resolved

WAYS = {"stream": "    capture: stream\n", "outbox": "    capture: outbox\n"}
MIRROR = "    project: test\n    mirror: true\n"
# As short as they may be without an alert of the guard's own: what is changed or deleted is written that much later.
GUARD = "guard:\n" + "".join(f"  {window}_window: 10s\n" for window in ("delete", "share", "update", "loss"))
MARKS = "ALTER TABLE memories ADD sync_status text DEFAULT 'pending', ADD synced_at timestamptz, ADD remote_id text;"


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.fixture
def far_away():
    """A folder on another disk than the homes': a file vault there is a remote one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield folder


def add_vault(captured: Captured, folder: str) -> None:
    with (captured.home.path / "holdfast.yaml").open("a") as config:
        config.write(f"  - name: far\n    kind: file\n    path: {folder}/vault\n")


def mirrored(homes, database, sql: str = "", more: str = "", rows: int = 3) -> Captured:
    """The specification's table with a few memories, captured and mirrored."""
    database.psql(MEMORIES + insert(rows) + sql)
    captured = Captured(homes(config=config_of(database, more + MIRROR) + GUARD), database)
    captured.init()
    captured.wait_rows(rows)
    return captured


def mirror_of(captured: Captured) -> dict:
    return captured.source()["mirror"]


def row(captured: Captured, id: str, columns: str = "content") -> str:
    return captured.database.query(f"SELECT {columns} FROM memories WHERE id = '{id}'")


def wait_row(captured: Captured, id: str, expected: str, columns: str = "content") -> None:
    eventually(lambda: row(captured, id, columns) == expected)


def heard(captured: Captured) -> int:
    """How many changes the ledger has, when all that is in the database now has been captured."""
    id = new_id()
    captured.database.psql(f"INSERT INTO memories (id, content) VALUES ('{id}', 'the last word')")
    eventually(lambda: captured.home.call("show", id, check=False).status == 0)
    if captured.source()["capture"] == "outbox":  # of which the order is another
        eventually(lambda: captured.database.query("SELECT count(*) FROM holdfast.outbox") == "0")
    return captured.home.json("verify")["changes"]


def versions(captured: Captured, id: str) -> list[dict]:
    return captured.home.lines("show", id, "--history")


# ---- the marks ----


@pytest.fixture
def marked(homes, database, far_away):
    """The specification's table with the marks, captured; the rows say nothing of them yet."""
    database.psql(MEMORIES + MARKS + insert(3))
    captured = Captured(homes(config=config_of(database)), database)
    add_vault(captured, far_away)
    captured.init()
    captured.wait_rows(3)
    return captured


def status_of(captured: Captured, where: str = "true") -> str:
    return captured.database.query(f"SELECT string_agg(DISTINCT coalesce(sync_status, '-'), ',') FROM memories WHERE {where}")


@pytest.mark.threads
def test_rows_are_marked_when_a_remote_vault_has_them(marked):
    eventually(lambda: status_of(marked) == "synced")
    assert marked.database.query("SELECT count(*) FROM memories WHERE remote_id = id::text AND synced_at <= now()") == "3"
    assert "sync_status" not in marked.rows()[id_of(1)]["metadata"]["row"]


def test_the_mark_is_no_change_of_the_memory(marked):
    eventually(lambda: status_of(marked) == "synced")
    before = heard(marked)
    eventually(lambda: status_of(marked) == "synced")
    assert heard(marked) == before + 1  # the row that tells us so
    assert len(versions(marked, id_of(1))) == 1 and marked.home.alerts() == []


def test_a_changed_row_is_marked_anew(marked):
    eventually(lambda: status_of(marked) == "synced")
    first = row(marked, id_of(1), "synced_at")
    marked.database.psql(f"UPDATE memories SET content = 'changed', sync_status = 'pending', sync_version = 2 WHERE id = '{id_of(1)}'")
    wait_row(marked, id_of(1), "synced|t", f"sync_status, synced_at > '{first}'")


def test_a_row_that_no_vault_has_acknowledged_goes_back_to_pending(marked):
    eventually(lambda: status_of(marked) == "synced")
    marked.home.call("pause")
    marked.database.psql(f"UPDATE memories SET content = 'changed', sync_version = 2 WHERE id = '{id_of(1)}'")
    wait_row(marked, id_of(1), "pending", "sync_status")
    assert status_of(marked, f"id <> '{id_of(1)}'") == "synced"
    marked.home.call("resume")
    wait_row(marked, id_of(1), "synced", "sync_status")


def test_a_vault_on_the_same_disk_is_no_remote_one(homes, database, far_away):
    database.psql(MEMORIES + MARKS + insert(3))
    captured = Captured(homes(config=config_of(database)), database)
    captured.init()
    captured.wait_rows(3)
    captured.home.call("sync")
    captured.home.call("stop")
    add_vault(captured, far_away)
    assert status_of(captured) == "pending"
    captured.home.call("status")
    eventually(lambda: status_of(captured) == "synced")


def test_the_applications_triggers_do_not_run_for_a_superusers_mark(homes, database, far_away):
    bump = """CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = clock_timestamp(); RETURN NEW; END $$;
              CREATE TRIGGER bump BEFORE UPDATE ON memories FOR EACH ROW EXECUTE FUNCTION bump();"""
    database.psql(MEMORIES + MARKS + bump + insert(3))
    before = database.query("SELECT string_agg(updated_at::text, ' ' ORDER BY id) FROM memories")
    captured = Captured(homes(config=config_of(database)), database)
    add_vault(captured, far_away)
    captured.init()
    eventually(lambda: status_of(captured) == "synced")
    assert database.query("SELECT string_agg(updated_at::text, ' ' ORDER BY id) FROM memories") == before


# ---- the mirror: what adds ----


@pytest.mark.threads
def test_a_memory_made_by_a_door_is_a_row(homes, database, way):
    captured = mirrored(homes, database, more=way)
    before = heard(captured)
    id = captured.home.json("remember", "told by a door", "--tag", "a b", "--tag", "c", "--importance", "0.75")["id"]
    columns = "content, memory_type, importance, project_id, tags, sync_version, session_id IS NOT NULL"
    wait_row(captured, id, 'told by a door|semantic|0.75|test|{"a b",c}|1|t', columns)
    memory = captured.home.export()[id]
    assert row(captured, id, f"created_at = '{memory['created_at']}' AND updated_at = '{memory['updated_at']}'") == "t"
    changes = heard(captured)
    assert [v["sync_version"] for v in versions(captured, id)] == [1] and captured.home.alerts() == []
    assert "metadata" not in memory or "row" not in (memory["metadata"] or {})
    assert changes - before <= 4  # the memory, its project and session, and the row that tells us so


def test_the_echo_journals_nothing(homes, database, way):
    captured = mirrored(homes, database, more=way)
    captured.home.remember_many(["the first makes a project and a session"])
    eventually(lambda: database.query("SELECT count(*) FROM memories WHERE project_id = 'test'") == "1")
    before = heard(captured)
    ids = captured.home.remember_many([f"note {i}" for i in range(50)])
    eventually(lambda: database.query("SELECT count(*) FROM memories WHERE project_id = 'test'") == "51")
    assert heard(captured) == before + 50 + 1
    assert all(len(versions(captured, id)) == 1 for id in ids[:5]) and captured.home.alerts() == []


def test_what_was_there_before_is_mirrored_and_other_projects_are_not(homes, database):
    database.psql(MEMORIES + insert(3))
    captured = Captured(homes(config=config_of(database, MIRROR) + GUARD), database)
    ids = captured.home.remember_many(["made before"]) + captured.home.remember_many(["of another project"], project="other")
    captured.init()
    wait_row(captured, ids[0], "made before")
    heard(captured)
    assert row(captured, ids[1]) == "" and captured.database.query("SELECT count(*) FROM memories") == "5"


def test_a_row_that_the_application_changes_afterwards_is_its_memory(homes, database, way):
    captured = mirrored(homes, database, more=way)
    door = Door(captured.home)
    id = door.remember("told by a door", scope="project", metadata={"mine": 1})["id"]
    wait_row(captured, id, "told by a door")
    database.psql(f"UPDATE memories SET content = 'changed there', sync_version = 2 WHERE id = '{id}'")
    memory = eventually(lambda: (lambda m: m if m["content"] == "changed there" else None)(captured.home.export()[id]))
    assert memory["scope"] == "project" and memory["metadata"]["mine"] == 1 and "row" in memory["metadata"]
    assert [v["content"] for v in versions(captured, id)] == ["told by a door", "changed there"]
    heard(captured)
    assert row(captured, id, "content, sync_version") == "changed there|2"


def test_a_column_that_the_memory_does_not_know_is_journaled_once(homes, database, way):
    captured = mirrored(homes, database, sql="ALTER TABLE memories ADD place serial;", more=way)
    id = captured.home.json("remember", "told by a door")["id"]
    eventually(lambda: len(versions(captured, id)) == 2)
    heard(captured)
    assert len(versions(captured, id)) == 2
    assert captured.home.export()[id]["metadata"]["row"]["place"] == row(captured, id, "place")


def test_a_memory_that_can_not_be_a_row_is_named_and_holds_no_other_back(homes, database):
    captured = mirrored(homes, database, sql="ALTER TABLE memories ADD CHECK (content <> 'refused');")
    ids = captured.home.remember_many(["good", "refused", "good, too"])
    wait_row(captured, ids[0], "good")
    wait_row(captured, ids[2], "good, too")
    mirror = eventually(lambda: (lambda m: m if m["refused"] else None)(mirror_of(captured)))
    assert mirror["refused"] == 1 and ids[1] in mirror["error"] and "check constraint" in mirror["error"]
    assert "1 refused" in captured.home.call("status").out and row(captured, ids[1]) == ""


def test_a_session_that_the_database_lacks_is_left_out(homes, database, way):
    sql = "CREATE TABLE sessions (id uuid PRIMARY KEY); ALTER TABLE memories ADD FOREIGN KEY (session_id) REFERENCES sessions;"
    captured = mirrored(homes, database, sql=sql, more=way)
    id = captured.home.json("remember", "told in a session")["id"]
    wait_row(captured, id, "told in a session|t", "content, session_id IS NULL")
    heard(captured)
    assert len(versions(captured, id)) == 1


def test_tags_go_into_whatever_the_column_is(homes, database):
    captured = mirrored(homes, database, sql="ALTER TABLE memories ALTER tags TYPE jsonb USING to_jsonb(tags);")
    id = captured.home.json("remember", "tagged", "--tag", "a", "--tag", "b")["id"]
    wait_row(captured, id, '["a", "b"]', "tags")
    heard(captured)
    assert len(versions(captured, id)) == 1


# ---- the mirror: what changes and takes away ----


def test_a_captured_row_changed_by_a_door_is_updated_and_keeps_what_is_not_a_memorys(homes, database, way):
    captured = mirrored(homes, database, sql="ALTER TABLE memories ADD note text DEFAULT 'kept';", more=way)
    database.psql(f"UPDATE memories SET memory_type = 'odd', sync_version = 7 WHERE id = '{id_of(1)}'")
    eventually(lambda: len(versions(captured, id_of(1))) == 2)
    Door(captured.home).one("POST", "/api/memory", {"id": id_of(1), "content": "said by a door"})
    wait_row(captured, id_of(1), "said by a door|odd|8|kept|sea", "content, memory_type, sync_version, note, project_id")
    heard(captured)
    assert len(versions(captured, id_of(1))) == 3 and captured.home.alerts() == []


def test_a_mirrored_memory_changed_and_deleted_by_a_door_is_so_in_the_table(homes, database, way):
    captured = mirrored(homes, database, more=way)
    door = Door(captured.home)
    id, other = door.remember("first")["id"], door.remember("stays")["id"]
    wait_row(captured, id, "first")
    door.remember("second", id=id)
    eventually(lambda: mirror_of(captured)["waiting"] > 0)  # the guard may hold it still
    wait_row(captured, id, "second|2", "content, sync_version")
    heard(captured)
    assert len(versions(captured, id)) == 2
    door.forget(id)
    eventually(lambda: row(captured, id, "id") == "")
    heard(captured)
    assert len(versions(captured, id)) == 3 and row(captured, other) == "stays" and captured.home.alerts() == []


def test_versions_that_come_faster_than_they_are_heard_are_the_doors_alone(homes, database, way):
    captured = mirrored(homes, database, more=way)
    door = Door(captured.home)
    ids = [door.remember(f"first {i}")["id"] for i in range(20)]
    for id in ids[:6]:  # few enough for the guard
        door.remember("second", id=id)
    for id in ids[:3]:
        door.forget(id)
    for id in ids[3:6]:
        wait_row(captured, id, "second|2", "content, sync_version")
    eventually(lambda: mirror_of(captured)["waiting"] == 0)
    heard(captured)
    assert [len(versions(captured, id)) for id in ids] == 3 * [3] + 3 * [2] + 14 * [1] and captured.home.alerts() == []
    assert database.query("SELECT count(*) FROM memories WHERE content LIKE 'first %'") == "14"


def test_an_older_version_that_somebody_puts_back_is_a_change(homes, database, way):
    captured = mirrored(homes, database, more=way)
    door = Door(captured.home)
    id = door.remember("first")["id"]
    wait_row(captured, id, "first")
    door.remember("second", id=id)
    wait_row(captured, id, "second")
    wait_row(captured, door.remember("the next")["id"], "the next")  # so it has kept that "second" is written
    heard(captured)
    database.psql(f"UPDATE memories SET content = 'first', sync_version = 1 WHERE id = '{id}'")
    eventually(lambda: len(versions(captured, id)) == 3)
    assert captured.home.export()[id]["content"] == "first"


def test_a_newer_row_is_left(homes, database):
    captured = mirrored(homes, database)
    door = Door(captured.home)
    id = door.remember("first")["id"]
    wait_row(captured, id, "first")
    door.remember("second", id=id)
    database.psql(f"UPDATE memories SET content = 'theirs', sync_version = 5 WHERE id = '{id}'")
    eventually(lambda: captured.home.export()[id]["content"] == "theirs")
    eventually(lambda: mirror_of(captured)["waiting"] == 0)
    heard(captured)
    assert row(captured, id, "content, sync_version") == "theirs|5"
    assert [v["content"] for v in versions(captured, id)] == ["first", "second", "theirs"]


@pytest.mark.parametrize("decision", ["--revert", "--accept"])
def test_a_mass_deletion_by_an_agent_is_held_and_never_reaches_the_database(homes, database, decision):
    captured = mirrored(homes, database, rows=40)
    ids = captured.home.remember_many([f"note {i}" for i in range(20)])
    eventually(lambda: database.query("SELECT count(*) FROM memories WHERE project_id = 'test'") == "20")
    database.psql("CREATE TABLE deleted (id uuid); CREATE RULE deleted AS ON DELETE TO memories DO ALSO INSERT INTO deleted VALUES (OLD.id);")
    door = Door(captured.home, agent="mcp:tidier")
    for id in [*ids, *(id_of(i) for i in range(1, 41))]:
        door.forget(id)
    alerts = captured.wait_alerts()
    later = door.remember("said after the deletion")["id"]
    wait_row(captured, later, "said after the deletion")
    eventually(lambda: mirror_of(captured)["waiting"] == 0)  # what had to wait has waited
    heard(captured)
    assert database.query("SELECT count(*) FROM deleted") == "0"
    for alert in alerts:
        assert resolved(captured.home, alert["id"], decision)
    left = "0" if decision == "--accept" else "60"
    wanted = ",".join(f"'{id}'" for id in [*ids, *(id_of(i) for i in range(1, 41))])
    eventually(lambda: database.query(f"SELECT count(*) FROM memories WHERE id IN ({wanted})") == left)
    heard(captured)
    assert database.query(f"SELECT count(*) FROM memories WHERE id IN ({wanted})") == left


def test_mirrored_rows_that_psql_deletes_are_judged_and_come_back_when_that_is_reverted(homes, database, way):
    captured = mirrored(homes, database, more=way, rows=1)
    ids = captured.home.remember_many([f"note {i}" for i in range(30)])
    eventually(lambda: database.query("SELECT count(*) FROM memories WHERE project_id = 'test'") == "30")
    heard(captured)
    of_doors = "(SELECT * FROM memories WHERE project_id = 'test')"
    before = database.rows(of_doors)
    database.psql("DELETE FROM memories;")
    alert = captured.wait_alerts()[0]
    assert "app: postgres (psql)" in alert["actor"] + alert["summary"]
    assert resolved(captured.home, alert["id"], "--revert")
    eventually(lambda: database.rows(of_doors) == before)
    assert set(ids) <= set(captured.home.export())


def test_what_a_truncate_took_of_what_doors_made_is_written_again(homes, database, way):
    captured = mirrored(homes, database, more=way, rows=1)
    ids = captured.home.remember_many(["one", "two"])
    wait_row(captured, ids[1], "two")
    heard(captured)
    database.psql("TRUNCATE memories;")
    wait_row(captured, ids[0], "one")
    wait_row(captured, ids[1], "two")
    heard(captured)
    assert len(versions(captured, ids[0])) == 1


def test_a_dropped_table_that_is_restored_gets_what_doors_made_as_well(homes, database, way):
    captured = mirrored(homes, database, more=way)
    ids = captured.home.remember_many([f"note {i}" for i in range(10)])
    eventually(lambda: database.query("SELECT count(*) FROM memories WHERE project_id = 'test'") == "10")
    heard(captured)
    before = database.rows("memories")
    database.psql("DROP TABLE memories;")
    alert = captured.wait_alerts()[0]
    captured.home.json("restore", "app")
    eventually(lambda: database.query("SELECT to_regclass('memories') IS NOT NULL AND (SELECT count(*) FROM memories WHERE project_id = 'test') = 10") == "t")
    assert resolved(captured.home, alert["id"], "--revert")
    heard(captured)
    assert set(before) <= set(database.rows("memories")) and len(versions(captured, ids[0])) == 1


# ---- faults ----


def test_what_was_said_while_the_server_was_down_is_written_later(homes, database):
    captured = mirrored(homes, database)
    database.server.stop(signal.SIGQUIT)
    ids = captured.home.remember_many([f"note {i}" for i in range(30)])
    eventually(lambda: captured.source()["error"])
    database.server.start()
    eventually(lambda: database.query("SELECT count(*) FROM memories WHERE project_id = 'test'") == "30", 60)
    heard(captured)
    assert len(versions(captured, ids[0])) == 1


def test_a_killed_daemon_goes_on_where_it_was(homes, database, way):
    captured = mirrored(homes, database, more=way)
    ids = captured.home.remember_many([f"note {i}" for i in range(600)])
    eventually(lambda: int(database.query("SELECT count(*) FROM memories WHERE project_id = 'test'")) > 0)
    captured.home.kill()
    captured.home.call("status")
    eventually(lambda: database.query("SELECT count(*) FROM memories WHERE project_id = 'test'") == "600")
    heard(captured)
    assert all(len(versions(captured, id)) == 1 for id in (ids[0], ids[300], ids[599])) and captured.home.alerts() == []


def test_a_row_that_somebody_has_locked_holds_no_other_back(homes, database):
    captured = mirrored(homes, database)
    door = Door(captured.home)
    id = door.remember("first")["id"]
    wait_row(captured, id, "first")
    with Session(database) as session:
        session.run(f"BEGIN; SELECT id FROM memories WHERE id = '{id}' FOR UPDATE;")
        door.remember("second", id=id)
        other = door.remember("another")["id"]
        wait_row(captured, other, "another")
        eventually(lambda: mirror_of(captured)["lag_ms"] > 12000)
        assert door.remember("a third")["id"]
        session.run("COMMIT;")
    wait_row(captured, id, "second")


def test_nothing_is_written_while_the_fence_is_up(homes, database, far_away):
    database.psql(MEMORIES + MARKS + insert(40))
    config = config_of(database, MIRROR + "    on_alert: fence\n") + GUARD
    captured = Captured(homes(config=config), database)
    add_vault(captured, far_away)
    captured.init()
    eventually(lambda: status_of(captured) == "synced")
    database.psql(f"DELETE FROM memories WHERE id <> '{id_of(1)}';")
    alert = captured.wait_alerts()[0]["id"]
    eventually(lambda: captured.source()["fence"])
    id = captured.home.json("remember", "said meanwhile")["id"]
    eventually(lambda: mirror_of(captured)["waiting"] > 0)
    assert row(captured, id) == "" and captured.source()["connected"] and mirror_of(captured)["error"] is None
    assert resolved(captured.home, alert, "--revert")
    wait_row(captured, id, "said meanwhile|synced", "content, sync_status")


def owned(homes, database, far_away: str, sql: str) -> Captured:
    """The table with the marks, of a role that is no superuser; what is done to it before it is captured."""
    role = f"owner_of_{database.name}"
    database.psql(
        f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{database.server.password}';"
        f"GRANT CREATE ON DATABASE {database.name} TO {role}; GRANT CREATE ON SCHEMA public TO {role};"
        f"SET ROLE {role};" + MEMORIES + MARKS + insert(3) + sql.replace("ROLE", role)
    )
    captured = Captured(homes(config=config_of(database).replace("://postgres@", f"://{role}@")), database)
    add_vault(captured, far_away)
    captured.init()
    captured.wait_rows(3)
    return captured


def test_a_role_without_the_right_to_mark_is_told_and_captured_all_the_same(homes, database, far_away):
    captured = owned(homes, database, far_away, "REVOKE UPDATE ON memories FROM ROLE;")
    mirror = eventually(lambda: mirror_of(captured))
    assert "public.memories are not filled: the role has no right to update them" in mirror["error"]
    captured.home.call("sync")
    heard(captured)
    assert status_of(captured) == "pending" and captured.source()["connected"] and captured.source()["error"] is None
    assert (captured.home.path / "daemon.log").read_text().count("are not filled") == 1


TRIGGER = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$; CREATE TRIGGER touch BEFORE UPDATE ON memories FOR EACH ROW EXECUTE FUNCTION touch();"


def test_a_trigger_that_can_not_be_avoided_makes_one_version_and_no_more(homes, database, far_away):
    trigger = TRIGGER.format("NEW.updated_at = clock_timestamp(); NEW.sync_version = OLD.sync_version + 1;")
    captured = owned(homes, database, far_away, trigger)
    eventually(lambda: status_of(captured) == "synced")
    heard(captured)
    captured.home.call("sync")
    before = heard(captured)
    eventually(lambda: status_of(captured) == "synced")
    captured.home.call("sync")
    assert heard(captured) <= before + 3  # two rows that tell us so, of which the first was marked, too
    assert [v["sync_version"] for v in versions(captured, id_of(1))] == [1, 2]


def test_a_trigger_that_takes_the_mark_back_ends_the_marking(homes, database, far_away):
    captured = owned(homes, database, far_away, TRIGGER.format("NEW.sync_status = 'pending'; NEW.updated_at = clock_timestamp();"))
    error = eventually(lambda: (mirror_of(captured) or {}).get("error"), 60)
    assert "are not filled any more: a trigger takes it back" in error
    heard(captured)
    assert len(versions(captured, id_of(1))) <= 2


def test_a_mark_that_the_table_refuses_is_told_and_not_tried_again(homes, database, far_away):
    database.psql(MEMORIES + MARKS + "ALTER TABLE memories ADD CHECK (sync_status <> 'synced');" + insert(3))
    captured = Captured(homes(config=config_of(database, MIRROR) + GUARD), database)
    add_vault(captured, far_away)
    captured.init()
    error = eventually(lambda: (mirror_of(captured) or {}).get("error"), 60)
    assert "are not filled any more: " in error and "check constraint" in error
    id = captured.home.json("remember", "goes on")["id"]
    wait_row(captured, id, "goes on")
    assert status_of(captured) == "pending" and captured.source()["error"] is None


KEYS = {"text": "", "varchar(36)": "", "key_of": "CREATE DOMAIN key_of AS varchar(40);"}


def with_key(type: str) -> str:
    return MEMORIES.replace("uuid PRIMARY KEY DEFAULT gen_random_uuid()", f"{type} PRIMARY KEY")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_a_text_can_be_mirrored_into_and_its_own_keys_are_found_again(homes, database, way, key):
    database.psql(KEYS[key] + with_key(key) + "INSERT INTO memories (id, content, project_id) VALUES ('a key', 'a row', 'test'), ('another', 'one more', 'test');")
    captured = Captured(homes(config=config_of(database, way + MIRROR) + GUARD), database)
    captured.init()
    rows = captured.wait_rows(2)
    ids = {m["content"]: id for id, m in rows.items()}
    door = Door(captured.home)
    id = door.remember("made by a door")["id"]
    wait_row(captured, id, "made by a door")
    door.one("POST", "/api/memory", {"id": ids["a row"], "content": "said by a door"})
    door.forget(ids["one more"])
    wait_row(captured, "a key", "said by a door|2", "content, sync_version")
    eventually(lambda: row(captured, "another", "id") == "")
    heard(captured)
    assert [len(versions(captured, each)) for each in (id, ids["a row"], ids["one more"])] == [1, 2, 2]
    assert database.query("SELECT count(*) FROM memories") == "3" and captured.home.alerts() == []  # with the one that tells us so
    database.psql("UPDATE memories SET content = 'and by the application', sync_version = 3 WHERE id = 'a key'")
    eventually(lambda: len(versions(captured, ids["a row"])) == 3)


@pytest.mark.parametrize("key, type", [("int", "integer"), ("bigint GENERATED ALWAYS AS IDENTITY", "bigint"), ("varchar(20)", "character varying(20)")])
def test_a_key_without_room_for_a_memorys_id_is_refused_in_one_line(homes, database, key, type):
    database.psql(with_key(key))
    captured = Captured(homes(config=config_of(database, MIRROR)), database)
    refused = captured.home.call("init", "postgres", "--yes", check=False)
    assert refused.status != 0 and refused.err.count("\n") == 1, refused.err
    assert f"mirror: true can't be for table public.memories: its key id is {type}, and a memory's id is a UUID" in refused.err
    assert database.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'holdfast'") == "0"
    captured.home.write_config(config_of(database))
    captured.init()
    database.psql("INSERT INTO memories (id, content) " + ("OVERRIDING SYSTEM VALUE " if "IDENTITY" in key else "") + "VALUES ('7', 'captured')")
    captured.wait_rows(1)
    # Whoever asks for it afterwards is told by the running daemon, and by doctor; the capture goes on.
    captured.home.call("stop")
    captured.home.write_config(config_of(database, MIRROR))
    captured.home.json("remember", "stays here")
    assert f"nothing is mirrored into public.memories: its key id is {type}" in eventually(lambda: (mirror_of(captured) or {}).get("error"))
    assert "mirror: true can't be for table public.memories" in captured.home.call("doctor", check=False).out
    database.psql("UPDATE memories SET content = 'goes on'")
    eventually(lambda: [m["content"] for m in captured.rows().values()] == ["goes on"])
    assert database.query("SELECT count(*) FROM memories") == "1"


def test_a_mirror_needs_a_table_called_memories(homes, database):
    database.psql("CREATE TABLE notes (id uuid PRIMARY KEY, content text);")
    captured = Captured(homes(config=config_of(database, MIRROR + "    tables: [notes]\n")), database)
    refused = captured.home.call("init", "postgres", "--yes", check=False)
    assert refused.status != 0 and "mirror: true is for a table called memories, and no table of source app is" in refused.err


@pytest.mark.parametrize("text, says", [("mirror: yes", "mirror must be true or false"), ("kind: files\n    path: /tmp\n    mirror: true", "no url")])
def test_a_mirror_that_can_not_be_is_refused(homes, text, says):
    home = homes(config=f"daemon:\n  project: test\nsources:\n  - name: app\n    {'' if 'kind' in text else 'kind: postgres' + chr(10) + '    url: postgresql://x@h/d' + chr(10) + '    '}{text}\n")
    refused = home.call("status", check=False)
    assert refused.status != 0 and says in refused.err
