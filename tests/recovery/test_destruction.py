"""What agents did to people's data in public, done to Holdfast. Each test is named after what happened."""

from __future__ import annotations

import sqlite3
import subprocess
import time

import pytest
from support.checker import journal, vault_lines
from support.door import GONE, Door, Refused
from support.home import Home, contents, eventually, is_holdfast, remove
from support.terminal import resolve_all, resolved

NOTICED_S = 5


@pytest.fixture
def filled(home):
    """A home with 60 memories that the vault has; their contents."""
    home.remember_many(f"a fact worth keeping, number {i}" for i in range(60))
    home.json("sync")
    return home, contents(home.export())


def elsewhere(home: Home, homes) -> dict[str, str]:
    """What another installation gets from the vault now."""
    fresh = homes(f"fresh{time.monotonic_ns()}")
    fresh.json("recover")
    return contents(fresh.export())


def forget_through(door: Door, ids) -> None:
    for id in ids:
        door.forget(id)


def test_a_few_rows_deleted_on_a_wrong_belief_are_undone(filled):
    home, before = filled
    moment = home.json("show", next(iter(before)))["updated_at"]
    time.sleep(0.01)
    moment = home.json("show", home.json("remember", "the moment before")["id"])["updated_at"]
    victims = sorted(before)[:4]
    for id in victims:
        home.call("forget", id)
    assert home.alerts() == [], "four deletions are ordinary work"
    for id in victims:
        assert home.lines("show", id, "--history")[0]["content"] == before[id], "every version is kept"
    assert home.json("recover", "--at", moment)["recovered_count"] == 4
    now = contents(home.export())
    assert {id: now[id] for id in before} == before


def test_rm_rf_of_the_home_with_database_and_queue_is_noticed_and_undone(filled, homes):
    home, before = filled
    pid = home.daemon_pid()
    last = home.json("remember", "acknowledged just before")["id"]
    remove(home.path)
    eventually(lambda: not is_holdfast(pid), timeout_s=NOTICED_S + 10)
    home.write_config()
    home.json("recover")
    now = contents(home.export())
    assert now == before | {last: "acknowledged just before"}


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_ledger_that_vanished_is_told_to_whoever_asks_later(filled, running, how):
    home, before = filled
    pid = home.daemon_pid()
    if not running:
        home.call("stop")
        eventually(lambda: not is_holdfast(pid))
    if how == "removed":
        remove(home.path / "live")
    else:
        for file in (home.path / "live").iterdir():
            file.write_bytes(b"")
    if running and how == "removed":
        eventually(lambda: not is_holdfast(pid), timeout_s=NOTICED_S + 10)
    elif running:
        home.kill()
    status = home.json("status")
    assert not status["healthy"] and status["alerts_open"] == 1
    [alert] = home.alerts()
    assert alert["rule"] == "store_vanished" and "holdfast recover" in alert["summary"]
    home.call("stop")
    assert len(home.alerts()) == 1, "told once"
    home.json("recover")
    assert contents(home.export()) == before
    resolved(home, alert["id"], "--accept")
    home.call("stop")
    assert home.alerts() == []


def test_a_new_home_is_told_what_its_vault_has_of_the_one_that_was_lost(filled):
    home, before = filled
    home.call("sync")
    changes = home.json("status")["changes"]
    last = max(m["updated_at"] for m in home.export().values())
    home.call("stop")
    remove(home.path)
    home.path.mkdir()
    told = home.call("init", "--vault", f"file:{home.vault}").out
    [note] = [line for line in told.splitlines() if f"holds {changes} changes of other installations that are not here" in line]
    assert last[:10] in note and "holdfast recover --from" in note and "--dry-run" in note, note
    [line] = [line for line in home.lines("doctor") if "other installations" in line["check"]]
    assert f"holds {changes} changes" in line["detail"] and "the last of " + last[:10] in line["detail"]
    eventually(lambda: home.json("status")["vaults"][0]["elsewhere"] == changes)
    assert f"it holds {changes} changes of other installations" in home.call("status").out
    home.json("recover")
    assert contents(home.export()) == before
    home.call("sync")
    assert home.json("status")["vaults"][0]["elsewhere"] == 0
    assert not [line for line in home.lines("doctor") if "other installations" in line["check"]]
    assert "other installations" not in home.call("init").out


