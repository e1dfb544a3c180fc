"""What a person types, against a daemon that starts by itself."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading

import pytest
from support.home import binary, eventually, new_id

pytestmark = pytest.mark.threads


def test_a_memory_is_remembered_found_shown_and_forgotten(home):
    answer = home.json("remember", "The deploy key rotates on Mondays", "--tag", "ops", "--type", "procedural")
    assert set(answer) == {"id", "seq", "sync_version", "sync_status"}
    assert answer["sync_version"] == 1
    hits = home.lines("recall", "rotating deploy keys")
    assert [h["id"] for h in hits] == [answer["id"]]
    assert "[" in hits[0]["snippet"] and hits[0]["score"] > 0
    shown = home.json("show", answer["id"])
    assert shown["content"] == "The deploy key rotates on Mondays"
    assert shown["tags"] == ["ops"] and shown["memory_type"] == "procedural" and shown["project_id"] == "test"
    home.call("forget", answer["id"])
    assert home.lines("recall", "deploy") == []
    assert home.lines("export") == []
    history = home.lines("show", answer["id"], "--history")
    assert [h["change"]["op"] for h in history] == ["put", "delete"]
    assert history[0]["content"] == "The deploy key rotates on Mondays"


def test_an_update_keeps_what_it_does_not_name(home):
    first = home.json("remember", "one", "--tag", "a", "--type", "episodic")
    second = home.json("remember", "two", "--id", first["id"])
    assert second["sync_version"] == 2
    shown = home.json("show", first["id"])
    assert (shown["content"], shown["tags"], shown["memory_type"]) == ("two", ["a"], "episodic")


def test_export_and_import_are_the_identity(homes):
    a, b = homes("a"), homes("b")
    a.remember_many([f"note {i} — ünïcödé 漢字 \u2028" for i in range(50)])
    id = a.json("remember", "with everything", "--tag", "x", "--importance", "0.25", "--scope", "project", "--metadata", '{"k":[1,2,{"z":null}]}')["id"]
    a.json("remember", "second version", "--id", id)
    exported = a.call("--json", "export").out
    b.json("import", "-", input=exported)
    assert b.call("--json", "export").out == exported
    again = b.json("import", "-", input=exported)
    assert (again["imported"], again["unchanged"]) == (0, 51)


def test_deleted_memories_are_exported_only_when_asked(home):
    id = home.json("remember", "gone soon")["id"]
    home.call("forget", id)
    assert home.lines("export") == []
    deleted = home.lines("export", "--deleted")
    assert deleted[0]["id"] == id and deleted[0]["deleted_at"]


def test_status_says_that_the_vault_has_everything(home):
    home.remember_many(["one", "two", "three"])
    synced = home.json("sync")
    assert synced["queue_size"] == 0 and synced["failed"] == 0
    status = home.json("status")
    assert status["healthy"] and not status["paused"] and status["memories"] == 3
    vault = status["vaults"][0]
    assert vault["connected"] and vault["acked_seq"] == vault["head_seq"] > 0 and vault["queue"] == 0
    assert home.json("verify")["ok"] and home.json("verify", "vault")["ok"]
    assert home.json("verify")["changes"] == home.json("verify", "vault")["changes"] == status["changes"]


def test_verify_asks_configured_vaults_alone(home):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        spec = f"neo4j:bolt://127.0.0.1:{server.getsockname()[1]}"
        refused = home.call("verify", spec, check=False, env={"NEO4J_PASSWORD": "secret"})
        assert refused.status == 1 and f'no vault "{spec}" is configured' in refused.err
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_question_with_all_that_it_may_have_is_no_longer_than_a_call_can_be(home):
    """Each as long as it may be, query and tags are together longer than a URL can be."""
    tags = [f"{i:02}" + "é" * 63 for i in range(64)]
    id = home.json("remember", "kelp holds on", *(word for tag in tags for word in ("--tag", tag)))["id"]
    asked = ("kelp " + "é " * 1363, *(word for tag in tags for word in ("--tag", tag)))
    assert [hit["id"] for hit in home.lines("recall", *asked)] == [id]
    assert home.lines("recall", *asked[:-1], "another") == []
    refused = home.call("recall", *asked, "--tag", "one more", check=False)
    assert refused.status == 2 and "65 given; at most 64" in refused.err


BOLT = b"\x60\x60\xb0\x17"  # how its handshake begins


def heard(server: socket.socket) -> bytes:
    """The first words of whoever connected until now."""
    said = b""
    while True:
        try:
            connection, _ = server.accept()
        except BlockingIOError:
            return said
        with connection:
            connection.settimeout(5)
            said += connection.recv(4096)


@pytest.mark.parametrize("known", ["", "bolt://127.0.0.1:1", "bolt+s://127.0.0.1:{port}"])
def test_the_password_of_the_environment_goes_to_no_server_that_a_caller_names(home, known):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        home.env |= {"NEO4J_URI": known.format(port=port), "NEO4J_USER": "somebody", "NEO4J_PASSWORD": "secret"}
        spec = f"neo4j:bolt://127.0.0.1:{port}"
        recall = ("recall", "--remote", "x", "--from", spec)
        asked = [(*recall, "--no-daemon"), recall, ("recover", "--from", spec)]
        if known:  # else it is the first of its kind, and the environment's password is for it
            asked.append(("init", "--vault", spec))
        for args in asked:
            refused = home.call(*args, check=False)
            assert refused.status == 1 and "is not sent to another" in refused.err and f"{spec.partition(':')[2]}#password_file=/PATH" in refused.err, refused.err
            assert len([line for line in refused.err.splitlines() if line.startswith("holdfast: ")]) == 1 and "secret" not in refused.err
        assert BOLT not in heard(server)
        assert spec not in (home.path / "holdfast.yaml").read_text()


def test_the_vault_is_readable_with_jq(home):
    home.remember_many([f"line {i}" for i in range(5)])
    home.json("sync")
    segments = list(home.vault.glob("origins/*/*.jsonl"))
    assert segments
    out = subprocess.run(["jq", "-r", 'select(.kind=="memory") | .body.content', *map(str, segments)], capture_output=True, text=True, check=True).stdout
    assert out.split("\n")[:5] == [f"line {i}" for i in range(5)]


def test_projects_are_kept_apart_unless_all_are_asked(home):
    home.remember_many(["alpha shared thing"], project="one")
    home.remember_many(["alpha other thing"], project="two")
    assert len(home.lines("recall", "alpha", "--project", "one")) == 1
    assert len(home.lines("recall", "alpha", "--all-projects")) == 2
    assert {p["id"]: p["memory_count"] for p in home.lines("project", "list")} == {"one": 1, "two": 1}


def test_a_private_memory_never_shows_in_another_project(home):
    home.call("remember", "alpha secret", "--project", "one", "--scope", "project")
    assert home.lines("recall", "alpha", "--project", "two") == []
    assert home.lines("recall", "alpha", "--all-projects") == []
    assert len(home.lines("recall", "alpha", "--project", "one")) == 1


def test_sessions_chain_and_end(home):
    home.call("remember", "in the first session")
    first = home.lines("session", "list")[0]
    assert first["ended_at"] is None and first["memory_count"] == 1
    ended = home.json("session", "end", first["id"], "--summary", "did things")
    assert ended["ended_at"] and ended["summary"] == "did things"
    home.call("remember", "in the second session")
    second = home.lines("session", "list")[0]
    assert second["id"] != first["id"] and second["previous_id"] == first["id"]
    shown = home.json("session", "show", second["id"])
    assert [m["content"] for m in shown["memories"]] == ["in the second session"]


def test_pause_and_resume(home):
    home.call("remember", "before")
    home.json("sync")
    home.call("pause")
    home.call("remember", "while paused")
    assert home.call("sync", "--timeout", "1", check=False).status == 3
    assert home.json("status")["paused"]
    home.call("stop")
    assert home.json("status")["paused"], "a pause outlives a restart"
    home.call("resume")
    assert home.json("sync")["queue_size"] == 0


def test_without_a_daemon_the_same_operations_work(home):
    id = home.json("--no-daemon", "remember", "in process")["id"]
    assert home.json("--no-daemon", "show", id)["content"] == "in process"
    assert home.lines("--no-daemon", "recall", "process")[0]["id"] == id


def test_a_second_engine_is_refused_and_told_who_holds_the_home(home):
    home.call("remember", "x")
    refused = home.call("--no-daemon", "status", check=False)
    assert refused.status == 1 and "pid" in refused.err and str(home.daemon_pid()) in refused.err


def test_a_daemon_with_another_configuration_serves_nobody_who_named_one(home):
    other = home.folder / "other.yaml"
    other.write_text((home.path / "holdfast.yaml").read_text().replace("project: test", "project: other"))
    home.json("remember", "by the home's own")
    for args in (["remember", "by another's rules"], ["recall", "anything"], ["status"]):
        refused = home.call("--config", str(other), *args, check=False)
        told = refused.err.splitlines()
        assert refused.status == 2 and len(told) == 1, refused.err
        assert all(word in told[0] for word in (f"pid {home.daemon_pid()}", str(home.path / "holdfast.yaml"), str(other), "holdfast stop")), told
    assert home.json("status")["memories"] == 1
    assert home.json("--config", str(other), "stop") == {"stopped": True}
    id = home.json("--config", str(other), "remember", "by the other's")["id"]
    assert home.json("show", id)["project_id"] == "other"


def test_every_long_option_takes_its_value_behind_a_sign_too(home, tmp_path):
    other = home.folder / "other.yaml"
    other.write_text((home.path / "holdfast.yaml").read_text().replace("project: test", "project: other"))
    config = f"--config={other}"
    id = home.json(config, "remember", "kept", "--tag=ops", "--importance=0.25")["id"]
    shown = home.json("show", id, config)
    assert (shown["project_id"], shown["tags"], shown["importance"]) == ("other", ["ops"], 0.25)
    (tmp_path / "two.jsonl").write_text('{"content": "one"}\n{"content": "two"}\n')
    assert len(home.lines(config, "remember", f"--jsonl={tmp_path}/two.jsonl", "--project=third")) == 2
    assert home.json(config, "import", f"{tmp_path}/two.jsonl", "--format=jsonl", "--project=third")["failed"] == 0
    elsewhere = tmp_path / "elsewhere"
    home.call("stop")
    home.call(f"--home={elsewhere}", "init", f"--vault=file:{tmp_path}/another")
    home.call(f"--home={elsewhere}", "stop")
    assert (elsewhere / "holdfast.yaml").exists()
    for args, why in (([config[:9]], "--config needs a path"), (["--home="], "--home needs a path"), (["import", "x", "--atomic=no"], "--atomic takes no value"), (["resolve", id, "--revert=x"], "--revert takes no value")):
        refused = home.call(*args, *(["status"] if len(args) == 1 else []), check=False)
        assert refused.status == 2 and why in refused.err, refused.err


def test_the_configuration_that_a_daemon_runs_with_may_be_named_by_any_of_its_names(home):
    (home.folder / "link.yaml").symlink_to(home.path / "holdfast.yaml")
    home.json("remember", "kept")
    for name in (home.path / "holdfast.yaml", home.folder / "link.yaml", "../home/holdfast.yaml"):
        assert home.json("--config", str(name), "status")["memories"] == 1


def test_a_question_to_a_daemon_that_is_just_dying_is_asked_again(home):
    """The kernel takes connections for a process that was killed until it has closed the process's files."""
    home.json("remember", "kept")
    home.kill()
    (home.path / "daemon.sock").unlink(missing_ok=True)
    folder = os.open(home.path, os.O_PATH)
    dying = socket.socket(socket.AF_UNIX)
    dying.bind(f"/proc/self/fd/{folder}/daemon.sock")  # shorter than a socket's address may be
    os.close(folder)
    dying.listen()
    met = []

    def die() -> None:
        for _ in range(2):  # the look whether somebody listens, and the question
            met.append(dying.accept()[0])
        met[1].recv(1)
        dying.close()
        for connection in met:
            connection.close()

    thread = threading.Thread(target=die)
    thread.start()
    status = home.json("status")
    thread.join()
    assert len(met) == 2 and status["memories"] == 1


