#!/usr/bin/env python3
"""Sizes: a file at most 800 lines, a function at most 100, nine functions in ten at most 50."""

import sys
from pathlib import Path
from statistics import median

from csource import functions, project_files, read

FILE_MAX = 800
FUNCTION_MAX = 100
FUNCTION_MOST = 50  # nine in ten are no longer
SHARE_LONGER = 0.1


def check(root):
    """Returns (problems, summary)."""
    problems = []
    file_lengths = []
    all_functions = []
    for path in project_files(root, "src/*.c", "src/*.h", "include/*.h", "tests/*.c", "bench/*.c", "examples/*.c"):
        name = path.relative_to(root)
        text = read(path)
        length = text.count("\n")
        in_source = name.parts[0] == "src"
        if length > FILE_MAX:
            problems.append(f"{name}:{FILE_MAX + 1}: {length} lines; a file has at most {FILE_MAX}")
        if in_source:
            file_lengths.append(length)
        for function in functions(text):
            if in_source:
                all_functions.append((function.length, name, function))
            if function.length > FUNCTION_MAX:
                problems.append(
                    f"{name}:{function.line}: {function.name} has {function.length} lines; "
                    f"a function has at most {FUNCTION_MAX}"
                )
    problems += _share(all_functions)
    return problems, _summary(file_lengths, [length for length, _, _ in all_functions])


def _share(all_functions):
    long = sorted((f for f in all_functions if f[0] > FUNCTION_MOST), key=lambda f: -f[0])
    if len(long) <= SHARE_LONGER * len(all_functions):
        return []
    worst = long[0]
    return [
        f"{worst[1]}:{worst[2].line}: {worst[2].name} has {worst[0]} lines; {len(long)} of "
        f"{len(all_functions)} functions have more than {FUNCTION_MOST}, one in ten may"
    ]


def _summary(file_lengths, function_lengths):
    if not file_lengths or not function_lengths:
        return f"{len(file_lengths)} files, {len(function_lengths)} functions"
    ninth = sorted(function_lengths)[int(len(function_lengths) * 0.9)]
    return (
        f"{len(file_lengths)} files (median {median(file_lengths):.0f} lines), "
        f"{len(function_lengths)} functions (median {median(function_lengths):.0f}, "
        f"nine in ten <= {ninth}, longest {max(function_lengths)})"
    )


def main():
    problems, summary = check(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    for problem in problems:
        print(problem)
    print(summary)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
