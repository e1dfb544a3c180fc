"""100,000 ordinary operations through the real ledger and guard raise nothing. (The guard's own unit test has more mixes.)"""

from __future__ import annotations

import json
import os
import random

import pytest
from support.home import Home, new_id

OPERATIONS = 100_000
SEED = int(os.environ.get("HOLDFAST_SEED", "20261122"))


class Work:
    """Generates ordinary work on memories of some projects; each step is one request of many lines."""

    def __init__(self, home: Home):
        self.home, self.dice, self.done = home, random.Random(SEED), 0
        self.memories: dict[str, dict] = {}

    def send(self, memories) -> None:
        lines = [json.dumps(m) for m in memories]
        self.home.call("import", "-", input="\n".join(lines) + "\n")
        self.done += len(lines)

    def text(self) -> str:
        return " ".join(self.dice.choices("the guard keeps every version of what an agent has once written down".split(), k=40))

    def add(self, project: str, count: int) -> None:
        """An import."""
        new = [{"id": new_id(), "content": self.text(), "project_id": project, "sync_version": 1} for _ in range(count)]
        self.memories |= {m["id"]: m for m in new}
        self.send(new)

    def of(self, project: str) -> list[dict]:
        return [m for m in self.memories.values() if m["project_id"] == project]

    def again(self, project: str) -> None:
        """Identical rows, a second time."""
        self.send(self.of(project))

    def tag(self, project: str) -> None:
        """A field of every row, the content staying."""
        for m in self.of(project):
            m["tags"] = [f"round-{self.done}"]
            m["sync_version"] += 1
        self.send(self.of(project))

    def edit(self, project: str) -> None:
        """Some are corrected, as people do."""
        chosen = self.dice.sample(self.of(project), len(self.of(project)) // 10)
        for m in chosen:
            m["content"] += " indeed"
            m["sync_version"] += 1
        self.send(chosen)

    def forget(self, project: str) -> None:
        """A few, by hand."""
        for m in self.dice.sample(self.of(project), 2):
            self.home.call("forget", m["id"])
            del self.memories[m["id"]]
            self.done += 1


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setenv("HOLDFAST_BIN", os.environ.get("HOLDFAST_BIN_PLAIN", os.environ["HOLDFAST_BIN"]))


def test_ordinary_work_on_a_hundred_thousand_rows_raises_no_alert(plain, home):
    work = Work(home)
    for project, count in (("small", 60), ("middle", 3_000), ("large", 30_000)):
        work.add(project, count)
    rounds = 0
    while work.done < OPERATIONS:
        project = ("small", "middle", "large")[rounds % 3]
        work.again(project)
        work.tag(project)
        work.edit(project)
        if rounds < 3:
            work.forget(project)
        rounds += 1
    assert home.lines("alerts", "--all") == []
    there = {m["id"]: m["content"] for m in home.lines("export")}
    assert there == {id: m["content"] for id, m in work.memories.items()}
    print(f"{work.done} operations")
