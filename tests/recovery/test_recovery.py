"""What was wrecked comes back: everything, a project, a session, a memory, a moment; undoable, repeatable, never by halves."""

import time

import pytest
from support.door import Door, Refused
from support.home import contents, eventually, remove
from support.terminal import at_terminal, recovered

pytestmark = pytest.mark.threads



def wipe(home):
    """rm -rf of the home while the daemon runs; it notices and ends. The configuration is written anew."""
    pid = home.daemon_pid()
    remove(home.path)
    if pid:
        from support.home import is_holdfast

        eventually(lambda: not is_holdfast(pid))
    home.write_config()


def fill(home, count=60):
    ids = home.remember_many([f"a fact worth keeping, number {i}" for i in range(count)])
    home.json("sync")
    return ids


def test_everything_comes_back_after_rm_rf_of_the_home(home):
    fill(home)
    before = home.call("--json", "export").out
    chain = [(c["origin"], c["seq"], c["hash"]) for c in home.lines("log", "--all-projects", "-n", "100000")]
    wipe(home)
    assert home.lines("export") == []
    plan = home.json("recover", "--dry-run")
    assert plan["success"] and plan["dry_run"] and plan["recovered_count"] == 60
    assert home.lines("export") == [], "a plan changes nothing"
    done = home.json("recover")
    assert done["recovered_count"] == plan["recovered_count"] and done["projects"]["test"]["new"] == 60
    assert home.call("--json", "export").out == before
    after = {(c["origin"], c["seq"], c["hash"]) for c in home.lines("log", "--all-projects", "-n", "100000")}
    assert set(chain) <= after, "the earlier origin's changes come back as they were"
    assert home.json("verify")["ok"]
    assert len(home.lines("recall", "fact worth", "-k", "100")) == 60
    assert home.json("recover")["recovered_count"] == 0, "the second time there is nothing left to do"


def test_an_acknowledged_memory_reaches_the_vault_even_if_the_home_goes_at_once(home):
    for i in range(20):
        id = home.json("remember", f"last words {i}")["id"]
    wipe(home)
    home.json("recover")
    assert len(home.export()) == 20 and id in home.export()


def test_new_memories_and_recovered_ones_live_together(home):
    fill(home, 20)
    wipe(home)
    new = home.json("remember", "written before the recovery")["id"]
    home.json("recover")
    assert len(home.export()) == 21 and new in home.export()
    home.json("remember", "and one after")
    home.json("sync")
    assert home.json("verify")["ok"] and home.json("verify", "vault")["ok"]
    wipe(home)
    home.json("recover")
    assert len(home.export()) == 22


def test_by_project_session_and_memory(home):
    one = home.remember_many([f"one {i}" for i in range(10)], project="one")
    home.remember_many([f"two {i}" for i in range(10)], project="two")
    home.call("remember", "in a session", "--project", "two")
    session = home.lines("session", "list", "--project", "two")[0]["id"]
    home.json("sync")
    wipe(home)
    assert home.json("recover", "--memory", one[3])["recovered_count"] == 1
    assert list(home.export()) == [one[3]]
    assert home.json("recover", "--project", "one")["recovered_count"] == 9
    assert sorted(home.export()) == sorted(one)
    in_session = home.json("recover", "--session", session)["recovered_count"]
    assert in_session >= 1
    assert home.json("recover")["recovered_count"] == 11 - in_session
    assert len(home.export()) == 21
    assert home.json("verify")["ok"]


def test_a_moment_of_the_past(home):
    ids = fill(home, 12)
    before = contents(home.export())
    time.sleep(0.002)  # the moment lies between two changes
    moment = home.json("show", home.json("remember", "marks the moment")["id"])["updated_at"]
    for id in ids[:3]:
        home.call("remember", "overwritten", "--id", id)
    home.call("forget", ids[4])
    later = home.json("remember", "made later")["id"]
    plan = home.json("recover", "--at", moment, "--dry-run")
    assert plan["recovered_count"] == 4
    done = home.json("recover", "--at", moment)
    assert done["recovered_count"] == 4 and done["projects"]["test"]["taken_back"] == 4
    now = contents(home.export())
    assert {id: now[id] for id in before} == before
    assert later in now, "what was made later stays"
    undone = home.json("recover", "--undo")
    assert undone["success"]
    again = contents(home.export())
    assert again[ids[0]] == "overwritten" and ids[4] not in again


