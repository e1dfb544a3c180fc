#!/usr/bin/env python3
"""The tree: banned functions, files that no list builds, paths of one machine, lock files that name a registry."""

import re
import sys
from pathlib import Path

from csource import code_only, project_files, read

BANNED = "strcpy strcat sprintf vsprintf strtok atoi atol localtime gmtime gets strncpy".split()

_BANNED = re.compile(r"(?<![\w.])(?<!->)(" + "|".join(BANNED) + r")\s*\(")
_MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_./-])/(work|farm|root)/")
_LISTED = re.compile(r"'([^']+)'")


def banned_functions(root):
    for path in project_files(root, "src/*.[ch]", "include/*.h", "tests/*.[ch]", "bench/*.[ch]", "examples/*.c"):
        name = path.relative_to(root)
        if name == Path("src/base/banned.h"):
            continue
        for number, line in enumerate(code_only(read(path)).split("\n"), 1):
            for match in _BANNED.finditer(line):
                yield f"{name}:{number}: {match.group(1)} is banned (src/base/banned.h says what to use)"


def unbuilt_files(root):
    """A source or a test that stands in no meson.build is never compiled and proves nothing."""
    for path in project_files(root, "src/*.c"):
        name = path.relative_to(root)
        listed = _LISTED.findall(_list_of(path.parent))
        if path.name not in listed:
            yield f"{name}:1: is not listed in {name.parent}/meson.build"
    for kind, pattern, prefix in (("unit", "tests/unit/*.c", "test_"), ("fuzz", "tests/fuzz/*.c", "fuzz_")):
        folder = root / "tests" / kind
        listed = _LISTED.findall(_list_of(folder))
        for path in project_files(root, pattern):
            if path.name.startswith(prefix):
                inside = path.relative_to(folder)
                test = (inside.parent / inside.stem.removeprefix(prefix)).as_posix()
                if test not in listed:
                    yield f"{path.relative_to(root)}:1: '{test}' is not listed in tests/{kind}/meson.build"


def _list_of(folder):
    listing = folder / "meson.build"
    return re.sub(r"#[^\n]*", "", read(listing)) if listing.is_file() else ""


def machine_paths(root):
    for path in project_files(root):
        raw = path.read_bytes()
        if b"\0" in raw:
            continue
        for number, line in enumerate(raw.decode("utf-8", "replace").split("\n"), 1):
            if _MACHINE_PATH.search(line):
                yield f"{path.relative_to(root)}:{number}: a path of one machine: {line.strip()[:80]}"


def lock_files(root):
    for path in project_files(root, "package-lock.json", "*/package-lock.json"):
        for number, line in enumerate(read(path).split("\n"), 1):
            if '"resolved":' in line:
                yield f"{path.relative_to(root)}:{number}: names a registry; strip 'resolved'"


def check(root):
    """Yields 'file:line: what is wrong'."""
    yield from banned_functions(root)
    yield from unbuilt_files(root)
    yield from machine_paths(root)
    yield from lock_files(root)


def main():
    problems = list(check(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
