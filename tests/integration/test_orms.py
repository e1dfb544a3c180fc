"""The commands by which agents lost databases (docs/guard.md), run by the tools themselves: Prisma, Drizzle, Alembic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.home import eventually
from support.source import Captured, config_of, id_of

NPM = Path(os.environ["HOLDFAST_NPM"])
COLUMNS = 'id uuid PRIMARY KEY DEFAULT gen_random_uuid(), content text, project_id text, tags text[], "createdAt" timestamptz(6) NOT NULL DEFAULT now()'
MEMORIES = f"CREATE TABLE memories ({COLUMNS});"
ROWS = (
    "INSERT INTO memories (id, content, project_id, tags, \"createdAt\") SELECT ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid,"
    " 'what agent ' || i || ' learned', 'sea', ARRAY['a', 'b ' || i], timestamptz '2026-01-01 00:00:00+00' + i * interval '1 second'"
    " FROM generate_series(1, 40) i;"
)


class Tool:
    """A project folder of an ORM, whose command line works on the database."""

    def __init__(self, folder: Path, database):
        self.folder, self.database = folder, database
        url = database.url.replace("postgres@", f"postgres:{database.server.password}@")
        self.env = os.environ | {"DATABASE_URL": url, "PATH": f"{Path(os.environ['HOLDFAST_NODE']).parent}:{os.environ['PATH']}"}
        (folder / "node_modules").symlink_to(NPM / "node_modules")

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


# ---- the tools, each with a project that made the table ----

# Its schema engine in WebAssembly, with the driver adapter: the native engine is not in the registry. The adapter does not know
# the catalog's type "char".
PRISMA_CONFIG = """
import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";

const CHAR = 18, TEXT = 25;
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const query = pool.query.bind(pool);
pool.query = async (...args) => {
  const result = await query(...args);
  for (const field of result.fields) if (field.dataTypeID === CHAR) field.dataTypeID = TEXT;
  return result;
};
export default {
  schema: "schema.prisma",
  migrations: { path: "migrations" },
  experimental: { adapter: true },
  engine: "js",
  adapter: async () => new PrismaPg(pool),
};
"""
PRISMA_SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model memories {
  id         String   @id @default(dbgenerated("gen_random_uuid()")) @db.Uuid
  content    String?
  project_id String?
  tags       String[]
  createdAt  DateTime @default(now()) @db.Timestamptz(6)
}
"""


class Prisma(Tool):
    def __init__(self, folder: Path, database):
        super().__init__(folder, database)
        self.write(
            prisma_DOT_config_DOT_mjs=PRISMA_CONFIG,
            schema_DOT_prisma=PRISMA_SCHEMA,
            migrations__migration_lock_DOT_toml='provider = "postgresql"\n',
            migrations__1_first__migration_DOT_sql=MEMORIES,
            no_engine="",
        )
        none = str(folder / "no_engine")  # that it is there is checked; it is never started
        self.env |= {"CHECKPOINT_DISABLE": "1", "PRISMA_QUERY_ENGINE_LIBRARY": none, "PRISMA_SCHEMA_ENGINE_BINARY": none}
        self.prisma("migrate", "deploy")

    def prisma(self, *arguments: str) -> None:
        self.run("node_modules/.bin/prisma", *arguments, "--config", "prisma.config.mjs")


class Drizzle(Tool):
    """Its schema knows another table, and not this one."""

    def __init__(self, folder: Path, database):
        super().__init__(folder, database)
        self.write(
            drizzle_DOT_config_DOT_mjs='export default { dialect: "postgresql", schema: "./schema.mjs",'
            " dbCredentials: { url: process.env.DATABASE_URL } };\n",
            schema_DOT_mjs='import { pgTable, integer } from "drizzle-orm/pg-core";\n'
            'export const other = pgTable("other", { id: integer("id").primaryKey() });\n',
        )
        database.psql(MEMORIES + "CREATE TABLE other (id integer PRIMARY KEY); CREATE TABLE more (id integer PRIMARY KEY);")


