#!/usr/bin/env python3
"""./dev stack: the real services that Holdfast talks to, on loopback, each in a folder of its own below build/stack.

usage: stack up neo4j|postgres [NAME] [--port N]    start it; a second one beside it under another NAME (default: the kind)
       stack down [NAME]                            stop that one, or all; their data stays for the next `up`
       stack status                                 what there is, what runs, where
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import sys
from pathlib import Path

from neo4j_server import USER, Server, ServerError
from postgres_server import Postgres

BOLT_PORT, HTTP_PORT = 7687, 7474  # Neo4j's own; others are taken when these are not free
POSTGRES_PORT = 5432  # the same


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Stack:
    """The folder of all services: one folder each, whose name is the service's."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def server(self, name: str, kind: str | None = None) -> Server | Postgres:
        """Of this kind, or of the kind that it was when it was made."""
        if (kind or ("postgres" if (self.folder / name / "data" / "PG_VERSION").exists() else "neo4j")) == "postgres":
            return Postgres(self.folder / name)
        # Without the software only what runs can be asked and stopped.
        return Server(Path(os.environ.get("HOLDFAST_NEO4J", "/nonexistent")), self.folder / name, quick=False)

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in self.folder.glob("*/ports"))

    def up(self, kind: str, name: str, port: int | None) -> None:
        if name in self.names() and type(self.server(name)) is not type(self.server(name, kind)):
            raise ServerError(f"{name} is of another kind; give this one another name: ./dev stack up {kind} NAME")
        server = self.server(name, kind)
        if isinstance(server, Postgres):
            self.up_postgres(server, name, port)
        else:
            self.up_neo4j(server, name, port)

    def up_postgres(self, server: Postgres, name: str, port: int | None) -> None:
        if server.pid():
            say(f"{name}: runs already")
        else:
            say(f"{name}: starting PostgreSQL, data in {server.home}")
            server.start(port or server.port or POSTGRES_PORT)
        if port and server.port != port:
            raise ServerError(f"{name}: runs on port {server.port}, not {port}; ./dev stack down {name} first, or choose another")
        self.show(server)
        say("use it:")
        print(f"export DATABASE_URL={server.url()} PGPASSWORD=$(cat {server.password_file})")

    def up_neo4j(self, server: Server, name: str, port: int | None) -> None:
        if server.pid():
            say(f"{name}: runs already")
        else:
            say(f"{name}: starting Neo4j, data in {server.home} (about 15 s)")
            server.bolt_port = server.bolt_port or BOLT_PORT
            server.http_port = server.http_port or HTTP_PORT
            server.start(port)
        if port and server.bolt_port != port:
            raise ServerError(f"{name}: runs on port {server.bolt_port}, not {port}; ./dev stack down {name} first")
        self.show(server)
        say("use it:")
        print(f"export NEO4J_URI={server.uri} NEO4J_USER={USER} NEO4J_PASSWORD=$(cat {server.password_file})")

    def down(self, name: str | None) -> None:
        if name and name not in self.names():
            raise ServerError(f"there is no '{name}'; there are: {' '.join(self.names()) or 'none'}")
        for each in [name] if name else self.names():
            server = self.server(each)
            if server.pid():
                server.stop()
                say(f"{each}: stopped; its data stays in {server.home}")
            elif name:
                say(f"{each}: does not run")

    def status(self) -> None:
        if not self.names():
            say("there is none; ./dev stack up neo4j or ./dev stack up postgres starts one")
        for name in self.names():
            self.show(self.server(name))

    @staticmethod
    def show(server: Server | Postgres) -> None:
        state = f"runs, pid {server.pid()}" if server.pid() else "stopped"
        where = server.url() if isinstance(server, Postgres) else f"{server.uri}, user {USER}"
        say(f"{server.home.name}: {state}, {where}, password in {server.password_file}")


def service_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no name; allowed: a-z, 0-9, '-', at most 40")
    return text


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev stack", description="The real services, on loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a service")
    up.add_argument("kind", choices=["neo4j", "postgres"])
    up.add_argument("name", nargs="?", type=service_name, help="default: the kind")
    up.add_argument("--port", type=int, help="default: 7687 (of Bolt) or 5432, if it is free")
    down = commands.add_parser("down", help="stop one or all; data stays")
    down.add_argument("name", nargs="?", type=service_name)
    commands.add_parser("status", help="what there is")
    return parser.parse_args(arguments)


def main() -> int:
    stack = Stack(Path(os.environ["HOLDFAST_STACK"]))
    wanted = parse(sys.argv[1:])
    with open(stack.folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if wanted.command == "up":
                stack.up(wanted.kind, wanted.name or wanted.kind, wanted.port)
            elif wanted.command == "down":
                stack.down(wanted.name)
            else:
                stack.status()
        except ServerError as error:
            say(f"stack: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
