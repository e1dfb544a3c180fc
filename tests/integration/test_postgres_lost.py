"""A server of which nothing is left: the volume removed, the endpoint gone, another cluster in its place."""

import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from postgres_server import Postgres
from support.home import eventually
from support.postgres import Database
from support.source import KINDS, MEMORIES, Captured, config_of, insert


@pytest.fixture
def cluster():
    """A cluster that is this test's alone, where the user postgres may enter."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-postgres-", dir="/tmp"))
    folder.chmod(0o711)
    server = Postgres(folder / "own")
    server.start()
    server.psql("CREATE DATABASE app")
    yield Database(server, "app")
    server.stop(signal.SIGQUIT)
    shutil.rmtree(folder)


def test_a_data_directory_that_is_gone_deletes_nothing_and_another_cluster_is_filled_again(cluster, homes):
    server = cluster.server
    cluster.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(cluster)), cluster)
    captured.init()
    known = captured.wait_rows(40)
    before = cluster.rows("memories")

    server.crash()
    shutil.rmtree(server.data)
    eventually(lambda: not captured.source()["connected"])
    assert captured.rows() == known, "an endpoint that is lost is no deletion"

    server.start()  # made anew: another system identifier
    server.psql("CREATE DATABASE app")
    cluster.psql(MEMORIES)
    alert = eventually(lambda: next((a for a in captured.home.alerts() if a["rule"] == "source_gap"), None))
    assert "another database than before" in alert["summary"]
    eventually(lambda: any(a["rule"] != "source_gap" for a in captured.home.alerts()))
    shown = captured.rows()
    assert {id: m["content"] for id, m in shown.items()} == {id: m["content"] for id, m in known.items()}
    assert captured.home.json("restore", "app")["restored"] == 40
    assert cluster.rows("memories") == before


def drop_database(database: Database) -> None:
    """As somebody must who means it: the slot is in the way, and whoever follows it comes again at once."""

    def is_gone() -> bool:
        database.server.psql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active;"
            " SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active;"
            f" DROP DATABASE IF EXISTS {database.name} WITH (FORCE);",
            check=False,
        )
        return database.name not in names(database.server)

    eventually(is_gone)


def names(server: Postgres) -> list[str]:
    return server.query("SELECT datname FROM pg_database").splitlines()


@pytest.mark.parametrize("rows, rule", ((43, "deletes"), (5, "source_vanished")))  # few are no case for the guard
@pytest.mark.parametrize("capture", ("stream", "outbox"))
def test_a_dropped_database_is_held_and_one_command_makes_it_again(cluster, homes, capture, rows, rule):
    cluster.psql(MEMORIES + insert(rows - 3) + "CREATE SCHEMA team; SET search_path = team; " + KINDS)
    tables = "    tables:\n      - memories\n      - {table: team.notes, id: note_id, content: body, project: team}\n"
    captured = Captured(homes(config=config_of(cluster, f"    capture: {capture}\n{tables}")), cluster)
    captured.init()
    captured.wait_rows(rows)
    before = cluster.rows("memories"), cluster.rows("team.notes", "note_id")

    drop_database(cluster)
    alert = eventually(lambda: next(iter(captured.home.alerts()), None))
    assert alert["memories_affected"] == rows and "holdfast restore app" in alert["summary"]
    assert alert["rule"] == rule and ("Database app of source app was dropped" in alert["summary"]) == (rule == "source_vanished")
    assert "holdfast restore app" in eventually(lambda: captured.source()["error"])
    assert len(captured.rows()) == rows

    dry = captured.home.call("restore", "app", "--dry-run", check=False)
    assert dry.status != 0 and "CREATE DATABASE" in dry.err and "app" not in names(cluster.server)
    done = captured.home.json("restore", "app")
    assert done["restored"] == rows and done["sql"].startswith('CREATE DATABASE "app";\n')
    assert (cluster.rows("memories"), cluster.rows("team.notes", "note_id")) == before
    cluster.psql(insert(1, 100))
    captured.wait_rows(rows + 1)  # it is captured again, by itself
    # Captured while it was still without them, the new database lacks its defences: that is told, too.
    assert {rule, "source_gap"} <= {a["rule"] for a in captured.home.alerts()} <= {rule, "source_gap", "source_unguarded"}


def test_a_database_that_was_renamed_is_named_and_nothing_of_it_is_gone(cluster, homes):
    cluster.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(cluster)), cluster)
    captured.init()
    known = captured.wait_rows(40)
    captured.home.call("stop")
    cluster.server.psql("ALTER DATABASE app RENAME TO later;")
    assert 'is called "later" now' in eventually(lambda: captured.source()["error"])
    refused = captured.home.call("restore", "app", check=False)
    assert refused.status != 0 and 'is called "later" now' in refused.err and "app" not in names(cluster.server)
    assert captured.home.alerts() == [] and captured.rows() == known
    cluster.server.psql("ALTER DATABASE later RENAME TO app;")
    cluster.psql(insert(1, 100))
    captured.wait_rows(41)
    assert captured.home.alerts() == []


def test_a_database_that_never_was_is_not_made(cluster, homes):
    home = homes(config=config_of(cluster).replace("/app", "/ap"))
    home.env["PGPASSWORD"] = cluster.server.password
    refused = home.call("restore", "app", check=False)
    assert refused.status != 0 and 'database "ap" does not exist' in refused.err and "ap" not in names(cluster.server)
