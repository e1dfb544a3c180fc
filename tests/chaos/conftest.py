"""Homes for the chaos tests: with the plain binary (shims and sanitizers do not mix), and shims compiled on the spot."""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

import pytest

from support.home import Home

MEMORY_NEEDED = 1 << 30
HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))  # powerloss.py


@pytest.fixture
def plain(monkeypatch):
    """The binary without sanitizers."""
    monkeypatch.setenv("HOLDFAST_BIN", os.environ.get("HOLDFAST_BIN_PLAIN", os.environ["HOLDFAST_BIN"]))


@pytest.fixture
def fast_path(tmp_path):
    """A folder in memory: what is tested here does not depend on a disk, and a busy disk makes it slow."""
    memory = pathlib.Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < MEMORY_NEEDED:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-chaos-", dir=memory) as folder:
        yield pathlib.Path(folder)


@pytest.fixture
def plain_homes(plain, fast_path):
    """Make homes, driven by the plain binary."""
    made: list[Home] = []

    def make(name: str = "home", config: str = "", folder: pathlib.Path | None = None) -> Home:
        folder = folder or fast_path
        folder.mkdir(parents=True, exist_ok=True)
        home = Home(folder, name, config)
        made.append(home)
        return home

    yield make
    for home in made:
        home.close()


@pytest.fixture
def plain_home(plain_homes) -> Home:
    return plain_homes()


@pytest.fixture(scope="session")
def shims(tmp_path_factory):
    """shims("record") is the path of record.c, compiled for LD_PRELOAD."""
    made: dict[str, pathlib.Path] = {}

    def make(name: str) -> pathlib.Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("shim") / f"{name}.so"
            compiler = shlex.split(os.environ.get("CC", "cc"))
            flags = "-std=gnu17 -O2 -g -Wall -Wextra -Werror -fPIC -shared -pthread".split()
            subprocess.run([*compiler, *flags, "-o", made[name], HERE / f"{name}.c", "-ldl"], check=True)
        return made[name]

    return make
