"""What all tests in Python share: homes in temporary folders, whose daemons are stopped at the end; a real Neo4j,
a real PostgreSQL."""

from __future__ import annotations

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support import neo4j as neo4j_support  # noqa: E402
from support import postgres as postgres_support  # noqa: E402
from support import sqlite_file as sqlite_support  # noqa: E402
from support.certificates import Certificates  # noqa: E402
from support.fault_proxy import FaultProxy  # noqa: E402
from support.home import Home  # noqa: E402
from support.tls_peer import TlsPeer  # noqa: E402


SERVERS = {"neo4j_server": "neo4j", "neo4j_servers": "neo4j", "database": "postgres"}


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # not in xdist's workers
        neo4j_support.make_shared_folder()
        postgres_support.make_shared_folder()


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        neo4j_support.end_shared()
        postgres_support.end_shared()


@pytest.hookimpl(tryfirst=True)  # before those that -m leaves out are left out
def pytest_collection_modifyitems(items):
    """What needs a real server carries its name as a mark, by the fixtures that it uses."""
    for item in items:
        for fixture, mark in SERVERS.items():
            if fixture in item.fixturenames:
                item.add_marker(mark)


@pytest.fixture
def homes(tmp_path):
    """Make homes: homes(name="a", config="guard:\\n  ...")."""
    made: list[Home] = []

    def make(name: str = "home", config: str = "") -> Home:
        home = Home(tmp_path, name, config)
        made.append(home)
        return home

    yield make
    for home in made:
        home.close()


@pytest.fixture
def home(homes):
    return homes()


@pytest.fixture
def neo4j_server(request):
    """A real Neo4j: running, empty, and this test's alone. The worker's next test gets the same one."""
    mark = request.node.get_closest_marker("dimensions")
    with neo4j_support.lease(*mark.args if mark else ()) as server:
        yield server


@pytest.fixture
def graph(neo4j_server):
    """The official driver on the session's Neo4j."""
    with neo4j_server.driver() as driver:
        yield driver


@pytest.fixture
def neo4j_servers(tmp_path):
    """Make servers of the test's own: neo4j_servers("a", settings={...}); not started yet."""
    made: list[neo4j_support.Neo4j] = []

    def make(name: str = "neo4j", **options) -> neo4j_support.Neo4j:
        made.append(neo4j_support.Neo4j(tmp_path / name, **options))
        return made[-1]

    yield make
    for server in made:
        server.kill9()


@pytest.fixture
def database():
    """A database of its own on a real PostgreSQL, which is this test's alone; the worker's next test gets the same one."""
    with postgres_support.lease() as database:
        yield database


@pytest.fixture(params=["wal", "delete"])
def tool(request, tmp_path):
    """An application's SQLite file with 40 memories, in both of SQLite's ways to commit."""
    tool = sqlite_support.Tool(tmp_path / "tool" / "memory.db", request.param)
    tool.cli(sqlite_support.MEMORIES + sqlite_support.insert(40))
    yield tool
    tool.close()


@pytest.fixture
def fault_proxies():
    """Make proxies: fault_proxies(port)."""
    made: list[FaultProxy] = []

    def make(port: int) -> FaultProxy:
        made.append(FaultProxy(port))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_peers():
    """Make TLS servers: tls_peers(certificate)."""
    made: list[TlsPeer] = []

    def make(certificate) -> TlsPeer:
        made.append(TlsPeer(certificate))
        return made[-1]

    yield make
    for peer in made:
        peer.close()
