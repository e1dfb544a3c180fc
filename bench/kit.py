"""What the figures share: homes and their daemons, the load generator, rows, the machine."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import random
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import uuid

HERE = pathlib.Path(__file__).parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "holdfast"
STOP_TIMEOUT_S = 60
ROW_BYTES = 300
AT_END = contextlib.ExitStack()  # what outlives a figure: closed by run.py


def binary() -> str:
    return os.environ["HOLDFAST_BIN"]


@dataclasses.dataclass
class Figure:
    """One line of the table. reached None: there is no target, the figure is for reading."""

    what: str
    ours: str
    peer: str = "-"
    ratio: str = "-"
    target: str = "-"
    reached: bool | None = None


def run(*args: str, **kwargs) -> str:
    process = subprocess.run(args, capture_output=True, text=True, **kwargs)
    if process.returncode != 0:
        raise RuntimeError(f"{args[:3]}: status {process.returncode}: {process.stderr[-1000:]}")
    return process.stdout


def timed(*args: str, **kwargs) -> float:
    begun = time.perf_counter()
    run(*args, **kwargs)
    return time.perf_counter() - begun


def shell_s(command: str, folder: pathlib.Path) -> float:
    return timed("bash", "-c", "set -euo pipefail; " + command, cwd=folder)


def median(values) -> float:
    return statistics.median(values)


def quantile(values, share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


# ---- the load generator ----


class Load:
    """bench/load.c, built once a run."""

    def __init__(self, folder: pathlib.Path):
        self.program = folder / "load"
        flags = ["-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE"]
        run("gcc", *flags, "-o", str(self.program), str(HERE / "load.c"), "-lsqlite3")

    def __call__(self, *args) -> dict:
        return json.loads(self.text(*args))

    def text(self, *args) -> str:
        return run(str(self.program), *map(str, args))


# ---- homes ----


class Home:
    """A home in a temporary folder, a vault (a file vault beside it), and the daemon, which is ours."""

    def __init__(self, folder: pathlib.Path, name: str = "home", vault: pathlib.Path | None = None):
        self.path = folder / name
        self.vault = vault or folder / f"{name}.vault"
        self.env: dict[str, str] = {}
        self.daemon: subprocess.Popen | None = None
        self.path.mkdir(mode=0o700, parents=True)
        lines = ["daemon:", "  project: bench", "vaults:", "  - name: vault", *(f"    {line}" for line in self.vault_lines())]
        (self.path / "holdfast.yaml").write_text("\n".join(lines) + "\n")

    def vault_lines(self) -> list[str]:
        return ["kind: file", f"path: {self.vault}"]

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> Home:
        log = (self.path / "bench.log").open("w")
        command = [binary(), "--home", str(self.path), "serve"]
        self.daemon = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | self.env)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while True:
            with contextlib.suppress(OSError), self.door():
                return self
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.path / "bench.log").read_text()[-1000:])
            time.sleep(0.005)

    def stop(self) -> None:
        if self.daemon:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(STOP_TIMEOUT_S)
            self.daemon = None
        else:
            self._stop_autostarted()

    def _stop_autostarted(self) -> None:
        """A command may have started it: its pid is in the lock."""
        with contextlib.suppress(OSError):
            found = re.search(r"pid (\d+)", (self.path / "lock").read_text())
            pid = int(found.group(1)) if found else 0
            if pid and b"holdfast" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                handle = os.pidfd_open(pid)
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                select.select([handle], [], [], STOP_TIMEOUT_S)
                os.close(handle)

    def door(self, agent: str = "bench") -> Door:
        return Door(self.path, agent)

    def call(self, *args: str) -> str:
        return run(binary(), "--home", str(self.path), *args, cwd=self.path, env=os.environ | self.env)

    def json(self, *args: str):
        return json.loads(self.call("--json", *args))

    def sync(self) -> None:
        self.call("sync", "--timeout", "600")


class Door:
    """One kept connection to the daemon; answers are read without http.client, whose cost is a multiple of the daemon's."""

    def __init__(self, home: pathlib.Path, agent: str):
        self.agent = agent
        self.socket = socket.socket(socket.AF_UNIX)
        here = os.open(home, os.O_PATH)
        try:
            self.socket.connect(f"/proc/self/fd/{here}/daemon.sock")
        except OSError:
            self.socket.close()
            raise
        finally:
            os.close(here)

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def call(self, method: str, path: str, body: dict | None = None) -> list[dict]:
        text = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nX-Holdfast-Agent: {self.agent}\r\nContent-Length: {len(text)}\r\n\r\n"
        self.socket.sendall(head.encode() + text)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
        parts = [rest]
        have = len(rest)
        while have < length:
            parts.append(self._more())
            have += len(parts[-1])
        lines = [json.loads(line) for line in b"".join(parts).splitlines()]
        if b" 200 " not in head[:16]:
            raise RuntimeError(f"{method} {path}: {lines}")
        return lines

    def _more(self) -> bytes:
        chunk = self.socket.recv(1 << 20)
        if not chunk:
            raise RuntimeError("the daemon closed the connection")
        return chunk


