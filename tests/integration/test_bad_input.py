"""Each bad input gets one clear line that says what is wrong, where, and what is allowed; nothing is lost."""

import json
import os
import re

import pytest

from support.home import new_id


def line(**fields) -> str:
    return json.dumps({"content": "fine", "project_id": "test", **fields})


BAD_LINES = {
    "invalid utf-8": (b'{"content":"\xff\xfe"}', ["UTF-8"]),
    "nul": (b'{"content":"a\\u0000b"}', ["NUL", "u0000"]),
    "lone surrogate": (b'{"content":"\\ud800"}', ["surrogate"]),
    "empty content": (line(content="").encode(), ["content", "50,000"]),
    "too long content": (line(content="x" * 50001).encode(), ["content", "50,001", "50,000"]),
    "unknown type": (line(memory_type="dream").encode(), ["memory_type", "episodic"]),
    "importance too high": (line(importance=1.01).encode(), ["importance", "1.01", "0 to 1"]),
    "importance nan": (b'{"content":"x","importance":NaN}', ["column"]),
    "65 tags": (line(tags=[f"t{i}" for i in range(65)]).encode(), ["tags", "64"]),
    "bad uuid": (line(id="not-a-uuid").encode(), ["id", "UUID"]),
    "bad time": (line(created_at="yesterday-ish").encode(), ["created_at"]),
    "sync_version 0": (line(sync_version=0).encode(), ["sync_version"]),
    "sync_version that leaves no room": (line(sync_version=2**52 + 1).encode(), ["sync_version", "4503599627370497", "1 to 4,503,599,627,370,496"]),
    "duplicate keys": (b'{"content":"a","content":"b"}', ["content"]),
    "deep nesting": (b'{"content":"x","metadata":' + b"[" * 1000000 + b"]" * 1000000 + b"}", ["64"]),
    "unknown field": (line(contnet="typo").encode(), ["contnet"]),
    "not an object": (b"[1,2]", ["object"]),
    "not json": (b"{content: no}", ["column"]),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_the_rest_is_kept(home, name):
    bad, words = BAD_LINES[name]
    text = b"\n".join([line(content="good one").encode(), bad, line(content="good two").encode()]) + b"\n"
    result = home.call("import", "-", input=text, check=False)
    assert result.status == 2
    told = [l for l in result.err.splitlines() if "line 2" in l]
    assert len(told) == 1 and all(w in told[0] for w in words), result.err
    assert sorted(m["content"] for m in home.lines("export")) == ["good one", "good two"]


def test_an_atomic_import_keeps_nothing_of_a_bad_file(home):
    text = line(content="good") + "\n" + line(importance=2) + "\n"
    result = home.call("import", "--atomic", "-", input=text, check=False)
    assert result.status == 2 and "line 2" in result.err and "nothing was imported" in result.err
    assert home.lines("export") == [] and home.lines("project", "list") == [] and home.lines("session", "list") == []


def test_ten_mebibytes_in_the_middle_of_a_large_import(home, monkeypatch):
    monkeypatch.setenv("HOLDFAST_BIN", os.environ.get("HOLDFAST_BIN_PLAIN", os.environ["HOLDFAST_BIN"]))  # a matter of size, not of memory errors
    good = [line(content=f"memory {i}") for i in range(100000)]
    good[50000] = line(content="x" * (10 * 1024 * 1024))
    result = home.call("--json", "import", "-", input="\n".join(good) + "\n", check=False)
    assert result.status == 2 and "line 50001" in result.err and "2097152" in result.err
    assert json.loads(result.out.splitlines()[-1])["imported"] == 99999
    assert home.json("status")["memories"] == 99999
    assert home.json("verify")["ok"]


def test_limits_are_met_exactly(home):
    home.call("remember", "-", input="é" * 50000)
    assert home.call("remember", "-", input="é" * 50001, check=False).status == 2
    home.call("remember", "64 tags", *sum((["--tag", f"t{i}"] for i in range(64)), []))
    assert home.call("remember", "65 tags", *sum((["--tag", f"t{i}"] for i in range(65)), []), check=False).status == 2
    id = new_id()
    highest = ["remember", "given", "--id", id, "--sync-version"]
    refused = home.call(*highest, str(2**52 + 1), check=False)
    assert refused.status == 2 and "sync_version is 4503599627370497; 1 to 4,503,599,627,370,496" in refused.err
    home.call(*highest, str(2**52))
    assert home.json("remember", "and changed", "--id", id)["sync_version"] == 2**52 + 1
    assert home.json("status")["memories"] == 3


USAGE = {
    "unknown command": (["frobnicate"], "frobnicate"),
    "unknown option": (["remember", "x", "--frob"], "--frob"),
    "missing argument": (["remember"], "content"),
    "too many arguments": (["show", "a", "b"], "too many"),
    "bad id": (["show", "zzz"], "UUID"),
    "bad number": (["recall", "x", "-k", "many"], "limit"),
    "number out of range": (["recall", "x", "-k", "0"], "1 to 1000"),
    "bad time": (["recover", "--at", "some day"], "at"),
    "bad importance": (["remember", "x", "--importance", "nan"], "importance"),
    "importance beyond all numbers": (["remember", "x", "--importance", "1e999"], "0 to 1"),
    "unknown format": (["import", "--format", "xml", "f"], "jsonl"),
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_is_status_2_and_one_line(home, name):
    args, word = USAGE[name]
    result = home.call(*args, check=False)
    assert result.status == 2, result.err
    assert len(result.err.strip().splitlines()) == 1 and word in result.err, result.err


def test_a_nul_on_standard_input_is_told_with_its_place(home):
    result = home.call("remember", "-", input=b"one\0two", check=False)
    assert result.status == 2 and result.err == "holdfast: content: standard input has a NUL (byte 4), which no text may have\n"


CONFIGS = {
    "unknown key": ("daemon:\n  project: x\n  projct: y\n", ["line 3", "daemon.projct", "project"]),
    "unknown section": ("daemon:\n  project: x\nguards:\n  a: b\n", ["line 3", "guards"]),
    "bad number": ("daemon:\n  project: x\nguard:\n  delete_max: many\n", ["line 4", "guard.delete_max", "many", "1 to 1000000"]),
    "bad duration": ("daemon:\n  project: x\nguard:\n  delete_window: 60\n", ["line 4", "guard.delete_window", "60s"]),
    "bad choice": ("daemon:\n  project: x\n  ack: maybe\n", ["line 3", "daemon.ack", "ledger, vault"]),
    "twice": ("daemon:\n  project: x\n  project: y\n", ["line 3", "second time"]),
    "not yaml": ("daemon: [\n", ["line"]),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_configuration_names_file_line_and_key(home, name):
    text, words = CONFIGS[name]
    (home.path / "holdfast.yaml").write_text(text)
    result = home.call("status", check=False)
    assert result.status == 2, result.err
    assert "holdfast.yaml" in result.err and all(w in result.err for w in words), result.err


def test_a_bad_environment_variable_is_named(home):
    result = home.call("status", env={"SYNC_BATCH_SIZE": "lots"}, check=False)
    assert result.status == 2 and "SYNC_BATCH_SIZE" in result.err and "lots" in result.err


def test_a_vault_path_that_is_a_file_is_refused(home, tmp_path):
    (tmp_path / "taken").write_text("somebody's notes")
    result = home.call("init", "--vault", f"file:{tmp_path}/taken", check=False)
    assert result.status == 2 and "taken" in result.err and len(result.err.strip().splitlines()) == 1
    assert (tmp_path / "taken").read_text() == "somebody's notes"
    assert "taken" not in (home.path / "holdfast.yaml").read_text()


def test_a_folder_of_somebody_elses_is_never_made_a_vault(home, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    result = home.call("init", "--vault", f"file:{tmp_path}/photos", check=False)
    assert result.status == 2 and "photos" in result.err
    assert os.listdir(tmp_path / "photos") == ["cat.jpg"]


@pytest.mark.parametrize("where, why", [("{plain}/home", "is not a folder"), ("/sys/holdfast", "ermi|ead-only")])  # permitted, permission, read-only
def test_an_unwritable_home_is_said(homes, tmp_path, where, why):
    (tmp_path / "plain").write_text("")
    home, place = homes(), where.format(plain=tmp_path / "plain")
    result = home.call("--home", place, "remember", "x", check=False)
    assert result.status == 2 and place.removesuffix("/home") in result.err and re.search(why, result.err), result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_configuration_that_is_named_and_not_there_is_said(home):
    result = home.call("--config", "/nowhere.yaml", "status", check=False)
    assert result.status == 2 and result.err == "holdfast: the configuration: opening /nowhere.yaml: No such file or directory\n"


def test_a_conflicting_version_names_both(home):
    id = home.json("remember", "one", "--id", new_id())["id"]
    home.json("remember", "two", "--id", id)
    text = line(id=id, content="late", sync_version=1) + "\n"
    result = home.call("import", "-", input=text, check=False)
    assert result.status == 2 and "version" in result.err
    assert home.json("show", id)["content"] == "two"
