"""The figures of the PostgreSQL source: one real server for all of them, PostgreSQL's own tools as the peers."""

from __future__ import annotations

import bisect
import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import kit
from kit import HERE, Figure, Home, Load, median, quantile, run, timed

sys.path.insert(0, str(HERE.parent / "tools"))
from postgres_server import Postgres, programs  # noqa: E402

BACKLOG, RESTORED = 1_000_000, 100_000
COMMITS_S, LAG_S, ROUNDS = 200, 20, 3
BURSTS = 40
PGBENCH_S, PGBENCH_ROUNDS, PGBENCH_ROWS = 10, 5, 10_000
WAIT_S = 300
LOOK_S = 0.0005  # between two looks at how far it is
SLOT = "holdfast_bench"
TABLE = """CREATE TABLE memories (
  id uuid PRIMARY KEY, content text, memory_type text DEFAULT 'semantic', importance double precision DEFAULT 0.5, session_id uuid,
  project_id text, tags text[], sync_version bigint DEFAULT 1, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now())"""
ID = "('00000000-0000-4000-8000-' || lpad(({})::text, 12, '0'))::uuid"
CONTENT = "repeat('what an agent learned ', 13) || ({})::text"  # 300 bytes
INSERT = f"INSERT INTO memories (id, content, project_id, tags) SELECT {ID.format('i')}, {CONTENT.format('i')}, {{project}}, ARRAY['a', 'b']"


# ---- the stage: a server, and a database for each figure ----


class Database:
    def __init__(self, server: Postgres, name: str):
        self.server, self.name = server, name
        self.env = os.environ | {"PGPASSWORD": server.password}
        server.psql(f"CREATE DATABASE {name}")
        self.sql(TABLE)

    def sql(self, text: str) -> str:
        return self.server.query(text, self.name)

    def fill(self, count: int, first: int = 1) -> None:
        """Rows in transactions of a thousand, spread over fifty projects."""
        rows = INSERT.format(project="'project-' || i % 50")
        self.sql(
            f"DO $$ BEGIN FOR t IN 0..{(count - 1) // 1000} LOOP {rows} FROM generate_series({first} + t * 1000,"
            f" least({first} + t * 1000 + 999, {first + count - 1})) i; COMMIT; END LOOP; END $$"
        )

    def tool(self, name: str, *args: str) -> list[str]:
        return [str(programs() / name), "-d", self.server.url(self.name), *args]


class Captured(Home):
    """A home whose source is the database, with the default vault beside it."""

    def __init__(self, folder: pathlib.Path, database: Database):
        super().__init__(folder)
        self.env = {"PGPASSWORD": database.server.password}
        with (self.path / "holdfast.yaml").open("a") as config:
            config.write(f"sources:\n  - name: app\n    kind: postgres\n    url: {database.server.url(database.name)}\n    slot: {SLOT}\n")

    def start(self) -> Home:
        """Until it captures."""
        super().start()
        self.until(lambda: self.source()["connected"] and self.source()["position"])
        return self

    def source(self) -> dict:
        return self.json("status")["sources"][0]

    def journal(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.path}/live/ledger.db?mode=ro", uri=True, check_same_thread=False)

    def caught_up(self, database: Database) -> None:
        """All that was committed until now is captured."""
        end = _lsn(database.sql("SELECT pg_current_wal_lsn()"))
        self.until(lambda: _lsn(self.source()["position"]) >= end)

    def until(self, there, pause_s: float = 0.02) -> None:
        end = time.monotonic() + WAIT_S
        while not there():
            if time.monotonic() > end:
                raise RuntimeError(f"not within {WAIT_S} s: {self.source()}")
            time.sleep(pause_s)