@pytest.fixture
def stopped(home):
    """A home whose daemon is stopped, and goes on at the end."""
    home.json("remember", "before")
    home.env["HOLDFAST_SILENCE_MS"] = "200"
    os.kill(home.daemon_pid(), signal.SIGSTOP)
    yield home
    os.kill(home.daemon_pid(), signal.SIGCONT)


def test_a_stopped_daemon_is_told_with_its_pid_and_what_to_do(stopped):
    pid = stopped.daemon_pid()
    for args in (["recall", "before"], ["stop"], ["--json", "status"]):
        refused = stopped.call(*args, check=False)
        told = refused.err.splitlines()
        assert refused.status == 4 and len(told) == 1, refused.err
        assert f"(pid {pid})" in told[0] and "is stopped" in told[0] and f"kill -CONT {pid}" in told[0], told
        assert ("not known" in told[0]) == (args == ["stop"]), told


def test_a_write_that_a_stopped_daemon_may_have_taken_is_said_to_be_unknown(stopped):
    write = ["remember", "perhaps", "--id", new_id()]
    refused = stopped.call(*write, check=False)
    assert refused.status == 4 and "whether it was done is not known, so look before you repeat it" in refused.err
    os.kill(stopped.daemon_pid(), signal.SIGCONT)
    stopped.call(*write)  # under the same id it is taken once, whether it was taken before or not
    assert sorted(m["content"] for m in stopped.export().values()) == ["before", "perhaps"]
    assert stopped.json("verify")["ok"]


