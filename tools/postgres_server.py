"""A real PostgreSQL on loopback, from Debian's packages: a private cluster in a folder of its own, with logical decoding on.

The server refuses to run as root; then it runs as the user `postgres` of the packages, to whom the cluster's folder is given.
The password of the superuser `postgres` is random, in a file that only its owner reads, and in no argument list. What runs is
known by the folder alone, so that another process can ask and stop it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import subprocess
import time
from pathlib import Path

from neo4j_server import ServerError, free_port

USER = "postgres"
WAIT_S = 60
VERSIONS = ("15", "14", "16", "17", "13", "18")  # Debian 12's first
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "fsync": "on",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def programs() -> Path:
    """The folder with initdb and postgres."""
    for version in VERSIONS:
        folder = Path(f"/usr/lib/postgresql/{version}/bin")
        if (folder / "initdb").exists():
            return folder
    raise ServerError("PostgreSQL's server is not installed: apt-get install postgresql-15 (Ubuntu 22.04: postgresql-14)")


class Postgres:
    """One cluster and its folder. Methods block. Not for several threads or processes at once: hold a lock."""

    def __init__(self, home: Path, settings: dict | None = None, server: Path | None = None):
        """`server`: the folder with initdb and postgres, of another version than the distribution's."""
        self.home = Path(home).resolve()
        self.server = server or programs()
        self.data = self.home / "data"
        self.settings = settings or {}
        self.process: subprocess.Popen | None = None
        self.port: int | None = None
        ports = self.home / "ports"
        if ports.exists():
            self.port = int(ports.read_text())

    # ---- what it is ----

    @property
    def password_file(self) -> Path:
        return self.home / "password"

    @property
    def password(self) -> str:
        return self.password_file.read_text().strip()

    def url(self, database: str = "postgres", user: str = USER) -> str:
        """Without the password."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def pid(self) -> int | None:
        """The server that runs on this folder; never a process that got the number of an earlier one."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            return None
        return pid if str(self.data).encode() in arguments else None

    # ---- its life ----

    def start(self, port: int | None = None) -> None:
        """Start and wait until it answers; on the port of the last time if none is given and that is free."""
        if self.pid():
            return
        self._make()
        self.port = free_port(port or self.port)
        (self.home / "ports").write_text(f"{self.port}\n")
        lines = [f"{key} = '{value}'\n" for key, value in (SETTINGS | self.settings | {"port": self.port}).items()]
        self._give(self.data / "postgresql.auto.conf", "".join(lines))
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.server / "postgres", "-D", self.data],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, **self._as_user(),
            )  # fmt: skip
        self._wait_until_ready()

    def stop(self, number: int = signal.SIGINT) -> None:
        """Fast: sessions are ended, all is written down."""
        pid = self.pid()
        if pid:
            os.kill(pid, number)
        deadline = time.monotonic() + WAIT_S
        while self.pid() and not (self.process and self.process.poll() is not None):
            if time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL (pid {pid}) did not stop within {WAIT_S} s; {self._log_end()}")
            time.sleep(0.02)
        if self.process:
            self.process.wait()
            self.process = None

    def crash(self) -> None:
        """Immediately: as by a power cut, recovery runs at the next start."""
        self.stop(signal.SIGQUIT)

    def restart(self) -> None:
        self.stop()
        self.start()

    # ---- talking to it ----

    def psql(self, sql: str, database: str = "postgres", user: str = USER, password: str | None = None, check: bool = True):
        """Run SQL by psql, as a person does. The finished process; its output is unaligned, without headers."""
        command = [programs() / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url(database, user)]
        env = os.environ | {"PGPASSWORD": password or self.password, "PGAPPNAME": "psql"}
        done = subprocess.run([*command, "-f", "-"], input=sql, env=env, capture_output=True, text=True, timeout=600)
        if check and done.returncode:
            raise ServerError(f"{sql[:200]}: {done.stderr.strip()}")
        return done

    def query(self, sql: str, database: str = "postgres") -> str:
        """What psql prints for it."""
        return self.psql(sql, database).stdout.strip()

    # ---- starting ----

    @staticmethod
    def _as_user() -> dict:
        if os.geteuid() != 0:
            return {}
        entry = pwd.getpwnam("postgres")
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def _give(self, path: Path, text: str) -> None:
        path.write_text(text)
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def _make(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        self.home.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(self.home, entry.pw_uid, entry.pw_gid)
        if not self.password_file.exists():
            handle = os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(16) + "\n")
        if os.geteuid() == 0:
            os.chown(self.password_file, entry.pw_uid, entry.pw_gid)
        done = subprocess.run(
            [self.server / "initdb", "-D", self.data, "-U", USER, "-E", "UTF8", "--locale=C.UTF-8",
             "--auth=scram-sha-256", f"--pwfile={self.password_file}"],
            capture_output=True, text=True, cwd="/", **self._as_user(),
        )  # fmt: skip
        if done.returncode:
            raise ServerError(f"initdb: {done.stderr or done.stdout} (the user postgres must be able to enter {self.home})")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while self.psql("SELECT 1", check=False).returncode != 0:
            if self.process.poll() is not None:
                raise ServerError(f"PostgreSQL ended while it started; {self._log_end()}")
            if time.monotonic() > deadline:
                raise ServerError(f"no query answered within {WAIT_S} s; {self._log_end()}")
            time.sleep(0.05)

    def _log_end(self) -> str:
        text = (self.home / "log").read_text(errors="replace") if (self.home / "log").exists() else ""
        return f"the end of {self.home}/log:\n" + "\n".join(text.splitlines()[-15:])
