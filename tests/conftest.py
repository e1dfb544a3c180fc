"""What all tests in Python share: homes in temporary folders, whose daemons are stopped at the end."""

from __future__ import annotations

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.home import Home  # noqa: E402


@pytest.fixture
def homes(tmp_path):
    """Make homes: homes(name="a", config="guard:\\n  ...")."""
    made: list[Home] = []

    def make(name: str = "home", config: str = "") -> Home:
        home = Home(tmp_path, name, config)
        made.append(home)
        return home

    yield make
    for home in made:
        home.close()


@pytest.fixture
def home(homes):
    return homes()
