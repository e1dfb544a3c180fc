"""What client.c does, with the official Python driver: `client.py write FOLDER URI BATCH | read FOLDER URI STATEMENT`.

The driver is used as its documentation says: managed transactions, rows by UNWIND, the database named. CPU is that of this
process from the first request to the last reply; the memories are in memory before.
"""

from __future__ import annotations

import array
import datetime
import json
import os
import pathlib
import resource
import sys
import time

import neo4j

DIMENSIONS = 384


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def load(folder: pathlib.Path) -> list[dict]:
    vectors = array.array("f", (folder / "vectors.f32").read_bytes())
    memories = []
    with (folder / "rows.jsonl").open() as lines:
        for i, line in enumerate(lines):
            memory = json.loads(line)
            memory["at"] = datetime.datetime.fromtimestamp(memory["at_us"] / 1e6, datetime.UTC)
            memory["vector"] = vectors[i * DIMENSIONS : (i + 1) * DIMENSIONS].tolist()
            memories.append(memory)
    return memories


def place(memory: dict) -> dict:
    return {"id": memory["id"], "origin": memory["origin"], "seq": memory["seq"]}


def added(memory: dict) -> dict:
    same = {key: memory[key] for key in ("seq", "id", "at", "project_id", "session_id", "prev", "hash", "record")}
    return same | {"op": "put", "version": 1, "source": "bench"}


def shown(memory: dict) -> dict:
    fields = {
        "content": memory["content"],
        "memory_type": "learning",
        "importance": 0.5,
        "source_project": memory["project_id"],
        "session_id": memory["session_id"],
        "tags": ["bench", "speed"],
        "scope": "project",
        "metadata": "{}",
        "task_id": None,
        "created_at": memory["at"],
        "updated_at": memory["at"],
        "deleted_at": None,
    }
    return place(memory) | {"sync_version": 1, "fields": fields}


def in_session(memory: dict) -> dict:
    return place(memory) | {"session_id": memory["session_id"], "project_id": memory["project_id"]}


def embedding(memory: dict) -> dict:
    return {
        "id": memory["id"],
        "origin": memory["origin"],
        "version": 1,
        "at": memory["at"],
        "model": "bench",
        "digest": "bench",
        "vector": memory["vector"],
    }


ROWS = {
    "ORIGIN_LOCK": None,
    "ADD_OF_MEMORY": added,
    "SHOW_MEMORY": shown,
    "SHOW_IN_SESSION": in_session,
    "SHOW_EMBEDDING": embedding,
    "COUNT_SESSIONS": place,
}


def transaction(tx: neo4j.ManagedTransaction, statements: dict, memories: list[dict]) -> None:
    for name in statements["TRANSACTION"]:
        rows = [ROWS[name](memory) for memory in memories] if ROWS[name] else []
        tx.run(statements[name], origin=memories[0]["origin"], copy=1, kind="memory", rows=rows)


def write(session: neo4j.Session, statements: dict, memories: list[dict], batch: int) -> tuple[int, float]:
    for start in range(0, len(memories), batch):
        session.execute_write(transaction, statements, memories[start : start + batch])
    return len(memories), 0


def used(value) -> float:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, float):
        return value
    if isinstance(value, list):
        return value[0] + value[-1] if isinstance(value[0], float) else sum(map(len, value))
    return int(value.to_native().timestamp()) % 1000


def read(session: neo4j.Session, statement: str) -> tuple[int, float]:
    count, total = 0, 0.0
    for record in session.run(statement):
        total += sum(map(used, record))
        count += 1
    return count, total


def main(what: str, folder: str, uri: str, arg: str) -> None:
    statements = json.loads((pathlib.Path(folder) / "statements.json").read_text())
    memories = load(pathlib.Path(folder)) if what == "write" else []
    driver = neo4j.GraphDatabase.driver(uri, auth=("neo4j", os.environ["NEO4J_PASSWORD"]))
    mode = neo4j.WRITE_ACCESS if what == "write" else neo4j.READ_ACCESS
    with driver, driver.session(database="neo4j", default_access_mode=mode) as session:
        driver.verify_connectivity()
        began, cpu = time.perf_counter(), cpu_s()
        count, total = write(session, statements, memories, int(arg)) if what == "write" else read(session, statements[arg])
        used_s, elapsed = cpu_s() - cpu, time.perf_counter() - began
    print(json.dumps({"count": count, "elapsed_s": elapsed, "cpu_s": used_s, "sum": round(total, 3)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
