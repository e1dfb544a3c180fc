"""What people already have comes in, nothing is invented, and what can't be mapped is listed."""

import json


def by_content(home) -> dict[str, dict]:
    return {m["content"]: m for m in home.lines("export")}


def test_the_official_memory_servers_graph(home, tmp_path):
    graph = tmp_path / "memory.jsonl"
    graph.write_text(
        "\n".join(
            [
                json.dumps({"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea", "works on engines"]}),
                json.dumps({"type": "entity", "name": "Engine", "entityType": "thing", "observations": []}),
                json.dumps({"type": "relation", "from": "Ada", "to": "Engine", "relationType": "builds"}),
                json.dumps({"type": "entity", "name": "Odd", "entityType": "x", "observations": [7], "colour": "red"}),
                json.dumps({"type": "mystery"}),
                "not json",
            ]
        )
    )
    report = home.json("import", "--format", "mcp-memory", str(graph))
    assert report["imported"] == 4 and report["failed"] == 0
    memories = by_content(home)
    assert set(memories) == {"Ada: likes tea", "Ada: works on engines", "Engine (thing)", "Ada builds Engine"}
    assert memories["Ada: likes tea"]["metadata"] == {"entity": "Ada", "entity_type": "person"}
    references = {r["context"]: r["id"] for r in memories["Ada builds Engine"]["references"]}
    assert references == {"from": memories["Ada: likes tea"]["id"], "to": memories["Engine (thing)"]["id"]}
    notes = "\n".join(report["not_mapped"])
    for part in ("line 4: the field \"colour\"", "observation 0 of \"Odd\"", "the type \"mystery\"", "line 6"):
        assert part in notes, notes
    again = home.json("import", "--format", "mcp-memory", str(graph))
    assert (again["imported"], again["unchanged"]) == (0, 4)
    assert home.lines("recall", "who builds the engine")


def test_a_folder_of_notes_with_front_matter(home, tmp_path):
    notes = tmp_path / "notes"
    (notes / "deep").mkdir(parents=True)
    (notes / "one.md").write_text("---\ntitle: One\npermalink: notes/one\ntags: [a, b]\ncreated: 2024-03-01\n---\n\n# One\n\nThe text of one.\n")
    (notes / "deep" / "two.md").write_text("No front matter here.\n")
    (notes / "broken.md").write_text("---\n{{{\n---\nstill kept\n")
    (notes / "empty.md").write_text("---\ntitle: Empty\n---\n")
    (notes / "picture.png").write_bytes(b"\x89PNG")
    (notes / "latin.md").write_bytes(b"caf\xe9")
    report = home.json("import", "--format", "basic-memory", str(notes))
    assert report["imported"] == 3
    memories = by_content(home)
    one = memories["# One\n\nThe text of one.\n"]
    assert one["tags"] == ["a", "b"] and one["created_at"].startswith("2024-03-01") and one["metadata"]["title"] == "One"
    assert "No front matter here.\n" in memories and any("still kept" in c for c in memories)
    noted = "\n".join(report["not_mapped"])
    assert all(name in noted for name in ("empty.md", "picture.png", "latin.md"))
    assert home.json("import", "--format", "basic-memory", str(notes))["unchanged"] == 3
    (notes / "one.md").write_text("---\ntitle: One\npermalink: notes/one\n---\nchanged\n")
    assert home.json("import", "--format", "basic-memory", str(notes))["imported"] == 1
    assert home.json("show", one["id"])["sync_version"] == 2


def test_claude_codes_memory_folder_and_a_single_file(home, tmp_path):
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "MEMORY.md").write_text("- [Style](style.md)\n")
    (folder / "style.md").write_text("---\nname: style\ndescription: how code is written\ntype: feedback\n---\nNo tabs, ever.\n")
    assert home.json("import", "--format", "claude-code", str(folder))["imported"] == 2
    assert by_content(home)["No tabs, ever.\n"]["metadata"]["type"] == "feedback"
    (tmp_path / "CLAUDE.md").write_text("Use make.\n")
    assert home.json("import", "--format", "claude-code", str(tmp_path / "CLAUDE.md"))["imported"] == 1


def test_a_project_is_given_to_what_names_none(home, tmp_path):
    (tmp_path / "CLAUDE.md").write_text("Use make.\n")
    home.json("import", "--format", "claude-code", "--project", "other", str(tmp_path / "CLAUDE.md"))
    assert home.lines("export")[0]["project_id"] == "other"


def test_what_is_not_there_is_said(home, tmp_path):
    for args in (["import", str(tmp_path / "none.jsonl")], ["import", "--format", "basic-memory", str(tmp_path / "none")], ["import", "--format", "mcp-memory", str(tmp_path / "none")]):
        result = home.call(*args, check=False)
        assert result.status == 1 and "none" in result.err