def test_the_backup_deleted_as_temporary_is_noticed_and_made_again(filled, homes):
    home, before = filled
    remove(home.vault)
    home.call("sync", check=False)
    eventually(lambda: [a for a in home.alerts() if a["rule"] == "vault_damaged"], timeout_s=60)
    eventually(lambda: home.json("status")["queue_size"] == 0, timeout_s=60)
    assert contents(home.export()) == before
    assert home.json("verify", "vault")["ok"]
    assert elsewhere(home, homes) == before


@pytest.mark.parametrize("left", [0, 100, 4096, 8192])
def test_a_database_cut_to_its_header_is_refused_in_words_and_recovered(filled, left):
    home, before = filled
    home.call("stop")
    live = home.path / "live"
    with open(live / "ledger.db", "r+b") as file:
        file.truncate(left)
    said = home.call("export", check=False)
    if said.status == 0:  # an empty file is a new database to SQLite: then it must say what it has lost
        assert left == 0 and said.out == ""
    else:
        assert said.status == 1 and "ledger.db" in said.err, said.err
        home.call("stop", check=False)
        live.rename(home.path / "live.broken")
    home.json("recover")
    assert contents(home.export()) == before
    assert home.json("verify")["ok"]


def test_the_log_beside_the_database_unlinked_after_a_kill_is_recovered(filled):
    home, before = filled
    home.kill()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (home.path / "live" / name).unlink(missing_ok=True)
    came_back(home, before)




def test_an_older_copy_of_the_database_put_back_is_noticed_and_recovered(home):
    """Rolled back, the ledger would number new changes as the vault's newer ones: no change may take another's place."""
    home.remember_many(f"old {i}" for i in range(10))
    home.call("stop")
    old = (home.path / "live" / "ledger.db").read_bytes()
    home.remember_many(f"new {i}" for i in range(10))
    home.json("sync")
    before = contents(home.export())
    home.call("stop")
    (home.path / "live" / "ledger.db").write_bytes(old)
    came_back(home, before)


@pytest.mark.parametrize("meanwhile", ["the vault is at hand", "nothing is sent"])
def test_an_older_copy_of_the_whole_home_put_back_loses_nothing(homes, meanwhile):
    """With sync.db as old as the ledger, only the vault knows of what was forgotten; it may learn late of what was written since."""
    home = homes()
    ids = home.remember_many(f"old {i}" for i in range(10))
    home.json("sync")
    if meanwhile == "nothing is sent":
        home.call("pause")
    home.call("stop")
    subprocess.run(["cp", "-a", home.path, home.folder / "older"], check=True)
    home.call("resume")
    home.remember_many(f"new {i}" for i in range(10))
    home.call("remember", "--id", ids[0], "changed before it was put back")
    home.call("forget", ids[1])
    home.json("sync")
    before = contents(home.export())
    held = vault_lines(home.vault)
    home.call("stop")

    remove(home.path)
    (home.folder / "older").rename(home.path)
    written = home.remember_many(f"afterwards {i}" for i in range(5))
    home.call("remember", "--id", ids[2], "changed afterwards")
    home.call("resume", check=False)  # a person may have to say that it goes on
    assert home.call("sync", check=False).status in (0, 3)
    (alert,) = eventually(lambda: [a for a in home.alerts() if a["rule"] == "ledger_went_back"])
    assert "holdfast recover" in alert["summary"]
    report = home.json("recover")
    assert report["recovered_count"] == 11 and report["taken_away_count"] == 1, "one was forgotten meanwhile"
    assert report["conflict_count"] == 0
    expected = before | {id: f"afterwards {i}" for i, id in enumerate(written)} | {ids[2]: "changed afterwards"}
    assert contents(home.export()) == expected
    assert home.json("recover")["recovered_count"] == 0
    assert home.json("verify")["ok"]

    eventually(lambda: home.json("status")["queue_size"] == 0)
    assert held.items() <= vault_lines(home.vault).items(), "the vault lost history"
    assert not list(home.vault.rglob("*.aside*"))
    assert home.json("verify", "vault")["ok"]
    assert len([a for a in home.alerts() if a["rule"] == "ledger_went_back"]) == 1
    assert elsewhere(home, homes) == expected


def test_an_old_log_left_beside_a_restored_database_never_hides_rows(home):
    home.remember_many(f"old {i}" for i in range(10))
    home.json("sync")
    live = home.path / "live"
    home.kill()
    stale = (live / "ledger.db-wal").read_bytes()
    home.remember_many(f"new {i}" for i in range(10))
    home.json("sync")
    before = contents(home.export())
    home.call("stop")
    (live / "ledger.db-wal").write_bytes(stale)
    came_back(home, before)


