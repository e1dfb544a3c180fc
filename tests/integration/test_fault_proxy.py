"""Each mode of the fault proxy does what it says: a raw client before it, a server that speaks just enough Bolt behind it."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading

import pytest

from support.fault_proxy import MAGIC, MANIFEST, MODES, Frame, Splitter

HANDSHAKE = MAGIC + bytes.fromhex("00080805000204040000000000000000")
MANIFEST_HANDSHAKE = MAGIC + MANIFEST + bytes.fromhex("0008080500020404") + bytes(4)
VERSION = b"\0\0\x08\x05"
MANIFEST_OFFER = b"\x02" + VERSION + b"\0\x04\x04\x05" + b"\0"
SUCCESS = b"\xb1\x70\xa0"
RECORD = b"\xb1\x71\x91\x01"
RUN, PULL, COMMIT = b"\xb0\x10", b"\xb0\x3f", b"\xb0\x12"
WAIT_S = 20
SILENCE_S = 0.3  # how long nothing must come


def chunk(message: bytes) -> bytes:
    return struct.pack(">H", len(message)) + message + b"\0\0"


class Peer(socketserver.StreamRequestHandler):
    """Answers each message with SUCCESS, PULL with two records before it."""

    timeout = WAIT_S  # of a read: whoever stalls it does not hold up the end

    def handle(self):
        try:
            offers = self.rfile.read(20)
            if MANIFEST in offers:
                self.wfile.write(MANIFEST + MANIFEST_OFFER)
                assert len(self.rfile.read(5)) == 5
            else:
                self.wfile.write(VERSION)
            while header := self.rfile.read(2):
                message = self.rfile.read(struct.unpack(">H", header)[0])
                if self.rfile.read(2) != b"\0\0":
                    return
                self.server.seen.append(message)
                records = chunk(RECORD) * 2 if message == PULL else b""
                self.wfile.write(records + chunk(SUCCESS))
        except (OSError, struct.error):
            pass


@pytest.fixture
def peer():
    """The server; `seen` are the messages that reached it."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Peer) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(peer, fault_proxies):
    return fault_proxies(peer.server_address[1])


