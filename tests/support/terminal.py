"""A person at a terminal: a command whose controlling terminal is a pty, where somebody types."""

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
from typing import Callable

from support.home import binary


def output(leader: int) -> bytes:
    """What comes next; nothing when the command has ended."""
    try:
        return os.read(leader, 4096)
    except OSError:  # nobody has the other end open any more
        return b""


def at_terminal(home, args: list[str], answer: str | Callable[[str], str] = "") -> tuple[int, str]:
    """Run a command with a terminal and type one line at its prompt, if it has one: answer, or what it makes of what was asked."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([binary(), "--home", str(home.path), *args], stdin=follower, stdout=follower, stderr=follower, env=home.env, cwd=home.work, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(follower, termios.TIOCSCTTY, 0))
    os.close(follower)
    seen = b""
    while b"> " not in seen and select.select([leader], [], [], 30)[0]:
        chunk = output(leader)
        if not chunk:
            break
        seen += chunk
    if b"> " in seen:
        os.write(leader, (answer(seen.decode()) if callable(answer) else answer).encode() + b"\n")
    status = process.wait(30)
    home.note_daemon()
    while select.select([leader], [], [], 0)[0]:
        chunk = output(leader)
        if not chunk:
            break
        seen += chunk
    os.close(leader)
    return status, seen.decode()


def resolved(home, alert: str, how: str = "--revert") -> str:
    """A person resolves an alert; what the command said."""
    status, said = at_terminal(home, ["resolve", alert, how], alert)
    assert status == 0, said
    return said


def resolve_all(home, how: str = "--revert") -> None:
    for alert in home.alerts():
        resolved(home, alert["id"], how)


def taken_away_and_overwritten(asked: str) -> str:
    """The number that a recovery asks to have typed."""
    return str(sum(int(number) for number in re.findall(r"(?:take away|overwrite) (\d+)", asked)))


def recovered(home, *args: str) -> None:
    """A person has a recovery done that takes much away."""
    status, said = at_terminal(home, ["recover", *args], taken_away_and_overwritten)
    assert status == 0, said
