"""A Holdfast home in a temporary folder, driven through the command line."""

from __future__ import annotations

import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import time
import uuid

CALL_TIMEOUT_S = 120


def binary() -> str:
    return os.environ["HOLDFAST_BIN"]


class Result:
    """What one command printed, and how it ended."""

    def __init__(self, process: subprocess.CompletedProcess):
        self.status = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    def json(self):
        return json.loads(self.out)

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


class Home:
    """One home and its file vault. Every daemon it started is stopped at close()."""

    def __init__(self, folder: pathlib.Path, name: str = "home", config: str = ""):
        self.folder = folder
        self.path = folder / name
        self.vault = folder / "vault"
        self.work = folder / "work"
        self.work.mkdir(exist_ok=True)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_HOME", "SYNC_", "DESTRUCTION_", "NEO4J_", "DATABASE_URL", "PG"))}
        self.env["TMPDIR"] = str(folder)
        self.pids: set[int] = set()
        self.write_config(config)

    def write_config(self, config: str = "") -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if "daemon:" not in config:
            config = "daemon:\n  project: test\n" + config
        (self.path / "holdfast.yaml").write_text(
            config + f"\nvaults:\n  - name: vault\n    kind: file\n    path: {self.vault}\n"
        )

    def call(self, *args: str, input: str | bytes | None = None, check: bool = True, env: dict | None = None, cwd=None) -> Result:
        if isinstance(input, str):
            input = input.encode()
        process = subprocess.run(
            self.command(*args),
            input=b"" if input is None else input,
            capture_output=True,
            timeout=CALL_TIMEOUT_S,
            env={**self.env, **(env or {})},
            cwd=cwd or self.work,
        )
        process.stdout = process.stdout.decode("utf-8", "surrogateescape")
        process.stderr = process.stderr.decode("utf-8", "surrogateescape")
        result = Result(process)
        self.note_daemon()
        if check:
            assert result.status == 0, f"{args}: status {result.status}\n{result.out[-2000:]}\n{result.err[-2000:]}"
        return result

    def command(self, *args: str) -> list[str]:
        return [binary(), "--home", str(self.path), *args]

    def json(self, *args: str, **kwargs):
        return self.call("--json", *args, **kwargs).json()

    def lines(self, *args: str, **kwargs) -> list[dict]:
        return self.call("--json", *args, **kwargs).lines()

    def daemon_pid(self) -> int | None:
        try:
            found = re.search(r"pid (\d+)", (self.path / "lock").read_text())
        except OSError:
            return None
        return int(found.group(1)) if found else None

    def note_daemon(self) -> None:
        pid = self.daemon_pid()
        if pid:
            self.pids.add(pid)

    def remember_many(self, contents, project: str = "test") -> list[str]:
        """Remember texts; their ids in order."""
        lines = "".join(json.dumps({"content": c, "project_id": project}) + "\n" for c in contents)
        return [answer["id"] for answer in self.lines("remember", "--jsonl", "-", input=lines)]

    def export(self) -> dict[str, dict]:
        return {m["id"]: m for m in self.lines("export")}

    def alerts(self) -> list[dict]:
        return self.lines("alerts")

    def kill(self) -> None:
        pid = self.daemon_pid()
        if pid:
            end(pid, signal.SIGKILL)

    def close(self) -> None:
        for pid in self.pids:
            end(pid, signal.SIGTERM)


def is_holdfast(pid: int) -> bool:
    try:
        return b"holdfast" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def end(pid: int, number: int, wait_s: float = 15) -> None:
    """Send a signal to a daemon that this test started, and wait until it is gone."""
    if not is_holdfast(pid):
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, number)
        if not select.select([handle], [], [], wait_s)[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], wait_s)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


EVERY_S = (0.02, 0.25)  # at first, and when it takes long: what asks all the time keeps what it waits for from its work


def eventually(check, timeout_s: float = 30):
    """The first true value that check() gives; fails when there is none in time."""
    deadline = time.monotonic() + timeout_s
    every_s, longest_s = EVERY_S
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(every_s)
        every_s = min(1.5 * every_s, longest_s)


def contents(memories: dict[str, dict]) -> dict[str, str]:
    return {id: m["content"] for id, m in memories.items()}


def new_id() -> str:
    return str(uuid.uuid4())


def remove(path: pathlib.Path) -> None:
    shutil.rmtree(path)
