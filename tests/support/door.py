"""HTTP over the daemon's socket: what the command line does, without its process."""

from __future__ import annotations

import http.client
import json
import os
import socket


class Refused(Exception):
    """The daemon answered, and said no."""

    def __init__(self, status: int, body: dict):
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


GONE = (OSError, http.client.HTTPException, ValueError)  # what a call ends with when the daemon dies


class Door(http.client.HTTPConnection):
    """One connection to the daemon of a home."""

    def __init__(self, home, agent: str = "chaos", timeout_s: float = 30):
        super().__init__("holdfast", timeout=timeout_s)
        self.home, self.agent = home, agent

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        here = os.open(self.home.path, os.O_PATH)  # a socket's path is short, the test's folder may be long
        try:
            self.sock.connect(f"/proc/self/fd/{here}/daemon.sock")
        finally:
            os.close(here)

    def call(self, method: str, path: str, body: dict | None = None) -> list[dict]:
        """The lines of the answer."""
        text = None if body is None else json.dumps(body)
        self.request(method, path, text, {"X-Holdfast-Agent": self.agent})
        answer = self.getresponse()
        lines = [json.loads(line) for line in answer.read().splitlines()]
        if answer.status != 200:
            raise Refused(answer.status, lines[0] if lines else {})
        return lines

    def one(self, method: str, path: str, body: dict | None = None) -> dict:
        return self.call(method, path, body)[0]

    def remember(self, content: str, **fields) -> dict:
        return self.one("POST", "/api/memory", {"content": content, "project_id": "test", **fields})

    def forget(self, id: str) -> dict:
        return self.one("DELETE", f"/api/memory/{id}")
