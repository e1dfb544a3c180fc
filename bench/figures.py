"""The figures of issue 3, each against its named peer in one run, on temporary homes."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.parse

from kit import CACHE, Figure, Home, Load, Text, binary, lags, median, quantile, recovered_s, run, shell_s, timed, write_rows

ROUNDS = 7  # of short measurements, ours and the peer's in turn


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def us(value: float) -> str:
    return f"{value:.0f} us"


def times(value: float) -> str:
    return f"{value:.2f} x"


# ---- the hot path ----


def remember(folder: pathlib.Path, load: Load):
    """A bare commit and a remember in turn, so that both meet the same disk."""
    ours, peers = [], []
    with Home(folder).start() as home:
        load("remember", home.path, 2000)
        for i in range(ROUNDS * 2):
            peers.append(load("sqlite", folder / f"bare{i}.db", 1000)["p50_us"])
            ours.append(load("remember", home.path, 1000)["p50_us"])
    ratio = median(a / b for a, b in zip(ours, peers, strict=True))
    spread = f"; rounds {min(ours):.0f} to {max(ours):.0f}, peer {min(peers):.0f} to {max(peers):.0f}"
    yield Figure("one remember, durable, p50" + spread, us(median(ours)), us(median(peers)), times(ratio), "<= 1.3 x", ratio <= 1.3)


def clients(folder: pathlib.Path, load: Load):
    one, many = [], []
    with Home(folder).start() as home:
        load("remember", home.path, 2000)
        for _ in range(ROUNDS):
            one.append(load("remember", home.path, 1000)["per_second"])
            many.append(load("crowd", home.path, 64 * 200, 64)["per_second"])
    ratio = median(b / a for a, b in zip(one, many, strict=True))
    yield Figure("64 clients remembering (connections of one load thread); the peer is one client", f"{median(many):.0f}/s", f"{median(one):.0f}/s", times(ratio), ">= 15 x", ratio >= 15)


def lag(folder: pathlib.Path, load: Load):
    with Home(folder).start() as home:
        load.text("paced", home.path, 50, 100)
        home.sync()
        took = lags(home, load, 15)
    p50, p99 = quantile(took, 0.5), quantile(took, 0.99)
    yield Figure("lag to the file vault at 100/s, p50", ms(p50), target="<= 10 ms", reached=p50 <= 0.010)
    yield Figure("lag to the file vault at 100/s, p99", ms(p99), target="<= 50 ms", reached=p99 <= 0.050)


def hold(folder: pathlib.Path, _load: Load):
    """Eleven deletions of one agent: the eleventh is beyond the threshold, and its answer says held."""
    bursts, size, took = 200, 11, []
    with Home(folder).start() as home, home.door() as door:
        lines = folder / "rows.jsonl"
        lines.write_text("".join(json.dumps({"content": text, "project_id": "bench"}) + "\n" for text in Text().rows(20000)))
        home.call("import", str(lines))
        ids = [m["id"] for m in door.call("GET", "/api/memory?project_id=bench")[: bursts * size]]
        for i in range(bursts):
            door.agent = f"agent-{i}"
            for id in ids[i * size : i * size + size - 1]:
                door.call("DELETE", f"/api/memory/{id}")
            begun = time.perf_counter()
            answer = door.call("DELETE", f"/api/memory/{ids[i * size + size - 1]}")[0]
            took.append(time.perf_counter() - begun)
            if answer["sync_status"] != "held":
                raise RuntimeError(f"burst {i} was not held: {answer}")
    p99 = quantile(took, 0.99)
    yield Figure(f"destructive burst to hold, p99 of {bursts} (p50 {ms(median(took))})", ms(p99), target="<= 100 ms", reached=p99 <= 0.1)


# ---- idle, start ----


def _switches(pid: int) -> int:
    total = 0
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        total += int(status.read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


def _rss_mib(pid: int) -> float:
    return int(pathlib.Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def idle(folder: pathlib.Path, load: Load):
    with Home(folder).start() as home:
        pid = home.daemon.pid
        time.sleep(2)
        fresh = _rss_mib(pid)
        load("remember", home.path, 3000)
        load("get", home.path, 20, "/api/memory/search?query=memory&all_projects=true")
        home.sync()
        time.sleep(5)
        before = _switches(pid)
        time.sleep(10)
        wakeups = (_switches(pid) - before) / 10
        rss = _rss_mib(pid)
    yield Figure("idle daemon: RSS, just started", f"{fresh:.1f} MiB", target="<= 15 MiB", reached=fresh <= 15)
    yield Figure("idle daemon: RSS, after 3,000 memories and a search", f"{rss:.1f} MiB", target="<= 15 MiB", reached=rss <= 15)
    yield Figure("idle daemon: wake-ups, all threads, over 10 s", f"{wakeups:.1f}/s", target="0/s", reached=wakeups == 0)


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}
MCP_NPM = "@modelcontextprotocol/server-memory"
MCP_PYPI = "mcp-memory-service"


def _answers_after(args: list[str], env: dict[str, str]) -> float:
    begun = time.perf_counter()
    server = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **env})
    try:
        server.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        took = time.perf_counter() - begun
        if "result" not in answer:
            raise RuntimeError(f"{args[0]}: {answer}")
        return took
    finally:
        server.stdin.close()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()


def _install(folder: pathlib.Path, *args: str) -> str | None:
    """Why it did not install, None when it is there."""
    done = folder / ".complete"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            run(*args, cwd=folder, timeout=600)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as why:
            return str(why).strip().splitlines()[-1][:160]
        done.touch()
    return None


def _mcp_peers(folder: pathlib.Path):
    npm, venv = CACHE / "bench-npm", CACHE / "bench-venv"
    why = _install(npm, "npm", "install", "--no-fund", "--no-audit", MCP_NPM)
    program = [os.environ.get("HOLDFAST_NODE", "node"), str(npm / f"node_modules/{MCP_NPM}/dist/index.js")]
    yield MCP_NPM, program, {"MEMORY_FILE_PATH": str(folder / "memory.jsonl")}, why
    why = _install(venv, "bash", "-c", f"python3 -m venv . && bin/pip install -q --disable-pip-version-check {MCP_PYPI}")
    yield MCP_PYPI, [str(venv / "bin/memory"), "server"], {"MCP_MEMORY_BASE_DIR": str(folder / "pypi")}, why


def mcp(folder: pathlib.Path, _load: Load):
    with Home(folder).start() as home:
        ours = [binary(), "--home", str(home.path), "mcp"]
        _answers_after(ours, {})
        took = median(_answers_after(ours, {}) for _ in range(3 * ROUNDS))
        yield Figure("mcp: process start to answered initialize", ms(took), target="<= 25 ms", reached=took <= 0.025)
        for name, program, env, why in _mcp_peers(folder):
            if why:
                yield Figure(f"mcp against {name}: did not install: {why}", ms(took), target=">= 10 x")
                continue
            _answers_after(program, env)
            pairs = [(_answers_after(ours, {}), _answers_after(program, env)) for _ in range(ROUNDS)]
            ratio = median(peer / own for own, peer in pairs)
            peer = median(peer for _, peer in pairs)
            yield Figure(f"mcp against {name}", ms(median(own for own, _ in pairs)), ms(peer), times(ratio), ">= 10 x", ratio >= 10)


# ---- many ----

IMPORT_SQL = """
PRAGMA journal_mode=WAL;
CREATE TABLE memory(id INTEGER PRIMARY KEY, project TEXT, session TEXT, content TEXT, at INTEGER);
CREATE VIRTUAL TABLE words USING fts5(content, content='', tokenize='porter unicode61');
BEGIN;
.import --csv rows.csv memory
INSERT INTO words(rowid, content) SELECT id, content FROM memory;
COMMIT;
"""


def _sqlite_rows(folder: pathlib.Path, table: pathlib.Path, name: str) -> float:
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir()
    (folder / name / "rows.csv").symlink_to(table)
    (folder / name / "import.sql").write_text(IMPORT_SQL)
    return shell_s("sqlite3 peer.db < import.sql", folder / name)


def import_(folder: pathlib.Path, _load: Load):
    """Until all are durable and all can be found."""
    count, ours, peers = 100_000, [], []
    lines, table = write_rows(folder, count)
    for i in range(3):
        peers.append(_sqlite_rows(folder, table, f"peer{i}"))
        with Home(folder, f"home{i}").start() as home:
            begun = time.perf_counter()
            home.call("import", str(lines))
            imported = time.perf_counter() - begun
            home.call("recall", "--all-projects", "-k", "1", "ba")  # waits for the index
            ours.append((time.perf_counter() - begun, imported))
    whole = median(a for a, _ in ours)
    ratio = median(peer / own for peer, (own, _) in zip(peers, ours, strict=True))
    what = f"import of {count:,}, with full text (acknowledged after {ms(median(b for _, b in ours))})"
    yield Figure(what, f"{count / whole:.0f}/s", f"{count / median(peers):.0f}/s", times(ratio), ">= 0.5 x", ratio >= 0.5)


def recall(folder: pathlib.Path, load: Load):
    count = 100_000
    lines, table = write_rows(folder, count)
    _sqlite_rows(folder, table, "peer")
    queries = Text().queries(200)
    words = [" OR ".join(words) for words in queries]
    paths = [f"/api/memory/search?all_projects=true&query={urllib.parse.quote(' '.join(words))}" for words in queries]
    with Home(folder).start() as home:
        home.call("import", str(lines))
        home.call("recall", "--all-projects", "-k", "1", "ba")
        home.sync()
        load("get", home.path, len(paths), *paths)
        pairs = [(load("get", home.path, 400, *paths), load("fts", folder / "peer" / "peer.db", 400, *words)) for _ in range(ROUNDS)]
    for share in ("p50_us", "p95_us"):
        ours, peer = median(own[share] for own, _ in pairs), median(other[share] for _, other in pairs)
        ratio = median(own[share] / other[share] for own, other in pairs)
        yield Figure(f"recall of three words at {count:,}, {share[:3]}", us(ours), us(peer), times(ratio), "<= 2 x", ratio <= 2)


def _filled(folder: pathlib.Path, count: int) -> Home:
    home = Home(folder, f"home{count}").start()
    lines, table = write_rows(folder, count)
    home.call("import", str(lines))
    home.sync()
    lines.unlink()
    table.unlink()
    return home


def recovery(count: int, limit_s: float, rounds: int, folder: pathlib.Path, _load: Load):
    home = _filled(folder, count)
    home.stop()
    ours, peers = [], []
    for _ in range(rounds):
        peers.append(shell_s(f"rm -f restored.db; sqlite3 home{count}/live/ledger.db .dump | sqlite3 restored.db", folder))
        ours.append(recovered_s(Home(folder, "again", home.vault), count))
    ratio = median(peer / own for peer, own in zip(peers, ours, strict=True))
    yield Figure(f"recovery of {count:,}, validated and active", ms(median(ours)), target=f"<= {limit_s} s", reached=median(ours) <= limit_s)
    yield Figure(f"recovery of {count:,}; the peer dumps and restores the same rows", ms(median(ours)), ms(median(peers)), times(ratio), ">= 1 x", ratio >= 1)


def verify(folder: pathlib.Path, _load: Load):
    count = 1_000_000
    with _filled(folder, count) as home:
        zstd = "for f in origins/*/*.jsonl.zst; do zstdcat $f; done; cat origins/*/*.jsonl"
        shell_s(f"({zstd}) > ../chain", home.vault)
        ours, vaults, peers = [], [], []
        for _ in range(3):
            peers.append(timed("sha256sum", str(folder / "chain")))
            ours.append(timed(binary(), "--home", str(home.path), "verify"))
            vaults.append(timed(binary(), "--home", str(home.path), "verify", "vault"))
    for what, mine in (("the ledger", ours), ("the file vault", vaults)):
        ratio = median(own / peer for own, peer in zip(mine, peers, strict=True))
        yield Figure(f"verify of a chain of {count:,}: {what}", ms(median(mine)), ms(median(peers)), times(ratio), "<= 3 x", ratio <= 3)


FIGURES = {
    "remember": remember,
    "clients": clients,
    "import": import_,
    "lag": lag,
    "recovery-1000": functools.partial(recovery, 1_000, 0.3, ROUNDS * 2),
    "recovery-100000": functools.partial(recovery, 100_000, 5, 3),
    "recovery-1000000": functools.partial(recovery, 1_000_000, 60, 1),
    "recall": recall,
    "mcp": mcp,
    "idle": idle,
    "hold": hold,
    "verify": verify,
}
