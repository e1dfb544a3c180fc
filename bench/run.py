#!/usr/bin/env python3
"""Compare with peers on this machine: bench/run.py NAME...|neo4j|sources|all (./dev bench builds the release first).

Each figure is measured in one run against its named peer, on the binary of HOLDFAST_BIN, in temporary homes whose daemons
are stopped at the end. The table is printed, and kept in bench/results/<date>-<name>.txt with the machine's description.
What is not reached says so. BENCH_DIR is where the homes are made (default /var/tmp): a real disk.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import signal
import sys

import figures
import files_figures
import kit
import neo4j_figures
import postgres_figures

SOURCES = postgres_figures.FIGURES | files_figures.FIGURES
FIGURES = figures.FIGURES | neo4j_figures.FIGURES | SOURCES
GROUPS = {"all": list(FIGURES), "neo4j": list(neo4j_figures.FIGURES), "sources": list(SOURCES)}
COLUMNS = ("what", "ours", "peer", "ratio", "target", "reached")


def cells(figure: kit.Figure) -> tuple[str, ...]:
    reached = "-" if figure.reached is None else "yes" if figure.reached else "NO"
    return (figure.what, figure.ours, figure.peer, figure.ratio, figure.target, reached)


def table(found: list[kit.Figure]) -> list[str]:
    rows = [COLUMNS, *(cells(figure) for figure in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def measure(name: str) -> list[kit.Figure]:
    found = []
    with kit.workshop() as folder:
        for figure in FIGURES[name](folder, kit.Load(folder)):
            print("  ".join(cells(figure)), file=sys.stderr, flush=True)
            found.append(figure)
    return found


def main(names: list[str]) -> int:
    chosen = [figure for name in names for figure in GROUPS.get(name, [name])]
    unknown = [name for name in chosen if name not in FIGURES]
    if not chosen or unknown or "HOLDFAST_BIN" not in os.environ:
        print(f"usage: HOLDFAST_BIN=... bench/run.py {'|'.join([*GROUPS, *FIGURES])}...", file=sys.stderr)
        return 2
    when = datetime.datetime.now(datetime.UTC)
    text = [f"holdfast bench {' '.join(names)}, {when:%Y-%m-%d %H:%M} UTC", "", *kit.machine(), ""]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended then, too
    with kit.AT_END:
        text += table([figure for name in chosen for figure in measure(name)])
    result = pathlib.Path(kit.HERE) / "results" / f"{when:%Y-%m-%d}-{'-'.join(names)}.txt"
    result.parent.mkdir(exist_ok=True)
    result.write_text("\n".join(text) + "\n")
    print("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
