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


# What agents did to the forty memories.
WRECKS = {
    "drop": "DROP TABLE memories;",
    "truncate": "TRUNCATE memories;",
    "delete": "DELETE FROM memories;",
    "delete_as_replica": "SET session_replication_role = replica; DELETE FROM memories;",
    "delete_most": f"DELETE FROM memories WHERE id <> '{id_of(1)}';",
    "blank": "UPDATE memories SET content = NULL;",
    "empty": "UPDATE memories SET content = '';",
    "overwritten with more than a memory takes": "UPDATE memories SET content = repeat('x', 60000);",
    "fixtures": "DELETE FROM memories; " + insert(20, 101),
}

# Twelve rows with values of every kind, and of two tables one refers to the other.
KINDS = """
CREATE TYPE mood AS ENUM ('calm', 'it''s \\ rough');
CREATE TYPE place AS (lat float8, name text);
CREATE TABLE notes (
  note_id bigserial PRIMARY KEY,
  body text NOT NULL,
  team text,
  flag boolean, small smallint, amount numeric(30, 10), ratio double precision, thin real,
  raw bytea, doc jsonb, text_doc json, moods mood[], mood mood, grid int[][], words text[],
  at timestamptz, plain timestamp, day date, hour timetz, span interval, at_range tstzrange, net cidr,
  id uuid, spot place, bits bit(5), x xml,
  always int GENERATED ALWAYS AS IDENTITY UNIQUE,
  made int GENERATED ALWAYS AS (note_id * 2) STORED,
  size int DEFAULT 7 CHECK (size > 0),
  UNIQUE (team, small)
);
CREATE INDEX notes_body ON notes (lower(body)) WHERE flag;
INSERT INTO notes (body, team, flag, small, amount, ratio, thin, raw, doc, text_doc, moods, mood, grid, words, at, plain, day, hour, span,
                   at_range, net, id, spot, bits, x)
VALUES ('plain', 'a', true, 1, 12345678901234567890.0123456789, 0.1, 1e-7, '\\x00ff5c', '{"a": [1, null, "\\u00e9"]}', '{"b":  2, "b": 3}',
        ARRAY['calm', NULL]::mood[], 'it''s \\ rough', '{{1,2},{3,NULL}}', ARRAY['', 'NULL', 'a,b', 'q"uote', 'back\\slash', NULL],
        'infinity', '-infinity', '0044-03-15 BC', '12:00:00+05:30', '1 year -2 days 03:04:05.678', '[2026-01-01,)', '10.0.0.0/8',
        '0190a000-0000-7000-8000-000000000001', ROW(1.5, 'x,"y'), B'10101', '<a b="c">d</a>'),
       (E'tab\\t new\\nline \\\\ back \\r \\u20ac', 'b', NULL, 2, 'NaN', 'Infinity', '-Infinity', '', 'null', 'null', '{}', NULL, NULL, '{}',
        '2026-11-28 10:00:00.123456+01', NULL, NULL, NULL, NULL, 'empty', NULL, NULL, NULL, NULL, NULL),
       (repeat('large ', 4000), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE parts (id int PRIMARY KEY, note bigint REFERENCES notes ON DELETE CASCADE, content text);
INSERT INTO parts SELECT i, 1 + i % 3, 'part ' || i FROM generate_series(1, 9) i;
"""

KINDS_TABLES = """    tables:
      - {table: notes, id: note_id, content: body, project: team}
      - parts
"""


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
