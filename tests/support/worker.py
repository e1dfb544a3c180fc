"""Which of pytest-xdist's workers this process is: each has servers of its own, so that none waits for another."""

from __future__ import annotations

import os


def worker() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")
