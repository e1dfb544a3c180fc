"""tests/bolt/driver_tool.c as a conversation: one command, one line of answer."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

ANSWER_WAIT_S = 120


class Answer:
    """"ok ..." or what went wrong: kind ("commit_unknown"), the server's code, message."""

    def __init__(self, line: str):
        self.line = line
        self.ok = line.startswith("ok")
        self.numbers = [int(word) for word in line.split()[1:]] if self.ok else []
        self.kind, self.code, self.message = ("ok", "-", "") if self.ok else line.split(" ", 2)

    def __repr__(self) -> str:
        return self.line


class BoltTool:
    """One process with one driver. Use it by `with`, or close() it."""

    def __init__(self, uri: str, password: str = "", **options):
        program = Path(os.environ["HOLDFAST_BIN"]).parents[1] / "tests" / "bolt" / "driver_tool"
        assert program.exists(), f"{program} is not built: ./dev build makes it"
        self.process = subprocess.Popen(
            [program, uri, *(f"{name}={value}" for name, value in options.items())],
            env=os.environ | {"BOLT_PASSWORD": password},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> BoltTool:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def ask(self, command: str) -> Answer:
        self.send(command)
        return self.answer()

    def send(self, command: str) -> None:
        """Without waiting: answer() reads what it gives."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self) -> Answer:
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_WAIT_S)
        assert ready, "driver_tool gave no answer"
        line = self.process.stdout.readline()
        assert line, f"driver_tool ended with {self.process.wait()}"
        return Answer(line.rstrip("\n"))

    def stats(self) -> dict[str, int]:
        names = ("opened", "failed", "closed", "checked", "retried", "idle")
        return dict(zip(names, self.ask("stats").numbers, strict=True))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                assert self.process.wait(30) == 0, "driver_tool ended badly; a sanitizer's report says why"
            finally:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
