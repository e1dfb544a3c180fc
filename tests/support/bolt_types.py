"""What the Bolt client of bolt.h and the official Python driver write and read of each other's: equal in value and type."""

from __future__ import annotations

import datetime
import math
import os
import subprocess
from pathlib import Path

import pytz
from neo4j.spatial import CartesianPoint, WGS84Point
from neo4j.time import Date, DateTime, Duration, Time
from pytz import FixedOffset


def tool(server, *command: str, scheme: str = "bolt") -> list[str]:
    """What tests/bolt/type_tool.c prints, by lines."""
    program = Path(os.environ["HOLDFAST_BIN"]).parents[1] / "tests" / "bolt" / "type_tool"
    done = subprocess.run(
        [program, f"{scheme}://127.0.0.1:{server.bolt_port}", *command],
        env=os.environ | {"BOLT_PASSWORD": server.password},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def values(driver, label: str) -> dict:
    records = driver.execute_query(f"MATCH (n:{label}) RETURN n.name, n.value").records
    return {record[0]: record[1] for record in records}


def zone(time) -> str | None:
    """The name of its time zone, which an offset alone has not."""
    return getattr(time.tzinfo, "zone", None)


def same(a, b) -> bool:
    """Equal, of one type, and a NaN equals a NaN; 0.0 and -0.0 differ."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b) or math.isnan(a) and math.isnan(b)
    if isinstance(a, (DateTime, Time)):
        return a == b and a.utcoffset() == b.utcoffset() and zone(a) == zone(b)
    return a == b


FROM_C = {
    "ints": [0, 1, -1, -16, -17, 127, 128, -128, -129, 32767, -32768, 32768]
    + [2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63)],
    "texts": ["", "Käse 中文 😀", "a\0b", "x" * 300, "x" * 70000],
    "bytes": bytes(i % 256 for i in range(300)),
    "floats": [0.0, -0.0, 1.1, -1e308, 5e-324, math.pi],
    "infinity": math.inf,
    "nan": math.nan,
    "true": True,
    "date": Date(1, 1, 1),
    "time": Time(12, 34, 56, 123456789, tzinfo=FixedOffset(-210)),
    "local time": Time(23, 59, 59, 999999999),
    "local datetime": DateTime(1969, 12, 31, 23, 59, 59, 999999999),
    "duration": Duration(months=14, days=-3, seconds=5, nanoseconds=6),
    "points": [WGS84Point((13.4, 52.5)), WGS84Point((-180.0, -90.0))],
    "point 3d": CartesianPoint((1.5, -2.5, 3.5)),
}

FROM_PYTHON = FROM_C | {
    "false": False,
    "empty": [],
    "dates": [Date(9999, 12, 31), Date(1970, 1, 1)],
    "durations": [Duration(), Duration(months=-1, seconds=-1)],
    "booleans": [True, False],
    "wgs 3d": WGS84Point((1.0, 2.0, 3.0)),
    "cartesian": CartesianPoint((-0.0, 1e300)),
    "datetime": DateTime(2023, 11, 15, 0, 13, 20, 123456789, tzinfo=FixedOffset(120)),
    "before 1970": DateTime(1900, 1, 1, 0, 0, 0, 1, tzinfo=FixedOffset(-720)),
    "zoned": pytz.timezone("America/New_York").localize(datetime.datetime(2024, 11, 3, 1, 30), is_dst=False),  # its second 01:30
}


def the_driver_reads_what_we_wrote(server):
    tool(server, "write")
    with server.driver() as driver:
        read = values(driver, "FromC")
    zoned, offset = read.pop("zoned"), read.pop("datetime")
    for name, expected in FROM_C.items():
        assert same(read.pop(name), expected), name
    assert not read
    instant = datetime.datetime.fromtimestamp(1700000000, datetime.timezone.utc)
    assert zoned.to_native() == instant and zoned.nanosecond == 1
    assert zone(zoned) == "Europe/Berlin"
    assert offset.nanosecond == 123456789 and offset.utcoffset() == datetime.timedelta(hours=2)
    assert offset.to_native().replace(microsecond=0) == instant


def we_read_what_the_driver_wrote(server):
    with server.driver() as driver:
        for name, value in FROM_PYTHON.items():
            driver.execute_query("CREATE (:FromPython {name: $name, value: $value})", name=name, value=value)
        assert tool(server, "copy") == [str(len(FROM_PYTHON))]
        written, copied = values(driver, "FromPython"), values(driver, "Copy")
        # the server compares too: equal instants in other zones are not the same to it
        differing = driver.execute_query(
            "MATCH (a:FromPython), (b:Copy {name: a.name}) WHERE a.name <> 'nan' AND NOT a.value = b.value RETURN a.name"
        ).records
    assert written.keys() == copied.keys() == FROM_PYTHON.keys()
    for name, value in written.items():
        assert same(copied[name], value), name
    assert differing == []
