"""A port that leads to the server, keeping what passes: closed, it is an outage; what was kept is a recorded stream."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import sys
import threading

from kit import HERE

sys.path.insert(0, str(HERE.parent / "tools"))
sys.path.insert(0, str(HERE.parent / "tests"))
from neo4j_server import Server, free_port  # noqa: E402
from support.fault_proxy import MANIFEST, Frame, Splitter  # noqa: E402

BEGIN, COMMIT = 0x11, 0x12
__all__ = ["Relay", "Server"]


@dataclasses.dataclass
class Line:
    """One connection's bytes, to the server (up) and from it."""

    up: list[bytes] = dataclasses.field(default_factory=list)
    down: list[bytes] = dataclasses.field(default_factory=list)


class Relay:
    """Closed at first, with a port that is its own from then on. Threads: one that accepts, two a connection."""

    def __init__(self, server_port: int):
        self.server_port, self.port = server_port, free_port()
        self.lines: list[Line] = []
        self.listener: socket.socket | None = None
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def open(self) -> Relay:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept, self.listener)
        return self

    def close(self) -> None:
        """Nobody listens any more. What is connected ends by itself: all is read when this returns."""
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        while self.threads:
            self.threads.pop().join()

    def _start(self, work, *args) -> None:
        self.threads.append(threading.Thread(target=work, args=args, daemon=True))
        self.threads[-1].start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server_port))
                line = Line()
                self.lines.append(line)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(self._pump, client, server, line.up)
                self._start(self._pump, server, client, line.down)

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, kept: list[bytes]) -> None:
        with contextlib.suppress(OSError):  # the other side is gone
            while data := source.recv(1 << 18):
                kept.append(data)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    # ---- what was kept ----

    def messages(self, down: bool) -> list[Frame]:
        """Of the line on which most passed, without the handshake and signs of life."""
        line = max(self.lines, key=lambda one: sum(map(len, one.up)) + sum(map(len, one.down)))
        frames: dict[bool, list[Frame]] = {}
        for which, pieces in ((True, line.down), (False, line.up)):
            splitter = Splitter(which)
            if not which and any(frame.data == MANIFEST for frame in frames[True]):
                frames[False] = splitter.feed(pieces[0][:20])
                splitter.state = "choice"
                pieces = [pieces[0][20:], *pieces[1:]]
            frames.setdefault(which, []).extend(frame for piece in pieces for frame in splitter.feed(piece))
        return [frame for frame in frames[down] if frame.kind == "message"]

    def transactions(self) -> list[Frame]:
        """All requests from each BEGIN to its COMMIT."""
        kept, inside = [], False
        for frame in self.messages(down=False):
            inside = inside or frame.tag() == BEGIN
            kept += [frame] if inside else []
            inside = inside and frame.tag() != COMMIT
        return kept
