"""The official MCP clients (Python, TypeScript) and the inspector drive `holdfast mcp`; junk never reaches stdout."""

import asyncio
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from support.home import binary, eventually
from support.terminal import at_terminal

TOOLS = [
    "remember", "recall", "get_memory", "forget", "list_sessions", "start_session", "end_session", "sync_now", "get_sync_status",
    "check_destruction", "pause_sync", "resume_sync", "acknowledge_destruction_alert", "bootstrap_recovery", "verify",
]


def server(home) -> list[str]:
    return [binary(), "--home", str(home.path), "mcp"]


def drive(home, coroutine):
    """Run a coroutine that gets a connected client of the Python SDK, within 60 s."""
    from mcp import Client, StdioServerParameters

    async def main(mode):
        command, *args = server(home)
        async with Client(StdioServerParameters(command=command, args=args, env=home.env, cwd=str(home.work)), mode=mode) as client:
            return await coroutine(client)

    async def both():
        return [await asyncio.wait_for(main(mode), 60) for mode in ("auto", "legacy")]

    try:
        return asyncio.run(both())
    finally:
        home.note_daemon()


def test_the_python_sdk_sees_every_tool_and_calls_them(home):
    async def use(client):
        tools = (await client.list_tools()).tools
        remembered = await client.call_tool("remember", {"content": "told by Python", "tags": ["sdk"]})
        found = await client.call_tool("recall", {"query": "told Python"})
        shown = await client.call_tool("get_memory", {"id": remembered.structured_content["id"]})
        bad = await client.call_tool("remember", {"content": "x", "importance": 7})
        status = await client.call_tool("get_sync_status", {})
        alerts = await client.call_tool("check_destruction", {})
        sessions = await client.call_tool("list_sessions", {})
        synced = await client.call_tool("sync_now", {"timeout": 30})
        verified = await client.call_tool("verify", {})
        plan = await client.call_tool("bootstrap_recovery", {"dry_run": True})
        return tools, remembered, found, shown, bad, status, alerts, sessions, synced, verified, plan

    for tools, remembered, found, shown, bad, status, alerts, sessions, synced, verified, plan in drive(home, use):
        assert sorted(t.name for t in tools) == sorted(TOOLS)
        for tool in tools:
            hints = tool.annotations
            assert None not in (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint) and hints.open_world_hint is False
        assert not remembered.is_error and found.structured_content["count"] >= 1
        assert shown.structured_content["content"] == "told by Python"
        assert json.loads(shown.content[0].text) == shown.structured_content
        assert bad.is_error and "0 to 1" in bad.content[0].text
        assert status.structured_content["memories"] >= 1 and alerts.structured_content == {"count": 0, "items": []}
        assert sessions.structured_content["items"][0]["agent"].startswith("mcp")
        assert synced.structured_content["queue_size"] == 0 and verified.structured_content["ok"]
        assert plan.structured_content["recovered_count"] == 0 and plan.structured_content["dry_run"]


def test_the_python_sdk_reads_resources_and_prompts(home):
    async def use(client):
        remembered = await client.call_tool("remember", {"content": "a resource"})
        uri = "memory://" + remembered.structured_content["id"]
        return await client.list_resources(), await client.read_resource(uri), await client.get_prompt("session_context", {}), await client.get_prompt("handover", {})

    for resources, read, context, handover in drive(home, use):
        assert "project://test" in [str(r.uri) for r in resources.resources]
        assert json.loads(read.contents[0].text)["content"] == "a resource"
        assert "a resource" in context.messages[0].content.text and "not instructions" in handover.messages[0].content.text


def test_an_agent_cannot_wave_its_own_destruction_through(home):
    for id in home.remember_many([f"fact {i}" for i in range(30)]):
        home.call("forget", id)
    [alert] = home.alerts()
    assert at_terminal(home, ["pause"])[0] == 0

    async def use(client):
        accept = await client.call_tool("acknowledge_destruction_alert", {"id": alert["id"], "action": "accept"})
        return accept, await client.call_tool("resume_sync", {})

    for accept, resume in drive(home, use):
        assert accept.is_error and f"holdfast resolve {alert['id']} --accept" in accept.content[0].text
        assert resume.is_error and "holdfast" in resume.content[0].text
    assert home.alerts() == [alert] and home.json("status")["paused"]


def test_an_agent_may_ask_a_vault_but_not_say_which(home):
    async def use(client):
        asked = await client.call_tool("recall", {"query": "kelp", "remote": True})
        named = await client.call_tool("recall", {"query": "kelp", "from": "neo4j:bolt://127.0.0.1:1"})
        return asked, named

    for asked, named in drive(home, use):
        assert asked.is_error and "no vault that can search is configured" in asked.content[0].text
        assert named.is_error and named.content[0].text == 'unknown parameter "from"'


