"""libholdfast-bolt as others get it: headers that stand alone, names that are its own, an example that builds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ["HOLDFAST_BIN_PLAIN"]).parents[1]
HEADERS = ("bolt.h", "bolt_driver.h")


def run(*command) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("language", ["c", "c++"])
def test_a_header_stands_alone(tmp_path, header, language):
    source = tmp_path / "alone"
    source.write_text(f"#include <holdfast/{header}>\nstruct bolt_error none = BOLT_ERROR_INIT;\n")
    standard = {"c": "-std=c99", "c++": "-std=c++11"}[language]
    warnings = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
    run("clang-14", "-x", language, standard, *warnings, "-fsyntax-only", "-I", ROOT / "include", source)


@pytest.mark.parametrize("library", ["libholdfast-bolt.a", "libholdfast-bolt.so"])
def test_its_names_are_its_own(library):
    dynamic = ["-D"] if library.endswith(".so") else []
    lines = run("nm", "-g", "--defined-only", *dynamic, BUILD / "src" / library).splitlines()
    names = [line.split()[-1] for line in lines if len(line.split()) == 3]
    assert "bolt_open" in names and "bolt_driver_open" in names
    assert [name for name in names if not name.startswith("bolt_")] == []


def test_the_example_builds_with_the_static_library_alone(tmp_path):
    program = tmp_path / "bolt_query"
    library = BUILD / "src" / "libholdfast-bolt.a"
    source = ROOT / "examples" / "bolt_query.c"
    run("gcc", "-Wall", "-Werror", "-I", ROOT / "include", source, library, "-lssl", "-lcrypto", "-lpthread", "-o", program)
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage:")
