"""A person at a terminal: a command whose controlling terminal is a pty, where somebody types."""

import fcntl
import os
import pty
import select
import subprocess
import termios

from support.home import binary


def output(leader: int) -> bytes:
    """What comes next; nothing when the command has ended."""
    try:
        return os.read(leader, 4096)
    except OSError:  # nobody has the other end open any more
        return b""


def at_terminal(home, args: list[str], answer: str = "") -> tuple[int, str]:
    """Run a command with a terminal and type one line at its prompt, if it has one."""
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
        os.write(leader, answer.encode() + b"\n")
    status = process.wait(30)
    while select.select([leader], [], [], 0)[0]:
        chunk = output(leader)
        if not chunk:
            break
        seen += chunk
    os.close(leader)
    return status, seen.decode()