def test_a_recovery_is_undone_and_done_again(home):
    fill(home, 15)
    wipe(home)
    home.write_config()
    own = home.json("remember", "mine")["id"]
    home.json("recover")
    assert len(home.export()) == 16
    recovered(home, "--undo")
    assert list(home.export()) == [own]
    assert home.json("recover")["recovered_count"] == 15
    assert len(home.export()) == 16


def test_a_deliberate_deletion_is_not_taken_back(home):
    ids = fill(home, 30)
    home.call("forget", ids[0])
    home.json("sync")
    assert home.json("recover")["recovered_count"] == 0
    assert ids[0] not in home.export()
    wipe(home)
    home.json("recover")
    assert ids[0] not in home.export() and len(home.export()) == 29


def test_an_unreachable_vault_is_an_error_and_changes_nothing(home, tmp_path):
    fill(home, 5)
    before = home.call("--json", "export").out
    for place in (tmp_path / "not-mounted" / "vault", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        result = home.call("recover", "--from", f"file:{place}", check=False)
        assert result.status == 4 and str(place) in result.err, (result.status, result.err)
    assert home.call("--json", "export").out == before


def alter_a_record(home):
    [segment] = home.vault.glob("origins/*/*.jsonl")
    lines = segment.read_bytes().split(b"\n")
    lines[12] = lines[12].replace(b"fact", b"lies", 1)
    segment.write_bytes(b"\n".join(lines))
    return segment


def test_all_that_is_intact_of_a_damaged_vault_comes_back_and_the_rest_is_named(home):
    fill(home, 30)
    wipe(home)
    segment = alter_a_record(home)
    done = home.json("recover")
    assert done["recovered_count"] == 29 and len(home.export()) == 29
    [damage] = done["damage"]
    assert segment.name + ": record 13" in damage["where"] and (damage["from"], damage["to"]) == (13, 13)
    assert [(g["from"], g["to"]) for g in done["gaps"]] == [(13, 13)]
    assert "DAMAGED" in home.call("recover").out, "never in silence"
    assert home.json("verify")["ok"]


def test_damage_that_verify_finds_is_told_and_refilled_from_the_ledger(home):
    fill(home, 30)
    alter_a_record(home)
    found = home.call("--json", "verify", "vault", check=False)
    assert found.status == 1 and not found.json()["ok"]
    home.json("sync")
    assert [a["rule"] for a in home.alerts()] == ["vault_damaged"]
    assert home.json("verify", "vault")["ok"], "it is refilled"
    assert list(home.vault.glob("origins/*.aside-*")), "the damaged copy is kept"
    home.json("sync")
    assert len(home.alerts()) == 1


def test_an_emptied_vault_raises_an_alert_and_is_refilled(home):
    fill(home, 25)
    remove(home.vault / "origins")
    home.call("remember", "one more")
    eventually(lambda: [a for a in home.alerts() if a["rule"] == "vault_damaged"], timeout_s=60)
    eventually(lambda: home.json("status")["vaults"][0]["queue"] == 0, timeout_s=60)
    assert home.json("verify", "vault")["ok"]
    assert home.json("verify", "vault")["changes"] == home.json("status")["changes"]


def test_two_homes_share_a_vault_without_mixing_chains(homes):
    a, b = homes("a"), homes("b")
    a.remember_many(["from a"])
    a.json("sync")
    b.remember_many(["from b"])
    b.json("sync")
    b.json("recover")
    assert sorted(contents(b.export()).values()) == ["from a", "from b"]
    a.json("recover")
    assert sorted(contents(a.export()).values()) == ["from a", "from b"]
    assert a.json("verify")["ok"] and b.json("verify")["ok"] and a.json("verify", "vault")["ok"]
    assert len(list(a.vault.glob("origins/*"))) == 2


def test_the_demonstration_brings_everything_back(home, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    for i in range(40):
        (notes / f"note-{i}.md").write_text(f"# Note {i}\n\nSomething worth a sentence or two, number {i}.\n")
    out = home.call("demo", str(notes)).out
    assert out.count("of 40 memories are exactly as they were") == 3 and out.count("hash: 40 of 40") == 3
    assert "ALERT" in out and "recover --dry-run" in out and "claude mcp add" in out


def test_a_recovery_takes_little_away_without_a_person(homes):
    a, b = homes("a"), homes("b", config="guard:\n  enabled: false\n")
    ids = a.remember_many(f"a fact of a, number {i}" for i in range(20))
    a.json("sync")
    b.json("recover")
    for id in ids[:8]:
        b.call("forget", id)
    for id in ids[8:12]:
        b.call("remember", "poison", "--id", id)
    b.json("remember", "from b")
    b.json("sync")
    before = contents(a.export())
    plan = a.json("recover", "--dry-run")
    assert (plan["recovered_count"], plan["taken_away_count"], plan["overwritten_count"]) == (5, 8, 4)
    assert plan["projects"]["test"]["new"] == 1 and plan["projects"]["test"]["newer"] == 4
    result = a.call("recover", "--project", "test", check=False)
    assert result.status == 3 and "holdfast recover --project 'test'" in result.err, result.err
    assert "take away 8 and overwrite 4" in result.err and "12 of 20" in result.err
    for words in (["--confirm", "12"], ["--yes"]):
        assert a.call("recover", *words, check=False).status == 3, "typed by no person"
    assert contents(a.export()) == before
    a.call("stop")
    a.write_config("guard:\n  allow_yes: true\n")
    done = a.json("recover", "--yes")
    assert (done["recovered_count"], done["taken_away_count"], done["overwritten_count"]) == (5, 8, 4)
    assert len(a.export()) == 13
    undo = a.call("recover", "--undo", check=False)
    assert undo.status == 3 and "holdfast recover --undo" in undo.err, "it takes what is there now"
    a.json("recover", "--undo", "--yes")
    assert contents(a.export()) == before


def test_older_texts_memory_by_memory_need_a_person_too(home):
    ids = fill(home, 8)  # fewer than the guard takes for a burst of changes
    time.sleep(0.002)  # the moment lies between two changes
    moment = home.json("show", home.json("remember", "marks the moment")["id"])["updated_at"]
    for id in ids:
        home.call("remember", f"{home.json('show', id)['content']} and more", "--id", id)
    for id in ids[:4]:
        done = home.json("recover", "--memory", id, "--at", moment)
        assert (done["taken_away_count"], done["overwritten_count"]) == (0, 1), done
    refused = home.call("recover", "--memory", ids[4], "--at", moment, check=False)
    assert refused.status == 3 and "5 of 9 of project test" in refused.err, refused.err
    assert sum(content.endswith("and more") for content in contents(home.export()).values()) == 4


def test_a_person_at_a_terminal_has_it_taken_away_and_no_other_door_does(home):
    fill(home, 15)
    wipe(home)
    home.json("recover")
    for body in ({}, {"yes": True}, {"confirm": "15"}):
        with pytest.raises(Refused) as refused:
            Door(home, agent="mcp:claude-code").one("POST", "/api/recovery/undo", body)
        assert refused.value.body["error"] == "refused"
    status, seen = at_terminal(home, ["recover", "--undo"], "14")
    assert status == 3 and "take away 15" in seen and len(home.export()) == 15
    status, seen = at_terminal(home, ["recover", "--undo"], "15")
    assert status == 0 and home.export() == {}


def test_what_is_not_there_is_said(home):
    fill(home, 10)
    wipe(home)
    unknown = "01890000-0000-7000-8000-000000000001"
    for words, said in (
        (["--project", "tset"], 'project "tset"'),
        (["--memory", unknown], unknown),
        (["--session", unknown], unknown),
        (["--at", "2001-01-01"], "the first change"),
    ):
        for more in ([], ["--dry-run"]):
            result = home.call("recover", *words, *more, check=False)
            assert result.status == 1 and said in result.err, (words, result.status, result.err)
    assert home.json("recover")["recovered_count"] == 10
