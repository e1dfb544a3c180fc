"""A vault on a disk that is not connected is waited for, and never made anew on the disk below; one that was emptied is."""

from __future__ import annotations

import shutil

import pytest
from support.disk import InsideHome, RemovableDisk
from support.home import eventually
from support.terminal import resolved


@pytest.fixture
def disk(tmp_path):
    disk = RemovableDisk(tmp_path)
    yield disk
    disk.close()


@pytest.fixture(params=["the mount point", "a folder below it"])
def home(request, disk, tmp_path):
    """A home whose vault is all of the disk, or a folder there; it has sent something."""
    home = InsideHome(tmp_path, disk)
    home.vault = disk.mount_point if request.param == "the mount point" else disk.mount_point / "backup"
    home.write_config()
    home.remember_many(["one", "two"])
    home.call("sync")
    yield home
    home.close()


def rules(home) -> list[str]:
    return [alert["rule"] for alert in home.alerts()]


def test_nothing_is_written_below_until_the_disk_is_back(home, disk):
    disk.disconnect()
    home.remember_many(["while it is away"])
    told = home.call("sync", check=False)
    assert told.status == 4 and f"its disk is not mounted at {disk.mount_point}: connect it" in told.err, told.err
    assert eventually(lambda: rules(home)) == ["vault_away"]
    status = home.json("status")
    assert not status["healthy"] and status["queue_size"] > 0 and "not mounted" in status["vaults"][0]["error"], status
    [line] = [line for line in home.lines("doctor") if line["check"].startswith("vault vault")]
    assert not line["ok"] and "not mounted" in line["detail"]
    home.call("init", "--vault", f"file:{home.vault}")
    assert home.call("sync", check=False).status == 4, "not even init makes a known vault anew there"
    assert rules(home) == ["vault_away"], "told once, also over a restart"
    assert list(disk.mount_point.iterdir()) == [], "nothing is on the disk below"
    disk.connect()
    home.call("sync")
    assert home.json("status")["queue_size"] == 0
    assert home.json("verify", "vault")["changes"] == home.json("verify")["changes"]
    assert rules(home) == ["vault_away"], "it was never emptied"


def test_an_unplugged_disk_stops_no_writing(home, disk):
    home.call("stop")
    home.write_config("guard:\n  on_alert: pause\n")
    disk.disconnect()
    assert home.call("sync", check=False).status == 4
    assert eventually(lambda: rules(home)) == ["vault_away"]
    home.remember_many(["while it is away"])
    disk.connect()
    home.call("sync")
    assert home.json("status")["queue_size"] == 0


def test_each_absence_is_told(home, disk):
    for times in (1, 2):
        disk.disconnect()
        assert home.call("sync", check=False).status == 4
        assert eventually(lambda: rules(home)) == ["vault_away"]
        [alert] = home.alerts()
        resolved(home, alert["id"], "--accept")
        disk.connect()
        home.call("sync")
        assert rules(home) == [], times


def test_a_vault_that_was_emptied_on_its_own_disk_is_filled_again(home, disk):
    for thing in (disk.root).iterdir():
        shutil.rmtree(thing) if thing.is_dir() else thing.unlink()
    home.call("sync")
    assert eventually(lambda: rules(home)) == ["vault_damaged"]
    home.call("sync")
    assert home.json("verify", "vault")["ok"]
    assert home.json("verify", "vault")["changes"] == home.json("verify")["changes"]


def test_a_vault_that_was_moved_to_another_disk_with_all_that_is_in_it_is_used_there(home, disk, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(disk.root, kept)
    disk.disconnect()
    for thing in kept.iterdir():
        shutil.move(thing, disk.mount_point)
    home.remember_many(["behind the move"])
    home.call("sync")
    assert home.alerts() == [] and home.json("verify", "vault")["ok"]