def test_a_stopped_daemon_with_a_full_waiting_room_is_not_waited_for(stopped):
    folder = os.open(stopped.path, os.O_PATH)
    waiting = []
    try:
        while True:
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect(f"/proc/self/fd/{folder}/daemon.sock")
    except BlockingIOError:
        assert len(waiting) > 100
    refused = stopped.call("status", check=False)
    os.close(folder)
    for connection in waiting:
        connection.close()
    assert refused.status == 4 and "lets nobody in" in refused.err and str(stopped.path / "lock") in refused.err


def test_a_daemon_that_works_silently_is_waited_for(home):
    """Longer than a silence may be: its vault's folder is locked by somebody else meanwhile."""
    home.json("remember", "--ack", "vault", "first")
    home.env["HOLDFAST_SILENCE_MS"] = "200"
    lock = os.open(next((home.vault / "origins").iterdir()) / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = subprocess.Popen(
        home.command("--json", "remember", "--ack", "vault", "second"), env=home.env, cwd=home.work, stdout=subprocess.PIPE
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    os.close(lock)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and json.loads(out)["seq"]


def test_a_lock_file_that_is_removed_frees_nothing(home):
    home.json("remember", "kept")
    pid = home.daemon_pid()
    (home.path / "lock").unlink()
    refused = home.call("--no-daemon", "remember", "by a second engine", check=False)
    assert refused.status == 1 and "another engine holds it" in refused.err
    assert home.json("remember", "by the first")["seq"] and pid in home.pids
    assert home.json("stop") == {"stopped": True}


def test_a_daemon_without_its_socket_can_still_be_stopped(home):
    home.json("remember", "kept")
    (home.path / "daemon.sock").unlink()
    assert home.json("stop") == {"stopped": True}
    assert home.json("status")["memories"] == 1


def test_a_home_behind_a_link_and_one_open_to_others(home):
    home.json("remember", "kept")
    home.call("stop")
    home.path.chmod(0o777)
    real, home.path = home.path, home.path.with_name("link")
    home.path.symlink_to(real)
    assert home.json("status")["memories"] == 1
    assert real.stat().st_mode & 0o777 == 0o700


def test_an_idle_daemon_gives_back_what_its_caches_hold(homes):
    home = homes(config="daemon:\n  project: test\n  log_level: debug\n")
    home.remember_many([f"note {i}" for i in range(20)])
    eventually(lambda: "event=engine.quiet" in (home.path / "daemon.log").read_text())
    assert len(home.export()) == 20


def test_an_error_names_the_vault_once(home):
    home.call("remember", "it waits")
    home.call("stop")
    home.vault.rename(home.folder / "away")
    home.vault.write_text("a file, where the vault was")
    for args in (["sync"], ["sync", "--replay"], ["remember", "--ack", "vault", "it waits, too"]):
        failed = home.call(*args, check=False)
        assert failed.status == 4, failed.err
        assert failed.err.count("vault vault") == 1, failed.err
    failed = home.call("recover", "--from", "vault", check=False)
    assert failed.status != 0 and failed.err.count(f"vault file:{home.vault}") == 1, failed.err


def test_stdout_holds_json_alone(home):
    for args in (["remember", "x"], ["status"], ["verify"], ["sync"]):
        json.loads(home.call("--json", *args).out)
    failed = home.call("--json", "show", new_id(), check=False)
    assert failed.status == 1 and json.loads(failed.out)["error"] == "not_found"


def test_init_says_what_the_default_vault_protects_against(tmp_path, homes):
    home = homes("fresh")
    (home.path / "holdfast.yaml").unlink()
    out = home.call("init").out
    assert "does not protect against" in out and f"{home.path}.vault" in out
    home.call("remember", "x", "--project", "p")
    assert home.json("sync")["queue_size"] == 0
    twice = home.call("init", "--vault", f"file:{home.path}.vault").out
    assert "configured already" in twice


def test_help_names_every_command():
    out = subprocess.run([binary(), "help"], capture_output=True, text=True, check=True).stdout
    for verb in "init serve stop mcp remember recall show forget log session project status sync pause resume alerts resolve recover verify doctor import export demo version".split():
        assert f"  {verb}" in out, verb
        assert subprocess.run([binary(), "help", verb], capture_output=True).returncode == 0, verb
