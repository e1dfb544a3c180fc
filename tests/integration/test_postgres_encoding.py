"""Databases that keep texts which are not UTF-8."""

from __future__ import annotations

import pytest

from support.home import eventually
from support.postgres import Database, forget
from support.source import MEMORIES, Captured, config_of, id_of, insert

LATIN = "convert_from('\\x63616665e9', 'SQL_ASCII')"  # caf\xe9


@pytest.fixture
def captured(homes, database, request):
    """The specification's table with 40 memories in a database of SQL_ASCII."""
    name = f"{database.name}_ascii"
    database.psql(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        raw = Database(database.server, name)
        raw.psql(MEMORIES + insert(40))
        captured = Captured(homes(config=config_of(raw, f"    capture: {request.param}\n")), raw)
        captured.init()
        captured.wait_rows(40)
        yield captured
        captured.home.close()
    finally:
        forget(database.server, name)


@pytest.mark.parametrize("captured", ["stream", "outbox"], indirect=True)
def test_who_overwrites_rows_with_what_is_not_utf8_empties_them_and_they_come_back(captured):
    database, home = captured.database, captured.home
    before = database.rows("memories")
    database.psql(f"UPDATE memories SET content = {LATIN}, memory_type = 'x' || {LATIN};")
    alert = captured.wait_alerts()[0]
    assert alert["memories_affected"] == 40 and captured.rows()[id_of(1)]["content"] == "what agent 1 learned about the harbour"
    assert home.json("restore", "app")["restored"] == 40
    assert database.rows("memories") == before


@pytest.mark.parametrize("captured", ["stream", "outbox"], indirect=True)
def test_a_row_with_a_value_that_is_not_utf8_is_a_memory_with_its_digest_and_told(captured):
    database, home = captured.database, captured.home
    database.psql(insert(2, 50) + f"UPDATE memories SET memory_type = {LATIN} WHERE id = '{id_of(50)}'; UPDATE memories SET content = {LATIN} WHERE id = '{id_of(51)}';")
    rows = eventually(lambda: (lambda r: r if id_of(51) in r and len(home.lines("show", id_of(51), "--history")) == 2 else None)(captured.rows()))
    assert rows[id_of(50)]["content"] == "what agent 50 learned about the harbour"
    assert set(rows[id_of(50)]["metadata"]["too_large"]) == {"memory_type"} and set(rows[id_of(51)]["metadata"]["too_large"]) == {"content"}
    assert "not UTF-8" in eventually(lambda: captured.source()["error"])
    # The comparison reads it as the stream told it.
    database.psql("ALTER TABLE memories ADD extra int DEFAULT 1;")
    eventually(lambda: captured.rows()[id_of(50)]["metadata"]["row"].get("extra") == "1")
    assert home.alerts() == []