# ---- what is done with homes ----


def lags(home: Home, load: Load, seconds: float) -> list[float]:
    """Remember 100 a second; of each, from the acknowledgement's arrival at the client to the end of the append that made it
    durable in the vault."""
    acks = [line.split() for line in load.text("paced", home.path, int(seconds * 100), 100).splitlines()]
    home.sync()
    durable = {seq: at for event, at in appends(home) for seq in range(event["from_seq"], event["to_seq"] + 1)}
    return [max(0.0, durable[int(seq)] - float(at)) for at, seq in acks]


def seconds_of(time_text: str) -> float:
    return datetime.datetime.fromisoformat(time_text).timestamp()


def appends(home: Home) -> list[tuple[dict, float]]:
    """The events of what the vault acknowledged, and when, from the first on."""
    with home.door() as door:
        events = door.call("GET", "/api/sync/events?limit=100000")
    found = [(event, seconds_of(event["at"])) for event in events if event["result"] == "ok" and event["count"]]
    return sorted(found, key=lambda pair: pair[1])


def recovered_s(home: Home, count: int) -> float:
    """A new home with the vault of one that was lost: from the command to its answer, validated and active."""
    with home.start():
        begun = time.perf_counter()
        answer = home.json("recover")
        took = time.perf_counter() - begun
        if not answer["success"] or answer["recovered_count"] != count:
            raise RuntimeError(f"recover: {answer}")
        if home.json("status")["memories"] != count:
            raise RuntimeError("recover: what it recovered is not there")
    shutil.rmtree(home.path)
    return took


@contextlib.contextmanager
def workshop():
    """A temporary folder on a real disk, removed at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- rows ----


class Text:
    """Made-up English of 300 bytes a row: 20,000 words, the frequent ones as frequent as in a language (Zipf); the same
    every time."""

    WORDS = 20000

    def __init__(self, seed: int = 20261122):
        self.random = random.Random(seed)
        syllables = [c + v for c in "bcdfghjklmnprstvwz" for v in "aeiou"]
        seen: dict[str, None] = {}
        while len(seen) < self.WORDS:
            seen["".join(self.random.choices(syllables, k=self.random.choice((2, 2, 3, 3, 4))))] = None
        self.words = list(seen)
        self.weights = [1 / (rank + 3) for rank in range(self.WORDS)]

    def rows(self, count: int):
        for start in range(0, count, 1000):
            pool = self.random.choices(self.words, self.weights, k=min(1000, count - start) * 60)
            for i in range(min(1000, count - start)):
                yield f"{start + i} {' '.join(pool[i * 60 : i * 60 + 60])}"[:ROW_BYTES]

    def queries(self, count: int) -> list[list[str]]:
        """Three words each: what people ask with is neither the most frequent words nor the rarest."""
        chance = random.Random(count)
        return [chance.sample(self.words[50:3000], 3) for _ in range(count)]


def write_rows(folder: pathlib.Path, count: int) -> tuple[pathlib.Path, pathlib.Path]:
    """The same rows as JSON lines for us and as CSV for sqlite3: sessions of 50 memories, in ten projects."""
    ours, theirs = folder / f"rows-{count}.jsonl", folder / f"rows-{count}.csv"
    with ours.open("w") as lines, theirs.open("w") as table:
        for i, content in enumerate(Text().rows(count)):
            project, session = f"project-{i // 50 % 10}", str(uuid.UUID(int=i // 50 + 1, version=4))
            lines.write(json.dumps({"content": content, "project_id": project, "session_id": session}) + "\n")
            table.write(f"{i},{project},{session},{content},{1_700_000_000 + i}\n")
    return ours, theirs


# ---- the machine ----


def first_line(*args: str) -> str:
    with contextlib.suppress(OSError, RuntimeError):
        return run(*args).splitlines()[0]
    return "not there"


def machine() -> list[str]:
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    disk = run("df", "--output=fstype,size", "-h", os.environ.get("BENCH_DIR", "/var/tmp")).splitlines()[1].split()
    return [
        f"cpu      {cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores",
        f"memory   {int(memory.group(1)) // 1024 if memory else 0} MiB",
        f"kernel   {platform.release()}",
        f"disk     {disk[0]}, {disk[1]}",
        f"load     {' '.join(f'{x:.2f}' for x in os.getloadavg())} when it began",
        f"versions {first_line(binary(), 'version')}; sqlite3 {first_line('sqlite3', '--version').split()[0]}; "
        f"gcc {first_line('gcc', '-dumpfullversion')}; python {platform.python_version()}; node {first_line('node', '--version')}",
        f"commit   {first_line('git', '-C', str(HERE), 'rev-parse', '--short', 'HEAD')}",
    ]
