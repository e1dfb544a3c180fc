"""Destruction through the doors is held, alerted and put back; ordinary work raises nothing."""

import json
import os
import pathlib
import pty
import subprocess
import sys
import time

from support.door import Door
from support.home import contents, eventually
from support.terminal import at_terminal, resolve_all, resolved
from support.webhook import Webhook


def test_a_mass_deletion_is_held_from_its_first_change_on(home):
    ids = home.remember_many([f"fact {i}" for i in range(40)])
    before = home.export()
    for id in ids:
        home.call("forget", id)
    assert home.export() == before, "what is held is still live"
    alerts = home.alerts()
    assert len(alerts) == 1
    alert = alerts[0]
    assert alert["state"] == "open" and alert["memories_affected"] == 40 and alert["source"] == "cli"
    assert home.json("show", ids[0])["sync_status"] == "held"
    assert not home.json("status")["healthy"]
    assert "is reverted; 40 memories restored" in resolved(home, alert["id"])
    assert home.export() == before and home.alerts() == []
    assert home.json("verify")["ok"]


def test_what_was_meant_can_be_accepted(home):
    ids = home.remember_many([f"fact {i}" for i in range(30)])
    for id in ids[:20]:
        home.call("forget", id)
    resolve_all(home, "--accept")
    assert sorted(home.export()) == sorted(ids[20:])


def test_overwriting_everything_is_held(home):
    ids = home.remember_many([f"a long and valuable fact, number {i}, that took a day to find out" for i in range(30)])
    before = contents(home.export())
    for id in ids:
        home.call("remember", "x", "--id", id)
    assert home.alerts()
    resolve_all(home)
    assert contents(home.export()) == before


def test_a_forged_version_is_held_at_once(home):
    [id] = home.remember_many(["the truth"])
    line = json.dumps({"id": id, "content": "junk", "sync_version": 2**31, "project_id": "test"})
    home.json("import", "-", input=line + "\n")
    assert home.json("show", id)["content"] == "the truth"
    assert home.alerts()[0]["rule"] == "version_jump"
    resolve_all(home)
    home.call("remember", "the newer truth", "--id", id)
    assert home.json("show", id)["content"] == "the newer truth"


def test_new_memories_flow_while_an_alert_is_open(home):
    for id in home.remember_many([f"fact {i}" for i in range(20)]):
        home.call("forget", id)
    assert home.alerts()
    new = home.json("remember", "still working")
    assert home.json("show", new["id"])["content"] == "still working"
    home.json("sync")


def test_with_on_alert_pause_nothing_is_written_until_a_person_decides(homes):
    home = homes(config="guard:\n  on_alert: pause\n")
    for id in home.remember_many([f"fact {i}" for i in range(20)]):
        if home.call("forget", id, check=False).status == 3:
            break
    eventually(lambda: home.call("remember", "not now", check=False).status == 3)
    home.call("stop")
    assert home.call("remember", "nor after a restart", check=False).status == 3
    resolve_all(home)
    home.call("remember", "now")
    assert len(home.export()) == 21


def test_a_later_burst_after_a_decision_raises_its_own_alert(home):
    ids = home.remember_many([f"fact {i}" for i in range(60)])
    for id in ids[:20]:
        home.call("forget", id)
    resolve_all(home)
    for id in ids[20:40]:
        home.call("forget", id)
    alerts = home.alerts()
    assert len(alerts) == 1 and alerts[0]["memories_affected"] == 20
    assert len(home.lines("alerts", "--all")) == 2


def test_alerts_survive_a_kill(home):
    ids = home.remember_many([f"fact {i}" for i in range(20)])
    before = home.export()
    for id in ids:
        home.call("forget", id)
    [alert] = home.alerts()
    home.kill()
    assert home.alerts() == [alert]
    resolve_all(home)
    assert home.export() == before


def test_without_a_terminal_a_resolution_is_refused(home):
    for id in home.remember_many([f"fact {i}" for i in range(20)]):
        home.call("forget", id)
    [alert] = home.alerts()
    refused = home.call("resolve", alert["id"], "--accept", check=False)
    assert refused.status == 3 and f"holdfast resolve {alert['id']} --accept" in refused.err
    yes = home.call("resolve", alert["id"], "--accept", "--yes", check=False)
    assert yes.status == 3 and "allow_yes" in yes.err
    forged = home.call("resolve", alert["id"], "--accept", input=alert["id"] + "\n", check=False)
    assert forged.status == 3, "an id in a pipe is no person"
    assert home.alerts() == [alert]


