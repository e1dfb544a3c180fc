#!/usr/bin/env python3
"""How often a question finds its answer: bench/search_quality.py (HOLDFAST_BIN names the binary).

Made conversations of coding projects, the same each time: in each session somebody works on one part of a system and
several matters come up. A question is answered by exactly one memory:
  said     which names the part and the matter itself
  replied  which has no word of the question; what it replies to, one or two before it, has them
  meant    which names the matter only; the part was named elsewhere in the session
The share of questions whose answer is among the first ten is told for recall, and for FTS5's own ranking of the same
memories one by one (Porter's stems, the same stop words), within the project and over all projects.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import random
import re
import sqlite3
import sys
import urllib.parse
import uuid

import kit

SEED = 11
SESSIONS = 10  # of a project
LIMIT = 10

PARTS = (
    "billing importer scheduler gateway mailer dashboard indexer uploader exporter notifier parser router ledger "
    "crawler renderer translator recommender profiler archiver tokenizer"
).split()
DOMAINS = "photo invoice weather recipe ticket music parcel library".split()  # one a project
MATTERS = (
    "timeout retry cache encryption logging migration pagination locking backup throttling validation batching "
    "compression deployment monitoring sharding indexing tracing failover rollback"
).split()
CHOICES = (
    "thirty seconds|exponential with jitter|an LRU of 500 entries|AES with a rotating key|JSON lines to stderr|one step "
    "at a time with a marker|a cursor instead of an offset|an advisory lock|a nightly copy to the other site|forty a "
    "minute|a strict schema|two hundred rows|zstd at level three|blue and green|a histogram per route|by customer|a "
    "partial index|one identifier all the way|the second region|the previous tag"
).split("|")
REASONS = (
    "the vendor drops slow calls|we lost an evening to it last time|it costs nothing|the auditors asked|it was the only one "
    "that held under load|Maria measured it|everything else was slower|the old one leaked"
).split("|")
CHATTER = (
    "good morning, where were we|coffee first|let me look that up|the build is green again|I will write that down|sorry, was "
    "away for a moment|tests pass here|can you look at the review|fine with me|lunch?|the office is loud today|I pushed it"
).split("|")

ASKED = ("What should the {matter} be in the {part}?", "How do we do {matter} for the {part}?", "The {part} needs {matter}, any idea?")
SAID = ("We settled the {matter} of the {part}: {choice}.", "For the {part} the {matter} is now {choice}, {reason}.")
REPLIED = ("I would take {choice}, {reason}.", "Let us go with {choice}.", "{choice}, {reason}.")
MEANT = ("About {matter}: {choice}, {reason}.", "{matter} then: {choice}.")
OPENED = ("Today I work on the {part}.", "Still at the {part}, some things are open.", "Back to the {part}.")
QUESTIONS = ("What did we decide about {matter} in the {part}?", "Which {matter} does the {part} use?", "how is {matter} done in the {part}")


@dataclasses.dataclass
class Question:
    text: str
    kind: str
    project: str
    answer: str  # id of the memory


class Made:
    """Memories in their order, and questions about them."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.memories: list[dict] = []
        self.questions: list[Question] = []
        for domain in DOMAINS:
            self._project(f"{domain}-project", domain)

    def _project(self, project: str, domain: str) -> None:
        parts = [f"{domain} {part}" for part in self.random.sample(PARTS, 8)]
        open_matters = {part: self.random.sample(MATTERS, len(MATTERS)) for part in parts}
        for number in range(SESSIONS):
            part = parts[number % len(parts)]
            self._session(project, part, [open_matters[part].pop() for _ in range(5)])

    def _session(self, project: str, part: str, matters: list[str]) -> None:
        session = self._uuid()
        add = lambda texts, **words: self._add(project, session, texts, part=part, **words)
        add(OPENED)
        for matter in matters:
            kind = self.random.choice(("said", "replied", "replied", "meant"))
            words = {"matter": matter, "choice": self.random.choice(CHOICES), "reason": self.random.choice(REASONS)}
            if kind == "replied":
                add(ASKED, **words)
                if self.random.random() < 0.4:
                    add(CHATTER)
            answer = add({"said": SAID, "replied": REPLIED, "meant": MEANT}[kind], **words)
            text = self.random.choice(QUESTIONS).format(part=part, matter=matter)
            self.questions.append(Question(text, kind, project, answer))
            for _ in range(self.random.randrange(3)):
                add(CHATTER)

    def _add(self, project: str, session: str, texts: tuple[str, ...], **words: str) -> str:
        memory = {
            "id": self._uuid(),
            "content": self.random.choice(texts).format(**words),
            "project_id": project,
            "session_id": session,
            "created_at": f"2026-01-01T{len(self.memories) // 3600:02}:{len(self.memories) // 60 % 60:02}:{len(self.memories) % 60:02}Z",
        }
        self.memories.append(memory)
        return memory["id"]

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))


