"""The power fails: what was not synced is lost, reordered or torn. What was acknowledged is there all the same.

A daemon runs under load while record.c writes down all it does to its files. Then, for many moments of that log, a disk is
built as the power failure may have left it (powerloss.py), a daemon is started on it, and the checker looks.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil

import pytest
from powerloss import DAMAGES, Disk, records
from support.checker import Book, Writer, check
from support.door import Door
from support.home import Home
from support.terminal import recovered, resolve_all

LONG = bool(os.environ.get("HOLDFAST_LONG"))
POINTS = int(os.environ.get("HOLDFAST_POINTS", "5000" if LONG else "300"))
SEED = int(os.environ.get("HOLDFAST_SEED", "20261122"))
PARTS = 4
BURST_RULES = {"deletes", "share"}  # what burst() trips
SEGMENT = {"HOLDFAST_SEGMENT_MAX": "30000"}  # segments are rolled and sealed while it runs


class NotingBook(Book):
    """Writes into the recorder's log what was sent and acknowledged, between what was done for it."""

    def __init__(self, log: pathlib.Path):
        super().__init__()
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, record: bytes) -> None:
        assert os.write(self.log, record) == len(record)

    def note(self, **what) -> None:
        text = json.dumps(what).encode()
        self.write(b"note %d\n%s" % (len(text), text))

    def sent(self, id, content):
        state = super().sent(id, content)
        self.note(sent=id, content=content)
        return state

    def acknowledged(self, id, state):
        super().acknowledged(id, state)
        self.note(acknowledged=id, state=state)

    def held(self, ids):
        super().held(ids)
        self.note(held=list(ids))


def read_note(book: Book, note: dict) -> None:
    if "sent" in note:
        book.sent(note["sent"], note["content"])
    elif "acknowledged" in note:
        book.acknowledged(note["acknowledged"], note["state"])
    else:
        book.held(note["held"])


def burst(home: Home, book: NotingBook) -> None:
    """Somebody deletes a lot, the guard holds it, a person puts it back."""
    door = Door(home, agent="wrecker")
    ids = book.certain()[:40]
    book.held(ids)
    for id in ids:
        door.forget(id)
    resolve_all(home)
    door.close()


def load(home: Home, book: Book, label: str) -> None:
    home.call("status")
    writers = [Writer(home, book, f"{label}{w}", most=45) for w in range(3)]
    for w in writers:
        w.start()
    for w in writers:
        w.join(60)
        assert not w.is_alive() and not w.refused, w.refused
    home.json("sync")


def recover(home: Home, book: NotingBook) -> None:
    """A second installation takes over what the vault has."""
    home.call("recover")
    book.note(recovered=True)
    load(home, book, "c")
    book.note(recovered=False)
    recovered(home, "--undo")
    home.call("recover")
    book.note(recovered=True)


def new_home(under: pathlib.Path, book: NotingBook, name: str, env: dict) -> Home:
    home = Home(under, name)
    home.env |= env
    # What the test itself makes is durable from the start.
    for path in (home.path, home.work):
        book.write(b"mkdir %d %d %d:%s\n" % (path.stat().st_ino, under.stat().st_ino, len(path.name), path.name.encode()))
    book.write(b"sync %d\n" % under.stat().st_ino)
    book.note(home=name)
    return home