def test_a_terminal_that_a_program_opened_is_no_person(home):
    """A pty of its own, or the device that makes them, as standard input: no terminal that somebody sits at."""
    for id in home.remember_many([f"fact {i}" for i in range(20)]):
        home.call("forget", id)
    [alert] = home.alerts()
    leader, follower = pty.openpty()
    with open("/dev/ptmx", "rb+", buffering=0) as device:
        for terminal in (device.fileno(), follower, leader):
            door = "import sys, pathlib; sys.path[:0] = [sys.argv[1]]; from support.door import Door; from types import SimpleNamespace as N;"
            door += "print(Door(N(path=pathlib.Path(sys.argv[2]))).call('POST', f'/api/alerts/{sys.argv[3]}/resolve', {'action': 'accept', 'confirm': sys.argv[3]}))"
            args = [sys.executable, "-c", door, str(pathlib.Path(__file__).parents[1]), str(home.path), alert["id"]]
            forged = subprocess.run(args, stdin=terminal, capture_output=True, text=True, timeout=60, start_new_session=True)
            assert forged.returncode != 0 and "a person must decide this" in forged.stderr, forged
    os.close(leader)
    os.close(follower)
    assert home.alerts() == [alert]


def test_a_person_at_a_terminal_types_the_id(home):
    ids = home.remember_many([f"fact {i}" for i in range(20)])
    before = home.export()
    for id in ids:
        home.call("forget", id)
    [alert] = home.alerts()
    status, text = at_terminal(home, ["resolve", alert["id"], "--revert"], "yes please")
    assert status == 3 and "not the alert's id" in text
    status, text = at_terminal(home, ["resolve", alert["id"], "--revert"], alert["id"])
    assert status == 0 and "20 memories restored" in text
    assert home.export() == before


def test_the_alert_command_gets_the_alert(homes, tmp_path):
    home = homes(config=f"guard:\n  command: cat >> {tmp_path}/told.jsonl\n")
    for id in home.remember_many([f"fact {i}" for i in range(20)]):
        home.call("forget", id)
    told = eventually(lambda: (tmp_path / "told.jsonl").exists() and (tmp_path / "told.jsonl").read_text())
    assert json.loads(told)["id"] == home.alerts()[0]["id"]
    home.call("stop")
    home.call("status")
    assert (tmp_path / "told.jsonl").read_text() == told, "a restart repeats nothing"


def test_the_webhook_gets_the_alert_until_it_took_it_and_redirects_are_not_followed(homes):
    with Webhook(answers=[500, 302]) as hook:
        home = homes(config=f"guard:\n  webhook: {hook.url}\n")
        for id in home.remember_many([f"fact {i}" for i in range(20)]):
            home.call("forget", id)
        [alert] = home.alerts()
        eventually(lambda: len(hook.posted) == 3)
        assert [path for path, _ in hook.posted] == ["/hook"] * 3
        assert {told["id"] for _, told in hook.posted} == {alert["id"]} and "of project test were deleted by cli" in hook.posted[0][1]["summary"]
        home.call("stop")
        home.call("status")
        home.call("stop")
        assert len(hook.posted) == 3, "what took it once is not told again"


def test_an_alert_that_could_not_be_told_is_told_after_a_restart(homes):
    with Webhook() as hook:
        port = hook.port
    home = homes(config=f"guard:\n  webhook: http://127.0.0.1:{port}/hook\n")
    for id in home.remember_many([f"fact {i}" for i in range(20)]):
        home.call("forget", id)
    [alert] = home.alerts()
    eventually(lambda: "alert.untold" in (home.path / "daemon.log").read_text())
    home.kill()
    with Webhook(port=port) as hook:
        home.call("status")
        eventually(lambda: hook.posted)
        assert hook.posted[0][1]["id"] == alert["id"]


