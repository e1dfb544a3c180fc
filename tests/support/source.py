"""A home that captures a PostgreSQL database, and the specification's table in it."""

from __future__ import annotations

from .home import Home, eventually
from .postgres import Database

MEMORIES = """
CREATE TABLE memories (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  content text,
  memory_type text DEFAULT 'semantic',
  importance double precision DEFAULT 0.5,
  session_id uuid,
  project_id text,
  tags text[],
  sync_version bigint DEFAULT 1,
  created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now()
);
"""

# A source names it by its rows' numbers: id_of(7).
ID = "'00000000-0000-4000-8000-' || lpad({}::text, 12, '0')"


def id_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def insert(count: int, first: int = 1) -> str:
    """SQL that makes so many memories, all different."""
    return (
        "INSERT INTO memories (id, content, project_id, tags, importance, created_at) SELECT "
        f"({ID.format('i')})::uuid, 'what agent ' || i || ' learned about the harbour', 'sea', ARRAY['a', 'b ' || i], 0.25, "
        f"timestamptz '2026-01-01 00:00:00+00' + i * interval '1 second' FROM generate_series({first}, {first + count - 1}) i;"
    )


def config_of(database: Database, more: str = "") -> str:
    return f"daemon:\n  project: test\nsources:\n  - name: app\n    kind: postgres\n    url: {database.url}\n{more}"


class Captured:
    """A database and the home that captures it."""

    def __init__(self, home: Home, database: Database):
        self.home, self.database = home, database
        home.env["PGPASSWORD"] = database.server.password

    def init(self) -> None:
        self.home.call("init", "postgres", "--yes")
        self.wait_connected()

    def source(self) -> dict:
        return self.home.json("status")["sources"][0]

    def wait_connected(self) -> dict:
        def connected():
            source = self.source()
            return source if source["connected"] and source["position"] else None

        return eventually(connected)

    def rows(self) -> dict[str, dict]:
        """The memories that are rows, by id."""
        return {id: m for id, m in self.home.export().items() if "row" in (m["metadata"] or {})}

    def wait_rows(self, count: int) -> dict[str, dict]:
        def all_there():
            if self.home.json("status")["memories"] < count:
                return None  # told at once, while all rows take long
            rows = self.rows()
            return rows if len(rows) == count else None

        return eventually(all_there) or {}

    def wait_alerts(self, count: int = 1) -> list[dict]:
        return eventually(lambda: (lambda alerts: alerts if len(alerts) >= count else None)(self.home.alerts()))
