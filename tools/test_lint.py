"""The lints, on a project of bad samples: each must be found, at its line, and the good file must pass."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

import lint
import lint_includes
import lint_sizes
import lint_tree
from csource import code_only, functions

# Written in pieces, or this file would break the rule that it tests.
MACHINE_PATH = "/ro" + "ot/x"


@pytest.fixture
def project(tmp_path):
    """An empty project; write(name, text) adds a file."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return type("Project", (), {"root": tmp_path, "write": staticmethod(write)})


def found(problems, *wanted):
    """Exactly these problems, each given by how it begins."""
    problems = list(problems)
    assert len(problems) == len(wanted), problems
    for problem, beginning in zip(sorted(problems), sorted(wanted)):
        assert problem.startswith(beginning), problem


def function_of(lines, name="f"):
    return f"static int {name}(void)\n{{\n" + "    x();\n" * (lines - 3) + "}\n"


def test_an_include_against_the_arrow_is_found(project):
    project.write("src/base/a.c", '#include "base/a.h"\n#include "ledger/journal.h"\n')
    found(lint_includes.check(project.root), 'src/base/a.c:2: base may not include "ledger/journal.h"')


def test_siblings_may_not_include_each_other(project):
    project.write("src/vault/a.c", '#include "guard/rules.h"\n')
    project.write("src/recover/a.c", '#include "replicate/x.h"\n')
    project.write("src/api/a.c", '#include "cli/x.h"\n')
    found(lint_includes.check(project.root), "src/api/a.c:1:", "src/recover/a.c:1:", "src/vault/a.c:1:")


def test_what_lies_upstream_may_be_included(project):
    project.write("src/recover/a.c", '#include "base/a.h"\n#include "vault/v.h"\n#include "search/s.h"\n')
    project.write("src/cli/a.c", '#include "api/client.h"\n#include "engine/engine.h"\n')
    found(lint_includes.check(project.root))


def test_an_include_without_its_module_and_an_unknown_module_are_found(project):
    project.write("src/base/a.c", '#include "a.h"\n')
    project.write("src/base/b.c", '#include "misc/b.h"\n')
    project.write("src/misc/c.c", "")
    found(lint_includes.check(project.root), "src/base/a.c:1:", "src/base/b.c:1:", "src/misc/c.c:1:")


def test_a_file_may_have_800_lines_and_no_more(project):
    project.write("src/base/good.c", "\n" * 800)
    project.write("src/base/bad.c", "\n" * 801)
    found(lint_sizes.check(project.root)[0], "src/base/bad.c:801: 801 lines")


def test_a_function_may_have_100_lines_and_no_more(project):
    short = "".join(function_of(5, f"s{n}") for n in range(20))
    project.write("src/base/a.c", short + function_of(100, "good") + "\n" + function_of(101, "bad"))
    found(lint_sizes.check(project.root)[0], "src/base/a.c:202: bad has 101 lines")


def test_more_than_one_function_in_ten_over_50_lines_is_found(project):
    short = "".join(function_of(50, f"s{n}") for n in range(9))
    project.write("src/base/a.c", short + function_of(51, "one"))
    found(lint_sizes.check(project.root)[0])
    project.write("src/base/b.c", function_of(52, "two"))
    found(lint_sizes.check(project.root)[0], "src/base/b.c:1: two has 52 lines; 2 of 11")


def test_functions_are_found_with_their_name_line_and_length():
    text = (
        "struct x {\n    int a;\n};\n\n"
        "/* a comment with\n{\n}\n*/\n"
        "static int\nlong_name(int a,\n          int b)\n{\n    return 1;\n}\n"
        "static const int table[] = {\n    1,\n};\n"
    )
    (only,) = functions(text)
    assert (only.name, only.line, only.length) == ("long_name", 9, 6)


def test_comments_and_literals_are_blanked_in_place():
    text = "a(\"str\\\"cpy(\"); /* gets(\n */ b('\"'); // c(\nd"
    code = code_only(text)
    assert len(code) == len(text) and code.count("\n") == 2
    assert "cpy" not in code and "gets" not in code and "c(" not in code
    assert "a(" in code and "b(" in code and code.endswith("d")


@pytest.mark.parametrize("name", lint_tree.BANNED)
def test_a_banned_function_is_found(project, name):
    project.write("tests/unit/base/helper.c", f"int x;\n    y = {name} (a, b);\n")
    found(lint_tree.check(project.root), f"tests/unit/base/helper.c:2: {name} is banned")


def test_names_that_only_look_banned_pass(project):
    text = 'my_strcpy(a); p->gets(b); ops.sprintf(c); snprintf(d); /* strcpy(x) */ "atoi(1)"; strcpy_count = 1;\n'
    project.write("tests/unit/base/helper.c", text)
    found(lint_tree.check(project.root))


