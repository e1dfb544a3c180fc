"""A server of which nothing is left: the volume removed, the endpoint gone, another cluster in its place."""

import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from postgres_server import Postgres
from support.home import eventually
from support.postgres import Database
from support.source import MEMORIES, Captured, config_of, insert


@pytest.fixture
def cluster():
    """A cluster that is this test's alone, where the user postgres may enter."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-postgres-", dir="/tmp"))
    folder.chmod(0o711)
    server = Postgres(folder / "own")
    server.start()
    server.psql("CREATE DATABASE app")
    yield Database(server, "app")
    server.stop(signal.SIGQUIT)
    shutil.rmtree(folder)


def test_a_data_directory_that_is_gone_deletes_nothing_and_another_cluster_is_filled_again(cluster, homes):
    server = cluster.server
    cluster.psql(MEMORIES + insert(40))
    captured = Captured(homes(config=config_of(cluster)), cluster)
    captured.init()
    known = captured.wait_rows(40)
    before = cluster.rows("memories")

    server.crash()
    shutil.rmtree(server.data)
    eventually(lambda: not captured.source()["connected"])
    assert captured.rows() == known, "an endpoint that is lost is no deletion"

    server.start()  # made anew: another system identifier
    server.psql("CREATE DATABASE app")
    cluster.psql(MEMORIES)
    alert = eventually(lambda: next((a for a in captured.home.alerts() if a["rule"] == "source_gap"), None))
    assert "another database than before" in alert["summary"]
    eventually(lambda: any(a["rule"] != "source_gap" for a in captured.home.alerts()))
    shown = captured.rows()
    assert {id: m["content"] for id, m in shown.items()} == {id: m["content"] for id, m in known.items()}
    assert captured.home.json("restore", "app")["restored"] == 40
    assert cluster.rows("memories") == before