def test_a_command_that_fails_is_run_again(homes, tmp_path):
    home = homes(config=f"guard:\n  command: test -e {tmp_path}/once && cat >> {tmp_path}/told || {{ touch {tmp_path}/once; exit 1; }}\n")
    for id in home.remember_many([f"fact {i}" for i in range(20)]):
        home.call("forget", id)
    told = eventually(lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text())
    assert json.loads(told)["id"] == home.alerts()[0]["id"]
    assert "guard.command ended with status 1" in (home.path / "daemon.log").read_text()


def test_resume_with_an_open_alert_is_refused_without_a_person(home):
    for id in home.remember_many([f"fact {i}" for i in range(20)]):
        home.call("forget", id)
    home.call("pause")
    refused = home.call("resume", check=False)
    assert refused.status == 3 and "1 alert is open" in refused.err, "the pause itself is no reason to go on pausing"
    status, _ = at_terminal(home, ["resume"], "yes")
    assert status == 0 and not home.json("status")["paused"]


def test_switching_the_guard_off_is_itself_an_alert(home):
    home.call("remember", "x")
    home.call("stop")
    home.write_config("guard:\n  enabled: false\n")
    eventually(lambda: [a for a in home.alerts() if a["rule"] == "guard_off"])


def test_allowing_yes_is_an_alert_that_only_a_person_resolves(home):
    ids = home.remember_many([f"fact {i}" for i in range(20)])
    before = home.export()
    for id in ids:
        home.call("forget", id)
    [burst] = home.alerts()
    home.call("stop")
    home.write_config("guard:\n  allow_yes: true\n")
    [told] = eventually(lambda: [a for a in home.alerts() if a["rule"] == "guard_off"])
    assert told["summary"].startswith("The configuration sets guard.allow_yes: ") and told["source"] == "configuration"
    refused = home.call("resolve", told["id"], "--accept", "--yes", check=False)
    assert refused.status == 3 and f"at a terminal: holdfast resolve {told['id']} --accept" in refused.err
    assert home.json("resolve", burst["id"], "--revert", "--yes") == {"id": burst["id"], "state": "reverted", "restored": 20}
    assert home.export() == before and home.alerts() == [told]
    resolved(home, told["id"], "--accept")
    home.call("stop")
    assert home.alerts() == [], "a person knows of it"
    home.call("stop")
    home.write_config("guard:\n  allow_yes: true\n  enabled: false\n")
    [both] = eventually(home.alerts)
    assert "guard.allow_yes" in both["summary"] and "switched off" in both["summary"]


def test_thresholds_that_never_trip_are_an_alert_once(homes):
    home = homes()
    home.call("remember", "x")
    home.call("stop")
    home.write_config("guard:\n  delete_max: 1000000\n  share_max: 1\n")
    [alert] = eventually(home.alerts)
    assert alert["rule"] == "guard_off" and "guard.delete_max is 1000000 (200 at most), guard.share_max is 1 (less than 1)" in alert["summary"]
    home.call("stop")
    assert home.alerts() == [alert], "neither told again nor forgotten"
    status, text = at_terminal(home, ["resolve", alert["id"], "--accept"], alert["id"])
    assert status == 0, text
    home.call("stop")
    assert home.alerts() == [], "a person knows of it"
    home.call("stop")
    home.write_config("guard:\n  delete_max: 1000000\n  share_max: 1\n  loss_max: 1\n")
    [another] = eventually(home.alerts)
    assert another["rule"] == "guard_off" and "guard.loss_max" in another["summary"]


def test_thresholds_at_their_limit_raise_nothing(homes):
    home = homes(config="guard:\n  delete_max: 200\n  share_max: 0.99\n  total_max: 200\n  drip_window: 10m\n  delete_window: 10s\n")
    home.call("remember", "x")
    assert home.alerts() == []


def test_a_pause_that_no_person_asked_for_is_an_alert(home):
    home.call("remember", "x")
    home.call("pause")
    [alert] = home.alerts()
    assert alert["rule"] == "sync_paused" and alert["source"] == "cli" and "holdfast resume" in alert["summary"]
    home.call("pause")
    home.call("stop")
    home.call("pause")
    assert home.alerts() == [alert], "one pause is one alert"
    home.call("resume")
    assert not home.json("status")["paused"] and home.alerts() == [alert], "a person still sees that it was"
    status, text = at_terminal(home, ["resolve", alert["id"], "--accept"], alert["id"])
    assert status == 0, text
    home.call("pause")
    assert len(home.alerts()) == 1 and home.alerts() != [alert], "another pause is another alert"