class Alone:
    """FTS5 over each memory by itself."""

    def __init__(self, memories: list[dict]):
        source = (kit.HERE.parent / "src" / "search" / "query.c").read_text()
        listed = re.search(r"stop_words\[\] = \{(.*?)\};", source, re.DOTALL)
        self.stop = set(re.findall(r'"(\w+)"', listed.group(1)))
        self.db = sqlite3.connect(":memory:")
        self.db.execute("CREATE VIRTUAL TABLE words USING fts5(content, id UNINDEXED, project UNINDEXED, tokenize='porter unicode61')")
        rows = [(m["content"], m["id"], m["project_id"]) for m in memories]
        self.db.executemany("INSERT INTO words VALUES(?, ?, ?)", rows)

    def ask(self, text: str, project: str | None) -> list[str]:
        words = [w for w in re.findall(r"\w+", text.lower()) if w not in self.stop]
        match = " OR ".join(f'"{w}"' for w in words)
        sql = "SELECT id FROM words WHERE words MATCH ? AND (? IS NULL OR project = ?) ORDER BY rank LIMIT ?"
        return [row[0] for row in self.db.execute(sql, (match, project, project, LIMIT))]


class Recall:
    def __init__(self, door: kit.Door):
        self.door = door

    def ask(self, text: str, project: str | None) -> list[str]:
        scope = "all_projects=true" if project is None else f"project_id={project}"
        path = f"/api/memory/search?{scope}&limit={LIMIT}&query={urllib.parse.quote(text)}"
        return [hit["id"] for hit in self.door.call("GET", path)]


def share(asked, questions: list[Question], across: bool) -> float:
    hits = sum(q.answer in asked.ask(q.text, None if across else q.project) for q in questions)
    return 100 * hits / len(questions)


def report(made: Made, door: kit.Door) -> list[str]:
    ways = {"each memory alone": Alone(made.memories), "recall": Recall(door)}
    lines = [f"{len(made.memories)} memories, {len(made.questions)} questions, seed {SEED}; answer among the first {LIMIT}, in percent", ""]
    lines.append(f"{'':20}{'questions':>12}{'within':>10}{'across':>10}")
    for name, way in ways.items():
        for kind in ("said", "replied", "meant", "all"):
            chosen = [q for q in made.questions if kind in (q.kind, "all")]
            figures = f"{share(way, chosen, False):10.1f}{share(way, chosen, True):10.1f}"
            lines.append(f"{name:20}{kind:>12}{figures}")
    return lines


def main() -> int:
    made = Made(SEED)
    with kit.workshop() as folder:
        rows = folder / "made.jsonl"
        rows.write_text("".join(json.dumps(memory) + "\n" for memory in made.memories))
        with kit.Home(folder).start() as home:
            home.call("import", str(rows))
            with home.door() as door:
                print("\n".join(report(made, door)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
