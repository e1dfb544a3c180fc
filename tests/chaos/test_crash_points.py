"""kill -9 at each named point of the code (CRASH_POINT), the first time and a later time that it is passed."""

from __future__ import annotations

import os
import pathlib
import re
import shutil

import pytest
from support.checker import READY_MAX_S, Book, Writer, check, ready
from support.door import GONE, Door, Refused
from support.home import Home, eventually, is_holdfast
from support.terminal import at_terminal, resolve_all, taken_away_and_overwritten

SOURCE = pathlib.Path(__file__).parents[2] / "src"
LONG = bool(os.environ.get("HOLDFAST_LONG"))
PASSINGS = (1, 2, 3, 5, 8, 13) if LONG else (1, 3)
NAMES_MIN = 25


class Story:
    """Something that happens to a home. prepare() goes undisturbed; in run(), any process may die at any time."""

    names = ""  # of the points that this story is for: a regular expression

    def __init__(self, homes, folder: pathlib.Path):
        self.folder = folder
        self.home: Home = homes("home", folder=folder)
        self.home.env["HOLDFAST_SEGMENT_MAX"] = "20000"  # rolled and sealed within the story
        self.homes, self.book = homes, Book()

    def prepare(self) -> None:
        pass

    def run(self) -> None:
        raise NotImplementedError

    def after(self) -> None:
        """What a person does after the crash, before the check."""

    # ---- helpers for run(): a call that may find nobody ----

    def call(self, *args: str, **kwargs):
        return self.home.call(*args, check=False, **kwargs)

    def through_door(self, act) -> None:
        door = Door(self.home)
        try:
            act(door)
        except GONE + (Refused,):
            pass
        finally:
            door.close()


class Load(Story):
    """A new home, writers, the vault follows, a clean end, the next start."""

    def run(self):
        self.call("status")
        writers = [Writer(self.home, self.book, f"w{w}", most=40) for w in range(2)]
        for w in writers:
            w.start()
        for w in writers:
            w.join(60)
        self.call("sync")
        self.call("stop")
        self.call("status")
        self.call("sync")


class FirstLoad(Load):
    names = "(ledger|file)[.].*"


class LaterLoad(Load):
    names = "(vault|index)[.].*"

    def run(self):
        super().run()
        # A stop cancels the thread that seals, and the next append begins it again. The last stop lets it end.
        pid = self.home.daemon_pid()
        self.through_door(lambda door: self.book.remember(door, "one more"))
        self.call("sync")
        eventually(lambda: self.sealed() or not is_holdfast(pid))
        self.call("stop")

    def sealed(self) -> bool:
        origins = (self.home.vault / "origins").glob("*")
        return all(len(list(origin.glob("*.jsonl"))) <= 1 for origin in origins)


class Large(Story):
    """So much that SQLite's log is brought into the file."""

    names = "ledger[.](log|checkpoint)[.].*"

    def run(self):
        for round in range(3):
            self.through_door(lambda door: [self.book.remember(door, f"{round}-{i} " + "x" * 40_000) for i in range(60)])
            self.call("status")
        self.call("sync")


class Burst(Story):
    """An agent deletes all; the guard holds it; a person puts it back."""

    names = "ledger[.](alert|projection|answer)[.].*"

    def prepare(self):
        ready(self.home)
        self.through_door(lambda door: [self.book.remember(door, f"fact {i}") for i in range(30)])

    def run(self):
        ids = self.book.certain()
        self.book.held(ids)
        self.call("status")
        self.through_door(lambda door: [door.forget(id) for id in ids])
        for line in self.home.call("--json", "alerts", check=False).out.split('"id":"')[1:]:
            at_terminal(self.home, ["resolve", line[:36], "--revert"], line[:36])

    def after(self):
        self.home.call("status")
        resolve_all(self.home)
        # Fewer than the threshold are deletions like any other; an alert's are all taken back.
        gone = 30 - len(self.home.export())
        assert gone <= 10, f"{gone} memories are gone and nothing was held"


class Recovery(Story):
    """Another installation recovers from the vault, takes it back, and does it again."""

    names = "recover[.].*|ledger[.](seal|reopen)[.].*"
    own = 1  # memories of its own

    def prepare(self):
        ready(self.home)
        self.through_door(lambda door: [self.book.remember(door, f"fact {i}") for i in range(30)])
        self.home.call("sync")
        self.home.call("stop")
        env = self.home.env
        self.home = self.homes("fresh", folder=self.folder)
        self.home.env = env
        (self.home.path / "staging" / "left").mkdir(parents=True)  # by an earlier crash

    def run(self):
        self.call("status")
        self.through_door(lambda door: [self.book.remember(door, f"written before the recovery {i}") for i in range(self.own)])
        self.call("recover")
        at_terminal(self.home, ["recover", "--undo"], taken_away_and_overwritten)
        self.call("recover")

    def after(self):
        self.home.call("recover")


class RecoveryIntoMuch(Recovery):
    """The same where there is more already: the staged ledger begins as a copy of the live one."""

    names = "recover[.](stage.copied|exchanged)"
    own = 100


class TornVault(Story):
    """The vault's last line was torn off by an earlier crash."""

    names = "vault[.]torn[.].*"

    def prepare(self):
        ready(self.home)
        self.through_door(lambda door: [self.book.remember(door, f"fact {i}") for i in range(5)])
        self.home.call("sync")
        self.home.call("stop")
        with open(self.segment(), "ab") as file:
            file.write(b'{"at":"2026')

    def segment(self) -> pathlib.Path:
        return sorted((self.home.vault / "origins").glob("*/*.jsonl"))[-1]

    def run(self):
        self.call("status")
        self.through_door(lambda door: self.book.remember(door, "one more"))
        self.call("sync")


