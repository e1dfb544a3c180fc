"""A real Neo4j Community server on loopback, run from the jars of stack/neo4j/pom.xml: no Docker.

Two folders. The *software* (lib/, a link to java, neo4j.jsa) is made once by `./dev` in the user's cache and only read. The
*home* holds all that one server writes: its configuration, data, logs, certificate, and its password (0600; made at random,
never in an argument list). What runs is known by the home alone, so that another process can ask and stop it.

    usage: neo4j_server.py archive SOFTWARE    make SOFTWARE/neo4j.jsa, by which a server starts in half the time
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Container
from pathlib import Path

START_WAIT_S = 120
STOP_WAIT_S = 60
USER = "neo4j"
ENTRY_POINT = "org.neo4j.server.CommunityEntryPoint"
JVM = [
    "-Xms128m",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-OmitStackTraceInFastThrow",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
    "-Dfile.encoding=UTF-8",
    "-Dlog4j2.disable.jmx=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
]
QUICK = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]  # for tests: starts in two thirds of the time, runs slower
SETTINGS = {
    "server.default_listen_address": "127.0.0.1",
    "server.https.enabled": "false",
    "dbms.security.auth_enabled": "true",
    "dbms.usage_report.enabled": "false",
    "server.memory.pagecache.size": "64m",
    # Bolt by TLS and without it on the same port.
    "server.bolt.tls_level": "OPTIONAL",
    "dbms.ssl.policy.bolt.enabled": "true",
    "dbms.ssl.policy.bolt.base_directory": "certificates",
    "dbms.ssl.policy.bolt.private_key": "server.key",
    "dbms.ssl.policy.bolt.public_certificate": "server.crt",
    "dbms.ssl.policy.bolt.client_auth": "NONE",
    # An empty home takes 3 MiB instead of 515.
    "db.tx_log.preallocate": "false",
    # The server stops in one second instead of eleven.
    "internal.dbms.bolt.netty_server_shutdown_quiet_period": "0",
}


class ServerError(Exception):
    """The server did not do what was asked; the message says what, and what its log says."""


def free_port(wanted: int | None = None) -> int:
    """A port of loopback on which nobody listens: the wanted one if it is free. One below those that the kernel gives to
    outgoing connections, so that it is still free when the server comes back after a kill."""
    if wanted and _is_free(wanted):
        return wanted
    first_dynamic = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = random.randrange(first_dynamic // 2, first_dynamic)
        if _is_free(port):
            return port
    raise ServerError(f"no free port on 127.0.0.1 below {first_dynamic}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Server:
    """One server and its home. Methods block. Not for several threads or processes at once: hold a lock."""

    def __init__(self, software: Path, home: Path, quick: bool = True, heap: str = "512m", settings: dict | None = None):
        self.software, self.home = Path(software), Path(home).resolve()
        self.jvm = [*JVM, f"-Xmx{heap}", *(QUICK if quick else [])]
        self.settings = settings or {}
        self.entry_point = ENTRY_POINT
        self.process: subprocess.Popen | None = None
        self._read_ports()

    # ---- what it is ----

    @property
    def uri(self) -> str:
        return f"bolt://127.0.0.1:{self.bolt_port}"

    @property
    def password(self) -> str:
        return self.password_file.read_text().strip()

    @property
    def password_file(self) -> Path:
        return self.home / "password"

    def pid(self) -> int | None:
        """The process that runs on this home; never one that got the number of an earlier server."""
        try:
            pid = int((self.home / "pid").read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if f"--home-dir={self.home}".encode() in arguments else None

    # ---- its life ----

    def start(self, bolt_port: int | None = None, http_port: int | None = None) -> None:
        """Start and wait until a query is answered. On ports given (ServerError if one is in use), else on those of the last
        time (bolt_port, http_port) if they are free, else on any that are."""
        if self.pid():
            return
        self._make_home()
        self.bolt_port = self._choose(bolt_port, self.bolt_port)
        self.http_port = self._choose(http_port, self.http_port)
        (self.home / "ports").write_text(f"{self.bolt_port} {self.http_port}\n")
        self._write_configuration()
        self._set_first_password()
        self._launch()
        self._wait_until_ready()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """As by the kernel or a power cut of the machine: what it had not flushed to the kernel is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop if it runs, and start again on the same ports."""
        self.stop()
        self.start(self.bolt_port, self.http_port)

    def _end(self, number: int) -> None:
        pid = self.pid()
        if pid:
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError:
                handle = None
            if handle is not None:
                self._signal_and_wait(handle, number)
        if self.process:
            self.process.wait()
            self.process = None
        (self.home / "pid").unlink(missing_ok=True)

    @staticmethod
    def _signal_and_wait(handle: int, number: int) -> None:
        try:
            signal.pidfd_send_signal(handle, number)
            if not select.select([handle], [], [], STOP_WAIT_S)[0]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [])
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)

    # ---- talking to it, by HTTP, with nothing but the standard library ----

    def query(self, statement: str, database: str = "neo4j", timeout_s: float = 60, **parameters) -> list[list]:
        """The rows that one auto-commit statement gives, as JSON values."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}/db/{database}/query/v2",
            json.dumps({"statement": statement, "parameters": parameters}).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": "Basic " + base64.b64encode(f"{USER}:{self.password}".encode()).decode(),
            },
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=timeout_s) as answer:
                return json.load(answer)["data"]["values"]
        except urllib.error.HTTPError as error:
            raise ServerError(f"{statement}: {error.code}: {error.read().decode(errors='replace')[:500]}") from error

    def empty(self, keep: Container[str] = ()) -> None:
        """Delete every node and relation, constraint and index, as on the first day; but for the constraints and indexes to keep."""
        for name, *_ in self.query("SHOW CONSTRAINTS YIELD name"):
            if name not in keep:
                self.query(f"DROP CONSTRAINT `{name}`")
        for name, *_ in self.query("SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP'"):
            if name not in keep:
                self.query(f"DROP INDEX `{name}`")
        self.query("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS")

    # ---- starting ----

    def _read_ports(self) -> None:
        try:
            self.bolt_port, self.http_port = map(int, (self.home / "ports").read_text().split())
        except (OSError, ValueError):
            self.bolt_port = self.http_port = None

    @staticmethod
    def _choose(given: int | None, last: int | None) -> int:
        if given and not _is_free(given):
            raise ServerError(f"port {given} of 127.0.0.1 is in use; choose another, or none to get one that is free")
        return given or free_port(last)

    def _make_home(self) -> None:
        for name in ("conf", "data", "logs", "certificates"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        if not self.password_file.exists():
            handle = os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(16) + "\n")
        if not (self.home / "certificates" / "server.crt").exists():
            self._make_certificate()

    def _make_certificate(self) -> None:
        folder = self.home / "certificates"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-keyout", folder / "server.key", "-out", folder / "server.crt"]
        subprocess.run(command, check=True, capture_output=True)  # openssl makes a key 0600

    def _settings(self) -> dict[str, str]:
        return SETTINGS | {
            "server.bolt.listen_address": f"127.0.0.1:{self.bolt_port}",
            "server.bolt.advertised_address": f"127.0.0.1:{self.bolt_port}",
            "server.http.listen_address": f"127.0.0.1:{self.http_port}",
            "server.http.advertised_address": f"127.0.0.1:{self.http_port}",
        }

    def _write_configuration(self) -> None:
        lines = [f"{key}={value}\n" for key, value in (self._settings() | self.settings).items()]
        (self.home / "conf" / "neo4j.conf").write_text("".join(lines))

    def _environment(self) -> dict:
        env = {k: v for k, v in os.environ.items() if not k.startswith("NEO4J_")}
        return env | {"NEO4J_HOME": str(self.home), "NEO4J_CONF": str(self.home / "conf")}

    def _java(self, options: list) -> list:
        archive = self.software / "neo4j.jsa"
        shared = [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:cds=off"] if archive.exists() else []
        return [self.software / "java", *shared, *options, "-cp", f"{self.software}/lib/*"]

    def _set_first_password(self) -> None:
        """It counts only before the first start."""
        if (self.home / "data" / "databases" / "system").exists() or (self.home / "data" / "dbms" / "auth.ini").exists():
            return
        command = [*self._java(QUICK), "org.neo4j.cli.AdminTool", *self._password_command()]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True)
        if done.returncode:
            raise ServerError(f"the first password could not be set: {done.stderr or done.stdout}")

    def _password_command(self) -> list[str]:
        return ["dbms", "set-initial-password", f"@{self.password_file}"]

    def _launch(self) -> None:
        command = [*self._java(self.jvm), self.entry_point, f"--home-dir={self.home}", f"--config-dir={self.home}/conf"]
        with open(self.home / "logs" / "console.log", "wb") as log:
            self.process = subprocess.Popen(
                command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (self.home / "pid").write_text(f"{self.process.pid}\n")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_WAIT_S
        while True:
            try:
                self.query("RETURN 1", timeout_s=10)
                return
            except (OSError, ServerError, ValueError) as error:  # not listening, not yet available, cut off
                refused = error
            if self.process.poll() is not None:
                (self.home / "pid").unlink(missing_ok=True)
                raise ServerError(f"the server ended while it started; {self._log_end()}")
            if time.monotonic() > deadline:
                self.kill9()
                raise ServerError(f"no query answered within {START_WAIT_S} s ({refused}); {self._log_end()}")
            time.sleep(0.1)

    def _log_end(self) -> str:
        """What it said last: by itself, and by its JVM."""
        logs = self.home / "logs"
        texts = [path.read_text(errors="replace") for path in (logs / "neo4j.log", logs / "console.log") if path.exists()]
        return f"the end of its logs in {logs}:\n" + "\n".join("".join(texts).splitlines()[-20:])


def make_archive(software: Path) -> None:
    """Run a server once and keep the classes it loaded, parsed and verified, in SOFTWARE/neo4j.jsa."""
    home, archive = software / "first-home", software / "neo4j.jsa"
    server = Server(software, home)
    server.jvm.append(f"-XX:ArchiveClassesAtExit={archive}.new")
    server.start()
    try:
        server.query("CREATE CONSTRAINT FOR (n:N) REQUIRE n.id IS UNIQUE")
        server.query("UNWIND range(1, 9) AS i MERGE (n:N {id: i}) SET n.text = 'text' RETURN n")
        server.query("CREATE FULLTEXT INDEX words FOR (n:N) ON EACH [n.text]")
        server.query("CREATE VECTOR INDEX near FOR (n:N) ON n.vector OPTIONS {indexConfig: {`vector.dimensions`: 2}}")
        server.empty()
    finally:
        server.stop()
    if not Path(f"{archive}.new").exists():
        raise ServerError(f"java made no class-data archive: {server._log_end()}")
    os.replace(f"{archive}.new", archive)
    shutil.rmtree(home)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "archive":
        sys.exit(re.search(r"usage: .*", __doc__).group())
    make_archive(Path(sys.argv[2]).resolve())
