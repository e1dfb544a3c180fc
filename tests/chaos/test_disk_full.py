"""A full disk: what can't be kept is refused in words, nothing acknowledged is lost, and it goes on when there is room."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
from support.checker import Book, check
from support.door import Door, Refused
from support.home import Home, end, eventually

DISK_BYTES = 12 << 20
FILLER = "filler"


class SmallDisk:
    """A small file system in memory: mounted by root, or else in a user namespace that a sleeping process holds."""

    def __init__(self, at: pathlib.Path):
        self.at, self.holder, self.enter = at, None, []
        at.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(at)]
        if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
            self.root = at
            return
        script = f"{' '.join(mount)} && echo mounted && exec sleep 600"
        self.holder = subprocess.Popen(["unshare", "-rm", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = self.holder.stdout.readline()
        assert said == b"mounted\n", f"no small disk: neither root may mount here, nor a user namespace: {self.holder.stderr.read().decode()}"
        self.root = pathlib.Path(f"/proc/{self.holder.pid}/root{at}")  # how we see it from outside
        self.enter = ["nsenter", "--target", str(self.holder.pid), "--user", "--mount", "--preserve-credentials", "--"]

    def fill(self) -> None:
        """To the last byte."""
        with open(self.root / FILLER, "ab", buffering=0) as file:
            step = 1 << 20
            while step:
                try:
                    assert file.write(b"x" * step)
                except OSError:
                    step //= 2

    def free(self) -> None:
        (self.root / FILLER).unlink()

    def close(self) -> None:
        if self.holder:
            self.holder.kill()
            self.holder.wait()
        else:
            subprocess.run(["umount", "--lazy", str(self.at)], check=True)


class InsideHome(Home):
    """A home some of which is on the small disk: commands run where the disk is."""

    def __init__(self, folder, disk, **kwargs):
        self.disk = disk
        super().__init__(folder, **kwargs)

    def inside(self, text: str) -> str:
        return text.replace(str(self.disk.root), str(self.disk.at))

    def command(self, *args):
        return [*self.disk.enter, *map(self.inside, super().command(*args))]

    def write_config(self, config: str = "") -> None:
        super().write_config(config)
        path = self.path / "holdfast.yaml"
        path.write_text(self.inside(path.read_text()))


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