class DamagedVault(TornVault):
    """Somebody changed the vault: its copy is put aside and made again."""

    names = "vault[.]aside[.].*"

    def prepare(self):
        super().prepare()
        text = self.segment().read_bytes()
        whole_lines = text[: text.rindex(b"\n") + 1]
        self.segment().write_bytes(whole_lines.replace(b"fact 4", b"fable4"))


class LostIndex(Story):
    """The index is derived: gone, it is made again."""

    names = "index[.]fill[.].*"

    def prepare(self):
        ready(self.home)
        self.through_door(lambda door: [self.book.remember(door, f"fact {i}") for i in range(50)])
        self.home.call("stop")
        for path in (self.home.path / "live").glob("index.db*"):
            path.unlink()

    def run(self):
        self.call("status")
        self.call("--json", "recall", "fact")
        self.through_door(lambda door: [self.book.remember(door, f"another fact {i}") for i in range(5)])
        self.call("--json", "recall", "fact")
        self.call("stop")

    def after(self):
        self.home.call("status")
        eventually(lambda: len(self.home.lines("recall", "fact", "-k", "100")) >= 50)


class Import(Story):
    """Many at once."""

    names = "ledger[.](write|journal)[.].*|vault[.]append[.]after.*"

    def run(self):
        sent = {f"00000000-0000-7000-8000-{i:012x}": f"line {i}" for i in range(1500)}
        states = {id: self.book.sent(id, content) for id, content in sent.items()}
        lines = "".join(f'{{"id":"{id}","content":"{content}","project_id":"test"}}\n' for id, content in sent.items())
        if self.call("import", "-", input=lines).status == 0:
            for id, state in states.items():
                self.book.acknowledged(id, state)
        self.call("sync")


class Init(Story):
    """init writes a configuration."""

    names = "file[.].*"

    def prepare(self):
        (self.home.path / "holdfast.yaml").unlink()

    def run(self):
        self.call("init", "--vault", f"file:{self.home.vault}")
        self.through_door(lambda door: self.book.remember(door, "the first"))

    def after(self):
        self.home.call("init", "--vault", f"file:{self.home.vault}")
        config = self.home.path / "holdfast.yaml"
        assert config.read_text().count(str(self.home.vault)) == 1
        self.home.call("stop")
        self.home.write_config()  # with the name that the checker knows


STORIES = [FirstLoad, LaterLoad, Large, Burst, Recovery, RecoveryIntoMuch, TornVault, DamagedVault, LostIndex, Import, Init]


def told(story_class, homes, folder: pathlib.Path, **env: str) -> tuple[Story, set[str]]:
    """Tell a story with some environment; the names of the points that were passed."""
    folder.mkdir()
    story = story_class(homes, folder)
    log = folder / "points"
    story.prepare()
    story.home.call("stop", check=False)
    story.home.env |= {"HOLDFAST_CRASH_LOG": str(log), **env}
    try:
        story.run()
    finally:
        for name in ("HOLDFAST_CRASH_LOG", *env):
            del story.home.env[name]
        story.home.kill()
    return story, set(log.read_text().split()) if log.exists() else set()


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.parametrize("story_class", STORIES, ids=lambda c: c.__name__)
def test_a_kill_at_each_named_point_loses_nothing(plain_homes, fast_path, story_class):
    _, names = told(story_class, plain_homes, fast_path / "whole")
    mine = sorted(n for n in names if re.fullmatch(story_class.names, n))
    assert mine, f"the story passes none of its points, only {sorted(names)}"
    slowest = 0.0
    for name in mine:
        for nth in PASSINGS:
            folder = fast_path / f"{name}-{nth}"
            story, passed = told(story_class, plain_homes, folder, HOLDFAST_CRASH_AT=f"{name}:{nth}")
            try:
                assert name in passed, "it was not passed this time"
                slowest = max(slowest, ready(story.home))
                story.after()
                check(story.home, story.book)
            except Exception as wrong:
                raise AssertionError(f"killed at {name}:{nth}: {wrong}") from wrong
            story.home.kill()
            shutil.rmtree(folder)
    print(f"{len(mine)} points, ready again in {slowest:.3f} s at most")
    assert slowest < READY_MAX_S


@pytest.mark.timeout(120)
def test_the_stories_pass_every_point_that_the_code_has(plain_homes, fast_path):
    passed = set()
    for story_class in STORIES:
        passed |= told(story_class, plain_homes, fast_path / story_class.__name__)[1]
    named = {n for path in SOURCE.rglob("*.c") for n in re.findall(r'CRASH_POINT\("([^"]+)"\)', path.read_text())}
    # These need a server or a source: integration/test_neo4j_faults.py, test_postgres_faults.py, test_postgres_outbox.py, test_sqlite_triggers.py.
    named -= {"vault.neo4j.before_commit", "source.postgres.repaired", "source.postgres.outbox_kept", "source.sqlite.outbox_read", "source.sqlite.outbox_kept"}
    print(f"{len(passed)} of {len(named)} points")
    assert len(passed) >= NAMES_MIN
    assert not named - passed, f"no story passes {sorted(named - passed)}"
