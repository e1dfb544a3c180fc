"""A real PostgreSQL for tests: one cluster for each worker of a pytest session, a database of its own for each test.

A worker's cluster is made by its first test that wants it and ended by the session's first process (conftest.py). A test has
it by the fixture `database`: alone, running, with an empty database and no replication slots.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from postgres_server import Postgres, programs
from support.worker import worker

SHARED = "HOLDFAST_TEST_POSTGRES"  # the folder of the workers' clusters, in the environment of all workers

_numbers = itertools.count(1)


class Database:
    """One database on a cluster, and psql on it."""

    def __init__(self, server: Postgres, name: str):
        self.server, self.name = server, name

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def psql(self, sql: str, **options):
        return self.server.psql(sql, self.name, **options)

    def query(self, sql: str) -> str:
        return self.server.query(sql, self.name)

    def rows(self, table: str, order: str = "id") -> list[str]:
        """All of a table, each row as PostgreSQL writes it: for comparing before and after."""
        return self.query(f"SELECT t::text FROM {table} t ORDER BY {order}").splitlines()


class Session:
    """One session of the application by psql: each piece of SQL is run, and what comes of it waits for the next."""

    def __init__(self, database: Database):
        command = [programs() / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database.url]
        env = os.environ | {"PGPASSWORD": database.server.password, "PGAPPNAME": "session"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)

    def run(self, sql: str) -> list[str]:
        """What it prints; returns when it is done."""
        self.process.stdin.write(f"{sql}\n\\echo -- done\n")
        self.process.stdin.flush()
        lines = list(iter(self.process.stdout.readline, "-- done\n"))
        assert "" not in lines, sql  # psql ended
        return [line.rstrip("\n") for line in lines]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=30)


@contextmanager
def other_cluster(**settings: str):
    """A server of the test's own with other settings, and a database on it."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-postgres-", dir="/tmp"))
    folder.chmod(0o711)  # as make_shared_folder says
    server = Postgres(folder / "cluster", settings)
    try:
        server.start()
        yield Database(server, "postgres")
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder)


def make_shared_folder() -> None:
    """In the first process, before workers start. The user postgres must be able to enter it."""
    os.environ[SHARED] = tempfile.mkdtemp(prefix="holdfast-postgres-", dir="/tmp")
    os.chmod(os.environ[SHARED], 0o711)


def end_shared() -> None:
    """In the first process, when all workers are done."""
    folder = Path(os.environ.pop(SHARED))
    for home in folder.iterdir():
        server = Postgres(home)
        if server.pid():
            server.stop(signal.SIGQUIT)  # its data is not needed any more
    shutil.rmtree(folder)


@contextmanager
def lease():
    """A database of the test's own on this worker's cluster."""
    server = Postgres(Path(os.environ[SHARED]) / worker())
    server.start()
    name = f"test_{next(_numbers)}"
    server.psql(f"CREATE DATABASE {name}")
    try:
        yield Database(server, name)
    finally:
        server.start()
        forget(server, name)


def forget(server: Postgres, name: str) -> None:
    """Drop a database with its slots, whoever uses them: who is sent away can't come back."""
    server.psql(
        f"UPDATE pg_database SET datallowconn = false WHERE datname = '{name}';"
        "DO $$ BEGIN FOR i IN 1..500 LOOP"
        " PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active;"
        " BEGIN PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots; EXCEPTION WHEN object_in_use THEN NULL; END;"
        " EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots); PERFORM pg_sleep(0.02); END LOOP; END $$;"
    )
    server.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
