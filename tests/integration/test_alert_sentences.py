"""What an alert says to a person: what happened, by whom, what is safe, and the one command that puts it back."""

import json
import re

import pytest
from support import folder as files
from support import source as postgres
from support import sqlite_file as sqlite

SAFE = r"(they are held: still shown, nothing is lost|the changes are held: what was there before is still shown, nothing is lost|is safe|are safe|safe here|Their values|Its values)"

# How, and what the sentence must say. The role and the program are known of PostgreSQL; of a file nobody is named.
POSTGRES = {
    "deletes": ("DELETE FROM memories WHERE right(id::text, 3)::int <= 12;", r"^12 of 400 memories of project sea were deleted by app: postgres \(psql\) DELETE within 1 s"),
    "share": ("UPDATE memories SET content = '' WHERE right(id::text, 3)::int <= 81;", r"memories of project sea were (emptied|cut short) by app: postgres \(psql\) UPDATE within"),
    "bulk_update": (
        "UPDATE memories SET content = reverse(content) WHERE right(id::text, 3)::int <= 201;",
        r"^201 of 400 memories of project sea had their content changed by app: postgres \(psql\) UPDATE within",
    ),
    "content_loss": ("UPDATE memories SET content = left(content, 12) WHERE right(id::text, 3)::int <= 20;", r"were cut short by app: postgres \(psql\) UPDATE .*% of their content gone"),
    "truncate": ("TRUNCATE memories;", r"400 of 400 memories of project sea were deleted by app: postgres \(psql\) TRUNCATE"),
    "drop": ("DROP TABLE memories;", r"were deleted by app: postgres \(psql\) DROP TABLE"),
}
FOLDER = {
    "rm": ("rm -rf notes", r"of 41 memories of project notes were deleted by notes within"),
    "emptied": ("for f in notes/*.md; do : > $f; done", r"of 41 memories of project notes were (emptied|cut short) by notes within"),
    "everything": ("rm -rf -- *", r"were deleted by notes within"),
}
SQLITE = {
    "delete": ("DELETE FROM memories;", r"of project tool were deleted by tool within"),
    "drop": ("DROP TABLE memories;", r"of project tool were deleted by tool: table memories was dropped within"),
    "cut": ("UPDATE memories SET content = substr(content, 1, 10) WHERE rowid <= 12;", r"were cut short by tool within"),
}


def check(alerts: list[dict], said: str, source: str) -> str:
    alert = next((a for a in alerts if re.search(said, a["summary"])), None)
    assert alert, [a["summary"] for a in alerts]
    text = alert["summary"]
    assert re.search(SAFE, text), text
    assert re.findall(r"holdfast restore (\S+)", text) == [source], text
    assert "(null)" not in text and "?" not in text and "\n" not in text, text
    return text


@pytest.mark.parametrize("way", ["stream", "outbox"])
@pytest.mark.parametrize("how", POSTGRES)
def test_of_a_database(database, homes, how, way):
    database.psql(postgres.MEMORIES + postgres.insert(400))
    captured = postgres.Captured(homes(config=postgres.config_of(database, f"    capture: {way}\n")), database)
    captured.init()
    captured.wait_rows(400)
    sql, said = POSTGRES[how]
    pid = database.psql(f"SELECT pg_backend_pid(); {sql}").stdout.split()[0]
    text = check(captured.wait_alerts(), said, "app")
    assert f" (it came from 127.0.0.1, pid {pid}: {sql}" in text, text


def test_a_long_statement_does_not_push_out_what_to_do(database, homes):
    """Nor do control characters in it steer a terminal."""
    database.psql(postgres.MEMORIES + postgres.insert(400, 1).replace("'sea'", "repeat('sea ', 49)"))
    captured = postgres.Captured(homes(config=postgres.config_of(database)), database)
    captured.init()
    captured.wait_rows(400)
    database.psql(f"DELETE FROM memories /*\n\x1b[2J {'x' * 5000} */;")
    [alert] = captured.wait_alerts()
    text = alert["summary"]
    assert "holdfast restore app" in text and ": DELETE FROM memories /*??[2J xxx" in text and len(text.encode()) <= 1024


@pytest.mark.parametrize("how", FOLDER)
def test_of_a_folder_where_nobody_is_known(homes, tmp_path, how):
    path = tmp_path / "notes"
    path.mkdir()
    folder = files.Folder(homes(config=files.config_of(path, "    project: notes\n")), path)
    for i in range(40):
        folder.write(f"notes/{i}.md", files.note(i))
    folder.write("CLAUDE.md", files.note(99))
    folder.wait_texts()
    folder.shell(FOLDER[how][0])
    check(folder.wait_alerts(), FOLDER[how][1], "notes")


@pytest.mark.parametrize("how", SQLITE)
def test_of_a_sqlite_file_where_nobody_is_known(homes, tmp_path, how):
    tool = sqlite.Tool(tmp_path / "tool" / "memory.db")
    tool.cli(sqlite.MEMORIES + sqlite.insert(40).replace("'sea'", "'tool'"))
    captured = sqlite.Captured(homes(config=sqlite.config_of(tool.path)), tool)
    captured.wait_rows(40)
    tool.cli(SQLITE[how][0])
    check(captured.wait_alerts(), SQLITE[how][1], "tool")


def test_a_forged_version_is_told_by_a_door(home):
    [id] = home.remember_many(["the truth"])
    home.json("import", "-", input=json.dumps({"id": id, "content": "junk", "sync_version": 2**31, "project_id": "test"}) + "\n")
    [alert] = home.alerts()
    said = r"^1 of 1 memory of project test had its sync_version raised by cli within 1 s \(by up to \d+; more than 1000 at once is not believed\); "
    assert re.match(said, alert["summary"]) and re.search(SAFE, alert["summary"])


def test_by_a_door_nothing_is_to_be_put_back_anywhere(home):
    for id in home.remember_many([f"fact {i}" for i in range(40)]):
        home.call("forget", id)
    [alert] = home.alerts()
    assert re.search(r"memories of project test were deleted by cli within .*they are held: still shown, nothing is lost$", alert["summary"])
    assert f"holdfast resolve {alert['id']}" in home.call("alerts").out
