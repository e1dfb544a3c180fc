"""A real Neo4j for tests: one server for each worker of a pytest session, and servers of a test's own.

A worker's server is started by its first test that wants it and ended by the session's first process (conftest.py). A test
has it by the fixture `neo4j_server`: alone, running, and empty. What a test kills, the next one starts again.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from neo4j_server import USER, Server
from support.worker import worker

STATEMENTS = Path(__file__).parents[2] / "src/vault/neo4j_statements.def"
VECTOR_INDEX = "memory_embedding"
DIMENSIONS = 768  # of a vault whose configuration says nothing
SHARED = "HOLDFAST_TEST_NEO4J"  # the folder of the workers' servers, in the environment of all workers


class Neo4j(Server):
    """A server below a temporary folder; the password it was last given is in password_file."""

    def __init__(self, home: Path, **options):
        software = os.environ.get("HOLDFAST_NEO4J")
        assert software, "HOLDFAST_NEO4J is not set: it says where Neo4j's jars are; ./dev test and ./dev pytest set it"
        super().__init__(Path(software), home, **options)

    @property
    def auth(self) -> tuple[str, str]:
        return USER, self.password

    def driver(self, port: int | None = None, **options):
        """The official driver, on this server or on a proxy's port before it. Close it."""
        import neo4j

        return neo4j.GraphDatabase.driver(f"bolt://127.0.0.1:{port or self.bolt_port}", auth=self.auth, **options)

    def change_password(self, new: str) -> None:
        self.query("ALTER CURRENT USER SET PASSWORD FROM $old TO $new", "system", old=self.password, new=new)
        self.password_file.write_text(new + "\n")


def make_shared_folder() -> None:
    """In the first process, before workers start."""
    os.environ[SHARED] = tempfile.mkdtemp(prefix="holdfast-neo4j-")


def end_shared() -> None:
    """In the first process, when all workers are done."""
    folder = Path(os.environ.pop(SHARED))
    for home in folder.glob("*/home"):
        Neo4j(home).kill9()  # its data is not needed any more
    shutil.rmtree(folder)


@contextmanager
def lease(dimensions: int = DIMENSIONS):
    """This worker's server for one test: empty, but that it may have what Holdfast sets up there, with a vector index of so
    many dimensions. Making that anew for each test, and planning all statements anew after it, was half of their time."""
    folder = Path(os.environ[SHARED]) / worker()
    folder.mkdir(exist_ok=True)
    server, first_password = Neo4j(folder / "home"), folder / "first_password"
    server.start()
    if not first_password.exists():
        first_password.write_text(server.password)
    if server.password != first_password.read_text():
        server.change_password(first_password.read_text())
    server.empty(keep={name for name in schema() if name != VECTOR_INDEX or vector_dimensions(server) == dimensions})
    yield server


def schema() -> list[str]:
    """The names of the constraints and indexes that Holdfast makes."""
    names = re.findall(r"CREATE [A-Z ]*(?:CONSTRAINT|INDEX) (\w+) IF NOT EXISTS", STATEMENTS.read_text())
    assert VECTOR_INDEX in names
    return names


def vector_dimensions(server: Server) -> int | None:
    options = server.query("SHOW VECTOR INDEXES YIELD name, options WHERE name = $name RETURN options", name=VECTOR_INDEX)
    return options[0][0]["indexConfig"]["vector.dimensions"] if options else None
