"""The one checker of all fault tests: what was acknowledged is there, what is there was sent, the chains verify, the vault
equals the ledger once it caught up.

A Book is kept by those who write. Each memory has the states that it was told to take, in order; an acknowledged state is
certain, later ones may or may not have come through.
"""

from __future__ import annotations

import json
import pathlib
import sqlite3
import subprocess
import threading
import time
from dataclasses import dataclass, field

from support.door import GONE, Door, Refused
from support.home import eventually, new_id

READY_MAX_S = 2.0
FORGETS_MAX = 8  # of one writer: fewer than any rule of the guard minds
SEQ_BITS = 40  # of a journal key (src/ledger/schema.c)


@dataclass
class Entry:
    states: list = field(default_factory=lambda: [None])  # contents; None: not there
    certain: int = 0  # index of the last acknowledged state
    held: bool = False  # the guard may have put back any earlier state


class Book:
    """What was sent and what was acknowledged. Threads may share it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.entries: dict[str, Entry] = {}

    def sent(self, id: str, content: str | None) -> int:
        with self.lock:
            entry = self.entries.setdefault(id, Entry())
            entry.states.append(content)
            return len(entry.states) - 1

    def acknowledged(self, id: str, state: int) -> None:
        with self.lock:
            entry = self.entries[id]
            entry.certain = max(entry.certain, state)

    def held(self, ids) -> None:
        with self.lock:
            for id in ids:
                self.entries[id].held = True

    def certain(self) -> list[str]:
        """The ids of memories that are there for certain."""
        with self.lock:
            return [id for id, e in self.entries.items() if e.certain and None not in e.states[e.certain :]]

    def count(self) -> int:
        return sum(1 for e in self.entries.values() if e.certain)

    # ---- writing through a door, or whatever has remember() and forget() ----

    def remember(self, door, content: str, id: str | None = None, **fields) -> str:
        id = id or new_id()
        state = self.sent(id, content)
        door.remember(content, id=id, **fields)
        self.acknowledged(id, state)
        return id

    def forget(self, door, id: str) -> None:
        state = self.sent(id, None)
        door.forget(id)
        self.acknowledged(id, state)

    # ---- checking ----

    def differences(self, there: dict[str, str]) -> list[str]:
        """What is wrong with the contents found, in words."""
        found = []
        for id, entry in self.entries.items():
            possible = entry.states if entry.held else entry.states[entry.certain :]
            if there.get(id) not in possible:
                found.append(f"{id}: acknowledged {entry.states[entry.certain]!r}, found {there.get(id)!r}")
        found += [f"{id}: {there[id]!r} was never written" for id in there if id not in self.entries]
        return found


class Writer(threading.Thread):
    """Remembers, updates and forgets through a door of its own until the daemon dies or `stop` is set."""

    def __init__(self, home, book: Book, label: str, stop: threading.Event | None = None, most: int = 1_000_000):
        super().__init__(name=label)
        self.home, self.book, self.label, self.stop, self.most = home, book, label, stop or threading.Event(), most
        self.refused: Exception | None = None  # no fault, no reason to say no

    def run(self):
        door = Door(self.home, agent=self.label)
        mine: list[str] = []
        try:
            for i in range(self.most):
                if self.stop.is_set():
                    return
                if i % 8 == 7:  # a note is corrected
                    self.book.remember(door, f"{self.label}-{i} corrected", mine[i % len(mine)])
                else:
                    mine.append(self.book.remember(door, f"{self.label}-{i}"))
                if i % 40 == 39 and i < 40 * FORGETS_MAX:
                    self.book.forget(door, mine.pop(0))
        except GONE:
            return
        except Refused as refused:
            self.refused = refused
        finally:
            door.close()


def ready(home, **kwargs) -> float:
    """Start the daemon by a first call; the seconds it took."""
    started = time.monotonic()
    home.call("status", **kwargs)
    return time.monotonic() - started


def check(home, book: Book, drain: bool = True, **kwargs) -> dict[str, str]:
    """Everything of the above; the contents found. A daemon is started if none runs."""
    ready(home, **kwargs)
    door = Door(home, agent="checker", timeout_s=60)
    try:
        there = {m["id"]: m["content"] for m in door.call("GET", "/api/memory")}
        wrong = book.differences(there)
        assert not wrong, f"{len(wrong)} of {len(book.entries)} memories are wrong: {wrong[:5]}"
        verified = door.one("POST", "/api/verify", {})
        assert verified["ok"], verified
        if drain:
            check_vault(home, door)
    finally:
        door.close()
    return there


def check_vault(home, door: Door) -> None:
    """The vault catches up, verifies, and holds the journal to the last hash."""
    eventually(lambda: door.one("POST", "/api/sync/trigger", {})["queue_size"] == 0, timeout_s=60)
    verified = door.one("POST", "/api/verify", {"vault": "vault"})
    assert verified["ok"], verified
    missing = journal(home.path).items() - vault_lines(home.vault).items()
    assert not missing, f"the vault lacks {len(missing)} changes of the journal: {sorted(missing)[:5]}"


def journal(home: pathlib.Path) -> dict[tuple[str, int], str]:
    """(origin, seq) -> hash, read by SQLite itself."""
    db = sqlite3.connect(f"file:{home}/live/ledger.db?mode=ro", uri=True)
    try:
        rows = db.execute(
            "SELECT hex(o.id), j.key & ?, lower(hex(j.hash)) FROM journal j JOIN origin o ON o.no = j.key >> ?",
            ((1 << SEQ_BITS) - 1, SEQ_BITS),
        ).fetchall()
    finally:
        db.close()
    return {(origin.lower(), seq): hash for origin, seq, hash in rows}


def vault_lines(vault: pathlib.Path) -> dict[tuple[str, int], str]:
    """(origin, seq) -> hash, read by zstd and a JSON parser, as anybody could."""
    lines = {}
    for folder in (vault / "origins").iterdir():
        if ".aside-" in folder.name:
            continue
        for line in eventually(lambda: origin_text(folder)).splitlines():
            change = json.loads(line)
            lines[(change["origin"].replace("-", ""), change["seq"])] = change["hash"]
    return lines


def origin_text(folder: pathlib.Path) -> bytes | None:
    """All segments of an origin; None when one was being sealed meanwhile: look again."""
    text = b""
    for path in sorted(folder.glob("*.jsonl*")):
        if path.suffix == ".tmp":
            continue
        try:
            plain = path.read_bytes()
        except FileNotFoundError:
            return None
        text += subprocess.run(["zstd", "-dcq"], input=plain, check=True, stdout=subprocess.PIPE).stdout if path.suffix == ".zst" else plain
    return text
