"""The test runner: nothing that failed may be counted as passed."""

import json
import os
import subprocess
import sys

import pytest

import testrun
from testrun import Outcome, Run, Stage


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch):
    (tmp_path / "sanitizer").mkdir()
    monkeypatch.setattr(testrun, "LOGS", tmp_path)
    return tmp_path


def run_stages(*stages):
    return Run(stages).finish()


def stage(name, *needs, **result):
    return Stage(name, lambda _: Outcome(**result), needs)


def programs(tmp_path, *rows):
    path = tmp_path / "log.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return testrun.meson_results(path)


def test_tap_cases_are_counted_one_by_one():
    text = "1..4\nok 1 - one\nnot ok 2 - two\n# why\nnot ok 3 # SKIP\nok 4 - four # SKIP why\n"
    assert list(testrun.tap_cases(text)) == [
        ("one", "passed"),
        ("two", "failed"),
        ("case 3", "skipped"),
        ("four", "skipped"),
    ]


def test_a_program_that_leaves_before_its_last_case_is_failed(tmp_path):
    row = {"name": "base/buf", "result": "OK", "stdout": "1..2\nok 1 - a\n"}
    assert programs(tmp_path, row) == {"base/buf: a": "passed", "base/buf": "failed"}


def test_a_program_that_crashes_after_passing_cases_is_failed(tmp_path):
    row = {"name": "holdfast:unit / base/buf", "result": "ERROR", "stdout": "1..2\nok 1 - a\n"}
    assert programs(tmp_path, row) == {"base/buf: a": "passed", "base/buf": "failed"}


def test_a_failed_case_is_not_counted_again_as_its_program(tmp_path):
    row = {"name": "base/buf", "result": "FAIL", "stdout": "1..2\nok 1 - a\nnot ok 2 - b\n"}
    assert programs(tmp_path, row) == {"base/buf: a": "passed", "base/buf: b": "failed"}


def test_a_program_without_cases_counts_as_one(tmp_path):
    assert programs(tmp_path, {"name": "json", "result": "OK", "stdout": "7 inputs\n"}) == {"json": "passed"}
    assert programs(tmp_path, {"name": "json", "result": "TIMEOUT"}) == {"json": "failed"}
    assert programs(tmp_path, {"name": "json", "result": "SKIP"}) == {"json": "skipped"}


def test_pytest_errors_and_failures_both_count_as_failed(tmp_path):
    path = tmp_path / "r.xml"
    path.write_text(
        '<testsuites><testsuite><testcase classname="a" name="x"/><testcase classname="a" name="y"><error/></testcase>'
        '<testcase classname="a" name="z"><failure/></testcase><testcase classname="a" name="s"><skipped/></testcase>'
        "</testsuite></testsuites>"
    )
    assert testrun.pytest_results(path) == {"a::x": "passed", "a::y": "failed", "a::z": "failed", "a::s": "skipped"}


def test_a_test_of_several_stages_counts_once_and_its_failure_wins():
    outcomes = {
        "unit": Outcome({"a": "passed", "b": "passed", "c": "skipped"}),
        "asan": Outcome({"a": "failed", "b": "passed", "c": "skipped"}),
        "valgrind": Outcome({"a": "passed"}, ["left a process behind: x"]),
    }
    assert testrun.totals(outcomes) == (1, 2, 1)


def test_a_stage_whose_need_failed_is_failed_and_not_run():
    ran = []
    after = Stage("after", lambda _: ran.append(1), ("build",))
    outcomes = run_stages(stage("build", problems=["broken"]), after)
    assert outcomes["after"].failed() and not ran


def test_a_stage_that_raises_is_failed():
    assert run_stages(Stage("odd", lambda _: 1 / 0))["odd"].problems == ["ZeroDivisionError: division by zero"]


def test_where_all_tests_are_skipped_none_ran():
    assert testrun.none_run({"a": "skipped"}) and not testrun.none_run({"a": "skipped", "b": "passed"})


def test_a_command_that_hangs_is_ended():
    status, problems = testrun.execute(["sleep", "60"], stage("hang"), timeout=0.2)
    assert status != 0 and problems == ["took longer than 0.2 s and was killed"]


def test_a_process_left_behind_is_ended_and_told():
    _, problems = testrun.execute(["sh", "-c", "setsid sleep 60 & sleep 0.3"], stage("left"))
    assert problems == ["left a process behind: sleep 60"]


def test_a_sanitizer_report_of_a_child_fails_the_stage(tmp_path):
    source = tmp_path / "bad.c"
    source.write_text("#include <stdlib.h>\nint main(void) { int *p = malloc(4); free(p); return *p; }\n")
    program = tmp_path / "bad"
    subprocess.run(["gcc", "-fsanitize=address", "-o", program, source], check=True)
    status, problems = testrun.execute(["sh", "-c", f"{program}; exit 0"], stage("asan"))
    assert status == 0 and len(problems) == 1 and "heap-use-after-free" in problems[0]


def test_a_failed_allocation_is_no_finding(tmp_path):
    source = tmp_path / "big.c"
    source.write_text("#include <stdlib.h>\nint main(int c, char **v) { (void)v; return malloc(-1ul / 2 / c) != 0; }\n")
    program = tmp_path / "big"
    subprocess.run(["clang-14", "-fsanitize=address,undefined", "-o", program, source], check=True)
    assert testrun.execute([program], stage("asan")) == (0, [])


def test_the_whole_run_ends_with_the_counts_and_exit_1_on_a_failure(tmp_path):
    script = (
        "import testrun, sys; from testrun import Stage, Outcome; "
        "testrun.all_stages = lambda long: [Stage('a', lambda s: Outcome({'x': 'passed', 'y': sys.argv.pop()}))]; "
        "import pathlib; testrun.LOGS = pathlib.Path('logs'); testrun.ROOT = pathlib.Path('.'); "
        "result = sys.argv[-1]; sys.argv[1:] = []; sys.argv.append(result); "
        "testrun.argparse.ArgumentParser.parse_args = lambda s: type('A', (), {'long': 0, 'stages': []}); "
        "sys.exit(testrun.main())"
    )
    for result, status, last in (("passed", 0, "2 passed, 0 failed"), ("failed", 1, "1 passed, 1 failed")):
        env = os.environ | {"PYTHONPATH": os.path.dirname(testrun.__file__)}
        done = subprocess.run(
            [sys.executable, "-c", script, result], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout.splitlines()[-1]) == (status, last), done.stderr
