#!/usr/bin/env python3
"""./dev coverage: which lines of src/ the unit tests and the tests in Python run.

usage: coverage.py [--min PERCENT]    exit 1 below it, or if a test failed; a page with every line is in build/logs/coverage
"""

import argparse
import os
import re
import subprocess
import sys

from testrun import BUILD, LOGS, ROOT, SUITES, Run, build, meson, pytest, totals

FOLDER = BUILD / "coverage"
WORST = 15  # files shown


def run_tests():
    (LOGS / "sanitizer").mkdir(parents=True, exist_ok=True)
    for counters in FOLDER.rglob("*.gcda"):
        counters.unlink()
    stages = [
        build("coverage"),
        build("debug"),
        meson("unit-coverage", "coverage", ("unit", "fuzz"), slow=3),
        *(
            pytest(f"{suite}-coverage", [f"tests/{suite}"], "coverage", ("build-coverage", "build-debug"))
            for suite in SUITES
        ),
    ]
    for stage in stages:
        stage.log().unlink(missing_ok=True)
    return totals(Run(stages).finish())


def lines_by_file():
    """{file: (lines run, lines there are)} of src/."""
    info = LOGS / "coverage.info"
    with open(LOGS / "coverage.log", "w", encoding="utf-8") as log:
        # Compiled in FOLDER, so sources are named from there; first with zeros, for the files that no test touches.
        capture = ["lcov", "-q", "--capture", "-d", FOLDER / "src", "-b", FOLDER]
        for command in (
            [*capture, "--initial", "-o", f"{info}.none"],
            [*capture, "-o", f"{info}.run"],
            ["lcov", "-q", "-a", f"{info}.none", "-a", f"{info}.run", "-o", f"{info}.all"],
            ["lcov", "-q", "--extract", f"{info}.all", f"{ROOT}/src/*", "-o", info],
            ["genhtml", "-q", "-o", LOGS / "coverage", "-p", ROOT, info],
        ):
            subprocess.run(list(map(str, command)), check=True, stdout=log, stderr=log)
    found = {}
    for record in info.read_text().split("end_of_record"):
        name = re.search(r"^SF:(.*)$", record, re.MULTILINE)
        if name:
            run, there = (re.search(rf"^{key}:(\d+)$", record, re.MULTILINE) for key in ("LH", "LF"))
            found[name.group(1).removeprefix(f"{ROOT}/")] = (int(run.group(1)), int(there.group(1)))
    return found


def main():
    parser = argparse.ArgumentParser(prog="./dev coverage")
    parser.add_argument("--min", type=float, default=0, metavar="PERCENT", help="fail below this share of lines")
    arguments = parser.parse_args()
    passed, failed, _ = run_tests()
    if passed == 0:
        sys.exit("no test ran; nothing to measure")
    files = lines_by_file()
    print("lines not run, by file:")
    for name, (run, there) in sorted(files.items(), key=lambda item: item[1][0] - item[1][1])[:WORST]:
        print(f"  {there - run:5}  {100 * run / there:5.1f} %  {name}")
    run, there = (sum(column) for column in zip(*files.values()))
    percent = 100 * run / there
    print(f"{passed} passed, {failed} failed")
    print(f"{percent:.1f} % of {there} lines of src/ ({os.path.relpath(LOGS, ROOT)}/coverage/index.html)")
    return 1 if failed or percent < arguments.min else 0


if __name__ == "__main__":
    sys.exit(main())