def test_a_persons_pause_is_no_alert(home):
    home.call("remember", "x")
    status, text = at_terminal(home, ["pause"])
    assert status == 0 and "Sync is paused" in text
    home.call("pause")
    assert home.json("status")["paused"] and home.alerts() == []
    home.call("resume")
    assert not home.json("status")["paused"]


PROSE = "the guard keeps every version of what an agent has once written down so that nothing is lost by mistake number"


def rewrite(home, memories: dict[str, str], project: str = "test"):
    lines = [json.dumps({"id": id, "content": content, "project_id": project}) for id, content in memories.items()]
    home.json("import", "-", input="\n".join(lines) + "\n")


def test_a_long_note_that_is_touched_hides_no_loss(home):
    long = "a diary of a long year " * 1500
    ids = home.remember_many([f"{PROSE} {i}" for i in range(60)] + [long])
    before = contents(home.export())
    rewrite(home, {ids[-1]: long + "."} | {id: "the guard keeps" for id in ids[:6]})
    [alert] = home.alerts()
    assert alert["rule"] == "content_loss" and alert["memories_affected"] == 6
    assert contents(home.export()) == before | {ids[-1]: long + "."}


def test_many_small_projects_under_changing_names_are_held(home):
    ids = {home.json("remember", f"fact {p} {i}", "--project", f"p{p}")["id"]: p for p in range(10) for i in range(4)}
    before = home.export()
    for i, id in enumerate(ids):
        door = Door(home, agent=f"agent-{i}")
        door.forget(id)
        door.close()
    [alert] = home.alerts()
    assert alert["rule"] == "total_loss" and alert["memories_affected"] >= 20
    assert len(home.export()) == len(before), "held from the first on"


def test_what_is_moved_away_and_deleted_there_is_held(home):
    ids = home.remember_many([f"{PROSE} {i}" for i in range(40)])
    home.remember_many([f"junk {i}" for i in range(300)], project="junk")
    rewrite(home, {id: f"{PROSE} {i}" for i, id in enumerate(ids)}, project="junk")
    assert home.alerts() == [], "nothing is lost by a move"
    for i, id in enumerate(ids):
        door = Door(home, agent=f"agent-{i}")
        door.forget(id)
        door.close()
    [alert] = home.alerts()
    assert alert["rule"] == "share" and "of project test" in alert["summary"] and alert["memories_affected"] == 40
    assert set(ids) <= set(home.export())


def test_texts_replaced_half_a_project_at_a_time_are_held_across_restarts(homes):
    """The minute's window is set short, so that the hour's is what sees it."""
    home = homes(config="guard:\n  update_window: 1s\n")
    ids = home.remember_many([f"{PROSE} {i}" for i in range(20)])
    [told] = home.alerts()
    resolved(home, told["id"], "--accept")  # of the window
    before = contents(home.export())
    for half in (ids[::2], ids[1::2]):
        rewrite(home, {id: "".join(chr(97 + (i * 7 + k * k * 31) % 26) for k in range(110)) for i, id in enumerate(half)})
        home.call("stop")
        time.sleep(1.1)  # the minute's window passes
    [alert] = home.alerts()
    assert alert["rule"] == "bulk_update" and alert["memories_affected"] == 20
    assert contents(home.export()) == before


def test_ordinary_work_raises_nothing(home):
    ids = home.remember_many([f"fact {i}" for i in range(100)])
    for id in ids[:5]:
        home.call("forget", id)
    for i in range(30):
        home.call("remember", f"edited for the {i}th time", "--id", ids[10])
    exported = home.call("--json", "export").out
    home.json("import", "-", input=exported)
    tagged = "".join(json.dumps({**json.loads(line), "tags": ["normalised"], "sync_version": json.loads(line)["sync_version"] + 1}) + "\n" for line in exported.splitlines())
    assert home.json("import", "-", input=tagged)["failed"] == 0
    home.remember_many([f"import {i}" for i in range(5000)])
    assert home.alerts() == []
