"""Figures of a folder as a source, against git on the same files."""

from __future__ import annotations

import os
import pathlib
import resource
import time

from kit import Door, Figure, Home, Load, Text, median, quantile, run

FILES = 100_000
FOLDERS = 1_000
CHANGES = 200
MEMORY_MIB = 128


class FolderHome(Home):
    """A home that captures a folder."""

    def __init__(self, folder: pathlib.Path, name: str, captured: pathlib.Path):
        super().__init__(folder, name)
        with (self.path / "holdfast.yaml").open("a") as config:
            config.write(f"sources:\n  - name: notes\n    kind: files\n    path: {captured}\n")

    def cpu_s(self) -> float:
        fields = pathlib.Path(f"/proc/{self.daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        status = pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


def write_files(folder: pathlib.Path) -> None:
    for i, text in enumerate(Text().rows(FILES)):
        place = folder / f"d{i % FOLDERS}"
        if i < FOLDERS:
            place.mkdir(parents=True)
        (place / f"note-{i}.md").write_text(f"# Note {i}\n\n{text}\n")


def status(door: Door) -> dict:
    return door.call("GET", "/api/sync/status")[0]


def wait(door: Door, is_there, pause_s: float = 0.001) -> dict:
    """To ask costs both sides CPU: of what takes seconds, seldom."""
    while True:
        found = status(door)
        if is_there(found):
            return found
        time.sleep(pause_s)


def git_s(folder: pathlib.Path, captured: pathlib.Path, round: int) -> tuple[float, float]:
    """`git add -A && git commit` into a new repository beside: wall and CPU seconds. Without the gc that a commit leaves running."""
    env = {**os.environ, "GIT_DIR": str(folder / f"git{round}"), "GIT_WORK_TREE": str(captured), "GIT_CONFIG_GLOBAL": "/dev/null"}
    env |= {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env |= {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "gc.auto", "GIT_CONFIG_VALUE_0": "0", "GIT_CONFIG_KEY_1": "maintenance.auto", "GIT_CONFIG_VALUE_1": "false"}
    run("git", "init", "-q", env=env, cwd=captured)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    run("git", "add", "-A", env=env, cwd=captured)
    run("git", "commit", "-q", "-m", "all", env=env, cwd=captured)
    took = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def first_scan(home: FolderHome) -> tuple[float, float]:
    """From the daemon's start until every file is durable in the ledger: wall and CPU seconds (the vault's copy goes on beside)."""
    begun = time.perf_counter()
    home.start()
    with home.door() as door:
        wait(door, lambda s: s["sources"][0]["connected"], 0.05)
        took, cpu = time.perf_counter() - begun, home.cpu_s()
        if status(door)["memories"] != FILES:
            raise RuntimeError("not every file was captured")
    return took, cpu


def change_s(home: FolderHome, captured: pathlib.Path) -> list[float]:
    """From the end of a write to what the ledger says of it."""
    found = []
    with home.door() as door:
        for i in range(CHANGES):
            head = status(door)["vaults"][0]["head_seq"]
            with (captured / f"d{i}" / f"note-{i}.md").open("a") as file:
                file.write(f"and one line more, the {i}th\n")
            begun = time.perf_counter()
            wait(door, lambda s, head=head: s["vaults"][0]["head_seq"] > head)
            found.append(time.perf_counter() - begun)
    return found


def files(folder: pathlib.Path, load: Load):
    captured = folder / "notes"
    write_files(captured)
    run("sync")
    ours, theirs, our_cpu, their_cpu = [], [], [], []
    lags: list[float] = []
    peak = idle = again = 0.0
    for round in range(3):
        took, cpu = git_s(folder, captured, round)
        theirs.append(took)
        their_cpu.append(cpu)
        with FolderHome(folder, f"home{round}", captured) as home:
            took, cpu = first_scan(home)
            ours.append(took)
            our_cpu.append(cpu)
            home.sync()
            peak = max(peak, home.peak_mib())
            if round == 0:
                lags = change_s(home, captured)
                home.sync()
                before = home.cpu_s()
                time.sleep(10)
                idle = home.cpu_s() - before
                home.stop()
                again, _ = first_scan(home)
    ratio = median(b / a for a, b in zip(ours, theirs, strict=True))
    cpu_ratio = median(b / a for a, b in zip(our_cpu, their_cpu, strict=True))
    what = f"{FILES:,} Markdown files in {FOLDERS:,} folders: first scan, durable; the peer is git add -A && git commit"
    yield Figure(what, f"{median(ours):.2f} s", f"{median(theirs):.2f} s", f"{ratio:.2f} x", ">= 2 x", ratio >= 2)
    yield Figure("the same in CPU time (ours with the vault's copy, as far as it had come)", f"{median(our_cpu):.2f} s", f"{median(their_cpu):.2f} s", f"{cpu_ratio:.2f} x")
    yield Figure("the next start, all compared, nothing new", f"{again:.2f} s")
    yield Figure(
        f"one change to durable, {CHANGES} of them, p99 (p50 {median(lags) * 1000:.1f} ms)", f"{quantile(lags, 0.99) * 1000:.1f} ms", target="<= 50 ms", reached=quantile(lags, 0.99) <= 0.05
    )
    yield Figure("memory of the daemon at its peak", f"{peak:.0f} MiB", target=f"<= {MEMORY_MIB} MiB", reached=peak <= MEMORY_MIB)
    yield Figure("CPU time of an idle daemon in 10 s", f"{idle * 1000:.0f} ms")


FIGURES = {"files": files}
