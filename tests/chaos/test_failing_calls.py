"""Each system call (of the longest operations a sample), and some allocations, fail in turn: nothing crashes, nothing acknowledged is lost, no failed fsync is
taken for a good one. Operations run in process (--no-daemon), so that the count of calls is that of the operation."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil

import pytest
from support.checker import Book, check, ready
from support.door import GONE, Door, Refused
from support.home import Home, new_id

LONG = bool(os.environ.get("HOLDFAST_LONG"))
ALLOCATIONS = 100_000 if LONG else 30  # how many of an operation's fail, evenly spread
SAMPLES = 25  # of the calls of a recovery and of a first start; long: all
CHECK_EVERY = 25
THREADS_VARY = 3  # calls more than were counted may happen: the vault's thread gets more or less far (once not to its first)
LOG_BYTES = 4744 * 1024  # STORE_LOG_BYTES of src/ledger/store.h
FAULTS = {
    "write fails": ("write", errno.EIO),
    "write finds no room": ("write", errno.ENOSPC),
    "write is cut short": ("write", 0),
    "sync fails": ("sync", errno.EIO),
    "rename fails": ("rename", errno.EIO),
    "open finds no descriptor": ("open", errno.EMFILE),
    "truncate fails": ("cut", errno.EIO),
    "mkdir fails": ("mkdir", errno.ENOSPC),
    "unlink fails": ("unlink", errno.EIO),
}


class Saboteur:
    """Runs commands of a home in process, with one call failing."""

    def __init__(self, home: Home, shim: pathlib.Path):
        self.home, self.shim = home, shim
        self.count_file = home.folder / "count"

    def run(self, call: str, number: int, nth: int, *args: str):
        env = {
            "LD_PRELOAD": str(self.shim),
            "FAIL_UNDER": str(self.home.folder),
            "FAIL_CALL": call,
            "FAIL_ERRNO": str(number),
            "FAIL_NTH": str(nth),
            "FAIL_COUNT": str(self.count_file),
        }
        return self.home.call("--no-daemon", *args, env=env, check=False)

    def count(self, call: str, *args: str) -> int:
        """How many such calls the command makes, when none fails."""
        self.count_file.unlink(missing_ok=True)
        result = self.run(call, 0, 0, *args)
        assert result.status == 0, result.err
        return int(self.count_file.read_text())


def in_words(result, nth: int, allocation: bool = False) -> bool:
    """It ended as it must: done, or refused with a reason. True when it was done."""
    # Where memory is too short for a few bytes, the process ends as in a crash: by abort, by design; libcrypto by SIGSEGV.
    allowed = (0, 1, 3, 4) + ((-6, -11) if allocation else ())
    assert result.status in allowed, f"number {nth}: status {result.status}: {result.out[-500:]}{result.err[-500:]}"
    said = any(line.startswith("holdfast: ") for line in result.err.splitlines())
    assert result.status <= 0 or said, f"number {nth}: refused without a reason: {result.err!r}"
    return result.status == 0


class Case:
    """A home with something in it, and its book."""

    def __init__(self, home: Home, shim: pathlib.Path):
        self.home, self.book, self.saboteur = home, Book(), Saboteur(home, shim)

    def remember(self, call=None, number=0, nth=0, allocation=False) -> bool:
        id, content = new_id(), f"number {nth} of {call}"
        state = self.book.sent(id, content)
        args = ("--json", "remember", content, "--id", id)
        result = self.saboteur.run(call, number, nth, *args) if call else self.home.call("--no-daemon", *args)
        done = in_words(result, nth, allocation)
        if done:
            self.book.acknowledged(id, state)
        return done

    def check(self):
        try:
            check(self.home, self.book)
        finally:
            self.home.call("stop")


@pytest.fixture
def case(plain_homes, shims):
    case = Case(plain_homes(), shims("fail"))
    for _ in range(3):
        case.remember()
    return case


@pytest.mark.timeout(600 if LONG else 120)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_of_remember(case, fault):
    """On a home that is in use; its vault catches up meanwhile."""
    call, number = FAULTS[fault]
    most = case.saboteur.count(call, "remember", "x", "--id", (id := new_id())) + THREADS_VARY
    case.book.acknowledged(id, case.book.sent(id, "x"))
    refused = 0
    for nth in range(1, most + 1):
        refused += not case.remember(call, number, nth)
        if nth % CHECK_EVERY == 0:
            case.check()
    case.check()
    assert refused or call not in ("write", "sync", "open"), "nothing was hit"


@pytest.mark.timeout(600 if LONG else 120)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_of_replicate(case, fault):
    call, number = FAULTS[fault]
    case.remember()
    most = case.saboteur.count(call, "sync") + THREADS_VARY
    for nth in range(1, most + 1):
        shutil.rmtree(case.home.vault, ignore_errors=True) if nth % 2 else None  # all of it is sent again; or only the new
        case.home.vault.parent.mkdir(exist_ok=True)
        case.remember()
        in_words(case.saboteur.run(call, number, nth, "sync"), nth)
        if nth % CHECK_EVERY == 0:
            case.check()
    case.check()


def every(count: int):
    """1 to count; evenly spread ones where all would take too long."""
    return range(1, count + 1, 1 if LONG else -(-count // SAMPLES))


@pytest.mark.timeout(900 if LONG else 120)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_of_a_recovery_into_a_new_home(plain_homes, shims, fault):
    call, number = FAULTS[fault]
    home = plain_homes()
    home.remember_many(f"fact {i}" for i in range(30))
    home.json("sync")
    home.call("stop")
    before = home.call("--no-daemon", "--json", "export").out
    fresh = plain_homes("fresh")
    saboteur = Saboteur(fresh, shims("fail"))
    original = fresh.folder / "original"  # each recovery makes the vault longer by its origin; it begins with the same
    shutil.copytree(fresh.vault, original)
    for nth in every(saboteur.count(call, "recover") + THREADS_VARY):
        shutil.rmtree(fresh.path)
        shutil.rmtree(fresh.vault)
        shutil.copytree(original, fresh.vault)
        fresh.write_config()
        if not in_words(saboteur.run(call, number, nth, "recover"), nth):
            fresh.call("--no-daemon", "recover")
        assert fresh.call("--no-daemon", "--json", "export").out == before, f"number {nth}"
    assert fresh.json("verify")["ok"] and fresh.json("verify", "vault")["ok"]


@pytest.mark.timeout(900 if LONG else 120)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_of_the_first_start(plain_homes, shims, fault):
    call, number = FAULTS[fault]
    case = Case(plain_homes(), shims("fail"))
    most = case.saboteur.count(call, "remember", "the first") + THREADS_VARY
    for nth in every(most):
        shutil.rmtree(case.home.path)
        shutil.rmtree(case.home.vault, ignore_errors=True)
        case.home.write_config()
        case.book = Book()
        case.remember(call, number, nth)
        case.remember()
        there = {m["id"]: m["content"] for m in case.home.lines("--no-daemon", "export")}
        assert not case.book.differences(there), f"number {nth}: {case.book.differences(there)}"
    case.check()


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("operation", ["remember", "sync", "recover"])
def test_an_allocation_fails(case, operation, plain_homes):
    if operation == "recover":
        case.home.call("--no-daemon", "sync")
    most = case.saboteur.count("malloc", *{"remember": ["remember", "x", "--id", (id := new_id())]}.get(operation, [operation]))
    if operation == "remember":
        case.book.acknowledged(id, case.book.sent(id, "x"))
    step = max(1, most // ALLOCATIONS)
    for i, nth in enumerate(range(1, most + 1, step)):
        if operation == "remember":
            case.remember("malloc", errno.ENOMEM, nth, allocation=True)
        else:
            if operation == "sync":
                case.remember()
            in_words(case.saboteur.run("malloc", errno.ENOMEM, nth, operation), nth, allocation=True)
        if i % CHECK_EVERY == 0:
            case.check()
    case.check()


@pytest.mark.parametrize("file", ["ledger.db-wal", "ledger.db"])
def test_a_failed_fsync_of_the_ledger_never_acknowledges(plain_home, shims, file):
    """The kernel may have dropped the pages: the daemon stops, and the next one finds what was acknowledged before."""
    home, book, folder = plain_home, Book(), plain_home.folder
    arm, hit = folder / "arm", folder / "hit"
    fail = {"FAIL_CALL": "sync", "FAIL_ERRNO": str(errno.EIO), "FAIL_NTH": "1", "FAIL_UNDER": str(home.path), "FAIL_NAME": f"live/{file}"}
    ready(home, env=fail | {"LD_PRELOAD": str(shims("fail")), "FAIL_ARM": str(arm), "FAIL_HIT": str(hit)})
    door = Door(home)
    book.remember(door, "before")
    log = home.path / "live" / "ledger.db-wal"
    while log.stat().st_size < LOG_BYTES:  # when it has its length, only commits sync it
        book.remember(door, "one more")
    arm.touch()
    try:
        for i in range(3000):  # the log is brought into the file after some hundred
            book.remember(door, f"{i} " + "x" * 4000)
            assert file != "ledger.db-wal" or not hit.exists(), "acknowledged in spite of a failed fsync"
        raise AssertionError("the failure was not noticed")
    except (Refused, *GONE):
        assert hit.exists()
    with pytest.raises((Refused, *GONE)):
        Door(home).remember("after")
    home.kill()
    check(home, book)
