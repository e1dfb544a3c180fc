"""C source as the lints need it: text without comments and literals, its functions, its files."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_COMMENT_OR_LITERAL = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL
)
_CALL_NAME = re.compile(r"([A-Za-z_]\w*)\s*\(")


@dataclass
class Function:
    name: str
    line: int
    length: int  # lines from its name to its closing brace


def _blank(match):
    text = match.group(0)
    if text[0] in "\"'":
        return text[0] + " " * (len(text) - 2) + text[0]
    return re.sub(r"[^\n]", " ", text)


def code_only(text):
    """The text with comments and the insides of literals blanked; lines and columns stay."""
    return _COMMENT_OR_LITERAL.sub(_blank, text)


def functions(text):
    """The functions defined in a file laid out by clang-format: `{` and `}` stand alone in column 0."""
    lines = code_only(text).split("\n")
    found = []
    start = None
    for number, line in enumerate(lines):
        if line.rstrip() == "{" and start is None:
            start = _signature_start(lines, number)
        elif line.startswith("}") and start is not None:
            signature = " ".join(lines[start : number + 1])
            name = _CALL_NAME.search(signature)
            found.append(Function(name.group(1) if name else "?", start + 1, number - start + 1))
            start = None
    return found


def _signature_start(lines, brace):
    """The first line of the declaration that ends above the brace."""
    first = brace
    while first > 0:
        above = lines[first - 1].strip()
        if above == "" or above[-1] in ";}" or above.startswith("#"):
            break
        first -= 1
    return first


def project_files(root, *patterns):
    """Tracked and new files of the project, without what git ignores, sorted."""
    command = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [root / name for name in sorted(set(listed.splitlines())) if (root / name).is_file()]


def read(path):
    return Path(path).read_text(encoding="utf-8", errors="replace")
