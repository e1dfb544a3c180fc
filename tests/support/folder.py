"""A home that captures a folder of files."""

from __future__ import annotations

import os
import pathlib
import subprocess

from .home import Home, eventually


def config_of(path: pathlib.Path, more: str = "") -> str:
    return f"daemon:\n  project: test\nsources:\n  - name: notes\n    kind: files\n    path: {path}\n{more}"


def note(number: int, words: int = 12) -> str:
    """A note like no other."""
    return f"# Note {number}\n\n" + " ".join(f"harbour{number * 31 + i}" for i in range(words)) + "\n"


def look(path: pathlib.Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file below: its bytes, permissions and time."""
    found = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink() and not {".git", "settled"} & set(file.parts):
            stat = file.stat()
            found[str(file.relative_to(path))] = (file.read_bytes(), stat.st_mode & 0o7777, stat.st_mtime_ns)
    return found


class Folder:
    """A folder of notes, the home that captures it, and what the ledger shows of it."""

    def __init__(self, home: Home, path: pathlib.Path):
        self.home, self.path = home, path
        self.settled = 0

    def write(self, name: str, text: str | bytes) -> pathlib.Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def shell(self, command: str, **env) -> str:
        return subprocess.run(
            ["bash", "-c", "set -euo pipefail; " + command], cwd=self.path, check=True, capture_output=True, text=True, env={**git_env(self.path), **env}
        ).stdout

    def source(self) -> dict:
        return self.home.json("status")["sources"][0]

    def wait_connected(self) -> dict:
        return eventually(lambda: (lambda s: s if s["connected"] and s["position"] else None)(self.source()))

    def files(self) -> dict[str, dict]:
        """The memories that are files, by path."""
        found = {}
        for memory in self.home.lines("export"):
            metadata = memory["metadata"] or {}
            if "file" in metadata and metadata["source"]["name"] == "notes":
                assert metadata["source"]["path"] not in found
                found[metadata["source"]["path"]] = memory
        return found

    def texts(self) -> dict[str, str]:
        """What the ledger shows, as the files' own text."""
        return {
            path: "" if m["metadata"]["file"].get("empty") else m["content"]
            for path, m in self.files().items()
            if not path.startswith("settled/")
        }

    def wait_texts(self, wanted: dict[str, str] | None = None) -> dict[str, str]:
        """Until the ledger shows what is on disk (or this)."""
        wanted = wanted if wanted is not None else self.on_disk()

        eventually(lambda: self.texts() == wanted)
        return wanted

    def on_disk(self) -> dict[str, str]:
        return {path: bytes_.decode() for path, (bytes_, _, _) in look(self.path).items() if path.endswith(".md")}

    def wait_alerts(self, count: int = 1) -> list[dict]:
        return eventually(lambda: (lambda alerts: alerts if len(alerts) >= count else None)(self.home.alerts()))

    def settle(self) -> None:
        """Until everything that was done here is captured: a new file that is written now comes after it."""
        self.settled += 1
        name = f"settled/{self.settled}.md"
        self.write(name, str(self.settled))
        # What was moved to and fro meanwhile may stand twice for a moment; files() takes that for wrong.
        paths = lambda: [(m["metadata"] or {}).get("source", {}).get("path") for m in self.home.lines("export")]  # noqa: E731
        eventually(lambda: name in paths())

    def restore(self, *args: str) -> dict:
        return self.home.json("restore", "notes", *args)


def git_env(path: pathlib.Path) -> dict:
    """Nobody's configuration but this repository's."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    who = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"))}
    return {**env, **who, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(path.parent)}
