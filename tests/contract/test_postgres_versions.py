"""The PostgreSQL source against the real servers of the versions that the distribution does not have."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from postgres_server import Postgres

from support.door import Door
from support.home import eventually
from support.postgres import Database
from support.source import MEMORIES, Captured, config_of, id_of, insert
from support.terminal import resolve_all

VERSIONS = ["13", "14", "16", "17", "18"]
WAYS = [(version, "stream") for version in VERSIONS] + [("13", "outbox"), ("18", "outbox")]


def programs_of(version: str, to: Path) -> Path:
    """A copy that every user may run, with the links that its package lists."""
    package = Path(os.environ["HOLDFAST_POSTGRES_VERSIONS"]) / "node_modules" / f"postgres-{version}"
    shutil.copytree(package / "native", to / "native", symlinks=True)
    for link in json.loads((to / "native" / "pg-symlinks.json").read_text()):
        target = to / link["target"]
        if not target.is_symlink():
            target.symlink_to(Path(link["source"]).name)
    for program in (to / "native" / "bin").iterdir():
        program.chmod(0o755)
    return to / "native" / "bin"


@pytest.fixture(params=WAYS, ids="-".join)
def way(request):
    return request.param


@pytest.fixture
def database(way):
    with tempfile.TemporaryDirectory(prefix="holdfast-postgres-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)  # for the user postgres
        server = Postgres(Path(folder) / "server", server=programs_of(way[0], Path(folder)))
        server.start()
        try:
            yield Database(server, "postgres")
        finally:
            server.crash()


def capture(homes, database, way, more: str = "", guard: str = "") -> Captured:
    """The specification's table with 40 memories."""
    database.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(database, f"    capture: {way[1]}\n{more}") + guard), database)
    captured.init()
    captured.wait_rows(40)
    return captured


@pytest.fixture
def captured(homes, database, way):
    return capture(homes, database, way)


def test_it_is_captured_held_and_put_back_to_the_byte(captured, way):
    database, home = captured.database, captured.home
    database.psql(insert(1, 41) + f"UPDATE memories SET content = 'changed' WHERE id = '{id_of(2)}';")
    eventually(lambda: captured.rows().get(id_of(2), {}).get("content") == "changed" and id_of(41) in captured.rows())
    assert len(captured.wait_rows(41)) == 41 and home.alerts() == []
    before = database.rows("memories")
    for wreck in ("DELETE FROM memories;", "TRUNCATE memories;", "UPDATE memories SET content = '';", "DROP TABLE memories;"):
        database.psql(wreck)
        captured.wait_alerts()
        held = captured.wait_rows(41)
        assert home.json("restore")["restored"] == 41
        assert database.rows("memories") == before
        eventually(lambda: all(m["sync_version"] > held[id]["sync_version"] for id, m in captured.rows().items()))  # seen coming back
        resolve_all(home)
    database.psql(insert(1, 50))  # what was made anew is followed again
    eventually(lambda: id_of(50) in captured.rows())
    log = (home.path / "daemon.log").read_text()
    assert "can't be counted" not in log and "should have" not in log
    if way[1] == "outbox":  # what is taken out of it is told by nobody
        database.psql(f"BEGIN; DELETE FROM memories WHERE id = '{id_of(50)}'; DELETE FROM holdfast.outbox; COMMIT;")
        eventually(lambda: any(a["rule"] == "source_gap" for a in home.alerts()))
    home.call("init", "postgres", "--remove", "--yes")
    assert database.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'holdfast'") == "0"


# As short as they may be without an alert of the guard's own: what is changed or deleted is written that much later.
SOON = "guard:\n" + "".join(f"  {window}_window: 10s\n" for window in ("delete", "share", "update", "loss"))


def test_memories_of_doors_are_mirrored_and_come_back_as_no_change(homes, database, way):
    captured = capture(homes, database, way, "    project: test\n    mirror: true\n", SOON)
    home = captured.home
    kept, changed, deleted = home.remember_many(["kept", "changed", "deleted"])
    contents = "SELECT string_agg(content, ',' ORDER BY content) FROM memories WHERE project_id = 'test'"
    eventually(lambda: database.query(contents) == "changed,deleted,kept")
    database.psql(insert(1, 41))
    eventually(lambda: id_of(41) in captured.rows())  # all before it was heard
    assert [len(home.lines("show", id, "--history")) for id in (kept, changed, deleted)] == [1, 1, 1]
    door = Door(home)
    door.remember("another", id=changed)
    door.one("POST", "/api/memory", {"id": id_of(1), "content": "said by a door"})
    door.forget(deleted)
    eventually(lambda: database.query(contents) == "another,kept")
    eventually(lambda: database.query(f"SELECT content FROM memories WHERE id = '{id_of(1)}'") == "said by a door")
    database.psql(insert(1, 42))
    eventually(lambda: id_of(42) in captured.rows())
    assert [len(home.lines("show", id, "--history")) for id in (kept, changed, deleted, id_of(1))] == [1, 2, 2, 2]
    # What doors made is written again by itself, the rows by a restore.
    database.psql("TRUNCATE memories;")
    eventually(lambda: database.query(contents) == "another,kept")
    captured.wait_alerts()
    assert home.json("restore", "app")["restored"] == 42
    assert database.query("SELECT count(*) FROM memories") == "44"
