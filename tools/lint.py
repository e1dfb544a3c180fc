#!/usr/bin/env python3
"""./dev lint: every check of the source, on all cores; each complaint is one line `file:line: what is wrong`.

usage: lint.py BUILD_FOLDER    a folder configured by clang, whose compile_commands.json says what there is to check
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lint_includes
import lint_sizes
import lint_tree
from csource import project_files

ROOT = Path(__file__).resolve().parent.parent
FORMATTED = [f"{folder}/*.{end}" for folder in ("src", "include", "tests", "bench", "examples") for end in "ch"]
CORES = os.cpu_count() or 1
CACHE_DAYS = 14
ANALYZER = ROOT / "tools" / "analyzer.h"
DEFINE_ERRORS = ("src/base/err.c", "src/bolt/error.c")  # what analyzer.h redefines
# A third of the analyzer's usual effort for each function takes a third of the time, and found as much here.
EFFORT = [f"--extra-arg={arg}" for arg in ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=75000")]


def run(command, **options):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def relative(text, build):
    """Paths as seen from the root; compilers see sources as `../../src/...` from the build folder."""

    def from_root(match):
        path = (build / match.group(1)).resolve()
        return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{match.group(2)}:"

    return re.sub(r"(?m)^([^\s:]+):(\d+):", from_root, text)


class Tidy:
    """clang-tidy over one file at a time; a file that passed is not looked at again until what it compiles to changes."""

    def __init__(self, build):
        self.build = build
        self.cache = build / "tidy-passed"
        self.cache.mkdir(parents=True, exist_ok=True)
        version = run(["clang-tidy-14", "--version"]).stdout
        self.settings = version + (ROOT / ".clang-tidy").read_text() + ANALYZER.read_text()
        self._forget_old()
        # clang-tidy looks at a file once for each program that it is compiled for, and errs the second time.
        self.database = build / "tidy"
        self.database.mkdir(exist_ok=True)
        once = [entry for _, entry in self.commands()]
        (self.database / "compile_commands.json").write_text(json.dumps(once))

    def _forget_old(self):
        for stamp in self.cache.iterdir():
            if stamp.stat().st_mtime < time.time() - CACHE_DAYS * 86400:
                stamp.unlink()

    def commands(self):
        """(file, compile command) of each file of ours, each file once, the longest first."""
        entries = json.loads((self.build / "compile_commands.json").read_text())
        by_file = {}
        for entry in entries:
            path = (Path(entry["directory"]) / entry["file"]).resolve()
            if path.is_file() and path.suffix == ".c" and path.is_relative_to(ROOT):
                by_file.setdefault(path, entry)
        return sorted(by_file.items(), key=lambda item: -item[0].stat().st_size)

    def check(self, path, entry):
        """Returns the complaints about one file, as text."""
        stamp = self.cache / self._key(entry)
        if stamp.exists():
            stamp.touch()
            return ""
        # Examples and the like are built with nothing but public headers.
        knows_err = "/src " in entry["command"] and path not in [ROOT / name for name in DEFINE_ERRORS]
        hints = ["--extra-arg=-include", f"--extra-arg={ANALYZER}"] if knows_err else []
        done = run(["clang-tidy-14", "--quiet", "-p", str(self.database), *EFFORT, *hints, str(path)])
        if done.returncode == 0:
            stamp.touch()
            return ""
        lines = [l for l in done.stdout.splitlines() if re.match(r"\S+:\d+:\d+: (warning|error)", l)]
        return "\n".join(lines) or (done.stdout + done.stderr)

    def _key(self, entry):
        """What the file is after preprocessing, comments (NOLINT) included, and how it is judged."""
        command = re.sub(r" -o \S+| -M[QF] \S+| -MD| -c(?= )", "", entry["command"]) + " -E -C -o -"
        text = subprocess.run(
            command, shell=True, cwd=entry["directory"], capture_output=True, check=False
        ).stdout
        return hashlib.sha256(self.settings.encode() + command.encode() + text).hexdigest()


def lint_format():
    files = [str(f) for f in project_files(ROOT, *FORMATTED)]
    if not files:
        return ""
    done = run(["clang-format-14", "--dry-run", "-Werror", *files])
    if done.returncode == 0:
        return ""
    wrong = {}
    for line in done.stderr.splitlines():
        match = re.match(r"(\S+?):(\d+):\d+: error: code should be clang-formatted", line)
        if match:
            wrong.setdefault(match.group(1), match.group(2))
    lines = [
        f"{Path(name).relative_to(ROOT)}:{line}: is not laid out as .clang-format says (./dev format)"
        for name, line in wrong.items()
    ]
    return "\n".join(lines) or done.stderr


def lint_cppcheck(build):
    cache = build / "cppcheck"
    cache.mkdir(parents=True, exist_ok=True)
    done = run(
        [
            "cppcheck",
            f"--project={build}/compile_commands.json",
            f"--cppcheck-build-dir={cache}",
            f"-j{CORES}",
            "--enable=warning,performance,portability",
            "--inline-suppr",
            "--suppress=missingIncludeSystem",
            "--suppress=*:/usr/include/*",
            "--suppress=normalCheckLevelMaxBranches",
            "--suppress=unmatchedSuppression",
            "--suppress=internalAstError",  # cppcheck 2.10 can't read `a ? (struct x){0} : b`
            "--suppress=uninitvar",  # guesses where results are tested; gcc and valgrind know
            "--max-configs=1",
            "--error-exitcode=1",
            "--template={file}:{line}: {severity}: {message} [{id}]",
            "--quiet",
        ]
    )
    return "" if done.returncode == 0 else relative(done.stderr + done.stdout, build)


def lint_shell():
    scripts = [name for name in ("dev", ".ci/run", "tools/static_library.sh") if (ROOT / name).exists()]
    done = run(["shellcheck", "--format=gcc", *scripts])
    return done.stdout if done.returncode else ""


def lint_tidy(build, pool):
    tidy = Tidy(build)
    commands = tidy.commands()
    found = pool.map(lambda item: tidy.check(*item), commands)
    lines = relative("\n".join(filter(None, found)), build).splitlines()
    return "\n".join(dict.fromkeys(lines))  # what a header has wrong is told by each file that includes it


def timed(check):
    start = time.monotonic()
    complaints = check().strip()
    return complaints, time.monotonic() - start


def main():
    build = Path(sys.argv[1]).resolve()
    sizes = []

    def lint_sizes_and_keep():
        problems, summary = lint_sizes.check(ROOT)
        sizes.append(summary)
        return "\n".join(problems)

    checks = {
        "includes": lambda: "\n".join(lint_includes.check(ROOT)),
        "sizes": lint_sizes_and_keep,
        "tree": lambda: "\n".join(lint_tree.check(ROOT)),
        "shell": lint_shell,
        "format": lint_format,
        "cppcheck": lambda: lint_cppcheck(build),
    }
    failed = False
    with ThreadPoolExecutor(CORES) as pool:
        for name, check in checks.items():
            failed |= report(name, *timed(check), note=sizes[0] if name == "sizes" else "")
        failed |= report("tidy", *timed(lambda: lint_tidy(build, pool)))
    return 1 if failed else 0


def report(name, complaints, seconds, note=""):
    state = "FAIL" if complaints else "ok"
    print(f"{state:5}{name:10}{seconds:6.1f} s   {note}", flush=True)
    if complaints:
        print(complaints, flush=True)
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