class Alembic(Tool):
    def __init__(self, folder: Path, database):
        super().__init__(folder, database)
        self.write(
            alembic_DOT_ini="[alembic]\nscript_location = %(here)s\n",
            env_DOT_py="import os\nfrom alembic import context\nfrom sqlalchemy import create_engine\n"
            "url = os.environ['DATABASE_URL'].replace('postgresql:', 'postgresql+psycopg:')\n"
            "with create_engine(url).connect() as connection:\n"
            "    context.configure(connection=connection)\n"
            "    with context.begin_transaction():\n        context.run_migrations()\n",
        )
        self.revision("1", None, MEMORIES, "DROP TABLE memories")
        self.alembic("upgrade", "head")

    def revision(self, number: str, after: str | None, up: str, down: str) -> None:
        text = f"from alembic import op\nrevision, down_revision = {number!r}, {after!r}\n"
        for name, sql in (("upgrade", up), ("downgrade", down)):
            text += f"def {name}():\n    op.execute({sql!r})\n"
        self.write(**{f"versions__r{number}_DOT_py": text})

    def alembic(self, *arguments: str) -> None:
        self.run(sys.executable, "-m", "alembic", *arguments)


# ---- what they destroy ----

WRECKS = {
    "prisma_migrate_reset": (Prisma, lambda tool: tool.prisma("migrate", "reset", "--force", "--skip-seed", "--skip-generate")),
    "prisma_db_push_force_reset": (
        Prisma,
        lambda tool: tool.prisma("db", "push", "--force-reset", "--accept-data-loss", "--skip-generate"),
    ),
    "drizzle_kit_push_force": (Drizzle, lambda tool: tool.run("node_modules/.bin/drizzle-kit", "push", "--force", "--config", "drizzle.config.mjs")),
    "alembic_down_and_up": (Alembic, lambda tool: (tool.alembic("downgrade", "base"), tool.alembic("upgrade", "head"))),
}


@pytest.fixture
def begun(homes, database, tmp_path):
    def begin(kind) -> tuple[Tool, Captured]:
        folder = tmp_path / "app"
        folder.mkdir()
        tool = kind(folder, database)
        captured = Captured(homes(config=config_of(database)), database)
        captured.init()
        database.psql(ROWS)
        captured.wait_rows(40)
        return tool, captured

    return begin


@pytest.mark.parametrize("how", WRECKS)
def test_what_an_orm_destroys_is_held_and_put_back_to_the_byte(begun, database, how):
    kind, wreck = WRECKS[how]
    tool, captured = begun(kind)
    before, known = database.rows("memories"), captured.rows()

    wreck(tool)
    assert database.query("SELECT to_regclass('memories')") == "" or database.rows("memories") == []
    alert = captured.wait_alerts()[0]
    assert alert["state"] == "open" and "app: postgres" in alert["actor"]
    assert {id: m["content"] for id, m in captured.rows().items()} == {id: m["content"] for id, m in known.items()}

    assert captured.home.json("restore", "app")["restored"] == 40
    assert database.rows("memories") == before


def test_a_column_that_prisma_drops_raises_an_alert(begun, database):
    tool, captured = begun(Prisma)
    tool.write(schema_DOT_prisma=PRISMA_SCHEMA.replace("  tags       String[]\n", ""))
    tool.prisma("db", "push", "--accept-data-loss", "--skip-generate")
    alert = captured.wait_alerts()[0]
    assert alert["rule"] == "source_column_dropped" and "tags" in alert["summary"]


def test_a_migration_that_adds_raises_nothing(begun, database):
    tool, captured = begun(Alembic)
    tool.revision(
        "2", "1", "ALTER TABLE memories ADD COLUMN note text DEFAULT 'none'; CREATE INDEX by_project ON memories (project_id)", "SELECT 1"
    )
    tool.revision("3", "2", "CREATE TABLE notes (id integer PRIMARY KEY); UPDATE memories SET note = 'seen'", "SELECT 1")
    tool.alembic("upgrade", "head")
    database.psql("INSERT INTO memories (id, content) VALUES ('00000000-0000-4000-8000-000000000099', 'the last');")
    eventually(lambda: id_of(99) in captured.rows())
    assert captured.home.alerts() == []
    assert all(m["metadata"]["row"]["note"] == "seen" for id, m in captured.rows().items() if id != id_of(99))