def _lsn(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


@functools.cache
def server() -> Postgres:
    """Commit times are kept: what is durable when is measured from them."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-bench-postgres-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
    kit.AT_END.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o711)
    settings = {"track_commit_timestamp": "on", "shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
    found = Postgres(folder / "server", settings)
    kit.AT_END.callback(found.stop, signal.SIGQUIT)
    found.start()
    return found


@contextlib.contextmanager
def captured(folder: pathlib.Path, name: str, rows: int = 0):
    """A database that was prepared, and its home, which captured all of it and is stopped."""
    database = Database(server(), name)
    home = Captured(folder, database)
    if rows:
        database.fill(rows)
    with home:
        home.call("init", "postgres", "--yes")
        home.stop()
        with home.start():
            with contextlib.closing(home.journal()) as journal:
                home.until(lambda: journal.execute("SELECT count(*) FROM memory").fetchone()[0] >= rows)
        yield database, home
    for slot in database.sql(f"SELECT slot_name FROM pg_replication_slots WHERE database = '{name}'").split():
        database.sql(f"SELECT pg_drop_replication_slot('{slot}')")
    server().psql(f"DROP DATABASE {name} WITH (FORCE)")


class Looks:
    """How far something is, asked again and again by a thread: (time, how far) at each change."""

    def __init__(self, how_far):
        self.how_far, self.seen = how_far, []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self.ended.wait(LOOK_S):
            far = self.how_far()
            if not self.seen or far != self.seen[-1][1]:
                self.seen.append((time.time(), far))

    def __enter__(self) -> Looks:
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.ended.set()
        self.thread.join()

    def first(self, far: int) -> float:
        """When it was that far."""
        return self.seen[bisect.bisect_left([f for _, f in self.seen], far)][0]


# ---- the peer: pg_recvlogical ----


@contextlib.contextmanager
def recvlogical(database: Database, file: pathlib.Path, *options: str):
    """It writes what the slot `peer` gives to the file until the end of the block."""
    with open(file.with_suffix(".log"), "w") as log:
        command = database.tool("pg_recvlogical", "--slot=peer", "--start", "--file", str(file), "--no-loop", *options)
        process = subprocess.Popen(command, env=database.env, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait()


def make_peer(database: Database, plugin: str) -> None:
    run(*database.tool("pg_recvlogical", "--slot=peer", "--create-slot", f"--plugin={plugin}"), env=database.env)


# ---- lag ----


def _last_key(journal: sqlite3.Connection) -> int:
    return journal.execute("SELECT max(key) FROM journal").fetchone()[0]


def _paced(database: Database, folder: pathlib.Path) -> None:
    script = folder / "insert.sql"
    row = INSERT.format(project="'sea'").replace("SELECT", "VALUES (", 1)
    script.write_text("\\set i random(1, 2000000000)\n" + re.sub(r"\bi\b", ":i", row) + ");\n")
    args = ["-n", "-f", str(script), "-R", str(COMMITS_S), "-T", str(LAG_S), "-c", "1"]
    run(str(programs() / "pgbench"), *args, database.server.url(database.name), env=database.env)


def _commits(database: Database) -> list[float]:
    """When each row was committed, in that order."""
    at = "extract(epoch FROM pg_xact_commit_timestamp(xmin))"
    return [float(line) for line in database.sql(f"SELECT {at} FROM memories ORDER BY 1").split()]


def _lag_ours(folder: pathlib.Path, database: Database, home: Captured) -> list[float]:
    with home.start(), contextlib.closing(home.journal()) as journal:
        count = lambda: _last_key(journal)  # noqa: E731
        home.caught_up(database)
        before = count()
        with Looks(count) as looks:
            _paced(database, folder)
            commits = _commits(database)
            home.until(lambda: count() >= before + len(commits))
            time.sleep(2 * LOOK_S)
    return [looks.first(before + i + 1) - at for i, at in enumerate(commits)]


def _lag_peer(folder: pathlib.Path, database: Database) -> list[float]:
    file = folder / "peer.txt"
    file.touch()
    with recvlogical(database, file), Looks(lambda: file.stat().st_size) as looks:
        _paced(database, folder)
        commits = _commits(database)
        end = time.monotonic() + WAIT_S
        while file.read_bytes().count(b"INSERT:") < len(commits) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(2 * LOOK_S)
    text, at, ends = file.read_bytes(), 0, []
    while (at := text.find(b"INSERT:", at)) >= 0:
        at = text.index(b"COMMIT", at)
        ends.append(text.index(b"\n", at) + 1)
    file.unlink()
    return [looks.first(offset) - at for offset, at in zip(ends, commits, strict=True)]


def lag(folder: pathlib.Path, _load: Load):
    """A row a commit; from its commit in PostgreSQL until it is durable here, or in the peer's file (not yet on its disk)."""
    ours, peers = [], []
    with captured(folder, "lag") as (database, home):
        make_peer(database, "test_decoding")
        for _ in range(ROUNDS):
            for took, one in ((ours, lambda: _lag_ours(folder, database, home)), (peers, lambda: _lag_peer(folder, database))):
                database.sql("TRUNCATE memories")
                took.append(one())
                advance = "SELECT pg_replication_slot_advance('peer', pg_current_wal_lsn())"
                database.sql(advance)
    mine, theirs = [quantile(took, 0.99) for took in ours], [quantile(took, 0.99) for took in peers]
    what = f"commit to durable in the ledger, {COMMITS_S}/s, p99 (p50 {median(map(median, ours)) * 1000:.1f} ms)"
    yield Figure(what, f"{median(mine) * 1000:.1f} ms", target="<= 25 ms", reached=median(mine) <= 0.025)
    ratio = median(a / b for a, b in zip(mine, theirs, strict=True))
    what = f"the same; the peer, pg_recvlogical into a file, is not durable (p50 {median(map(median, peers)) * 1000:.1f} ms)"
    yield Figure(what, f"{median(mine) * 1000:.1f} ms", f"{median(theirs) * 1000:.1f} ms", f"{ratio:.2f} x", "<= 2 x", ratio <= 2)


# ---- a backlog ----


def _peak_mib(pid: int) -> float:
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def backlog(folder: pathlib.Path, _load: Load):
    """Rows that were committed while nobody listened. Both from their start to the last of them."""
    with captured(folder, "backlog") as (database, home):
        make_peer(database, "pgoutput")
        database.fill(BACKLOG)
        end = database.sql("SELECT pg_current_wal_insert_lsn()")
        publication = database.sql("SELECT pubname FROM pg_publication")
        options = ("-o", "proto_version=1", "-o", f"publication_names={publication}", "-o", "messages=true", f"--endpos={end}")
        database.sql("SELECT pg_logical_emit_message(false, 'bench', 'end')")
        begun = time.perf_counter()
        with recvlogical(database, folder / "peer.bin", *options) as process:
            process.wait(WAIT_S)
        theirs = time.perf_counter() - begun
        with contextlib.closing(home.journal()) as journal:
            end = _last_key(journal) + BACKLOG
            begun = time.perf_counter()
            with home.start():
                home.until(lambda: _last_key(journal) >= end)
                mine = time.perf_counter() - begun
                peak = _peak_mib(home.daemon.pid)
    ratio = theirs / mine
    yield Figure(f"a backlog of {BACKLOG:,} rows captured", f"{BACKLOG / mine:.0f}/s", f"{BACKLOG / theirs:.0f}/s", f"{ratio:.2f} x", ">= 0.5 x", ratio >= 0.5)
    yield Figure("memory at most, meanwhile", f"{peak:.0f} MiB", target="<= 128 MiB", reached=peak <= 128)


# ---- what the application feels ----


def _pgbench(database: Database, folder: pathlib.Path, *more: str) -> tuple[float, float]:
    """Transactions a second, and the mean latency in ms."""
    script = folder / "work.sql"
    one = f"UPDATE memories SET importance = random(), updated_at = now() WHERE id = {ID.format(':i')};\n"
    script.write_text(f"\\set i random(1, {PGBENCH_ROWS})\n{one}")
    args = ["-n", "-f", str(script), "-T", str(PGBENCH_S), "-c", "4", *more]
    said = run(str(programs() / "pgbench"), *args, database.server.url(database.name), env=database.env)
    return float(re.search(r"tps = ([\d.]+)", said).group(1)), float(re.search(r"latency average = ([\d.]+)", said).group(1))


def slowdown(folder: pathlib.Path, _load: Load):
    """Updates by four clients: captured, and with a slot that pg_recvlogical empties into /dev/null. As fast as it goes, on the same
    cores as all the rest; and at half of that rate, where nobody waits for a core."""
    fast, paced = [], []
    with captured(folder, "slow", PGBENCH_ROWS) as (database, home):
        publication = database.sql("SELECT pubname FROM pg_publication")
        make_peer(database, "pgoutput")
        options = ("-o", "proto_version=1", "-o", f"publication_names={publication}")
        rate = 0.0
        for _ in range(PGBENCH_ROUNDS):
            database.sql("SELECT pg_replication_slot_advance('peer', pg_current_wal_lsn())")
            database.sql("ALTER TABLE memories DISABLE TRIGGER ALL")
            with recvlogical(database, pathlib.Path("/dev/null"), *options):
                alone = _pgbench(database, folder)
                rate = rate or alone[0] / 2
                alone_paced = _pgbench(database, folder, "-R", f"{rate:.0f}")
            database.sql("ALTER TABLE memories ENABLE TRIGGER ALL; SELECT pg_replication_slot_advance('peer', pg_current_wal_lsn())")
            with home.start():
                ours = _pgbench(database, folder)
                home.sync()
                ours_paced = _pgbench(database, folder, "-R", f"{rate:.0f}")
            fast.append((ours[0], alone[0]))
            paced.append((ours_paced[1], alone_paced[1]))
    slower = median(alone / ours - 1 for ours, alone in fast)
    mine, theirs = median(one for one, _ in fast), median(one for _, one in fast)
    yield Figure("updates of an application, as fast as it goes; the peer is the slot alone", f"{mine:.0f}/s", f"{theirs:.0f}/s", f"{slower:+.1%}", "<= 3 %", slower <= 0.03)
    slower = median(ours / alone - 1 for ours, alone in paced)
    mine, theirs = median(one for one, _ in paced), median(one for _, one in paced)
    yield Figure(f"latency of an update at {rate:.0f}/s; the peer is the slot alone", f"{mine:.2f} ms", f"{theirs:.2f} ms", f"{slower:+.1%}")


# ---- restore, hold ----


def restore(folder: pathlib.Path, _load: Load):
    """A dropped table comes back, to the row."""
    ours, peers = [], []
    with captured(folder, "restore", RESTORED) as (database, home):
        dump, digest = folder / "dump", "SELECT md5(string_agg(md5(m::text), '' ORDER BY id)) FROM memories m"
        before = database.sql(digest)
        run(*database.tool("pg_dump", "-Fc", "-t", "memories", "-f", str(dump)), env=database.env)
        for _ in range(ROUNDS):
            database.sql("DROP TABLE memories")
            peers.append(timed(*database.tool("pg_restore", "--single-transaction", str(dump)), env=database.env))
        with home.start():
            for _ in range(ROUNDS):
                home.caught_up(database)
                database.sql("DROP TABLE memories")
                home.caught_up(database)
                begun = time.perf_counter()
                answer = home.json("restore", "app")
                ours.append(time.perf_counter() - begun)
                if answer["restored"] != RESTORED or database.sql(digest) != before:
                    raise RuntimeError(f"restore: {answer | {'sql': ''}}")
    ratio = median(ours) / median(peers)
    yield Figure(f"restore of a dropped table of {RESTORED:,} rows; the peer is pg_restore", f"{median(ours):.2f} s", f"{median(peers):.2f} s", f"{ratio:.2f} x", "<= 1.5 x", ratio <= 1.5)


def hold(folder: pathlib.Path, _load: Load):
    """A project's rows deleted in one statement, each time by another application: from its commit to the alert."""
    took = []
    with captured(folder, "hold", BURSTS * 50) as (database, home), home.start():
        for burst in range(BURSTS):
            said = database.sql(
                f"SET application_name = 'agent-{burst}'; BEGIN; DELETE FROM memories WHERE project_id = 'project-{burst}';"
                " SELECT txid_current(); COMMIT"
            )
            committed = float(database.sql(f"SELECT extract(epoch FROM pg_xact_commit_timestamp('{said}'::xid))"))
            home.until(lambda: len(home.call("--json", "alerts").splitlines()) > burst)
            alerts = [json.loads(line) for line in home.call("--json", "alerts").splitlines()]
            took.append(max(kit.seconds_of(alert["detected_at"]) for alert in alerts) - committed)
    p99 = quantile(took, 0.99)
    yield Figure(f"effect to hold, p99 of {BURSTS} (p50 {median(took) * 1000:.1f} ms)", f"{p99 * 1000:.1f} ms", target="<= 100 ms", reached=p99 <= 0.1)


FIGURES = {
    "postgres-lag": lag,
    "postgres-backlog": backlog,
    "postgres-slowdown": slowdown,
    "postgres-restore": restore,
    "postgres-hold": hold,
}
