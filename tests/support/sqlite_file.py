"""A home that captures somebody's SQLite file, and the application that writes it."""

from __future__ import annotations

import pathlib
import sqlite3
import subprocess

from .home import Home, eventually

MEMORIES = """
CREATE TABLE memories (
  id TEXT PRIMARY KEY NOT NULL,
  content TEXT,
  project_id TEXT,
  importance REAL DEFAULT 0.5,
  uses INTEGER DEFAULT 0,
  tags TEXT DEFAULT '[]',
  vector BLOB,
  created_at TEXT DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX memories_project ON memories (project_id);
"""


def id_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def insert(count: int, first: int = 1) -> str:
    """SQL that makes so many memories, all different."""
    return (
        f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {first + count - 1}) "
        "INSERT INTO memories (id, content, project_id, importance, uses, tags, vector, created_at) SELECT "
        "printf('00000000-0000-4000-8000-%012d', i), 'what agent ' || i || ' learned about the harbour', 'sea', "
        "i / 7.0, i, '[\"a\", \"b ' || i || '\"]', CAST(printf('%c%c', i % 200, 255) AS BLOB), "
        "datetime('2026-01-01', '+' || i || ' seconds') FROM n;"
    )


def config_of(path: pathlib.Path, more: str = "") -> str:
    return f"daemon:\n  project: test\nsources:\n  - name: tool\n    kind: sqlite\n    path: {path}\n{more}"


class Tool:
    """The application that owns the file: the sqlite3 program, and connections of Python's."""

    def __init__(self, path: pathlib.Path, mode: str = "wal"):
        self.path, self.mode = path, mode
        path.parent.mkdir(exist_ok=True)
        self.cli(f"PRAGMA journal_mode = {mode};")
        self.open_ones: list[sqlite3.Connection] = []

    def cli(self, sql: str, check: bool = True) -> str:
        done = subprocess.run(["sqlite3", "-bail", "-cmd", ".timeout 5000", str(self.path)], input=sql, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def connect(self) -> sqlite3.Connection:
        """A connection that stays open, as an application's does."""
        connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        self.open_ones.append(connection)
        return connection

    def rows(self, table: str = "memories", order: str = "1") -> list[tuple]:
        """Every value with its class, read as a newcomer would: from the name."""
        with sqlite3.connect(self.path, timeout=10) as connection:
            connection.text_factory = bytes
            columns = [row[1].decode() for row in connection.execute(f"PRAGMA table_info({table})")]
            quoted = ['"' + c.replace('"', '""') + '"' for c in columns]
            asked = ", ".join(f"{c}, typeof({c})" for c in quoted)
            rows = connection.execute(f"SELECT {asked} FROM {table} ORDER BY {order}").fetchall()
        connection.close()
        return rows

    def beside(self, end: str) -> pathlib.Path:
        return self.path.with_name(self.path.name + end)

    def close(self) -> None:
        for connection in self.open_ones:
            connection.close()
        self.open_ones.clear()


class Captured:
    """A file and the home that captures it."""

    def __init__(self, home: Home, tool: Tool):
        self.home, self.tool = home, tool

    def source(self) -> dict:
        return self.home.json("status")["sources"][0]

    def rows(self) -> dict[str, dict]:
        """The memories that are rows, by id."""
        return {id: m for id, m in self.home.export().items() if "row" in (m["metadata"] or {})}

    def wait_rows(self, count: int) -> dict[str, dict]:
        def all_there():
            rows = self.rows()
            return rows if len(rows) == count else None

        return eventually(all_there) or {}

    def wait_alerts(self, count: int = 1) -> list[dict]:
        return eventually(lambda: (lambda alerts: alerts if len(alerts) >= count else None)(self.home.alerts()))
