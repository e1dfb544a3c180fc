"""Folders as a source: captured from a real file system, wrecked by rm, mv, git and sed, put back."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from support.folder import Folder, config_of, look, note
from support.home import eventually, is_holdfast
from support.terminal import resolved


@pytest.fixture
def empty(homes, tmp_path):
    """A folder without files, captured."""
    path = tmp_path / "project"
    path.mkdir()
    folder = Folder(homes(config=config_of(path)), path)
    folder.wait_connected()
    return folder


@pytest.fixture
def folder(homes, tmp_path):
    """40 notes in two folders, and what agents read first; captured."""
    path = tmp_path / "project"
    folder = Folder(homes(config=config_of(path)), path)
    for i in range(40):
        folder.write(f"notes/{'deep/er/' if i % 4 == 0 else ''}n{i}.md", note(i)).chmod(0o640 if i % 3 else 0o600)
    folder.write("CLAUDE.md", note(100, 80))
    folder.write("notes/empty.md", "")
    folder.write("program.py", "print(1)\n")
    folder.wait_connected()
    folder.wait_texts()
    return folder


@pytest.fixture
def repository(folder):
    """The same as a git work tree, everything committed."""
    folder.shell("git init -q -b main . && git add -A && git commit -qm first")
    return folder


# ---- capture ----


def test_what_was_there_is_captured_with_what_it_needs_to_come_back(folder):
    files = folder.files()
    assert len(files) == 42 and "program.py" not in files
    memory = files["notes/n1.md"]
    assert memory["content"] == note(1) and memory["project_id"] == "test"
    assert memory["metadata"]["source"] == {"name": "notes", "path": "notes/n1.md"}
    assert memory["metadata"]["file"]["mode"] == "0640"
    assert files["notes/empty.md"]["metadata"]["file"]["empty"] and files["notes/empty.md"]["content"] == " "
    assert folder.source()["position"] == "42 files in 4 folders"
    assert "source notes (files): capturing, at 42 files in 4 folders" in folder.home.call("status").out


def test_changes_are_versions_of_one_memory(folder):
    before = folder.files()["CLAUDE.md"]
    for i in range(3):
        folder.write("CLAUDE.md", note(100, 80) + f"and {i}\n")
        folder.wait_texts()
    after = folder.files()["CLAUDE.md"]
    assert after["id"] == before["id"] and after["sync_version"] == before["sync_version"] + 3
    assert len(folder.home.lines("show", after["id"], "--history")) == 4
    assert folder.home.alerts() == []


@pytest.mark.threads
def test_new_folders_are_captured_with_all_that_is_in_them(folder, tmp_path):
    outside = tmp_path / "outside"
    (outside / "a/b").mkdir(parents=True)
    (outside / "a/b/moved-in.md").write_text("moved in\n")
    folder.shell("mkdir -p x/y/z && echo one > x/y/z/one.md && cp -r notes copied")
    shutil.move(outside, folder.path / "in")
    folder.wait_texts()
    folder.write("in/a/b/later.md", "later\n")
    folder.write("x/y/later.md", "later\n")
    folder.wait_texts()


def test_a_memory_goes_with_its_file(folder):
    before = folder.files()
    os.rename(folder.path / "notes/n1.md", folder.path / "notes/renamed.md")
    folder.wait_texts()
    os.rename(folder.path / "notes/deep", folder.path / "moved")
    folder.wait_texts()
    after = folder.files()
    assert after["notes/renamed.md"]["id"] == before["notes/n1.md"]["id"]
    assert after["moved/er/n4.md"]["id"] == before["notes/deep/er/n4.md"]["id"]
    # A new file at the old place is another memory, and stays one.
    folder.write("notes/n1.md", "a new one\n")
    folder.wait_texts()
    new = folder.files()["notes/n1.md"]
    assert new["id"] != before["notes/n1.md"]["id"]
    folder.write("moved/er/n4.md", note(4) + "more\n")  # it is watched under its new name
    folder.wait_texts()
    assert folder.home.alerts() == []
    folder.home.call("stop")
    folder.write("notes/n1.md", "a new one, changed\n")
    folder.wait_texts()
    assert folder.files()["notes/n1.md"]["id"] == new["id"]


def test_a_rename_while_nothing_is_captured_is_known_by_its_text(folder):
    before = folder.files()
    folder.home.call("stop")
    folder.shell("mkdir elsewhere && mv notes/n* elsewhere/")
    folder.wait_texts()
    after = folder.files()
    assert all(after[f"elsewhere/n{i}.md"]["id"] == before[f"notes/n{i}.md"]["id"] for i in range(40) if i % 4)
    assert folder.home.alerts() == []


def test_files_that_are_no_text_or_too_long_are_named_and_left(folder):
    folder.write("image.md", b"\x89PNG\r\n\0\0")
    folder.write("huge.md", "x" * 200_001)
    folder.write("long.md", "é" * 50_001)
    folder.write("just.md", "é" * 50_000)
    error = eventually(lambda: (lambda e: e if e and e.startswith("3 files not kept") else None)(folder.source()["error"]))
    assert "image.md (binary)" in error and "huge.md (large)" in error and "long.md (large)" in error
    assert folder.source()["connected"]
    eventually(lambda: "just.md" in folder.files())
    folder.write("notes/n1.md", "still captured\n")
    eventually(lambda: folder.texts()["notes/n1.md"] == "still captured\n")
    for name in ("image.md", "huge.md", "long.md"):
        (folder.path / name).unlink()
    eventually(lambda: not folder.source()["error"])


def test_links_and_special_files_are_not_followed(folder, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "secret.md").write_text("not below the folder")
    os.symlink(secret, folder.path / "linked")
    os.symlink(secret / "secret.md", folder.path / "link.md")
    os.symlink("CLAUDE.md", folder.path / "AGENTS.md")
    os.mkfifo(folder.path / "pipe.md")
    folder.settle()
    assert not {"linked/secret.md", "link.md", "AGENTS.md", "pipe.md"} & set(folder.files())
    assert not any("not below" in text for text in folder.texts().values())


def test_what_the_configuration_leaves_out_is_not_captured_and_not_missed(homes, tmp_path):
    path = tmp_path / "project"
    folder = Folder(homes(config=config_of(path, '    include: ["*.txt", "memory/**/*.md"]\n    ignore: ["private/**", "draft*"]\n')), path)
    for name in ("a.txt", "b.md", "memory/c.md", "memory/d/e.md", "private/f.txt", "draft1.txt", "x/g.txt"):
        folder.write(name, name)
    eventually(lambda: set(folder.files()) == {"a.txt", "memory/c.md", "memory/d/e.md", "x/g.txt"})
    folder.home.call("stop")
    folder.home.write_config(config_of(path, '    include: ["*.md"]\n'))
    eventually(lambda: set(folder.files()) == {"a.txt", "b.md", "memory/c.md", "memory/d/e.md", "x/g.txt"})
    assert folder.home.alerts() == []


def test_one_file_is_a_source_too(homes, tmp_path):
    path = tmp_path / "CLAUDE.md"
    path.write_text("what agents read first\n")
    (tmp_path / "other.md").write_text("not this one\n")
    folder = Folder(homes(config=config_of(path)), tmp_path)
    eventually(lambda: folder.texts() == {"CLAUDE.md": "what agents read first\n"})
    path.write_text("what agents read first, changed\n")
    eventually(lambda: folder.texts() == {"CLAUDE.md": "what agents read first, changed\n"})
    path.unlink()
    alert = folder.wait_alerts()[0]
    assert alert["rule"] == "source_vanished" and "CLAUDE.md is gone" in alert["summary"] and "holdfast restore notes" in alert["summary"]
    folder.home.call("stop")  # and after a start it is known to be a file
    assert folder.restore()["restored"] == 1
    assert path.read_text() == "what agents read first, changed\n" and (tmp_path / "other.md").exists()


# ---- destruction ----

WRECKS = {
    "rm": "rm -rf notes",
    "rm_everything": "rm -rf -- * .git",
    "git_clean": "git init -q . && git clean -qfdx",
    "mv_away": "mv notes ../gone",
    "mv_to_a_missing_folder": "for f in notes/n*.md; do mv $f missing; done",
    "truncate": "for f in notes/n*.md; do : > $f; done",
    "sed": "sed -i 's/.*//' notes/n*.md",
    "overwrite": "for f in notes/n*.md; do head -c 2000 /dev/urandom | base64 > $f; done",
    "binary": "for f in notes/n*.md; do head -c 500 /dev/urandom > $f; done",
    "huge": "for f in notes/n*.md; do head -c 300000 /dev/zero | tr '\\0' x > $f; done",
    "as_links": "for f in notes/n*.md; do ln -sf /etc/hostname $f; done",
    "as_folders": "for f in notes/n*.md; do rm $f && mkdir $f; done",
    "ignored": "mkdir node_modules && mv notes node_modules/",
}


@pytest.mark.parametrize("how", WRECKS)
def test_destruction_is_held_and_put_back_to_the_byte(folder, how):
    before, known = look(folder.path), folder.texts()
    folder.shell(WRECKS[how])
    alert = folder.wait_alerts()[0]
    assert alert["state"] == "open" and "notes" in alert["actor"]
    folder.settle()
    shown = folder.texts()
    assert {path: shown[path] for path in known} == known
    if how == "as_folders":
        folder.shell("find notes -type d -name '*.md' -delete")
    if how == "as_links":
        folder.shell("find notes -type l -delete")

    dry = folder.restore("--dry-run")
    assert dry["dry_run"] and dry["restored"] >= 30
    wrecked = look(folder.path)
    assert wrecked == look(folder.path)
    done = folder.restore()
    assert (done["restored"], done["kept"]) == (dry["restored"], dry["kept"])
    after = look(folder.path)
    assert {path: after.get(path) for path in before if path.endswith(".md")} == {p: b for p, b in before.items() if p.endswith(".md")}
    assert folder.restore()["restored"] == 0
    folder.settle()
    shown = folder.texts()
    assert {path: shown[path] for path in known} == known
    assert len(folder.home.alerts()) == 1


def test_what_was_put_back_and_is_destroyed_again_is_held_again(folder):
    before = look(folder.path)
    for _ in range(2):
        folder.shell("rm -rf notes")
        alert = eventually(lambda: [a for a in folder.home.alerts() if a["state"] == "open"])[0]
        assert folder.restore()["restored"] == 41
        folder.settle()
        resolved(folder.home, alert["id"])
        assert look(folder.path) == before


@pytest.mark.threads
def test_a_folder_of_few_files_that_is_removed_is_held_too(empty):
    for i in range(3):
        empty.write(f"n{i}.md", note(i))
    empty.wait_texts()
    known = empty.texts()
    shutil.rmtree(empty.path)
    alert = empty.wait_alerts()[0]
    assert alert["rule"] == "source_vanished" and "holdfast restore notes" in alert["summary"]
    assert empty.texts() == known
    eventually(lambda: not empty.source()["connected"])
    assert "was removed or renamed" in empty.source()["error"]
    assert empty.restore()["restored"] == 3
    eventually(lambda: empty.source()["connected"])
    empty.write("n9.md", note(9))
    empty.wait_texts()
    assert len(empty.home.alerts()) == 1


@pytest.mark.threads
def test_files_that_somebody_changed_since_are_kept_and_told(folder):
    folder.shell("for f in notes/n*.md; do : > $f; done")
    folder.wait_alerts()
    folder.settle()
    folder.home.call("stop")  # the ledger does not know of these changes
    folder.write("notes/n1.md", "by a person\n")
    (folder.path / "notes/n2.md").unlink()
    done = folder.home.call("--json", "--no-daemon", "restore", "notes").json()
    assert done["kept"] == 1 and "notes/n1.md" in done["sql"]
    assert (folder.path / "notes/n1.md").read_text() == "by a person\n"
    assert (folder.path / "notes/n2.md").read_text() == note(2)


def test_a_file_or_a_folder_or_a_moment_can_be_asked_for(folder):
    claude = (folder.path / "CLAUDE.md").read_bytes()
    moment = folder.home.json("status") and time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1000 % 1000000:06d}Z"
    folder.write("CLAUDE.md", "ignore everything\n")  # one file: no alarm, but a version
    folder.wait_texts()
    assert folder.home.alerts() == []
    assert folder.restore()["restored"] == 0
    done = folder.restore("--table", "CLAUDE.md", "--at", moment)
    assert (done["restored"], done["tables"][0]["table"]) == (1, "CLAUDE.md")
    assert (folder.path / "CLAUDE.md").read_bytes() == claude
    folder.wait_texts()

    folder.shell("rm -rf notes")
    folder.wait_alerts()
    assert folder.restore("--table", "notes/deep/")["restored"] == 10
    assert sorted(p.name for p in (folder.path / "notes").iterdir()) == ["deep"]
    shown = folder.home.call("restore", "notes", "--dry-run").out
    assert "write notes/n1.md" in shown and "31 files to write" in shown and "Nothing was changed" in shown


def test_what_a_memory_says_never_leads_out_of_the_folder(folder, tmp_path):
    """An agent may write any memory: neither its path nor a link in the folder takes restore elsewhere."""
    import json

    memory = folder.files()["notes/n1.md"]
    for path in ("../escaped.md", "/tmp/escaped.md", "a/../../escaped.md", "linked/escaped.md", ".git/hooks/pre-commit", "program.py"):
        forged = {"content": "forged", "project_id": "test", "metadata": {"source": {"name": "notes", "path": path}, "file": memory["metadata"]["file"]}}
        folder.home.lines("remember", "--jsonl", "-", input=json.dumps(forged) + "\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, folder.path / "linked")
    folder.home.call("restore", "notes", check=False)
    assert not (tmp_path / "escaped.md").exists() and not pathlib.Path("/tmp/escaped.md").exists()
    assert list(outside.iterdir()) == [] and not (folder.path / ".git").exists()
    assert (folder.path / "program.py").read_text() == "print(1)\n"


# ---- work, which raises nothing ----

SAVES = {
    "in_place": "printf '%s\\n' \"$TEXT\" > CLAUDE.md",
    "emptied_first": ": > CLAUDE.md; printf '%s\\n' \"$TEXT\" > CLAUDE.md",
    "by_rename": "printf '%s\\n' \"$TEXT\" > .CLAUDE.tmp.md && mv .CLAUDE.tmp.md CLAUDE.md",
    "with_backup": "mv CLAUDE.md CLAUDE.md~ && printf '%s\\n' \"$TEXT\" > CLAUDE.md && rm CLAUDE.md~",
    "removed_first": "rm CLAUDE.md && printf '%s\\n' \"$TEXT\" > CLAUDE.md",
    "sed": "sed -i \"\\$s/.*/$TEXT/\" CLAUDE.md",
    "vim": "vim -es -u NONE -c 'set backup writebackup backupcopy=no' -c \"\\$s/.*/$TEXT/\" -c wq CLAUDE.md && rm -f CLAUDE.md~",
}


@pytest.mark.parametrize("how", SAVES)
def test_editing_one_file_fifty_times_is_work(folder, how):
    before = folder.files()["CLAUDE.md"]["id"]
    folder.write("CLAUDE.md", note(100, 80) + "the end\n")
    for i in range(50):
        folder.shell(SAVES[how], TEXT=f"line {i}")
    eventually(lambda: folder.texts()["CLAUDE.md"].rstrip().endswith("line 49"))
    folder.settle()
    assert folder.files()["CLAUDE.md"]["id"] == before
    assert folder.home.alerts() == []


def test_work_on_many_files_raises_nothing(folder):
    folder.shell("sed -i '$s/$/ and a word/' notes/n1*.md")
    folder.wait_texts()
    folder.shell("touch notes/*.md && chmod 644 notes/*.md && mkdir copies && cp notes/n*.md copies/")
    folder.wait_texts()
    folder.shell("mv copies archive && mv notes/deep . && mv notes memories && mv memories/n1.md memories/one.md")
    folder.wait_texts()
    folder.shell("rm archive/n1.md archive/n2.md archive/n3.md")
    folder.wait_texts()
    assert folder.home.alerts() == []


# Each note of a branch says something else; and a branch that has one file alone.
BRANCHES = """git init -q -b main . && git add -A && git commit -qm first
git checkout -qb other && for f in n*.md; do tac $f | tr a-z b-za > $f.x && mv $f.x $f; done && git commit -qam other
git checkout -qb bare && git rm -rq n*.md && git commit -qm bare
git checkout -q main"""


@pytest.fixture
def branches(homes, tmp_path):
    """60 notes in a folder of a work tree with three branches, its objects packed; captured."""
    path = tmp_path / "top/docs"
    folder = Folder(homes(config=config_of(path)), path)
    for i in range(60):
        folder.write(f"n{i}.md", note(i))
    folder.write("README.md", "the same everywhere\n")
    folder.shell(BRANCHES.replace("init -q -b main .", "init -q -b main ..") + " && git gc -q")
    folder.wait_connected()
    folder.wait_texts()
    return folder


def test_a_checkout_is_work_for_nothing_is_lost(branches):
    ids = {path: m["id"] for path, m in branches.files().items()}
    for branch in ("bare", "main", "other", "main", "bare", "other"):
        branches.shell(f"git checkout -q {branch}")
        branches.wait_texts()
    assert branches.home.alerts() == []
    assert {path: m["id"] for path, m in branches.files().items()} == ids


def test_a_merge_a_reset_and_a_rebase_are_work(branches):
    branches.shell("git merge -q other")
    branches.wait_texts()
    branches.shell("git reset -q --hard HEAD~1")
    branches.wait_texts()
    branches.shell("git checkout -qb mine && echo mine > mine.md && git add -A && git commit -qm mine && git rebase -q bare")
    branches.wait_texts()
    assert branches.home.alerts() == []


def test_a_checkout_while_nothing_is_captured_is_work(branches):
    branches.home.call("stop")
    branches.shell("git checkout -q bare")
    branches.wait_texts()
    assert branches.home.alerts() == []


GIT_KEEPS = {
    "rm": "git rm -rq notes",
    "rm_and_commit": "git rm -rq notes && git commit -qm less",
    "clean_of_what_was_committed": "git rm -rq --cached notes && git commit -qm untracked && sleep 0.3 && git clean -qfdx",
    "rm_of_the_index_first": "git rm -rq --cached notes && rm -rf notes",
    "stash": "mkdir new && for i in $(seq 30); do echo new note $i > new/n$i.md; done; for f in notes/n*.md; do tac $f | tr a-z b-za | md5sum >> $f; done; sleep 0.5; git stash -qu",
    "stash_and_pop": "mkdir new && for i in $(seq 30); do echo new note $i > new/n$i.md; done; sleep 0.5; git stash -qu && sleep 1 && git stash pop -q",
}


@pytest.mark.parametrize("how", GIT_KEEPS)
def test_what_git_takes_and_keeps_without_moving_head_is_work(repository, how):
    repository.shell(GIT_KEEPS[how])
    repository.wait_texts()
    assert repository.home.alerts() == []


OVERWRITE = "for f in n*.md; do tr a-zA-Z n-za-mN-ZA-M < $f > $f.x && mv $f.x $f; done"


@pytest.fixture
def edited(homes, tmp_path):
    """A work tree in which each of 40 committed notes was edited, long before it is captured."""
    path = tmp_path / "project"
    folder = Folder(homes(config=config_of(path)), path)
    for i in range(40):
        folder.write(f"n{i}.md", note(i))
    folder.shell("git init -q -b main . && git add -A && git commit -qm first && for f in n*.md; do tac $f | tr a-z A-Z > $f.x && mv $f.x $f; done")
    folder.wait_connected()
    folder.wait_texts()
    return folder


def test_edits_that_git_stashed_are_nobodys_overwriting_when_they_come_back(edited):
    for _ in range(2):
        edited.shell("git stash -q")
        edited.wait_texts()
        edited.shell("git stash pop -q")
        edited.wait_texts()
    edited.shell("echo one more line >> n1.md")
    edited.wait_texts()
    assert edited.home.alerts() == []


def test_other_texts_over_what_git_put_there_are_held(edited):
    edited.shell("git stash -q")
    edited.wait_texts()
    before = edited.texts()
    edited.shell(OVERWRITE)
    assert edited.wait_alerts()[0]["rule"] == "bulk_update"
    assert edited.texts() == before


def test_what_is_held_stays_so_when_git_stashes_it_and_brings_it_back(edited):
    edited.shell(OVERWRITE)
    edited.wait_alerts()
    ruined = edited.on_disk()
    edited.shell("git stash -q && sleep 0.5 && git stash pop -q")
    assert edited.on_disk() == ruined
    edited.write("last.md", "the end\n")
    eventually(lambda: "last.md" in edited.texts())
    assert not set(edited.texts().values()) & set(ruined.values())


# What the daemon asks git passes through here; at the call that `calls` counts down to, the folder goes elsewhere.
GIT_THAT_IS_OVERTAKEN = """#!/bin/bash
cd {root}
left=$(cat {calls} 2>/dev/null || echo 0)
echo $((left - 1)) > {calls}
[ "$left" != 1 ] || mv {to_and_fro}
exec {git} "$@"
"""
OVERTAKEN = {  # what is done, and what then while git is asked
    "back": ("mv notes ../aside", "../aside notes"),
    "on": ("mv notes ../aside && mv ../aside second", "second third"),  # the kernel doesn't say that these are the same
}


@pytest.mark.parametrize("nth", (1, 2))  # each look at what is gone asks once
@pytest.mark.parametrize("how", OVERTAKEN)
def test_a_folder_that_is_moved_while_git_is_asked_is_not_gone(homes, tmp_path, how, nth):
    path, calls, program = tmp_path / "project", tmp_path / "calls", tmp_path / "bin/git"
    command, to_and_fro = OVERTAKEN[how]
    program.parent.mkdir()
    program.write_text(GIT_THAT_IS_OVERTAKEN.format(calls=calls, root=path, to_and_fro=to_and_fro, git=shutil.which("git")))
    program.chmod(0o755)
    home = homes(config=config_of(path))
    home.env["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    folder = Folder(home, path)
    for i in range(40):
        folder.write(f"notes/{'ab'[i % 2]}/n{i}.md", note(i))
    folder.shell("git init -q -b main . && git add -A && git commit -qm first")
    folder.wait_connected()
    folder.wait_texts()
    calls.write_text(str(nth))
    folder.shell(command)
    eventually((path / to_and_fro.split()[1]).exists)
    folder.wait_texts()
    folder.settle()
    assert folder.home.alerts() == []


GIT_LOSSES = {
    "stash_that_is_dropped": "mkdir new && for i in $(seq 30); do echo new note $i > new/n$i.md; done; sleep 0.5; git stash -qu && git stash drop -q",
    "rm_of_what_is_not": "for f in notes/n*.md; do tac $f | tr a-z b-za > $f.x && mv $f.x $f; done; sleep 0.3; git rm -rqf notes",
    "rm_of_what_a_stash_of_long_ago_has": "mkdir new && for i in $(seq 30); do echo new note $i > new/n$i.md; done; git stash -qu && git stash apply -q && touch -d '2 minutes ago' .git/logs/refs/stash; sleep 0.5; rm -rf new",
    "rm_of_what_is_committed": "rm -rf notes",
    "reset_of_what_is_not": "for f in notes/n*.md; do tac $f | tr a-z b-za > $f.x && mv $f.x $f; done; sleep 0.3; git reset -q --hard",
    "checkout_over_what_is_not": "for f in notes/n*.md; do tac $f | tr a-z b-za > $f.x && mv $f.x $f; done; sleep 0.3; git checkout -q -- .",
    "clean_of_what_is_not": "git rm -rq --cached notes && git commit -qm untracked && for f in notes/n*.md; do tac $f | tr a-z b-za > $f.x && mv $f.x $f; done; sleep 0.5; git clean -qfdx",
    "clean_of_new_ones": "mkdir new && for i in $(seq 30); do echo new note $i > new/n$i.md; done; sleep 0.3; git clean -qfdx",
    "forced_checkout": "git checkout -qb b && git rm -rq --cached notes && git commit -qm x && git checkout -qf main && for f in notes/n*.md; do echo other than before $f | md5sum > $f; done && sleep 0.3 && git checkout -qf b && git clean -qfd",
}


@pytest.mark.parametrize("how", GIT_LOSSES)
def test_what_no_commit_has_or_head_still_has_is_held(repository, how):
    """The same programs: what counts is whether a history has what they took."""
    repository.shell(GIT_LOSSES[how])
    assert repository.wait_alerts()[0]["state"] == "open"


# ---- nothing is missed ----


def test_what_changes_while_the_daemon_is_killed_is_found_at_the_next_start(folder):
    for round in range(3):
        process = subprocess.Popen(
            ["bash", "-c", f"for i in $(seq 60); do echo round {round} $i > r{round}-$i.md; mkdir -p d{round}/$i; echo $i > d{round}/$i/x.md; done; rm notes/n{round}.md 2>/dev/null; mv r{round}-1.md moved{round}.md"],
            cwd=folder.path,
        )
        folder.home.kill()
        assert process.wait(60) == 0
        folder.wait_texts()
    assert folder.home.alerts() == []


def test_an_rm_while_nothing_is_captured_is_held_at_the_next_start(folder):
    before, known = look(folder.path), folder.texts()
    folder.home.call("stop")
    folder.shell("rm -rf notes")
    assert folder.wait_alerts()
    assert folder.texts() == known
    folder.restore()
    assert look(folder.path) == before


def test_more_events_than_the_kernel_keeps_are_compared_as_a_whole(empty):
    limit = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    pid = empty.home.daemon_pid()
    assert pid and is_holdfast(pid)
    empty.write("kept.md", "kept\n")
    empty.wait_texts()
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(limit // 2 + 100):  # two events each, none like the one before
            (empty.path / "a.txt").write_text("a")
            (empty.path / "b.txt").write_text("b")
        empty.write("last.md", "after the queue was full\n")
        (empty.path / "kept.md").unlink()
    finally:
        os.kill(pid, signal.SIGCONT)
    empty.wait_texts()
    assert "every file is compared" in (empty.home.path / "daemon.log").read_text()


def test_too_few_watches_are_told_and_made_up_for_by_comparing(homes, tmp_path):
    path = tmp_path / "project"
    home = homes(config=config_of(path))
    home.env["HOLDFAST_FAULT_AT"] = "files.watch:2+"
    folder = Folder(home, path)
    folder.write("a/b/c.md", "c\n")
    folder.wait_texts()
    error = folder.source()["error"]
    assert "fs.inotify.max_user_watches" in error and folder.source()["connected"]
    folder.write("a/b/c.md", "c, changed\n")  # below what is not watched
    eventually(lambda: folder.texts()["a/b/c.md"] == "c, changed\n", timeout_s=60)


def test_an_unmounted_disk_is_away_and_not_destroyed(homes, tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mount], check=True)
    try:
        folder = Folder(homes(config=config_of(mount / "notes")), mount / "notes")
        for i in range(20):
            folder.write(f"n{i}.md", note(i))
        folder.wait_texts()
        known = folder.texts()
        subprocess.run(["umount", mount], check=True)
        source = eventually(lambda: (lambda s: s if not s["connected"] and "which is not there" in s["error"] else None)(folder.source()))
        assert str(mount) in source["error"]
        (mount / "notes").mkdir()  # the mount point's own folder
        folder.home.call("stop")
        assert "which is not there" in eventually(lambda: folder.source()["error"])
        assert folder.texts() == known and folder.home.alerts() == []
        refused = folder.home.call("restore", "notes", check=False)
        assert refused.status == 4 and list((mount / "notes").iterdir()) == []
    finally:
        subprocess.run(["umount", mount], capture_output=True)


def test_an_idle_folder_wakes_nobody(folder):
    folder.settle()
    pid = folder.home.daemon_pid()
    threads = pathlib.Path(f"/proc/{pid}/task")

    def switches() -> dict[str, str]:
        return {
            task.name: line
            for task in threads.iterdir()
            for line in (task / "status").read_text().splitlines()
            if line.startswith("voluntary_ctxt_switches")
        }

    def quiet():
        before = switches()
        time.sleep(2)  # the time in which nothing is to happen
        return before == switches()

    eventually(quiet)


# ---- by command ----


def test_one_command_adds_a_folder(homes, tmp_path):
    home = homes()
    path = tmp_path / "My Notes!"
    path.mkdir()
    (path / "a.md").write_text("a\n")
    (path / "b.txt").write_text("b\n")
    shown = home.call("init", "files", str(path), "--dry-run").out
    assert "a.md" in shown and "b.txt" not in shown and "1 file in 1 folder" in shown
    before = (home.path / "holdfast.yaml").read_text()
    refused = home.call("init", "files", str(path), check=False)
    assert refused.status == 3 and "nothing was run" in refused.err
    assert (home.path / "holdfast.yaml").read_text() == before

    home.call("init", "files", str(path), "--yes")
    after = (home.path / "holdfast.yaml").read_text()
    assert after.startswith(before.rstrip("\n")) and "name: my-notes" in after
    eventually(lambda: [m["content"] for m in home.export().values()] == ["a\n"])
    again = home.json("init", "files", str(path), "--yes")
    assert again == {"source": "my-notes", "added": False, "dry_run": False}
    assert "captured already" in home.call("init", "files", str(path), "--yes").out
    assert home.call("init", "files", str(tmp_path / "nowhere"), "--yes", check=False).status != 0
    assert "is of kind files" in home.call("init", "postgres", "--yes", check=False).err


@pytest.mark.parametrize(
    "lines, message",
    [
        ("    kind: files\n", "needs a path"),
        ("    kind: files\n    path: relative/folder\n", "is absolute"),
        ("    kind: files\n    path: /x\n    url: postgresql://h/d\n", "has no url"),
        ("    kind: files\n    path: /x\n    include: ['/etc/*']\n", "relative to the source's path"),
        ("    kind: files\n    path: /x\n    ignore: ['a/../../b']\n", "has no \"..\""),
        ("    kind: folder\n    path: /x\n", "allowed are files, postgres"),
        ("    kind: postgres\n    path: /x\n", "needs a url"),
    ],
)
def test_a_wrong_source_is_refused_with_its_line(homes, lines, message):
    home = homes(config="sources:\n  - name: notes\n" + lines)
    refused = home.call("status", check=False)
    assert refused.status == 2 and message in refused.err and "holdfast.yaml" in refused.err