def came_back(home: Home, before: dict[str, str]) -> None:
    """Whatever the ledger looks like: new memories are kept, the vault keeps what it has, and a recovery brings all back."""
    held = vault_lines(home.vault)
    new: dict[str, str] = {}
    said = home.call("--json", "remember", "written afterwards", check=False)
    if said.status == 0:
        new[said.json()["id"]] = "written afterwards"
    else:  # it refuses to go on from what it found
        assert "holdfast: " in said.err, said.err
        home.call("stop", check=False)
        (home.path / "live").rename(home.path / "live.broken")
    home.json("recover")
    home.call("sync", check=False)
    assert contents(home.export()) == before | new
    assert home.json("verify")["ok"]
    eventually(lambda: home.json("status")["queue_size"] == 0, timeout_s=60)
    assert home.json("verify", "vault")["ok"]
    now = vault_lines(home.vault)
    assert held.items() <= now.items(), "the vault lost history"
    assert journal(home.path).items() <= now.items()


@pytest.mark.parametrize("agent", ["mcp:claude-code", "http:script"])
def test_delete_all_through_an_interface_is_held(filled, homes, agent):
    home, before = filled
    door = Door(home, agent=agent)
    forget_through(door, before)
    door.close()
    assert contents(home.export()) == before, "what is held is still live"
    [alert] = home.alerts()
    assert alert["memories_affected"] == len(before) and alert["state"] == "open"
    resolve_all(home)
    assert contents(home.export()) == before and home.alerts() == []


def test_sync_never_spreads_an_emptiness(filled, homes):
    """Emptied here, the vault still gives everything; emptied there, here stays everything."""
    home, before = filled
    for id in before:
        home.call("forget", id)
    home.json("sync")
    assert elsewhere(home, homes) == before, "the hold travelled with the deletions"
    resolve_all(home)
    remove(home.vault / "origins")
    home.call("sync", check=False)
    assert contents(home.export()) == before
    home.call("stop")
    remove(home.path)
    home.write_config()
    assert home.export() == {}
    home.call("sync")
    home.json("recover")
    assert contents(home.export()) == before, "an empty home did not empty the vault"


def test_a_background_tidy_up_below_the_rate_limit_is_held_by_its_share(homes):
    home = homes(config="guard:\n  delete_window: 1s\n")
    ids = home.remember_many(f"fact {i}" for i in range(100))
    before = contents(home.export())
    door = Door(home, agent="mcp:tidier")
    for i in range(0, 30, 6):
        forget_through(door, ids[i : i + 6])
        time.sleep(1.1)  # never more than a few in the window
    door.close()
    # A window of a second, which makes this test short, is itself told: the rate is all but switched off.
    assert {a["rule"] for a in home.alerts()} == {"guard_off", "share"}
    resolve_all(home)
    assert contents(home.export()) == before


def test_the_guard_switched_off_or_dodged_is_an_alert(filled):
    home, before = filled
    home.kill()  # with the daemon, by an agent
    home.write_config("guard:\n  enabled: false\n")
    eventually(lambda: [a for a in home.alerts() if a["rule"] == "guard_off"])
    home.call("stop")
    db = sqlite3.connect(home.path / "live" / "ledger.db")
    with pytest.raises(sqlite3.DatabaseError):
        db.execute("DELETE FROM journal")
    db.execute("DROP TRIGGER journal_keeps_rows")
    db.execute("DELETE FROM journal WHERE key % 2 = 0")
    db.commit()
    db.close()
    home.write_config()
    verified = home.call("--json", "verify", check=False)
    assert verified.status != 0, "the chain shows what was cut out of it"
    home.call("stop", check=False)
    (home.path / "live").rename(home.path / "live.broken")
    home.json("recover")
    now = contents(home.export())
    assert {id: now.get(id) for id in before} == before


def test_a_corrupt_database_repaired_by_deletion_comes_back_whatever_the_agent_says(filled):
    home, before = filled
    home.kill()
    database = home.path / "live" / "ledger.db"
    data = bytearray(database.read_bytes())
    data[4096:12288] = b"\xa5" * 8192
    database.write_bytes(data)
    try:
        Door(home).call("GET", "/api/memory")
    except GONE + (Refused,):
        pass
    home.call("stop", check=False)
    home.kill()
    remove(home.path / "live")  # "there is no rollback"
    home.json("recover")
    assert contents(home.export()) == before
    assert home.json("verify")["ok"]