@pytest.fixture(scope="module")
def recording(tmp_path_factory, shims):
    """One run under load: (path of the log, inode of the disk's root)."""
    if "HOLDFAST_POWER_LOG" in os.environ:
        log = pathlib.Path(os.environ["HOLDFAST_POWER_LOG"])
        return log, int(log.with_suffix(".ino").read_text())
    folder = tmp_path_factory.mktemp("recorded")
    log, under = folder / "log", folder / "disk"
    under.mkdir()
    (folder / "log.ino").write_text(str(under.stat().st_ino))
    env = SEGMENT | {"LD_PRELOAD": str(shims("record")), "RECORD_UNDER": str(under), "RECORD_LOG": str(log)}
    book = NotingBook(log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_BIN", os.environ.get("HOLDFAST_BIN_PLAIN", os.environ["HOLDFAST_BIN"]))
        first = new_home(under, book, "home", env)
        try:
            load(first, book, "a")
            burst(first, book)
            first.call("stop")
            load(first, book, "b")
        finally:
            first.close()
        second = new_home(under, book, "again", env)
        try:
            recover(second, book)
        finally:
            second.close()
    return log, under.stat().st_ino


# ---- one point ----


class Look:
    """What the log says up to a point: the disk, and what the writers knew."""

    def __init__(self, root_ino: int, lying=()):
        self.disk, self.book, self.home, self.recovered = Disk(root_ino, lying), Book(), "home", True

    def feed(self, op, fields, data) -> None:
        if op != "note":
            self.disk.apply(op, fields, data)
            return
        note = json.loads(data)
        if "home" in note:
            self.home, self.recovered = note["home"], note["home"] == "home"
        elif "recovered" in note:
            self.recovered = note["recovered"]
        else:
            read_note(self.book, note)

    def power_up(self, folder: pathlib.Path, dice: random.Random, damage: str) -> None:
        """Build what is left, start a daemon on it, check."""
        self.disk.image(folder, dice, damage)
        home = Home(folder, self.home)
        home.env |= SEGMENT
        try:
            if not self.recovered:
                home.call("recover")
            # A vault that knows more than a ledger which lost its log has nothing to wait for.
            check(home, self.book, drain=not self.disk.lying)
            rules = {a["rule"] for a in home.lines("alerts", "--all")}
            assert rules <= BURST_RULES, f"false alarms: {rules - BURST_RULES}"
        finally:
            home.kill()
            home.close()


def moments(log: bytes, count: int, part: int) -> list[int]:
    """Record numbers: half of them anywhere, half right behind an acknowledgement, when most is at stake."""
    dice = random.Random(f"{SEED}-{part}")
    all_records = list(records(log))
    acknowledged = [i + 1 for i, (op, _, data) in enumerate(all_records) if op == "note" and b"acknowledged" in data]
    return sorted(dice.choices(range(len(all_records)), k=count // 2) + dice.choices(acknowledged, k=count - count // 2))


def visit(recording, wanted: list[int], folder: pathlib.Path, lying=()) -> list[str]:
    """Power up at each of the moments; what went wrong."""
    path, root_ino = recording
    look, found, wanted = Look(root_ino, lying), [], list(wanted)
    for number, record in enumerate(records(path.read_bytes())):
        while wanted and wanted[0] == number:
            nth = len(wanted)
            wanted.pop(0)
            damage = os.environ.get("HOLDFAST_POWER_DAMAGE", DAMAGES[nth % len(DAMAGES)])
            place = folder / f"{number}-{nth}"
            place.mkdir()
            try:
                look.power_up(place, random.Random(f"{SEED}-{number}-{damage}"), damage)
            except AssertionError as wrong:
                again = f"HOLDFAST_SEED={SEED} HOLDFAST_POWER_LOG={path} HOLDFAST_POWER_POINT={number} HOLDFAST_POWER_DAMAGE={damage}"
                found.append(f"{again}: {wrong}")
                if lying and "acknowledged" in found[-1]:
                    return found
            shutil.rmtree(place)
        look.feed(*record)
    return found


@pytest.mark.timeout(7200 if LONG else 280)
@pytest.mark.parametrize("part", range(PARTS))  # side by side
def test_acknowledged_memories_survive_a_power_failure(plain, recording, fast_path, part):
    log = recording[0].read_bytes()
    wanted = [int(os.environ["HOLDFAST_POWER_POINT"])] if "HOLDFAST_POWER_POINT" in os.environ else moments(log, POINTS // PARTS, part)
    found = visit(recording, wanted, fast_path)
    assert not found, f"{len(found)} of {len(wanted)} power failures did harm:\n" + "\n".join(found[:10])


def test_a_disk_that_lies_about_the_ledgers_log_would_be_noticed(plain, recording, fast_path):
    """The test of the test: without the ledger's fdatasync, acknowledged memories are lost, and the checker says so."""
    log = recording[0].read_bytes()
    found = visit(recording, moments(log, 40, 99), fast_path, lying="ledger.db-wal")
    assert found and "acknowledged" in found[-1]
