"""The figures of issue 4: one real Neo4j for all of them, ours and the official drivers in turn on the same data."""

from __future__ import annotations

import array
import functools
import hashlib
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time
import uuid

import kit
from kit import CACHE, HERE, Figure, Home, Load, Text, appends, lags, median, quantile, recovered_s, run, write_rows
from neo4j_relay import Relay, Server

MEMORIES, DIMENSIONS, BATCH = 10_000, 384, 500
ORIGIN = str(uuid.UUID(int=1, version=4))
ROUNDS = 3  # each client in turn
LAG_S = 60
SYNC_S = 900
RECOVERIES = ((1_000, 7, 1), (100_000, 1, 60))  # memories, rounds, seconds allowed
VECTOR_INDEX = {"indexConfig": {"vector.dimensions": DIMENSIONS, "vector.similarity_function": "cosine"}}


# ---- the stage: a server, the same memories for all, three clients ----


def write_memories(folder: pathlib.Path) -> None:
    """rows.jsonl and vectors.f32, as bench/neo4j/client.* read them: the changes of one origin, in sessions of 50."""
    chance, vectors, prev = random.Random(MEMORIES), array.array("f"), "0" * 64
    with (folder / "rows.jsonl").open("w") as lines:
        for i, content in enumerate(Text().rows(MEMORIES)):
            ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)), str(uuid.UUID(int=i // 50 + 1, version=4))]
            body = {"content": content, "importance": 0.5, "memory_type": "learning", "metadata": {}, "tags": ["bench", "speed"]}
            change = {"body": body, "id": ids[0], "kind": "memory", "op": "put", "origin": ORIGIN, "seq": i + 1, "version": 1}
            change |= {"at": "2026-11-28T12:00:00.000000Z", "project_id": f"project-{i // 50 % 10}", "session_id": ids[1], "source": "bench"}
            record = json.dumps(change, sort_keys=True, separators=(",", ":"))
            this = hashlib.sha256(bytes.fromhex(prev) + record.encode()).hexdigest()
            row = {key: change[key] for key in ("seq", "id", "origin", "project_id", "session_id")}
            row |= {"at_us": 1_796_000_000_000_000 + i * 1000, "content": content, "prev": prev, "hash": this, "record": record}
            lines.write(json.dumps(row) + "\n")
            vectors.extend(chance.gauss(0, 1) for _ in range(DIMENSIONS))
            prev = this
    (folder / "vectors.f32").write_bytes(vectors.tobytes())


def build_go(folder: pathlib.Path) -> pathlib.Path:
    """Modules are fetched once, into the user's cache."""
    program = folder / "client-go"
    env = os.environ | {"GOPATH": str(CACHE / "go"), "GOCACHE": str(CACHE / "go-build"), "GOFLAGS": "-buildvcs=false"}
    run("go", "build", "-o", str(program), "client.go", cwd=HERE / "neo4j", env=env)
    return program


class Stage:
    """One server for all figures of a run, and the clients with what they share."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-bench-neo4j-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
        kit.AT_END.callback(shutil.rmtree, self.folder, ignore_errors=True)
        ours = self.program("neo4j_client")
        (self.folder / "statements.json").write_text(run(ours, "statements"))
        self.statements = json.loads((self.folder / "statements.json").read_text())
        write_memories(self.folder)
        self.clients = {
            "ours": [ours],
            "python": [sys.executable, str(HERE / "neo4j" / "client.py")],
            "go": [str(build_go(self.folder))],
        }
        self.server = Server(
            pathlib.Path(os.environ["HOLDFAST_NEO4J"]),
            self.folder / "server",
            quick=False,
            heap="2g",
            settings={"server.memory.pagecache.size": "512m"},
        )
        kit.AT_END.callback(self.server.kill9)
        self.server.start()

    def empty(self) -> None:
        """The vault's schema and nothing else."""
        self.server.empty()
        for name, text in self.statements.items():
            if name.startswith("SCHEMA_"):
                self.server.query(text, timeout_s=600, **({"options": VECTOR_INDEX} if "$options" in text else {}))

    @staticmethod
    def program(name: str) -> str:
        return str(pathlib.Path(kit.binary()).parents[1] / "bench" / name)

    @property
    def env(self) -> dict[str, str]:
        return os.environ | {"NEO4J_PASSWORD": self.server.password}

    def client(self, name: str, what: str, arg: str, port: int | None = None) -> dict:
        """What one client did: count, elapsed_s, cpu_s, sum."""
        uri = f"bolt://127.0.0.1:{port or self.server.bolt_port}"
        return json.loads(run(*self.clients[name], what, str(self.folder), uri, arg, env=self.env))

    def in_turn(self, what: str, arg: str, rounds: int, before=lambda: None) -> dict[str, list[dict]]:
        found: dict[str, list[dict]] = {name: [] for name in self.clients}
        for turn in range(rounds):
            names = list(self.clients)
            for name in names[turn % 3 :] + names[: turn % 3]:
                before()
                found[name].append(self.client(name, what, arg))
        if len({(one["count"], round(one["sum"])) for all_ in found.values() for one in all_}) != 1:
            raise RuntimeError(f"{what} {arg}: the clients did not do the same: {found}")
        return found


@functools.cache
def stage() -> Stage:
    return Stage()


# ---- writing and reading ----


def per_second(one: dict) -> float:
    return one["count"] / one["elapsed_s"]


def cpu_us(one: dict) -> float:
    return one["cpu_s"] / one["count"] * 1e6


def _medians(found: dict[str, list[dict]], peer: str, value) -> tuple[float, float, float]:
    """Ours, the peer's, and the median of what the rounds give for ours / the peer's."""
    ours, theirs = [value(one) for one in found["ours"]], [value(one) for one in found[peer]]
    return median(ours), median(theirs), median(a / b for a, b in zip(ours, theirs, strict=True))


def _rates(what: str, found: dict[str, list[dict]], least: dict[str, float]):
    for peer, target in least.items():
        ours, theirs, ratio = _medians(found, peer, per_second)
        yield Figure(f"neo4j: {what}; the peer is {peer}", f"{ours:.0f}/s", f"{theirs:.0f}/s", f"{ratio:.2f} x", f">= {target} x", ratio >= target)


def _cpu(what: str, found: dict[str, list[dict]], most: dict[str, int | None]):
    for peer, share in most.items():
        ours, theirs, ratio = _medians(found, peer, cpu_us)
        target = (f"<= 1/{share}", ratio <= 1 / share) if share else ("-", None)
        yield Figure(f"neo4j: {what}; the peer is {peer}", f"{ours:.1f} us", f"{theirs:.1f} us", f"1/{1 / ratio:.1f}", *target)


def write(_folder: pathlib.Path, _load: Load):
    """Memories with their vectors, in transactions of 500 of the vault's statements."""
    here = stage()
    here.empty()
    here.client("ours", "write", str(BATCH))  # the server compiles what runs often
    found = here.in_turn("write", str(BATCH), ROUNDS, here.empty)
    yield from _cpu("client CPU per memory written", found, {"python": 20, "go": 3})
    yield from _rates("memories written", found, {"python": 1.2, "go": 1.0})


def read(_folder: pathlib.Path, _load: Load):
    here = stage()
    here.empty()
    here.client("ours", "write", str(BATCH))
    for statement, what in (("READ_VECTORS", "with vectors"), ("READ_PLAIN", "without vectors")):
        here.in_turn("read", statement, 1)
        found = here.in_turn("read", statement, 2 * ROUNDS - 1)
        yield from _rates(f"records read {what}", found, {"python": 5, "go": 1.3})
        yield from _cpu(f"client CPU per record read {what}", found, {"python": None, "go": None})


# ---- the whole of Holdfast, with this graph as its vault ----


class GraphHome(Home):
    """Its vault is the server, by this port: its own, or a relay's."""

    def __init__(self, folder: pathlib.Path, name: str = "home", port: int | None = None):
        self.port = port or stage().server.bolt_port
        super().__init__(folder, name)
        self.env = {"NEO4J_USER": "neo4j", "NEO4J_PASSWORD": stage().server.password}

    def vault_lines(self) -> list[str]:
        return ["kind: neo4j", f"url: 'bolt://127.0.0.1:{self.port}#dimensions={DIMENSIONS}'"]

    def sync(self) -> None:
        """Until all is there: a batch that took a busy server too long is sent again by itself."""
        end = time.monotonic() + SYNC_S
        while True:
            try:
                return super().sync()
            except RuntimeError:
                if time.monotonic() > end:
                    raise


def _fill(home: Home, folder: pathlib.Path, count: int) -> None:
    lines, table = write_rows(folder, count)
    table.unlink()
    home.call("import", str(lines))
    lines.unlink()


def lag(folder: pathlib.Path, load: Load):
    stage().empty()
    with GraphHome(folder).start() as home:
        _fill(home, folder, 2000)  # the server compiles what runs often
        home.sync()
        lags(home, load, 10)
        took = lags(home, load, LAG_S)
    for share, name, most in ((0.5, "p50", 0.020), (0.99, "p99", 0.200)):
        value = quantile(took, share)
        what = f"neo4j: lag from acknowledged to committed there, 100/s for {LAG_S} s, {name}"
        yield Figure(what, f"{value * 1000:.1f} ms", target=f"<= {most * 1000:.0f} ms", reached=value <= most)


def recovery(folder: pathlib.Path, _load: Load):
    for count, rounds, most_s in RECOVERIES:
        stage().empty()
        with GraphHome(folder, f"home{count}").start() as home:
            _fill(home, folder, count)
            home.sync()
        took = median(recovered_s(GraphHome(folder, "again"), count) for _ in range(rounds))
        yield Figure(f"neo4j: recovery of {count:,}, validated and active", f"{took:.2f} s", target=f"<= {most_s} s", reached=took <= most_s)


def _drained(folder: pathlib.Path, relay: Relay) -> tuple[int, float]:
    """Remembered while nobody answers at the vault's address: how many changes followed the first transaction, and how long
    that took."""
    with GraphHome(folder, "away", relay.port).start() as home:
        _fill(home, folder, MEMORIES)
        relay.open()
        home.sync()
        found = appends(home)
    shutil.rmtree(home.path)
    return sum(event["count"] for event, _ in found[1:]), found[-1][1] - found[0][1]


def drain(folder: pathlib.Path, _load: Load):
    """The peer sends what the drain sent, as it went over the line, to a graph as empty as it was."""
    here, ours, peers = stage(), [], []
    program = here.program("neo4j_replay")
    for turn in range(ROUNDS + 1):
        here.empty()
        with Relay(here.server.bolt_port) as relay:
            changes, took = _drained(folder, relay)
        sent = folder / "sent"
        sent.write_bytes(b"".join(frame.data for frame in relay.transactions()))
        here.empty()
        with Relay(here.server.bolt_port).open() as relay:
            done = json.loads(run(program, str(sent), f"bolt://127.0.0.1:{relay.port}", env=here.env))
        if turn > 0:  # the server compiles what runs often
            ours.append(changes / took)
            peers.append(changes / done["elapsed_s"])
    ratio = median(own / peer for own, peer in zip(ours, peers, strict=True))
    what = f"neo4j: drain of {MEMORIES:,} after an outage; the peer sends the same, packed before"
    yield Figure(what, f"{median(ours):.0f}/s", f"{median(peers):.0f}/s", f"{ratio:.2f} x", ">= 0.9 x", ratio >= 0.9)


def decoder(folder: pathlib.Path, _load: Load):
    here = stage()
    here.empty()
    here.client("ours", "write", str(BATCH))
    for statement, what in (("READ_VECTORS", "with vectors"), ("READ_PLAIN", "without vectors")):
        with Relay(here.server.bolt_port).open() as relay:
            here.client("ours", "read", statement, port=relay.port)
        stream = folder / statement
        stream.write_bytes(b"".join(frame.data for frame in relay.messages(down=True)))
        speed = json.loads(run(here.program("neo4j_decode"), str(stream)))
        for part, does in (("check", "checked"), ("read", "checked and read")):
            name = f"neo4j: decoder, {MEMORIES:,} records {what} as recorded, {does}; the peer is memcpy"
            yield Figure(name, f"{speed[part]:.1f} GB/s", f"{speed['memcpy']:.1f} GB/s", f"{speed[part] / speed['memcpy']:.2f} x")


FIGURES = {
    "neo4j-write": write,
    "neo4j-read": read,
    "neo4j-lag": lag,
    "neo4j-recovery": recovery,
    "neo4j-drain": drain,
    "neo4j-decoder": decoder,
}
