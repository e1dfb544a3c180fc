#!/usr/bin/env python3
"""./dev test: builds, runs every test there is, and ends with `N passed, N failed`.

usage: testrun.py [--long] [STAGE...]

Stages run side by side, one more than there are cores, since some of them wait, each after those it needs. A test that runs in several stages (plain,
sanitizers, valgrind) counts once, and is failed if it failed in any. A stage that breaks without naming a test (a build
error, a sanitizer's report, a time-out, no test run where there are some, a process left behind) counts as one failed.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("HOLDFAST_BUILD", "build")
LOGS = BUILD / "logs"
CORES = os.cpu_count() or 1
TAIL_LINES = 60
SUITES = ("chaos", "integration", "recovery", "contract")  # the longest first
SERVERS = ("neo4j", "postgres")  # marks of the tests that need one, which are stages of their own: they wait more than they work
VALGRIND = (
    "valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,possible "
    "--errors-for-leak-kinds=definite,possible --child-silent-after-fork=yes "
    "--read-inline-info=no"  # reports name no inlined functions, and each of many programs starts in half the time
)


@dataclass
class Outcome:
    """What a stage did: tests by name -> 'passed' | 'failed' | 'skipped'; problems that belong to no test."""

    tests: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)
    empty: str = ""  # why there was nothing to do

    def failed(self):
        return self.problems or "failed" in self.tests.values()


@dataclass
class Stage:
    name: str
    run: callable  # Stage -> Outcome
    needs: tuple = ()

    def log(self):
        return LOGS / f"{self.name}.log"

    def reports(self):
        """Where the sanitizers of this stage write what they find, one file a process."""
        return LOGS / "sanitizer" / self.name


# ---- running commands ----


def start_group(command, stage, env):
    """Runs a command in a process group of its own, its output into the stage's log."""
    with open(stage.log(), "ab") as log:
        log.write(f"$ {' '.join(map(str, command))}\n".encode())
        log.flush()
        return subprocess.Popen(
            list(map(str, command)),
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def execute(command, stage, timeout=2400, **more_env):
    """Returns (exit status, problems): the problems are what the status does not tell."""
    env = os.environ | sanitizer_env(stage) | {k: str(v) for k, v in more_env.items()}
    mark = f"{os.getpid()}-{stage.name}"
    env["HOLDFAST_TEST_STAGE"] = mark
    process = start_group(command, stage, env)
    RUNNING.add(process)
    problems = []
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        kill_group(process)
        status = process.wait()
        problems.append(f"took longer than {timeout} s and was killed")
    finally:
        RUNNING.discard(process)
    problems += [f"left a process behind: {what}" for what in end_leftovers(mark)]
    problems += sanitizer_findings(stage)
    return status, problems


RUNNING = set()


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_leftovers(mark):
    """Kills what still runs with this stage's mark in its environment; returns the command lines."""
    wanted = f"HOLDFAST_TEST_STAGE={mark}".encode()
    left = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if command:  # a zombie has none
                os.kill(int(entry.name), signal.SIGKILL)
                left.append(command.strip())
        except (OSError, ValueError):
            continue
    return left


def sanitizer_env(stage):
    """Reports go to files, so that one inside a daemon is found even if the test looks elsewhere. malloc fails as in life."""
    log = f"log_path={stage.reports()}:allocator_may_return_null=1"
    return {
        "ASAN_OPTIONS": f"{log}:detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": f"{log}:print_stacktrace=1:halt_on_error=1",
        "TSAN_OPTIONS": f"{log}:halt_on_error=1:second_deadlock_stack=1",
        "LSAN_OPTIONS": "print_suppressions=0",
    }


FINDING = re.compile(r"SUMMARY: .*|.*runtime error: .*|.*CHECK failed: .*|.*Sanitizer:DEADLYSIGNAL.*")


def sanitizer_findings(stage):
    found = []
    for report in sorted(stage.reports().parent.glob(f"{stage.name}.[0-9]*")):
        text = report.read_text(errors="replace")
        finding = FINDING.search(text)
        if not finding:  # a warning, as of an allocation that failed
            continue
        with open(stage.log(), "a", encoding="utf-8") as log:
            log.write(f"---- {report.name}\n{text}\n")
        found.append(finding.group(0).strip())
        report.unlink()
    return found


# ---- kinds of stages ----


def build(kind):
    def run(stage):
        status, problems = execute([ROOT / "dev", "build", kind], stage)
        if status != 0 and not problems:
            problems.append("the build failed")
        return Outcome(problems=problems)

    return Stage(f"build-{kind}", run)


def meson(name, kind, suites, wrapper=None, slow=1):
    """The C tests of one build: those of the suites, as tests/*/meson.build name them."""

    def run(stage):
        if not list((ROOT / "tests" / "unit").rglob("test_*.c")):
            return Outcome(empty="no tests yet")
        command = ["meson", "test", "-C", BUILD / kind, "--no-rebuild", "--print-errorlogs"]
        command += ["--logbase", f"log-{name}", "--timeout-multiplier", slow, "--num-processes", CORES]
        for suite in suites:
            command += ["--suite", suite]
        if wrapper:
            command += ["--wrap", wrapper]
        results = BUILD / kind / "meson-logs" / (f"log-{name}" + (f"-{wrapper.split()[0]}" if wrapper else ""))
        results = results.with_name(results.name + ".json")
        results.unlink(missing_ok=True)
        status, problems = execute(command, stage, HOLDFAST_TEST_TOOL="valgrind" if wrapper else kind)
        tests = meson_results(results)
        if status != 0 and not problems and "failed" not in tests.values():
            problems.append(f"meson test ended with {status}")
        return Outcome(tests, problems or none_run(tests))

    return Stage(name, run, needs=(f"build-{kind}",))


def meson_results(path):
    """Reads meson's testlog: one JSON object a program; a cmocka program's TAP lines are its cases."""
    tests = {}
    if not path.exists():
        return tests
    for line in path.read_text(errors="replace").splitlines():
        program = json.loads(line)
        name = program["name"].split(" / ")[-1]
        passed = program["result"] in ("OK", "EXPECTEDFAIL")
        output = program.get("stdout", "")
        cases = dict(tap_cases(output))
        tests |= {f"{name}: {case}": result for case, result in cases.items()}
        if not cases:
            tests[name] = {"OK": "passed", "SKIP": "skipped"}.get(program["result"], "failed")
        elif "failed" not in cases.values() and (not passed or len(cases) < tap_plan(output)):
            tests[name] = "failed"  # it crashed, timed out, leaked after its last case, or left before it
    return tests


def tap_cases(text):
    """(name, result) of each case; a case that was skipped has no name in cmocka 1.1.5, and is 'not ok'."""
    for match in re.finditer(r"^(not )?ok (\d+)(?: -)? ?(.*)$", text, re.MULTILINE):
        case, _, directive = match.group(3).partition("#")
        name = case.strip() or f"case {match.group(2)}"
        if directive.strip().upper().startswith("SKIP"):
            yield name, "skipped"
        else:
            yield name, "failed" if match.group(1) else "passed"


def tap_plan(text):
    """How many cases the program said it would run."""
    return sum(int(count) for count in re.findall(r"^1\.\.(\d+)$", text, re.MULTILINE))


def pytest(name, folders, binary, needs, marks="not long", workers=CORES, only_marked=None):
    """Tests in Python. Suites run the sanitized binary; with only_marked, just the tests that carry that mark."""

    def run(stage):
        files = [f for folder in folders for f in sorted((ROOT / folder).rglob("test_*.py"))]
        if only_marked:
            files = [f for f in files if f"mark.{only_marked}" in f.read_text()]
        if not files:
            return Outcome(empty="no tests yet")
        results = LOGS / f"{name}.xml"
        results.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest"]
        command += ["-q", "--tb=short", "-rfE", "-p", "no:cacheprovider", f"--junitxml={results}", "-m", marks]
        command += ["-n", workers] if workers > 1 else []
        status, problems = execute([*command, *files], stage, **binaries(binary))
        tests = pytest_results(results)
        if status not in (0, 5) and not problems and "failed" not in tests.values():
            problems.append(f"pytest ended with {status}")
        return Outcome(tests, problems or none_run(tests))

    return Stage(name, run, needs=needs)


def binaries(kind):
    return {
        "HOLDFAST_BIN": BUILD / kind / "src" / "holdfast",
        "HOLDFAST_BIN_PLAIN": BUILD / "debug" / "src" / "holdfast",
        "HOLDFAST_BIN_RELEASE": BUILD / "release" / "src" / "holdfast",
        "HOLDFAST_TEST_TOOL": kind,
    }


def pytest_results(path):
    tests = {}
    if not path.exists():
        return tests
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            tests[name] = "failed"
        elif tests.get(name) != "failed":
            tests[name] = "skipped" if "skipped" in kinds else "passed"
    return tests


def none_run(tests):
    return [] if any(result != "skipped" for result in tests.values()) else ["no test ran, though there are some"]


def all_stages(long):
    suites = [f"tests/{suite}" for suite in SUITES]
    built = ("build-asan", "build-debug", "build-release")

    def marks(*wanted):
        return " and ".join((*wanted, *(() if long else ("not long",))))

    # What waits most comes first, so that what computes fills the time beside it; the longest of each kind first.
    return [
        build("asan"),
        build("debug"),
        build("release"),
        *(pytest(server, suites, "asan", built, marks(server)) for server in SERVERS),
        build("tsan"),
        meson("unit-valgrind", "debug", ("valgrind",), wrapper=VALGRIND, slow=10),
        meson("unit-asan", "asan", ("unit", "fuzz"), slow=3),
        *(pytest(suite, [f"tests/{suite}"], "asan", built, marks(*(f"not {s}" for s in SERVERS))) for suite in SUITES),
        meson("unit-tsan", "tsan", ("threads",), slow=5),
        pytest("threads-tsan", suites, "tsan", ("build-tsan", "build-debug", "build-release"), marks("threads"), only_marked="threads"),
        meson("unit", "debug", ("unit", "fuzz")),
        pytest("tools", ["tools"], "debug", (), workers=1),
    ]  # fmt: skip


# ---- the schedule ----


class Run:
    """Starts stages in their order as soon as what they need is done and a slot is free; only this thread prints."""

    def __init__(self, stages):
        self.waiting = list(stages)
        self.names = {stage.name for stage in stages}
        self.running = {}
        self.outcomes = {}
        self.done = threading.Condition()

    def finish(self):
        with self.done:
            while self.waiting or self.running:
                self._start_what_can()
                self.done.wait()
                for stage, outcome, seconds in self._take_finished():
                    self.outcomes[stage.name] = outcome
                    report(stage, outcome, seconds)
        return self.outcomes

    def _start_what_can(self):
        for stage in list(self.waiting):
            # Builds use all cores by themselves: one at a time, beside stages of tests.
            building = any(name.startswith("build-") for name in self.running)
            if stage.name.startswith("build-") and building:
                continue
            if len(self.running) > max(2, CORES):
                return
            needed = [need for need in stage.needs if need in self.names]
            if any(need not in self.outcomes for need in needed):
                continue
            self.waiting.remove(stage)
            self._start(stage, [need for need in needed if self.outcomes[need].failed()])

    def _start(self, stage, broken):
        self.running[stage.name] = stage
        threading.Thread(target=self._run, args=(stage, broken), daemon=True).start()

    def _run(self, stage, broken):
        start = time.monotonic()
        try:
            outcome = Outcome(problems=[f"not run: {', '.join(broken)} failed"]) if broken else stage.run(stage)
        except Exception as error:  # a fault of this script must not look like success
            outcome = Outcome(problems=[f"{type(error).__name__}: {error}"])
        with self.done:
            self.running[stage.name].result = (outcome, time.monotonic() - start)
            self.done.notify()

    def _take_finished(self):
        for name, stage in list(self.running.items()):
            if hasattr(stage, "result"):
                del self.running[name]
                yield stage, *stage.result


def report(stage, outcome, seconds):
    results = list(outcome.tests.values())
    counts = [f"{results.count(r)} {r}" for r in ("passed", "failed", "skipped") if r in results]
    state = "FAIL" if outcome.failed() else "ok"
    print(f"{state:5}{stage.name:15}{seconds:6.1f} s   {outcome.empty or ', '.join(counts)}", flush=True)
    if not outcome.failed():
        return
    for problem in outcome.problems[:10]:
        print(f"     {problem}")
    for name in [n for n, result in outcome.tests.items() if result == "failed"][:20]:
        print(f"     failed: {name}")
    if stage.log().exists():
        print(f"     ---- the end of {os.path.relpath(stage.log(), ROOT)}")
        for line in stage.log().read_text(errors="replace").splitlines()[-TAIL_LINES:]:
            print(f"     {line}")
    sys.stdout.flush()


def totals(outcomes):
    """(passed, failed, skipped): each test once, whatever the number of stages that ran it."""
    verdicts = {}
    rank = {"skipped": 0, "passed": 1, "failed": 2}
    for stage_name, outcome in outcomes.items():
        for name, result in outcome.tests.items():
            if rank[result] >= rank[verdicts.get(name, "skipped")]:
                verdicts[name] = result
        if outcome.problems:
            verdicts[f"stage {stage_name}"] = "failed"
    counts = list(verdicts.values())
    return counts.count("passed"), counts.count("failed"), counts.count("skipped")


def chosen(stages, wanted):
    """The stages named, and those they need."""
    by_name = {stage.name: stage for stage in stages}
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        sys.exit(f"no stage {', '.join(unknown)}; there are: {' '.join(by_name)}")
    keep = set()
    for name in wanted:
        keep |= {name, *by_name[name].needs}
    return [stage for stage in stages if not wanted or stage.name in keep]


def interrupted(*_):
    for process in list(RUNNING):
        kill_group(process)
    os._exit(130)


def main():
    parser = argparse.ArgumentParser(prog="./dev test", description="Runs everything, or the stages named.")
    parser.add_argument("--long", action="store_true", help="with the tests marked long (hours)")
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    arguments = parser.parse_args()
    stages = chosen(all_stages(arguments.long), arguments.stages)
    if arguments.long:
        os.environ["HOLDFAST_LONG"] = "1"
    (LOGS / "sanitizer").mkdir(parents=True, exist_ok=True)
    for stage in stages:
        stage.log().unlink(missing_ok=True)
        for old in stage.reports().parent.glob(f"{stage.name}.*"):
            old.unlink()
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)

    start = time.monotonic()
    passed, failed, skipped = totals(Run(stages).finish())
    print(f"in {time.monotonic() - start:.0f} s" + (f", {skipped} skipped" if skipped else ""))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
