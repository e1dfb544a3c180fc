"""A TCP proxy on loopback that does to a connection what networks, load balancers and broken servers do.

    with FaultProxy(server.bolt_port) as proxy:
        proxy.set("reset_before_reply", message="COMMIT")   # MODES has the names; the fields of each are its parameters
        ...                                                  # clients use proxy.port
        assert proxy.fired == 1

The mode may be switched at any time: living connections take it up with the next bytes, new ones at once. Where a mode speaks
of a message, the proxy reads Bolt's framing (plain Bolt; what is not Bolt, as TLS, passes as it comes): a message goes on when
it is whole, a reply is known by the request that it answers. `down` is towards the client, `up` towards the server.
Thread: the proxy has one of its own; its methods may be called from any.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
from collections import deque
from dataclasses import dataclass

from neo4j_server import free_port

MAGIC = b"\x60\x60\xb0\x17"
MANIFEST = b"\x00\x00\x01\xff"
REQUESTS = {
    0x01: "HELLO",
    0x02: "GOODBYE",
    0x0F: "RESET",
    0x10: "RUN",
    0x11: "BEGIN",
    0x12: "COMMIT",
    0x13: "ROLLBACK",
    0x2F: "DISCARD",
    0x3F: "PULL",
    0x54: "TELEMETRY",
    0x66: "ROUTE",
    0x6A: "LOGON",
    0x6B: "LOGOFF",
}
RECORD = 0x71
CALL_WAIT_S = 30


# ---- what passes ----


@dataclass
class Frame:
    """What passes in one piece: a part of the handshake, one message with its chunk headers, a NOOP, or bytes unread."""

    data: bytes
    kind: str  # handshake | message | noop | opaque
    request: str = ""  # of a message: the request it is, or the one it answers
    final: bool = False  # of a reply: SUCCESS, FAILURE or IGNORED, no RECORD

    def tag(self) -> int:
        """What kind of message it is: the second byte behind the chunk headers."""
        payload, at = b"", 0
        while len(payload) < 2 and at + 2 <= len(self.data):
            (length,) = struct.unpack_from(">H", self.data, at)
            payload += self.data[at + 2 : at + 2 + min(length, 2)]
            at += 2 + length
        return payload[1] if len(payload) > 1 else 0


class Splitter:
    """Cuts one direction's bytes into frames."""

    def __init__(self, down: bool):
        self.down, self.rest, self.state = down, bytearray(), "first"

    def feed(self, data: bytes) -> list[Frame]:
        self.rest += data
        frames = []
        while frame := self._next():
            frames.append(frame)
        return frames

    def flush(self) -> list[Frame]:
        """What never became whole before the stream ended."""
        frame = self._opaque()
        return [frame] if frame else []

    def _next(self) -> Frame | None:
        return getattr(self, f"_{self.state}")()

    def _cut(self, length: int, kind: str) -> Frame | None:
        if length == 0 or len(self.rest) < length:
            return None
        data = bytes(self.rest[:length])
        del self.rest[:length]
        return Frame(data, kind)

    def _first(self) -> Frame | None:
        if not self.down and self.rest and not MAGIC.startswith(bytes(self.rest[:4])):
            self.state = "opaque"
            return self._opaque()
        frame = self._cut(4 if self.down else 20, "handshake")
        if frame:
            self.state = "manifest" if self.down and frame.data == MANIFEST else "messages"
        return frame

    def _manifest(self) -> Frame | None:
        """Down: a count, as many versions, capabilities. The numbers are small: one byte each."""
        if not self.rest:
            return None
        frame = self._cut(1 + 4 * self.rest[0] + 1, "handshake")
        if frame:
            self.state = "messages"
        return frame

    def _choice(self) -> Frame | None:
        """Up: the version chosen and the capabilities."""
        frame = self._cut(5, "handshake")
        if frame:
            self.state = "messages"
        return frame

    def _messages(self) -> Frame | None:
        at = 0
        while len(self.rest) >= at + 2:
            (length,) = struct.unpack_from(">H", self.rest, at)
            if length == 0:
                return self._cut(at + 2, "message" if at else "noop")
            at += 2 + length
        return None

    def _opaque(self) -> Frame | None:
        return self._cut(len(self.rest), "opaque")