def test_a_source_or_test_that_nothing_builds_is_found(project):
    project.write("src/base/meson.build", "base_src = files(\n  'in.c',\n  # 'out.c',\n)\n")
    project.write("src/base/in.c", "")
    project.write("src/base/out.c", "")
    project.write("tests/unit/meson.build", "unit_tests = [\n  'base/in',\n]\n")
    project.write("tests/unit/base/test_in.c", "")
    project.write("tests/unit/base/test_out.c", "")
    project.write("tests/fuzz/meson.build", "fuzz_targets = ['in']\n")
    project.write("tests/fuzz/fuzz_in.c", "")
    project.write("tests/fuzz/fuzz_out.c", "")
    found(
        lint_tree.check(project.root),
        "src/base/out.c:1:",
        "tests/fuzz/fuzz_out.c:1: 'out'",
        "tests/unit/base/test_out.c:1: 'base/out'",
    )


def test_a_path_of_one_machine_is_found_in_any_text(project):
    project.write("docs/a.md", f"fine\nsee {MACHINE_PATH} there\n")
    project.write("docs/b.md", "see lib" + MACHINE_PATH + " and https://example.org" + MACHINE_PATH + "\n")
    project.write("docs/ignored.md", MACHINE_PATH)
    project.write(".gitignore", "ignored.md\n")
    found(lint_tree.check(project.root), "docs/a.md:2: a path of one machine")


def test_a_lock_file_that_names_a_registry_is_found(project):
    project.write("tests/npm/package-lock.json", '{\n  "resolved": "https://example.org/a.tgz"\n}\n')
    found(lint_tree.check(project.root), "tests/npm/package-lock.json:2: names a registry")


# ---- the lints that are other people's programs: that they run, look at each file, and that their complaints arrive ----


@pytest.fixture
def compiled(project, monkeypatch):
    """add(name, text) writes a file and tells the compile database of it; complaints come from lint.py itself."""
    build = project.root / "build"
    build.mkdir()
    for settings in (".clang-format", ".clang-tidy"):
        project.write(settings, (lint.ROOT / settings).read_text())
    project.write(".gitignore", "/build/\n")
    monkeypatch.setattr(lint, "ROOT", project.root)
    entries = []

    def add(name, text):
        project.write(name, text)
        command = f"clang-14 -Wall -MD -MQ x.o -MF x.o.d -o x.o -c ../{name}"
        entries.append({"directory": str(build), "file": f"../{name}", "command": command, "output": "x.o"})
        (build / "compile_commands.json").write_text(json.dumps(entries))

    return type("Compiled", (), {"build": build, "add": staticmethod(add)})


GOOD = "int one(void);\n\nint one(void)\n{\n    return 1;\n}\n"
LEAK = '#include <stdio.h>\n\nint f(void);\n\nint f(void)\n{\n    char a[2] = "x";\n    a[2] = 0;\n    return a[0];\n}\n'


def tidy(compiled):
    with ThreadPoolExecutor(2) as pool:
        return lint.lint_tidy(compiled.build, pool)


def test_layout_is_checked(compiled):
    compiled.add("src/base/good.c", GOOD)
    compiled.add("src/base/bad.c", "int x;\nint  y ;\n")
    assert lint.lint_format() == "src/base/bad.c:2: is not laid out as .clang-format says (./dev format)"


def test_clang_tidy_complains_until_the_file_is_mended(compiled):
    bad = "int f(const int *p);\n\nint f(const int *p)\n{\n    return p == 0 ? *p : 1;\n}\n"
    compiled.add("src/base/good.c", GOOD)
    compiled.add("src/base/bad.c", bad)
    for _ in range(2):  # a complaint is not remembered as passed
        assert tidy(compiled).startswith("src/base/bad.c:5:"), tidy(compiled)
        assert "good.c" not in tidy(compiled)
    compiled.add("src/base/bad.c", GOOD)
    assert tidy(compiled) == ""
    compiled.add("src/base/bad.c", bad)
    assert "core.NullDereference" in tidy(compiled)


def test_a_warning_of_the_compiler_is_a_complaint(compiled):
    compiled.add("src/base/bad.c", "int f(void);\n\nint f(void)\n{\n    int unused;\n    return 1;\n}\n")
    assert tidy(compiled).startswith("src/base/bad.c:5:") and "unused" in tidy(compiled)


def test_a_file_that_does_not_compile_is_a_complaint(compiled):
    compiled.add("src/base/bad.c", "int f(void)\n{\n")
    assert "src/base/bad.c" in tidy(compiled)


def test_cppcheck_complains(compiled):
    compiled.add("src/base/good.c", GOOD)
    assert lint.lint_cppcheck(compiled.build) == ""
    compiled.add("src/base/bad.c", LEAK)
    complaint = lint.lint_cppcheck(compiled.build)
    assert complaint.startswith("src/base/bad.c:8: error:") and "arrayIndexOutOfBounds" in complaint
