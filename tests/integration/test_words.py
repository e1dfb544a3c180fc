"""What a person reads: every command without --json."""

import re

import pytest
from support.home import eventually


@pytest.fixture
def told(home):
    """A home with a memory, and what its commands print."""
    home.id = home.json("remember", "The deploy key rotates on Mondays", "--tag", "ops", "--type", "procedural")["id"]
    return lambda *args: home.call(*args).out


def test_remembering_and_forgetting_say_what_is_kept(home, told):
    out = told("remember", "kept at once")
    assert re.fullmatch(r"Remembered [0-9a-f-]{36} \(version 1, (pending|synced)\)\.\n", out)
    out = told("forget", home.id)
    assert out.startswith(f"Forgotten {home.id}") and f"holdfast show {home.id} --history" in out
    assert "deleted" in told("show", home.id) and f"--memory {home.id} --at TIME" in told("show", home.id)


def test_a_memory_its_versions_and_the_log(home, told):
    home.call("remember", "The deploy key rotates on Tuesdays", "--id", home.id)
    shown = told("show", home.id)
    assert f"{home.id}  v2  procedural" in shown and "tags ops" in shown and shown.endswith("Tuesdays\n")
    history = told("show", home.id, "--history")
    assert history.index("v1  put") < history.index("Mondays") < history.index("v2  put") < history.index("Tuesdays")
    log = told("log").splitlines()
    assert [line.split()[2] for line in log[:2]] == ["memory", "memory"] and f"{home.id} v2" in log[0]


def test_what_is_found_and_what_is_not(home, told):
    out = told("recall", "deploy key")
    assert out.startswith(" 1. ") and home.id in out and "[deploy]" in out
    assert told("recall", "zebra") == "Nothing found here. In all projects: --all-projects\n"


def test_nothing_in_a_memory_reaches_the_terminal_as_a_command(home, told):
    home.call("remember", "zebra \x1b[2J\x07 \u009b2J ünïcödé\nnext line")
    found, shown = told("recall", "zebra"), told("show", home.lines("recall", "zebra")[0]["id"])
    for out in (found, shown):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", out.replace("\t", ""))
        assert "\\x9b2J ünïcödé" in out
    assert "\\x1b[2J\\x07" in shown and "ünïcödé next line" in found


def test_sessions_and_projects(home, told):
    assert told("session", "start").strip() and " open " in told("session", "list")
    home.call("session", "end", home.lines("session", "list")[0]["id"], "--summary", "The key was\x1b[2J rotated")
    sessions = told("session", "list")
    assert "The key was\\x1b[2J rotated" in sessions and "memories" in sessions
    assert re.search(r"^test +1 memories$", told("project", "list"), re.MULTILINE)
    assert told("project").startswith("test (by ")


def test_status_doctor_and_what_was_sent(home, told):
    assert re.match(r"Synced \d+ changes in \d+ ms; 0 wait, 0 dead letters\.\n", told("sync"))
    status = told("status")
    assert status.startswith("All is well.\nmemories 1 (0 deleted)") and "vault vault (file): connected" in status
    doctor = told("doctor")
    assert "ok   ledger: " in doctor and "ok   vault vault (file:" in doctor and "LOOK privilege separation" in doctor
    assert re.search(r"vault  push  ok  \d+ changes to seq \d+ in [\d.]+ ms", told("sync", "events"))
    assert told("sync", "dead") == "No dead letters.\n"


def test_a_pause_is_said_wherever_it_matters(home, told):
    assert "Go on with: holdfast resume" in told("pause")
    assert "Sync is paused (holdfast resume)." in told("status")
    assert told("resume") == "Sync goes on.\n"


def test_a_home_without_a_vault_says_how_to_get_one(home, told):
    home.call("stop")
    (home.path / "holdfast.yaml").write_text("daemon:\n  project: test\n")
    assert "no vault: holdfast init --vault file:PATH" in told("status")
    assert "LOOK vaults: none is configured" in told("doctor")
    refused = home.call("sync", check=False)
    assert refused.status == 4 and "holdfast init --vault" in refused.err and not refused.out


def test_a_vault_that_is_gone_is_named_with_its_error(home, told):
    home.call("sync")
    home.vault.rename(home.vault.with_name("moved"))
    home.vault.write_text("not a folder")
    home.call("remember", "waits in the ledger")
    eventually(lambda: "NOT connected" in told("status"))
    assert "Something needs a look: holdfast doctor" in told("status")
    assert "LOOK vault vault" in told("doctor") and "-> mend what the message names" in told("doctor")
    home.vault.unlink()
    home.vault.with_name("moved").rename(home.vault)


def test_alerts_recovery_and_verification(home, told):
    assert told("alerts") == "No alert is open.\n"
    ids = home.remember_many([f"fact {i}" for i in range(40)])
    home.call("sync")
    assert told("verify").startswith("Intact: ") and told("verify", "vault").startswith("Intact: ")
    for id in ids:
        home.call("forget", id)
    alerts = told("alerts")
    assert "put it back:  holdfast resolve" in alerts and "it was meant: holdfast resolve" in alerts
    assert "Would recover 0 memories" in told("recover", "--dry-run")


def test_a_recovery_and_its_undoing(home, told):
    moment = home.json("show", home.json("remember", "the moment")["id"])["updated_at"]
    home.call("forget", home.id)
    out = told("recover", "--at", moment)
    assert out.startswith("Recovered 1 memories from ") and out.endswith("Take it back with: holdfast recover --undo\n")
    out = told("recover", "--undo")
    assert re.fullmatch(r"The recovery of 1 memories was taken back in \d+ ms: they are as they were before it, .*\n", out), out
    assert "deleted" in told("show", home.id)


def test_the_manual_page_has_every_command_and_option(home):
    page = home.call("help", "man").out
    requests = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests == {".TH", ".SH", ".SS", ".TP", ".B"} and "\t" not in page
    words = page.replace("\\-", "-")
    shown = home.call("help").out
    for verb in re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", shown, re.MULTILINE):
        assert re.search(rf"^\.SS {verb}\b", words, re.MULTILINE), verb
    for option in ("--jsonl FILE|-", "--undo", "--at TIME", "--history", "--no-daemon", "--tag TEXT"):
        assert f".B {option}\n" in words, option
