#!/usr/bin/env python3
"""Include arrows: a module may include itself and what lies upstream of it (docs/design.md, Layout)."""

import re
import sys
from pathlib import Path

from csource import project_files, read

_LEDGER = {"base", "model", "ledger"}
_PARTS = _LEDGER | {"vault", "source", "guard", "search", "session"}
_ENGINE = _PARTS | {"replicate", "recover", "engine"}

# module: what it may include besides itself
MAY_INCLUDE = {
    "base": set(),
    "model": {"base"},
    "ledger": {"base", "model"},
    "bolt": {"base"},
    "vault": _LEDGER | {"bolt"},
    "source": _LEDGER,
    "guard": _LEDGER,
    "search": _LEDGER,
    "session": _LEDGER,
    "replicate": _PARTS,
    "recover": _PARTS,
    "engine": _PARTS | {"replicate", "recover"},
    "api": _ENGINE,
    "cli": _ENGINE | {"api"},
}

_INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def check(root):
    """Yields 'file:line: what is wrong'."""
    for path in project_files(root, "src/*.c", "src/*.h", "src/*.def"):
        name = path.relative_to(root)
        module = name.parts[1]
        if module not in MAY_INCLUDE:
            yield f"{name}:1: '{module}' is no module of the design"
            continue
        for number, line in enumerate(read(path).split("\n"), 1):
            match = _INCLUDE.match(line)
            if match:
                problem = _judge(root, module, match.group(1))
                if problem:
                    yield f"{name}:{number}: {problem}"


def _judge(root, module, target):
    other, slash, _ = target.partition("/")
    if target.startswith("holdfast/"):
        return None if (root / "include" / target).is_file() else f'"{target}" does not exist'
    if not slash:
        return f'"{target}" must be included with its module, as "{module}/{target}"'
    if other not in MAY_INCLUDE:
        return f"\"{target}\": '{other}' is no module of the design"
    if other != module and other not in MAY_INCLUDE[module]:
        return f'{module} may not include "{target}": against the arrows of the design'
    return None


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    problems = list(check(root))
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
