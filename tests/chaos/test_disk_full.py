"""A full disk: what can't be kept is refused in words, nothing acknowledged is lost, and it goes on when there is room."""

from __future__ import annotations

import pytest
from support.checker import Book, check
from support.disk import InsideHome, SmallDisk
from support.door import Door, Refused
from support.home import Home, end, eventually

@pytest.fixture
def disk(tmp_path):
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.close()


def fill_up(door: Door, book: Book) -> Refused:
    """Remember until it is refused; the refusal."""
    for i in range(20_000):
        try:
            book.remember(door, f"{i} " + "y" * 2000)
        except Refused as refused:
            return refused
    raise AssertionError("the disk is never full")


def test_a_full_disk_refuses_in_words_and_goes_on_by_itself(plain, disk, tmp_path):
    home, book = InsideHome(disk.root, disk), Book()
    try:
        home.call("status")
        daemon = home.daemon_pid()
        door = Door(home)
        ids = [book.remember(door, f"fact {i}") for i in range(20)]
        disk.fill()
        refused = fill_up(door, book)
        assert refused.body["error"] == "full", refused
        said = home.call("remember", "one more", check=False)
        assert said.status == 1 and "holdfast: " in said.err, said.err
        status = home.json("status")
        assert not status["healthy"] and "is full" in status["last_error"], status
        there = {m["id"]: m["content"] for m in door.call("GET", "/api/memory")}
        assert not book.differences(there), "reading works, and nothing acknowledged is lost"
        assert home.json("show", ids[0])["content"] == "fact 0"
        disk.free()
        again = eventually(lambda: remembered(door, book, "room again"), timeout_s=20)
        assert home.daemon_pid() == daemon, "without a restart"
        assert home.json("show", again)["content"] == "room again"
        check(home, book, drain=not disk.enter)  # Python's SQLite does not open what is in another namespace
        assert home.json("verify", "vault")["ok"]
    finally:
        end_of(home)


def remembered(door: Door, book: Book, content: str) -> str | None:
    try:
        return book.remember(door, content)
    except Refused:
        return None


def end_of(home: Home) -> None:
    pid = home.daemon_pid()
    home.close()
    if pid:
        end(pid, 9)


def test_a_full_vault_holds_up_nothing_and_catches_up(plain, disk, fast_path):
    home, book = InsideHome(fast_path, disk), Book()
    home.vault = disk.at / "vault"
    home.write_config("sync:\n  max_backoff: 2s\n")
    try:
        home.call("status")
        door = Door(home)
        for i in range(20):
            book.remember(door, f"fact {i}")
        home.call("sync")
        disk.fill()
        for i in range(200):
            book.remember(door, f"{i} " + "y" * 2000)
        told = home.call("sync", check=False)
        assert told.status == 4 and "holdfast: " in told.err, (told.status, told.err)
        status = home.json("status")
        assert status["queue_size"] > 0 and status["failed_count"] == 0 and "space" in status["vaults"][0]["error"], status
        disk.free()
        eventually(lambda: home.json("status")["queue_size"] == 0, timeout_s=20)
        home.vault = disk.root / "vault"  # as the checker sees it
        check(home, book)
        assert home.alerts() == [], "a full disk is no destruction"
    finally:
        end_of(home)