class Link:
    """One client's connection and the proxy's own to the server."""

    def __init__(self, proxy: FaultProxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.splitters = {True: Splitter(True), False: Splitter(False)}
        self.waiting: deque[str] = deque()  # requests not yet answered
        self.passed = {True: 0, False: 0}  # bytes
        self.replies = 0
        self.held = b""
        self.silent = False  # half open: nothing passes any more, whatever the mode
        self.done = asyncio.Event()

    async def run(self) -> None:
        pumps = [asyncio.create_task(self._pump(down)) for down in (True, False)]
        try:
            await self.done.wait()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.end()

    async def _pump(self, down: bool) -> None:
        source = self.server[0] if down else self.client[0]
        try:
            while data := await self.proxy.read(self, source, down):
                self.proxy.count(down, len(data))
                for frame in self.splitters[down].feed(data):
                    await self._frame(down, frame)
            for frame in self.splitters[down].flush():
                await self.send(down, frame.data)
        except OSError:
            self.reset()
            return
        if down != self.silent:  # the server ended it; or the client, of a connection whose server is gone
            self.done.set()
        elif not down:
            self.server[1].write_eof()

    async def _frame(self, down: bool, frame: Frame) -> None:
        if frame.kind == "handshake" and down and frame.data == MANIFEST:
            self.splitters[False].state = "choice"
        if frame.kind == "message":
            self._name(down, frame)
        await self.proxy.mode.frame(self, down, frame)

    def _name(self, down: bool, frame: Frame) -> None:
        tag = frame.tag()
        if not down:
            frame.request = REQUESTS.get(tag, f"{tag:02X}")
            if frame.request != "GOODBYE":
                self.waiting.append(frame.request)
            return
        frame.final = tag != RECORD
        frame.request = self.waiting[0] if self.waiting else ""
        if frame.final and self.waiting:
            self.waiting.popleft()

    # ---- what modes do ----

    async def send(self, down: bool, data: bytes) -> None:
        if self.silent or self.done.is_set():
            return
        writer = (self.client if down else self.server)[1]
        writer.write(data)
        await writer.drain()
        self.passed[down] += len(data)

    def reset(self) -> None:
        """RST to both sides."""
        for _, writer in (self.client, self.server):
            set_reset(writer.get_extra_info("socket"))
        self.done.set()

    def end(self) -> None:
        """Close both sides; what was sent arrives first."""
        for _, writer in (self.client, self.server):
            writer.close()
        self.done.set()


def set_reset(sock) -> None:
    with contextlib.suppress(OSError):  # it is closed already; the other side must still be reset
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# ---- modes ----


@dataclass
class Mode:
    """Passes everything on."""

    fired = 0  # how often the fault was done
    listener = "open"  # closed: connecting is refused; deaf: it is not answered
    idle_s = None

    async def accepted(self, proxy: FaultProxy, client) -> bool:
        """What is done to a new connection before the server is asked; False: it is dealt with."""
        return True

    async def frame(self, link: Link, down: bool, frame: Frame) -> None:
        await link.send(down, frame.data)

    def idle(self, link: Link) -> None:
        """Nothing came for idle_s."""


class Pass(Mode):
    """Passes everything on."""


class Refuse(Mode):
    """Nobody listens: connecting is refused. Living connections go on."""

    listener = "closed"


class ConnectHangs(Mode):
    """Connecting is never answered, as behind a firewall that drops. Living connections go on."""

    listener = "deaf"


class ResetOnAccept(Mode):
    """A new connection is reset at once."""

    async def accepted(self, proxy, client):
        self.fired += 1
        set_reset(client[1].get_extra_info("socket"))
        return False


class CloseOnAccept(Mode):
    """A new connection is closed at once."""

    async def accepted(self, proxy, client):
        self.fired += 1
        return False


class BlackHole(Mode):
    """Nothing passes, nothing is closed; what was held goes on when the mode changes."""

    async def accepted(self, proxy, client):
        self.fired += 1
        await proxy.until_not(self)
        return True

    async def frame(self, link, down, frame):
        self.fired += 1
        await link.proxy.until_not(self)
        await link.send(down, frame.data)


class HalfOpen(Mode):
    """The server is gone and nobody told the client: its connection stays open and silent for ever."""

    async def frame(self, link, down, frame):
        self.fired += not link.silent
        link.silent = True
        link.server[1].close()


@dataclass
class Answer(Mode):
    """Answers the client's first bytes itself, with `data`, and closes."""

    data: bytes = b""

    async def accepted(self, proxy, client):
        reader, writer = client
        if not await reader.read(1 << 16):
            return False
        self.fired += 1
        writer.write(self.data)
        await writer.drain()
        writer.write_eof()
        while await reader.read(1 << 16):  # closing with bytes unread would reset, and might destroy the answer
            pass
        return False


@dataclass
class Garbage(Answer):
    """Answers with bytes that mean nothing, always the same."""

    data: bytes = random.Random(1).randbytes(500)


@dataclass
class Http(Answer):
    """Answers as a web server does."""

    data: bytes = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass
class TlsAlert(Answer):
    """Answers with TLS's alert handshake_failure."""

    data: bytes = b"\x15\x03\x03\x00\x02\x02\x28"


@dataclass
class NoCommonVersion(Answer):
    """Answers the handshake with four zeros."""

    data: bytes = b"\0\0\0\0"


@dataclass
class WrongVersion(Answer):
    """Answers the handshake with a version that nobody offered."""

    data: bytes = b"\0\0\x05\x05"


@dataclass
class SlowHandshake(Mode):
    """The server's answer to the handshake comes byte by byte, `delay_s` apart."""

    delay_s: float = 0.05

    async def frame(self, link, down, frame):
        if not down or frame.kind != "handshake":
            return await link.send(down, frame.data)
        self.fired += 1
        for byte in frame.data:
            await link.proxy.sleep(self.delay_s)
            await link.send(down, bytes([byte]))


@dataclass
class Slow(Mode):
    """So many bytes a second, in the direction down (or up, or "both"), one by one."""

    bytes_per_s: float = 1
    direction: str = "down"

    async def frame(self, link, down, frame):
        if self.direction not in ("both", "down" if down else "up"):
            return await link.send(down, frame.data)
        self.fired += 1
        for byte in frame.data:
            await link.proxy.sleep(1 / self.bytes_per_s)
            await link.send(down, bytes([byte]))


@dataclass
class Delay(Mode):
    """Each message is late by `delay_s`, both ways."""

    delay_s: float = 0.1

    async def frame(self, link, down, frame):
        self.fired += 1
        await link.proxy.sleep(self.delay_s)
        await link.send(down, frame.data)


class Split(Mode):
    """Every byte is a segment of its own, both ways."""

    async def frame(self, link, down, frame):
        self.fired += 1
        for byte in frame.data:
            await link.send(down, bytes([byte]))
            await asyncio.sleep(0)


class OneSegment(Mode):
    """All replies to what was sent together come in one piece."""

    async def frame(self, link, down, frame):
        if not down or frame.kind != "message":
            return await link.send(down, frame.data)
        link.held += frame.data
        if not link.waiting:
            self.fired += 1
            data, link.held = link.held, b""
            await link.send(True, data)


@dataclass
class AtByte(Mode):
    """When `at` bytes of a connection have passed in that direction, `act` is done."""

    at: int = 0
    direction: str = "down"

    def act(self, link):
        raise NotImplementedError

    async def frame(self, link, down, frame):
        left = self.at - link.passed[down]
        if self.direction != ("down" if down else "up") or len(frame.data) < left:
            return await link.send(down, frame.data)
        await link.send(down, frame.data[: max(left, 0)])
        if not (link.done.is_set() or link.silent):
            self.fired += 1
            self.act(link)


class ResetAtByte(AtByte):
    """Both sides are reset when `at` bytes have passed in that direction."""

    def act(self, link):
        link.reset()


class CloseAtByte(AtByte):
    """Both sides are closed when `at` bytes have passed in that direction."""

    def act(self, link):
        link.end()


class StallAtByte(AtByte):
    """Nothing passes any more when `at` bytes have passed in that direction, and nothing is closed."""

    def act(self, link):
        link.silent = True


@dataclass
class FlipByte(Mode):
    """The `at`th byte (from 0) towards the client comes inverted."""

    at: int = 0

    async def frame(self, link, down, frame):
        data, place = frame.data, self.at - link.passed[True]
        if down and 0 <= place < len(data):
            self.fired += 1
            data = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        await link.send(down, data)


@dataclass
class StallAfter(Mode):
    """After `messages` replies of a connection nothing more comes, and nothing is closed."""

    messages: int = 1

    async def frame(self, link, down, frame):
        if down and frame.kind == "message":
            link.replies += 1
        await link.send(down, frame.data)
        if link.replies >= self.messages and not link.silent:
            self.fired += 1
            link.silent = True


@dataclass
class OnIdle(Mode):
    """A connection on which nothing passed for `idle_s` is closed."""

    idle_s: float = 0.2

    def idle(self, link):
        self.fired += 1
        link.end()


class CloseOnIdle(OnIdle):
    """A connection on which nothing passed for `idle_s` is closed."""


class DropOnIdle(OnIdle):
    """A connection on which nothing passed for `idle_s` is forgotten: the next bytes are answered by a reset."""

    def idle(self, link):
        self.fired += 1
        link.silent = True
        link.proxy.forgotten.add(link)


@dataclass
class OnMessage(Mode):
    """Something happens to one message: the `message` named (any if empty), after `skip` such, `times` times."""

    message: str = ""
    skip: int = 0
    times: int = 1

    def hit(self, frame: Frame) -> bool:
        if frame.kind != "message" or (self.message and frame.request != self.message) or self.fired >= self.times:
            return False
        self.skip -= 1
        if self.skip >= 0:
            return False
        self.fired += 1
        return True


class OnRequest(OnMessage):
    async def frame(self, link, down, frame):
        if down or not self.hit(frame):
            return await link.send(down, frame.data)
        await self.act(link, frame)


class OnReply(OnMessage):
    """To the final message that answers the request."""

    async def frame(self, link, down, frame):
        if not down or not frame.final or not self.hit(frame):
            return await link.send(down, frame.data)
        await self.act(link, frame)


class ResetBeforeRequest(OnRequest):
    """Both sides are reset, and the request never reaches the server."""

    async def act(self, link, frame):
        link.reset()


class ResetAfterRequest(OnRequest):
    """The request is sent on, and both sides are reset at once: nobody knows what the server did."""

    async def act(self, link, frame):
        await link.send(False, frame.data)
        link.reset()


class ResetBeforeReply(OnReply):
    """The server has done it and answered; the client gets a reset in place of the reply."""

    async def act(self, link, frame):
        link.reset()


class CloseBeforeReply(OnReply):
    """The server has done it and answered; the client's connection is closed in place of the reply."""

    async def act(self, link, frame):
        link.end()


class ResetAfterReply(OnReply):
    """The reply comes, and behind it a reset."""

    async def act(self, link, frame):
        await link.send(True, frame.data)
        link.reset()


class TruncateReply(OnReply):
    """Half of the reply comes, and the connection is closed."""

    async def act(self, link, frame):
        await link.send(True, frame.data[: len(frame.data) // 2])
        link.end()


class DuplicateReply(OnReply):
    """The reply comes twice."""

    async def act(self, link, frame):
        await link.send(True, frame.data * 2)


class DropReply(OnReply):
    """The reply never comes; all else passes."""

    async def act(self, link, frame):
        pass


class GarbageReply(OnReply):
    """In place of the reply comes a well-formed chunk of bytes that mean nothing."""

    async def act(self, link, frame):
        noise = random.Random(2).randbytes(40)
        await link.send(True, struct.pack(">H", len(noise)) + noise + b"\0\0")


class HugeReply(OnReply):
    """In place of the reply comes a record that claims a list of 2^31 - 1 values."""

    async def act(self, link, frame):
        lie = b"\xb1\x71\xd6\x7f\xff\xff\xff"
        await link.send(True, struct.pack(">H", len(lie)) + lie + b"\0\0")


@dataclass
class NoopFlood(Mode):
    """Before each reply come so many NOOPs."""

    count: int = 1000

    async def frame(self, link, down, frame):
        if down and frame.kind == "message":
            self.fired += 1
            await link.send(down, b"\0\0" * self.count)
        await link.send(down, frame.data)


def _modes() -> dict[str, type[Mode]]:
    abstract = {Mode, Answer, AtByte, OnIdle, OnMessage, OnRequest, OnReply}

    def below(kind):
        for sub in kind.__subclasses__():
            yield sub
            yield from below(sub)

    return {re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower(): kind for kind in below(Mode) if kind not in abstract}


MODES = _modes()


# ---- the proxy ----


class FaultProxy:
    """Listens on `port` of 127.0.0.1 and connects each client to `target_port`. Use it by `with`, or close() it."""

    def __init__(self, target_port: int):
        self.target_port = target_port
        self.port = free_port()
        self.mode: Mode = Pass()
        self.connections = 0  # accepted since the start
        self.bytes_up = self.bytes_down = 0  # received from clients, from the server
        self.slept_s = 0.0  # that modes asked for
        self.forgotten: set[Link] = set()
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task] = set()  # kept, lest they be collected
        self._listener: asyncio.Task | None = None
        self._deaf: list[socket.socket] = []
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._thread.start()
        self._call(self._listen("open"))

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def fired(self) -> int:
        """How often the present mode's fault was done."""
        return self.mode.fired

    def set(self, name: str, **parameters) -> None:
        """Switch to a mode, a new one of its kind: what its parameters count starts at 0."""
        self.use(MODES[name](**parameters))

    def use(self, mode: Mode) -> None:
        """Switch to a mode that a test made itself."""
        self._call(self._switch(mode))

    def cut(self) -> None:
        """Reset all living connections."""
        self._call(self._cut_all())

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_WAIT_S)

    # ---- for links and modes, in the proxy's thread ----

    def count(self, down: bool, length: int) -> None:
        if down:
            self.bytes_down += length
        else:
            self.bytes_up += length

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        await asyncio.sleep(seconds)

    async def until_not(self, mode: Mode) -> None:
        while self.mode is mode:
            await self._changed.wait()

    async def read(self, link: Link, reader: asyncio.StreamReader, down: bool) -> bytes:
        """The next bytes; b"" at the end of the stream. The mode is told of idleness by the client's side."""
        reading = asyncio.create_task(reader.read(1 << 16))
        try:
            while True:
                changed = asyncio.create_task(self._changed.wait())
                mode = self.mode
                done, _ = await asyncio.wait(
                    {reading, changed}, timeout=None if down else mode.idle_s, return_when=asyncio.FIRST_COMPLETED
                )
                changed.cancel()
                if reading in done:
                    if link in self.forgotten:
                        link.reset()
                    return reading.result()
                if not done and not link.silent:
                    mode.idle(link)
        finally:
            reading.cancel()

    # ---- its life ----

    async def _switch(self, mode: Mode) -> None:
        if self.mode.listener != mode.listener:
            await self._stop_listening()
            await self._listen(mode.listener)
        self.mode = mode
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _bound(self, backlog: int) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        sock.listen(backlog)
        sock.setblocking(False)
        return sock

    async def _listen(self, how: str) -> None:
        if how == "open":
            self._listener = asyncio.create_task(self._accept(self._bound(100)))
        elif how == "deaf":  # a listener whose queue is full drops who asks to connect
            self._deaf = [self._bound(0), socket.socket(), socket.socket()]
            for filler in self._deaf[1:]:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", self.port))

    async def _stop_listening(self) -> None:
        for sock in self._deaf:
            sock.close()
        self._deaf = []
        if self._listener:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
            self._listener = None

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                sock, _ = await self._loop.sock_accept(listener)
                self.connections += 1
                task = asyncio.create_task(self._serve(sock))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = await asyncio.open_connection(sock=sock)
        try:
            server = await self._reach_server() if await self.mode.accepted(self, client) else None
        except OSError:  # the server is down: as if the proxy were not there
            set_reset(sock)
            server = None
        if server:
            link = Link(self, client, server)
            self._links.add(link)
            await link.run()
            self._links.discard(link)
        else:
            client[1].close()

    async def _reach_server(self):
        server = await asyncio.open_connection("127.0.0.1", self.target_port)
        server[1].get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    async def _cut_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _end(self) -> None:
        await self._stop_listening()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
