"""A hundred thousand ordinary operations on a database, a SQLite file and a folder, all captured by one home: no alarm.

The numbers of the guard are the defaults. All of it happens within one hour, most within a minute or two: what a month of work
would spread out is here in the same windows. Each step says how many rows or files it touched; after each the sources are
awaited, and there is no alert. At the end the ledger shows what is there, row by row and file by file.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest
from postgres_server import programs
from support import folder as files
from support import source as postgres
from support import sqlite_file as sqlite
from support.home import eventually

OPERATIONS = 100_000
SEED = int(os.environ.get("HOLDFAST_SEED", "20261128"))
ROWS = 7_500  # of the database
TOOL_ROWS = 5_000  # of the SQLite file
FILES = 700


class Campaign:
    """One home over all three, and the count of what was done."""

    def __init__(self, database, homes, tmp_path):
        self.database, self.dice, self.done, self.marks = database, random.Random(SEED), 0, 0
        self.tool = sqlite.Tool(tmp_path / "tool" / "memory.db")
        self.path = tmp_path / "work" / "notes"
        self.path.mkdir(parents=True)
        self.home = homes(
            config="daemon:\n  project: test\nsources:\n"
            f"  - name: app\n    kind: postgres\n    url: {database.url}\n"
            f"  - name: tool\n    kind: sqlite\n    path: {self.tool.path}\n    project: tool\n"
            f"  - name: notes\n    kind: files\n    path: {self.path}\n    project: notes\n"
        )
        self.folder = files.Folder(self.home, self.path)
        self.home.env["PGPASSWORD"] = database.server.password

    def count(self, operations: int) -> None:
        self.done += operations

    def await_row(self, source: str, write) -> None:
        """A row that is written now is captured: so is all that came before it."""
        self.marks += 1
        project = f"mark-{self.marks}"
        write(900_000 + self.marks, project)
        eventually(lambda: self.home.lines("export", "--project", project), timeout_s=90)
        self.quiet(source)

    def quiet(self, what: str) -> None:
        alerts = self.home.lines("alerts", "--all")
        assert alerts == [], f"{what} ({self.done}): {alerts[0]['rule']}: {alerts[0]['summary']}"

    # ---- the database ----

    def sql(self, operations: int, *statements: str) -> None:
        """Statements that a program runs one by one, each its own transaction."""
        for statement in statements:
            self.database.psql(statement)
        self.count(operations)
        self.await_row(
            statements[0][:120],
            lambda number, project: self.database.psql(
                f"INSERT INTO memories (id, content, project_id) VALUES (({postgres.ID.format(number)})::uuid, 'mark', '{project}')"
            ),
        )

    def program(self, name: str, *arguments: str, input: str = "") -> str:
        """One of PostgreSQL's own programs on this database."""
        server = self.database.server
        done = subprocess.run(
            [programs() / name, "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", *arguments, self.database.name],
            env={**os.environ, "PGPASSWORD": server.password}, input=input, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    # ---- the SQLite file ----

    def cli(self, operations: int, *scripts: str) -> None:
        for script in scripts:
            self.tool.cli(script)
        self.count(operations)
        self.await_tool(scripts[0][:120])

    def await_tool(self, what: str) -> None:
        self.await_row(
            what,
            lambda number, project: self.tool.cli(
                f"INSERT INTO memories (id, content, project_id) VALUES ('{sqlite.id_of(number)}', 'mark', '{project}');"
            ),
        )

    # ---- the folder ----

    def shell(self, operations: int, command: str) -> None:
        self.folder.shell(command)
        self.count(operations)
        self.folder.settle()
        self.quiet(command)


@pytest.fixture
def campaign(database, homes, tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_BIN", os.environ["HOLDFAST_BIN_PLAIN"])  # under a sanitizer it takes minutes
    campaign = Campaign(database, homes, tmp_path)
    yield campaign
    campaign.tool.close()


def work_on_the_database(c: Campaign) -> None:
    # An import, by COPY.
    lines = "".join(f"00000000-0000-4000-8000-{i:012d}\twhat agent {i} learned about the harbour\t{'sea' if i % 3 else 'land'}\n" for i in range(1001, ROWS + 1))
    c.sql(ROWS - 1000, f"COPY memories (id, content, project_id) FROM STDIN;\n{lines}\\.\n")
    # An application: inserts, edits of other fields, reads; by two connections at once.
    script = c.path.parent / "work.sql"
    script.write_text(
        f"\\set n random(1001, {ROWS})\n"
        "INSERT INTO memories (content, project_id) VALUES ('a new fact ' || :n, 'sea');\n"
        f"UPDATE memories SET importance = 0.9, updated_at = now() WHERE id = ({postgres.ID.format(':n')})::uuid;\n"
        f"SELECT content FROM memories WHERE id = ({postgres.ID.format(':n')})::uuid;\n"
    )
    c.program("pgbench", "-n", "-c", "2", "-t", "250", f"--random-seed={SEED}", "-f", str(script))
    c.sql(1000, "SELECT 1")
    # Fields of every row, the content staying: upserts, a version that rises, tags normalised.
    c.sql(
        3 * ROWS,
        "INSERT INTO memories SELECT * FROM memories ON CONFLICT (id) DO UPDATE SET sync_version = memories.sync_version + 1, updated_at = now()",
        "UPDATE memories SET tags = (SELECT array_agg(lower(trim(t)) ORDER BY t) FROM unnest(tags || '{Normalised}') t)",
        "UPDATE memories SET memory_type = 'episodic' WHERE memory_type = 'semantic'",
    )
    # Migrations that add; a backfill; a rename by the database, and one by add, copy and drop.
    c.sql(
        2 * ROWS,
        "ALTER TABLE memories ADD COLUMN extra text DEFAULT 'x'",
        "CREATE INDEX CONCURRENTLY memories_project ON memories (project_id, created_at)",
        "CREATE TABLE other (id serial PRIMARY KEY, memory uuid REFERENCES memories, note text); INSERT INTO other (memory, note) SELECT id, 'n' FROM memories LIMIT 500",
        "UPDATE memories SET extra = md5(content)",
        "ALTER TABLE memories RENAME COLUMN extra TO digest",
        "BEGIN; ALTER TABLE memories ADD COLUMN fingerprint text; UPDATE memories SET fingerprint = digest; ALTER TABLE memories DROP COLUMN digest; COMMIT",
        "ALTER TABLE memories ADD CHECK (importance >= 0), ALTER COLUMN project_id SET DEFAULT 'sea'",
        "TRUNCATE other; DROP TABLE other",
    )
    # What an administrator does, and a backup.
    c.sql(0, "VACUUM FULL memories", "ANALYZE memories", "REINDEX TABLE memories", "CLUSTER memories USING memories_pkey", "CHECKPOINT", "VACUUM (FREEZE) memories")
    c.program("pg_dump", "-Fc", "-f", str(c.path.parent / "backup.dump"))
    # A transaction that thought better of it; one that writes a few rows anew.
    some = ", ".join(f"'{postgres.id_of(i)}'" for i in range(2001, 2006))
    c.sql(
        5,
        "BEGIN; DELETE FROM memories; ROLLBACK",
        f"BEGIN; CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM memories WHERE id IN ({some}); DELETE FROM memories WHERE id IN ({some}); INSERT INTO memories SELECT * FROM kept; COMMIT",
    )
    # A tenth of the notes corrected; a few rows deleted, by hand and by a clean-up.
    c.sql(ROWS // 10, "UPDATE memories SET content = content || ', and checked it', updated_at = now() WHERE right(id::text, 1) = '7' AND content LIKE 'what agent%'")
    c.sql(9, *[f"DELETE FROM memories WHERE id = '{postgres.id_of(i)}'" for i in range(3001, 3006)], "SET application_name = 'nightly'; DELETE FROM memories WHERE id IN (SELECT id FROM memories WHERE content LIKE 'a new fact%' ORDER BY id LIMIT 4)")  # fmt: skip
    # Rows go to another project; the server is restarted.
    c.sql(ROWS // 3, "UPDATE memories SET project_id = 'coast' WHERE project_id = 'land'")
    c.database.server.restart()
    c.sql(ROWS, "UPDATE memories SET sync_version = sync_version + 1")


def work_on_the_sqlite_file(c: Campaign) -> None:
    tool = c.tool
    c.cli(TOOL_ROWS - 500, sqlite.insert(TOOL_ROWS - 500, 501).replace("'sea'", "'tool'"))
    c.cli(2 * TOOL_ROWS, "UPDATE memories SET uses = uses + 1;", "UPDATE memories SET tags = '[\"normalised\"]';")
    c.cli(TOOL_ROWS, "ALTER TABLE memories ADD COLUMN extra TEXT DEFAULT 'x'; CREATE INDEX more ON memories (content);", "UPDATE memories SET extra = hex(content);")
    c.cli(TOOL_ROWS, "REPLACE INTO memories SELECT * FROM memories;", "VACUUM;", "REINDEX;", "ANALYZE;", "PRAGMA wal_checkpoint(TRUNCATE);")
    c.cli(TOOL_ROWS, "ALTER TABLE memories RENAME COLUMN extra TO digest; UPDATE memories SET vector = NULL;", "CREATE TABLE other (a); INSERT INTO other VALUES (1); DROP TABLE other;")
    # An application that commits note by note, and closes and opens its file.
    for round in range(3):
        with closing(sqlite3.connect(tool.path, timeout=10, isolation_level=None)) as connection:
            for i in c.dice.sample(range(1000, TOOL_ROWS), 150):
                connection.execute("UPDATE memories SET content = content || ' indeed', uses = uses + 1 WHERE id = ?", (sqlite.id_of(i),))
            connection.executemany("INSERT INTO memories (id, content, project_id) VALUES (?, ?, 'tool')", [(sqlite.id_of(100_000 + 100 * round + i), f"a new fact {i}") for i in range(50)])  # fmt: skip
    c.count(600)
    c.await_tool("note by note")
    # SQLite's own backup, and a rollback journal for a while.
    with closing(sqlite3.connect(tool.path)) as connection, closing(sqlite3.connect(tool.beside(".backup"))) as backup:
        connection.backup(backup)
    eventually(lambda: tool.cli("PRAGMA journal_mode = delete;", check=False).strip() == "delete")  # refused while anybody reads
    c.cli(TOOL_ROWS, "UPDATE memories SET uses = uses + 1;", "BEGIN; DELETE FROM memories; ROLLBACK;")
    # A program that saves by rename, with everything in it.
    tool.cli(f"VACUUM INTO '{tool.beside('.new')}';")
    os.rename(tool.beside(".new"), tool.path)
    c.await_tool("saved by rename")
    c.cli(TOOL_ROWS, "UPDATE memories SET importance = 0.75;")
    c.cli(7, *[f"DELETE FROM memories WHERE id = '{sqlite.id_of(i)}';" for i in range(700, 707)], "PRAGMA journal_mode = wal; PRAGMA optimize;")


def work_on_the_folder(c: Campaign) -> None:
    for i in range(FILES):
        c.folder.write(f"{'abcdefg'[i % 7]}/{i}.md", files.note(i, 40))
    c.shell(FILES, "git init -q -b main .. && git add -A && git commit -qm first && git gc -q")
    # Branches that say otherwise, and one that lacks a half: switched, merged, reset, rebased. What hands edit stays below a half.
    c.shell(100, "git checkout -qb other && for f in a/*.md; do tac $f | tr a-z b-za > $f.x && mv $f.x $f; done && git commit -qam other && sleep 1")
    c.shell(
        1000,
        "git checkout -qb bare && git rm -rq --cached d e f && git commit -qm bare && git checkout -qf main && git checkout -q other && git checkout -q main"
        " && git merge -q other && git reset -q --hard HEAD~1",
    )
    c.shell(300, "git checkout -qb mine && for f in g/*.md; do echo mine >> $f; done && git commit -qam mine && git rebase -q other && git checkout -q main")
    c.shell(20, "for f in $(ls a/*.md | head -10); do echo 'work under way' >> $f; done && sleep 0.5 && git stash -q && git stash pop -q && git checkout -q -- .")
    # Editors; appends; temporary files; a formatter over a part; folders moved about.
    c.shell(150, "for i in $(seq 50); do echo \"line $i\" >> g/6.md; cp g/13.md .g.tmp && echo \"line $i\" >> .g.tmp && mv .g.tmp g/13.md; sed -i '$s/$/ and/' g/20.md; done")
    c.shell(100, "for f in e/*1.md e/*2.md e/*3.md e/*4.md e/*5.md; do echo 'a line more' >> $f; touch $f.swp $f~ && rm $f.swp $f~; done")
    c.shell(150, "for f in d/*1.md d/*2.md d/*3.md d/*4.md d/*5.md; do sed 's/ harbour/  harbour/; s/$/ /' $f > $f.fmt.tmp && mv $f.fmt.tmp $f; done && chmod 640 d/*.md && touch d/*.md")
    c.shell(400, "mv d moved && mkdir -p deep/er && mv e deep/er/e && cp -r f copies && mv deep/er/e e && mv moved d")
    c.shell(800, "git add -A && git commit -qm more && git mv f h && git commit -qm moved && touch */*.md && chmod 644 */*.md")
    c.shell(5, "rm copies/12.md copies/5.md copies/19.md copies/26.md copies/33.md")


@pytest.mark.timeout(900)
def test_a_hundred_thousand_ordinary_operations_raise_no_alert(campaign):
    c = campaign
    c.database.psql(postgres.MEMORIES + postgres.insert(1000))
    c.tool.cli(sqlite.MEMORIES + sqlite.insert(500).replace("'sea'", "'tool'"))
    c.home.call("init", "postgres", "app", "--yes")
    eventually(lambda: all(s["connected"] and s["position"] for s in c.home.json("status")["sources"]))
    c.count(1500)
    work_on_the_folder(c)
    work_on_the_database(c)
    work_on_the_sqlite_file(c)
    c.home.call("stop")
    c.sql(ROWS, "UPDATE memories SET updated_at = now()")  # while nothing is captured, and a start
    c.cli(TOOL_ROWS, "UPDATE memories SET uses = uses + 1;")
    c.shell(0, "true")
    assert c.home.lines("alerts", "--all") == []
    rows = {(m["metadata"]["source"]["name"], m["metadata"]["source"].get("key")): m["content"] for m in c.home.export().values() if "row" in (m["metadata"] or {})}
    there = dict(line.split("\t", 1) for line in c.database.query("SELECT id || E'\\t' || content FROM memories").splitlines())
    assert {key: content for (source, key), content in rows.items() if source == "app"} == there
    assert {key: content for (source, key), content in rows.items() if source == "tool"} == {
        row[0].decode(): row[2].decode() for row in c.tool.rows()
    }
    assert c.folder.texts() == {path: text for path, text in c.folder.on_disk().items() if not path.startswith("settled/")}
    assert c.home.json("verify")["ok"]
    assert c.done >= OPERATIONS
    print(f"{c.done} operations")
    shutil.rmtree(c.path)
