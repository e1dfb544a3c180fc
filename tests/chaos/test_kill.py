"""kill -9 at random moments under load: nothing acknowledged is lost, nothing is there that was not written."""

import http.client
import json
import os
import random
import socket
import threading
import time

import pytest

from support.home import eventually

ROUNDS = int(os.environ.get("HOLDFAST_KILLS", "200"))
WRITERS = 4


class Door(http.client.HTTPConnection):
    """HTTP over the daemon's socket."""

    def __init__(self, home):
        super().__init__("holdfast", timeout=30)
        self.home = home

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        here = os.open(self.home.path, os.O_PATH)
        try:
            self.sock.connect(f"/proc/self/fd/{here}/daemon.sock")
        finally:
            os.close(here)

    def remember(self, content: str) -> dict:
        self.request("POST", "/api/memory", json.dumps({"content": content, "project_id": "test"}), {"X-Holdfast-Agent": "chaos"})
        answer = self.getresponse()
        body = json.loads(answer.read())
        assert answer.status == 200, body
        return body


class Writer(threading.Thread):
    """Remembers until the daemon dies; what was acknowledged, and what was only sent."""

    def __init__(self, home, name: str):
        super().__init__()
        self.home, self.label = home, name
        self.acknowledged: dict[str, str] = {}
        self.sent: set[str] = set()

    def run(self):
        door = Door(self.home)
        i = 0
        try:
            while True:
                content = f"{self.label}-{i}"
                i += 1
                self.sent.add(content)
                self.acknowledged[door.remember(content)["id"]] = content
        except (OSError, http.client.HTTPException, ValueError):
            return


@pytest.mark.timeout(280)
def test_acknowledged_memories_survive_any_number_of_kills(home):
    dice = random.Random(20261122)
    acknowledged: dict[str, str] = {}
    sent: set[str] = set()
    slowest = 0.0
    for round in range(ROUNDS):
        started = time.monotonic()
        home.call("status")
        slowest = max(slowest, time.monotonic() - started)
        writers = [Writer(home, f"r{round}w{w}") for w in range(WRITERS)]
        for w in writers:
            w.start()
        time.sleep(dice.uniform(0, 0.15))  # the moment of the kill is the random input of this test
        home.kill()
        for w in writers:
            w.join(30)
            acknowledged.update(w.acknowledged)
            sent |= w.sent
    there = {id: m["content"] for id, m in home.export().items()}
    lost = {id: c for id, c in acknowledged.items() if there.get(id) != c}
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged memories are lost: {list(lost.items())[:5]}"
    phantoms = [c for c in there.values() if c not in sent]
    assert not phantoms and len(set(there.values())) == len(there)
    assert home.json("verify")["ok"]
    assert slowest < 30, "a daemon that does not come up again would show here"
    eventually(lambda: home.json("status")["vaults"][0]["queue"] == 0, timeout_s=60)
    assert home.json("verify", "vault")["ok"]
    print(f"{ROUNDS} kills, {len(acknowledged)} acknowledged, slowest start with one call {slowest:.3f} s")
