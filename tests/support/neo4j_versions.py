"""Neo4j servers of other versions than the one that all tests use: from 4.4 to those that are called by their year."""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from pathlib import Path

from neo4j_server import USER

from support.neo4j import Neo4j

# How the settings were called before 5.0. What there was not, the tests can do without.
NAMES_4 = {
    "server.default_listen_address": "dbms.default_listen_address",
    "dbms.security.auth_enabled": "dbms.security.auth_enabled",
    "server.memory.pagecache.size": "dbms.memory.pagecache.size",
    "server.bolt.listen_address": "dbms.connector.bolt.listen_address",
    "server.bolt.advertised_address": "dbms.connector.bolt.advertised_address",
    "server.http.listen_address": "dbms.connector.http.listen_address",
    "server.http.advertised_address": "dbms.connector.http.advertised_address",
}
ALWAYS_4 = {"dbms.connector.bolt.enabled": "true", "dbms.connector.http.enabled": "true"}
OPENS_4 = ("lang", "util", "net")  # packages of Java 17 for what was made for Java 11
JAVA = "HOLDFAST_JAVA_21"  # the program `java`, 21 or later, for servers that are called by their year


class OtherNeo4j(Neo4j):
    """One of HOLDFAST_NEO4J_VERSIONS, by its version."""

    def __init__(self, version: str, home: Path):
        super().__init__(home)
        self.java = self.software / "java"
        self.software = Path(os.environ["HOLDFAST_NEO4J_VERSIONS"]) / version
        self.before_5 = version.startswith("4.")
        if self.before_5:
            self.jvm += [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in OPENS_4]
        if version.startswith("20"):
            self.entry_point = "org.neo4j.server.Neo4jCommunity"
            assert JAVA in os.environ, f"Neo4j {version} needs Java 21 or later: set {JAVA} to the program"
            self.java = Path(os.environ[JAVA])

    def _java(self, options: list) -> list:
        return [self.java, *options, "-cp", f"{self.software}/lib/*"]

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        if self.before_5:
            return ALWAYS_4 | {NAMES_4[name]: value for name, value in settings.items() if name in NAMES_4}
        return settings | {"server.config.strict_validation.enabled": "false"}  # some settings came later

    def _password_command(self) -> list[str]:
        return ["set-initial-password", self.password] if self.before_5 else super()._password_command()

    def query(self, statement: str, database: str = "neo4j", timeout_s: float = 60, **parameters) -> list[list]:
        """By the endpoint that all of them have."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}/db/{database}/tx/commit",
            json.dumps({"statements": [{"statement": statement, "parameters": parameters}]}).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": "Basic " + base64.b64encode(f"{USER}:{self.password}".encode()).decode(),
            },
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=timeout_s) as answer:
            said = json.load(answer)
        if said["errors"]:
            raise ValueError(f"{statement}: {said['errors']}")
        return [row["row"] for row in said["results"][0]["data"]]
