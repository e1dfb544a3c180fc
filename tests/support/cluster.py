"""A cluster of Neo4j, as far as a client can tell: fault proxies before one real server, which answer ROUTE themselves and
refuse to write where they do not lead. What is written is in a real database all the same."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from support.fault_proxy import FaultProxy, Frame, Link, Mode

TTL_S = 300
NOT_A_LEADER = {"code": "Neo.ClientError.Cluster.NotALeader", "message": "No write operations are allowed directly on this database."}


def packed(value) -> bytes:
    """PackStream of what servers say of themselves: texts, whole numbers, lists, maps."""
    if isinstance(value, str):
        data = value.encode()
        return b"\xd0" + bytes([len(data)]) + data
    if isinstance(value, int):
        return b"\xca" + struct.pack(">i", value)
    if isinstance(value, list):
        return bytes([0x90 + len(value)]) + b"".join(map(packed, value))
    return bytes([0xA0 + len(value)]) + b"".join(packed(k) + packed(v) for k, v in value.items())


def reply(tag: int, *fields: dict) -> bytes:
    message = bytes([0xB0 + len(fields), tag]) + b"".join(map(packed, fields))
    return struct.pack(">H", len(message)) + message + b"\0\0"


@dataclass
class Member(Mode):
    """One server of the cluster. A transaction that would write is refused by all but the leader."""

    cluster: Cluster
    number: int

    async def frame(self, link: Link, down: bool, frame: Frame) -> None:
        if down:
            return await link.send(True, frame.data)
        if frame.request == "ROUTE":
            return await self.answer(link, reply(0x70, {"rt": self.cluster.table()}))
        if getattr(link, "refused", False) and frame.request != "RESET":
            return await self.answer(link, reply(0x7E))
        link.refused = frame.request == "BEGIN" and b"\x84mode\x81r" not in frame.data and self.cluster.leader != self.number
        if link.refused:
            self.fired += 1
            return await self.answer(link, reply(0x7F, NOT_A_LEADER))
        await link.send(False, frame.data)

    @staticmethod
    async def answer(link: Link, data: bytes) -> None:
        """In place of the server, which never sees the request; drivers send these when nothing else is in flight."""
        link.waiting.pop()
        await link.send(True, data)


class Cluster:
    """Use it by `with`. A client's address is that of any member."""

    def __init__(self, server, members: int = 3):
        self.leader = 0
        self.members = [FaultProxy(server.bolt_port) for _ in range(members)]
        for number, proxy in enumerate(self.members):
            proxy.use(Member(self, number))

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_) -> None:
        for proxy in self.members:
            proxy.close()

    def table(self) -> dict:
        addresses = [f"127.0.0.1:{proxy.port}" for proxy in self.members]
        roles = {"ROUTE": addresses, "READ": addresses, "WRITE": [addresses[self.leader]]}
        return {"ttl": TTL_S, "db": "neo4j", "servers": [{"role": r, "addresses": a} for r, a in roles.items()]}

    def refused(self, number: int) -> int:
        return self.members[number].fired

    def kill(self, number: int) -> None:
        """This member is gone."""
        self.members[number].set("refuse")
        self.members[number].cut()