class Client:
    """A raw client; `segments` are the pieces in which bytes came."""

    def __init__(self, proxy, shake: bool = True):
        self.sock = socket.create_connection(("127.0.0.1", proxy.port), WAIT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.segments: list[int] = []
        if shake:
            self.sock.sendall(HANDSHAKE)
            assert self.read(4) == VERSION

    def send(self, *messages: bytes) -> None:
        self.sock.sendall(b"".join(map(chunk, messages)))

    def read(self, count: int) -> bytes:
        """So many bytes, or what there is before the end of the stream."""
        got = b""
        while len(got) < count:
            piece = self.sock.recv(count - len(got))
            if not piece:
                break
            self.segments.append(len(piece))
            got += piece
        return got

    def rest(self) -> tuple[bytes, str]:
        """All that comes, and how it ends: "end", "reset", or "silence"."""
        got = b""
        self.sock.settimeout(SILENCE_S)
        try:
            while piece := self.sock.recv(4096):
                got += piece
            return got, "end"
        except ConnectionResetError:
            return got, "reset"
        except TimeoutError:
            return got, "silence"


@pytest.fixture
def connect(proxy):
    made = []

    def make(**options) -> Client:
        made.append(Client(proxy, **options))
        return made[-1]

    yield make
    for client in made:
        client.sock.close()


REPLY = chunk(SUCCESS)


def test_there_are_modes_enough_and_each_says_what_it_does():
    assert len(MODES) >= 20
    assert all(mode.__doc__ and not mode.__doc__.startswith(f"{mode.__name__}(") for mode in MODES.values())


def test_pass_changes_nothing_and_counts(proxy, connect, peer):
    client = connect()
    client.send(RUN, PULL)
    expected = REPLY + chunk(RECORD) * 2 + REPLY
    assert client.read(len(expected)) == expected
    assert peer.seen == [RUN, PULL]
    assert (proxy.connections, proxy.bytes_up, proxy.bytes_down) == (1, 20 + 2 * 6, 4 + len(expected))


def test_large_messages_pass(connect, peer):
    client = connect()
    client.send(b"\xb1\x10" + bytes(60000))
    assert client.read(len(REPLY)) == REPLY
    assert len(peer.seen[0]) == 60002


def test_what_is_not_bolt_passes_as_it_comes(connect, peer):
    client = connect(shake=False)
    client.sock.sendall(b"\x16\x03\x01 hello of TLS")
    client.sock.sendall(b"....")  # the peer takes twenty bytes for a handshake, whatever they are
    assert client.read(4) == VERSION


def test_refuse(proxy, connect):
    living = connect()
    proxy.set("refuse")
    with pytest.raises(ConnectionRefusedError):
        connect()
    living.send(RUN)
    assert living.read(len(REPLY)) == REPLY
    proxy.set("pass")
    connect()


def test_connect_hangs(proxy, connect):
    proxy.set("connect_hangs")
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", proxy.port), SILENCE_S)
    proxy.set("pass")
    connect()


def test_reset_on_accept(proxy, connect, peer):
    proxy.set("reset_on_accept")
    with pytest.raises(ConnectionResetError):
        connect().read(1)
    assert proxy.fired == 1 and peer.seen == []


def test_close_on_accept(proxy, connect, peer):
    proxy.set("close_on_accept")
    assert connect(shake=False).rest() == (b"", "end")
    assert proxy.fired == 1 and peer.seen == []


def test_black_hole_holds_until_the_mode_changes(proxy, connect, peer):
    living = connect()
    proxy.set("black_hole")
    living.send(RUN)
    new = connect(shake=False)
    new.sock.sendall(HANDSHAKE)
    assert living.rest() == (b"", "silence") and new.rest() == (b"", "silence")
    assert peer.seen == [] and proxy.fired >= 1
    proxy.set("pass")
    assert living.read(len(REPLY)) == REPLY
    assert new.read(4) == VERSION


def test_half_open_stays_silent_for_ever(proxy, connect, peer):
    client = connect()
    proxy.set("half_open")
    client.send(RUN)
    assert client.rest() == (b"", "silence")
    proxy.set("pass")
    client.send(RUN)
    assert client.rest() == (b"", "silence")
    assert peer.seen == []


@pytest.mark.parametrize(
    "mode, answer",
    [
        ("http", b"HTTP/1.1 400"),
        ("tls_alert", b"\x15\x03\x03\x00\x02\x02\x28"),
        ("no_common_version", b"\0\0\0\0"),
        ("wrong_version", b"\0\0\x05\x05"),
        ("garbage", None),
    ],
)
def test_strange_answers(proxy, connect, peer, mode, answer):
    proxy.set(mode)
    client = connect(shake=False)
    client.sock.sendall(HANDSHAKE)
    got, end = client.rest()
    assert end == "end" and proxy.fired == 1 and peer.seen == []
    assert got.startswith(answer) if answer else len(got) == 500 and got != bytes(500)


def test_slow_handshake(proxy, connect):
    proxy.set("slow_handshake", delay_s=0.01)
    client = connect()
    assert client.segments == [1, 1, 1, 1]
    client.send(RUN)
    assert client.read(len(REPLY)) == REPLY
    assert proxy.slept_s == pytest.approx(0.04)


@pytest.mark.parametrize("direction, bytes_slow", [("down", len(REPLY)), ("up", 6), ("both", len(REPLY) + 6)])
def test_slow(proxy, connect, direction, bytes_slow):
    client = connect()
    proxy.set("slow", bytes_per_s=200, direction=direction)
    client.send(RUN)
    assert client.read(len(REPLY)) == REPLY
    assert proxy.slept_s == pytest.approx(bytes_slow / 200)


def test_delay(proxy, connect):
    client = connect()
    proxy.set("delay", delay_s=0.02)
    client.send(RUN)
    assert client.read(len(REPLY)) == REPLY
    assert proxy.slept_s == pytest.approx(0.04)


def test_split_and_one_segment(proxy, connect):
    proxy.set("split")
    client = connect()
    client.send(RUN, PULL)
    expected = REPLY + chunk(RECORD) * 2 + REPLY
    assert client.read(len(expected)) == expected
    assert proxy.fired > 4
    proxy.set("one_segment")
    client.segments.clear()
    client.send(RUN, PULL, RUN)
    assert client.read(len(expected + REPLY)) == expected + REPLY
    assert proxy.fired >= 1


@pytest.mark.parametrize("mode, end", [("reset_at_byte", "reset"), ("close_at_byte", "end"), ("stall_at_byte", "silence")])
@pytest.mark.parametrize("at", [0, 2, 4, 9])
def test_ends_at_a_byte_towards_the_client(proxy, connect, mode, end, at):
    proxy.set(mode, at=at)
    client = connect(shake=False)
    client.sock.sendall(HANDSHAKE + chunk(RUN))
    assert client.rest() == ((VERSION + REPLY)[:at], end)
    assert proxy.fired == 1


@pytest.mark.parametrize("mode, end", [("reset_at_byte", "reset"), ("close_at_byte", "end"), ("stall_at_byte", "silence")])
def test_ends_at_a_byte_towards_the_server(proxy, connect, peer, mode, end):
    proxy.set(mode, at=23, direction="up")
    client = connect()
    client.send(RUN)
    assert client.rest() == (b"", end)
    assert proxy.fired == 1 and peer.seen == []


def test_flip_byte(proxy, connect):
    proxy.set("flip_byte", at=7)
    client = connect()
    client.send(RUN)
    wrong = bytearray(VERSION + REPLY)
    wrong[7] ^= 0xFF
    assert client.read(len(REPLY)) == bytes(wrong[4:])


def test_stall_after(proxy, connect):
    client = connect()
    proxy.set("stall_after", messages=2)
    client.send(RUN, RUN, RUN)
    assert client.rest() == (REPLY * 2, "silence")


def test_close_on_idle(proxy, connect):
    client = connect()
    proxy.set("close_on_idle", idle_s=0.05)
    client.sock.settimeout(WAIT_S)
    assert client.sock.recv(1) == b""
    assert proxy.fired == 1


def test_drop_on_idle(proxy, connect):
    client = connect()
    proxy.set("drop_on_idle", idle_s=0.05)
    assert client.rest() == (b"", "silence")
    client.send(RUN)
    assert client.rest() == (b"", "reset")


BEFORE = REPLY  # the RUN before the COMMIT passes in each case
ON_MESSAGE = {
    "reset_before_request": (BEFORE, "reset", [RUN]),
    "reset_before_reply": (BEFORE, "reset", [RUN, COMMIT]),
    "close_before_reply": (BEFORE, "end", [RUN, COMMIT]),
    "reset_after_reply": (BEFORE + REPLY, "reset", [RUN, COMMIT]),
    "truncate_reply": (BEFORE + REPLY[: len(REPLY) // 2], "end", [RUN, COMMIT]),
    "duplicate_reply": (BEFORE + REPLY * 2, "silence", [RUN, COMMIT]),
    "drop_reply": (BEFORE, "silence", [RUN, COMMIT]),
    "huge_reply": (BEFORE + chunk(b"\xb1\x71\xd6\x7f\xff\xff\xff"), "silence", [RUN, COMMIT]),
}


@pytest.mark.parametrize("mode", ON_MESSAGE)
def test_a_message_by_name(proxy, connect, peer, mode):
    came, end, seen = ON_MESSAGE[mode]
    client = connect()
    proxy.set(mode, message="COMMIT")
    client.send(RUN)
    assert client.read(len(BEFORE)) == BEFORE
    client.send(COMMIT)
    got, how = client.rest()
    assert (BEFORE + got, how) == (came, end)
    assert peer.seen == seen and proxy.fired == 1
    again = connect()  # it happens once
    again.send(COMMIT)
    assert again.read(len(REPLY)) == REPLY


def test_reset_after_request(proxy, connect):
    client = connect()
    proxy.set("reset_after_request", message="COMMIT")
    client.send(COMMIT)
    assert client.rest() == (b"", "reset")


def test_garbage_reply(proxy, connect):
    client = connect()
    proxy.set("garbage_reply")
    client.send(RUN)
    got, end = client.rest()
    assert len(got) == 44 and got != chunk(SUCCESS) and end == "silence"


def test_skip_and_times(proxy, connect):
    client = connect()
    proxy.set("drop_reply", message="RUN", skip=1, times=2)
    client.send(RUN, RUN, RUN, RUN, PULL)
    assert client.rest() == (REPLY * 2 + chunk(RECORD) * 2 + REPLY, "silence")
    assert proxy.fired == 2


def test_noop_flood(proxy, connect):
    client = connect()
    proxy.set("noop_flood", count=3)
    client.send(RUN)
    assert client.read(6 + len(REPLY)) == b"\0\0" * 3 + REPLY


def test_the_server_is_down(proxy, connect, peer):
    proxy.target_port = 1  # nobody listens there
    with pytest.raises(ConnectionResetError):
        connect().read(1)


def test_cut_resets_what_lives(proxy, connect):
    clients = [connect() for _ in range(3)]
    proxy.cut()
    assert [client.rest() for client in clients] == [(b"", "reset")] * 3
    connect()


def test_a_manifest_is_understood_in_pieces():
    up, down = Splitter(False), Splitter(True)
    offer = MANIFEST + MANIFEST_OFFER
    frames = [frame for byte in offer + REPLY for frame in down.feed(bytes([byte]))]
    assert [frame.kind for frame in frames] == ["handshake", "handshake", "message"]
    assert b"".join(frame.data for frame in frames) == offer + REPLY
    assert up.feed(MANIFEST_HANDSHAKE)[0].kind == "handshake"
    up.state = "choice"
    assert [frame.kind for frame in up.feed(VERSION + b"\0" + chunk(RUN))] == ["handshake", "message"]


def test_a_manifest_passes(proxy, connect, peer):
    client = connect(shake=False)
    client.sock.sendall(MANIFEST_HANDSHAKE)
    assert client.read(14) == MANIFEST + MANIFEST_OFFER
    client.sock.sendall(VERSION + b"\0" + chunk(COMMIT))
    assert client.read(len(REPLY)) == REPLY
    assert peer.seen == [COMMIT]


def test_a_tag_is_found_behind_any_chunks():
    assert Frame(b"\0\x01\xb1\0\x01\x10\0\0", "message").tag() == 0x10
    assert Frame(b"\0\x02\xb0\x12\0\0", "message").tag() == 0x12
    assert Frame(b"\0\x01\xb1\0\0", "message").tag() == 0