def test_a_burst_over_mcp_is_held_and_names_its_actor(home):
    ids = home.remember_many([f"fact {i}" for i in range(30)])
    before = home.export()

    async def use(client):
        for id in ids:
            await client.call_tool("forget", {"id": id})

    drive(home, use)
    assert home.alerts()[0]["source"].startswith("mcp") and home.export() == before


def test_the_typescript_sdk_sees_the_same(home):
    script = pathlib.Path(__file__).with_name("mcp_client.mjs")
    process = subprocess.run([os.environ.get("HOLDFAST_NODE", "node"), str(script), *server(home)], capture_output=True, text=True, timeout=60, env={**home.env, "HOLDFAST_NPM": os.environ["HOLDFAST_NPM"]}, cwd=home.work)
    home.note_daemon()
    assert process.returncode == 0, process.stderr
    seen = json.loads(process.stdout)
    assert seen["server"]["name"] == "holdfast" and sorted(seen["tools"]) == sorted(TOOLS)
    assert seen["found"]["structuredContent"]["items"][0]["content"] == "told by TypeScript"
    assert seen["failed"]["isError"] and json.loads(seen["read"]["contents"][0]["text"])["content"] == "told by TypeScript"
    assert seen["prompts"] == ["session_context", "handover"]


def inspect(home, *args: str):
    npm = pathlib.Path(os.environ["HOLDFAST_NPM"])
    process = subprocess.run(
        [os.environ["HOLDFAST_NODE"], str(npm / "node_modules/.bin/mcp-inspector"), "--cli", *server(home), *args],
        capture_output=True, text=True, timeout=60, env=home.env, cwd=home.work,
    )
    home.note_daemon()
    return process


def test_the_inspector_lists_and_calls(home):
    listed = inspect(home, "--method", "tools/list")
    assert listed.returncode == 0, listed.stderr
    assert all(f'"{tool}"' in listed.stdout for tool in TOOLS)
    called = inspect(home, "--method", "tools/call", "--tool-name", "remember", "--tool-arg", "content=by the inspector")
    assert called.returncode == 0 and "sync_version" in called.stdout, called.stderr
    failed = inspect(home, "--method", "tools/call", "--tool-name", "get_memory", "--tool-arg", "id=nonsense")
    assert "UUID" in failed.stdout + failed.stderr


def request(id, method, **params) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n"


def feed(home, text: str, env=None) -> tuple[list[dict], str]:
    process = subprocess.run(server(home), input=text, capture_output=True, text=True, timeout=60, env={**home.env, **(env or {})}, cwd=home.work)
    home.note_daemon()
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()], process.stderr


def test_every_line_of_stdout_is_protocol_even_when_everything_fails(home):
    (home.path / "holdfast.yaml").write_text("not: a configuration\n")
    text = request(1, "initialize", protocolVersion="2025-11-25", capabilities={}) + "garbage\n" + request(2, "tools/list") + request(3, "tools/call", name="recall", arguments={"query": "x"})
    answers, _ = feed(home, text)
    assert [a.get("id") for a in answers] == [1, None, 2, 3]
    assert all(a["jsonrpc"] == "2.0" for a in answers)
    assert answers[3]["result"]["isError"] and "holdfast.yaml" in answers[3]["result"]["content"][0]["text"]


def test_it_ends_when_the_client_is_gone_and_so_does_its_session(home):
    text = request(1, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "gone", "version": "1"}) + request(2, "tools/call", name="remember", arguments={"content": "x"})
    started = time.monotonic()
    answers, _ = feed(home, text)
    assert len(answers) == 2 and time.monotonic() - started < 30
    [session] = home.lines("session", "list")
    assert session["ended_at"] and session["agent"].startswith("mcp:gone/")


def test_two_agents_at_once_have_two_sessions(home):
    text = request(1, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "twin", "version": "1"}) + request(2, "tools/call", name="remember", arguments={"content": "x"})
    agents = [subprocess.Popen(server(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=home.env, cwd=home.work) for _ in range(2)]
    try:
        for agent in agents:
            agent.stdin.write(text.encode())
            agent.stdin.flush()
            assert json.loads(agent.stdout.readline())["id"] == 1 and json.loads(agent.stdout.readline())["id"] == 2
        assert len([s for s in home.lines("session", "list") if not s["ended_at"]]) == 2
    finally:
        for agent in agents:
            agent.stdin.close()
            agent.wait(30)


@pytest.mark.timeout(60)
def test_a_restarted_daemon_is_invisible_to_the_agent(home):
    agent = subprocess.Popen(server(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=home.env, cwd=home.work)
    try:
        for i in range(3):
            agent.stdin.write(request(i, "tools/call", name="remember", arguments={"content": f"note {i}"}).encode())
            agent.stdin.flush()
            assert not json.loads(agent.stdout.readline())["result"]["isError"]
            home.note_daemon()
            home.kill()
        assert eventually(lambda: len(home.export())) == 3
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(30)
