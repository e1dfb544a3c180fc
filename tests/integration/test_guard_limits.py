"""Thresholds of a source's own: a real PostgreSQL and a real folder of one home, each judged by its own."""

import json

import pytest
from support.door import Door
from support.folder import Folder, note
from support.home import eventually
from support.source import MEMORIES, Captured, insert
from support.terminal import resolved

ROWS = 100


def guard_of(**numbers) -> str:
    return "    guard:\n" + "".join(f"      {name}: {value}\n" for name, value in numbers.items()) if numbers else ""


def config_of(database, path, app: dict, notes: dict, all: str = "") -> str:
    return (
        f"daemon:\n  project: test\n{all}sources:\n"
        f"  - name: app\n    kind: postgres\n    url: {database.url}\n{guard_of(**app)}"
        f"  - name: notes\n    kind: files\n    path: {path}\n{guard_of(**notes)}"
    )


class Both:
    """A database of a hundred rows and a folder of forty notes, captured by one home."""

    def __init__(self, homes, database, tmp_path, app=None, notes=None):
        self.path = tmp_path / "notes"
        self.path.mkdir()
        self.database = database
        self.home = homes(config=self.config(app or {}, notes or {}))
        self.folder = Folder(self.home, self.path)
        self.rows = Captured(self.home, database)
        database.psql(MEMORIES + insert(ROWS))
        for i in range(40):
            self.folder.write(f"{i}.md", note(i))
        self.home.call("init", "postgres", "app", "--yes")
        eventually(lambda: all(s["connected"] and s["position"] for s in self.home.json("status")["sources"]))
        self.rows.wait_rows(ROWS)
        self.folder.wait_texts()

    def config(self, app: dict, notes: dict, all: str = "") -> str:
        return config_of(self.database, self.path, app, notes, all)

    def reconfigure(self, app=None, notes=None, all: str = "") -> None:
        self.home.call("stop")
        self.home.write_config(self.config(app or {}, notes or {}, all))
        self.home.call("status")

    def delete(self, first: int, last: int) -> None:
        self.database.psql(f"DELETE FROM memories WHERE right(id::text, 4)::int BETWEEN {first} AND {last};")

    def remove(self, first: int, last: int) -> None:
        for i in range(first, last + 1):
            (self.path / f"{i}.md").unlink()

    def shown(self) -> tuple[int, int]:
        files = [p for p in self.folder.files() if not p.startswith("settled/")]
        return len(self.rows.rows()), len(files)


LOOSE = {"delete_max": 60, "share_max": 0.9}
STRICT = {"delete_max": 2}


@pytest.fixture
def both(database, homes, tmp_path):  # the home is closed before its database goes
    return Both(homes, database, tmp_path, LOOSE, STRICT)


def test_each_source_is_held_by_its_own_thresholds(both):
    both.delete(1, 50)  # more than a minute's ten, and half of them: allowed here
    both.rows.wait_rows(50)
    assert both.home.alerts() == []
    both.remove(0, 1)
    both.folder.wait_texts()
    assert both.home.alerts() == []
    both.remove(2, 2)  # the third within a minute: allowed by the rest of the configuration
    [held] = both.folder.wait_alerts()
    assert held["rule"] == "deletes" and held["source"] == "notes" and held["memories_affected"] == 3
    both.delete(51, 61)
    alerts = both.folder.wait_alerts(2)
    [rows] = [a for a in alerts if a["source"].startswith("app: ")]
    assert rows["rule"] == "deletes" and rows["memories_affected"] == 61
    assert both.shown() == (ROWS, 40), "what is held is shown"
    resolved(both.home, held["id"])
    both.folder.restore()
    assert sorted(both.folder.on_disk()) == sorted(f"{i}.md" for i in range(40))


def test_a_door_is_judged_as_before_whatever_a_source_may_lose(both):
    ids = both.home.remember_many([f"fact {i}" for i in range(40)], project="sea")  # where the rows are
    both.delete(1, 50)
    both.rows.wait_rows(50)
    door = Door(both.home, agent="app")  # a name is not enough
    for id in ids[:11]:
        door.forget(id)
    door.close()
    [alert] = both.home.alerts()
    assert alert["source"] == "http:app" and alert["rule"] == "deletes" and alert["memories_affected"] == 11
    assert set(ids) <= set(both.home.export())


def test_a_burst_goes_on_over_a_restart_with_the_sources_own_thresholds(both):
    both.delete(1, 50)
    both.rows.wait_rows(50)
    both.home.call("stop")
    both.delete(51, 61)
    [alert] = both.folder.wait_alerts()
    assert alert["rule"] == "deletes" and alert["memories_affected"] == 61
    both.home.call("stop")
    both.delete(62, 64)
    both.folder.settle()
    eventually(lambda: both.home.alerts()[0]["memories_affected"] == 64)
    assert len(both.home.alerts()) == 1, "it joined"


def test_what_was_lost_before_counts_by_the_thresholds_of_a_changed_configuration(both):
    both.delete(1, 50)
    both.rows.wait_rows(50)
    assert both.home.alerts() == []
    both.reconfigure()
    both.delete(51, 51)
    [alert] = both.folder.wait_alerts()
    assert alert["memories_affected"] == 51 and len(both.rows.rows()) == ROWS


def test_status_and_doctor_show_what_differs(both):
    guards = {s["name"]: s["guard"] for s in both.home.json("status")["sources"]}
    assert guards == {"app": "delete_max 60, share_max 0.9", "notes": "delete_max 2"}
    assert "its guard: delete_max 60, share_max 0.9" in both.home.call("status").out
    lines = {line["check"]: line for line in both.home.lines("doctor", check=False)}
    assert lines["source notes (files)"]["detail"].endswith("; its guard: delete_max 2")
    assert lines["source notes (files)"]["ok"]
    both.reconfigure(notes={"enabled": "false"})
    lines = {line["check"]: line for line in both.home.lines("doctor", check=False)}
    assert not lines["source notes (files)"]["ok"] and "its guard: enabled false" in lines["source notes (files)"]["detail"]


def test_a_sources_threshold_that_never_trips_is_an_alert(both):
    both.reconfigure(app={"delete_max": 5000}, notes={"enabled": "false"})
    [alert] = both.folder.wait_alerts()
    assert alert["rule"] == "guard_off" and alert["source"] == "configuration"
    assert "for source app" in alert["summary"] and "guard.delete_max is 5000 (200 at most)" in alert["summary"]
    assert "switched off in the configuration for source notes" in alert["summary"]
    both.reconfigure(app={"delete_max": 5000}, notes={"enabled": "false"})
    assert both.home.alerts() == [alert], "told once"


def test_a_mistake_is_named_by_file_and_line(homes, tmp_path):
    home = homes()
    home.write_config(f"sources:\n  - kind: files\n    path: {tmp_path}\n    guard:\n      delete_max: many\n")
    refused = home.call("status", check=False)
    line = (home.path / "holdfast.yaml").read_text().splitlines().index("      delete_max: many") + 1
    assert refused.status != 0
    assert f"{home.path}/holdfast.yaml: line {line}: sources[].guard.delete_max is \"many\"; allowed is a whole number" in refused.err
    assert json.dumps(refused.err).count("\\n") == 1, "one line"
