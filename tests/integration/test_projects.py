"""Which project a memory belongs to: given, configured, linked, remembered by its git remote, or the folder's name."""

import subprocess


def git(folder, *args):
    subprocess.run(["git", "-C", str(folder), *args], check=True, capture_output=True)


def test_the_git_roots_name_is_the_project_anywhere_below_it(home, tmp_path):
    (home.path / "holdfast.yaml").write_text("daemon:\n  log_level: info\n")
    root = tmp_path / "engine"
    (root / "src" / "deep").mkdir(parents=True)
    git(root, "init", "-q")
    assert home.json("project", cwd=root / "src" / "deep") == {"project_id": "engine", "because": "the folder's name"}
    assert home.json("project", "--project", "x", cwd=root)["project_id"] == "x"
    home.call("remember", "here", cwd=root)
    assert home.lines("export")[0]["project_id"] == "engine"


def test_a_moved_checkout_keeps_its_project_by_its_remote(home, tmp_path):
    (home.path / "holdfast.yaml").write_text("daemon:\n  log_level: info\n")
    root = tmp_path / "before"
    root.mkdir()
    git(root, "init", "-q")
    git(root, "remote", "add", "origin", "https://user:secret@example.org/a/b.git")
    assert home.json("project", cwd=root)["project_id"] == "before"
    root.rename(tmp_path / "after")
    assert home.json("project", cwd=tmp_path / "after") == {"project_id": "before", "because": "the git remote"}
    for file in home.path.rglob("*"):
        assert not file.is_file() or b"secret" not in file.read_bytes(), file


def test_a_linked_folder_keeps_its_project(home, tmp_path):
    (home.path / "holdfast.yaml").write_text("daemon:\n  log_level: info\n")
    root = tmp_path / "plain"
    root.mkdir()
    home.call("project", "link", "chosen", cwd=root)
    root.rename(tmp_path / "moved")
    assert home.json("project", cwd=tmp_path / "moved")["project_id"] == "chosen"
    assert home.call("project", "link", "", cwd=tmp_path / "moved", check=False).status == 2


def test_an_import_over_several_projects_has_a_session_in_each(home):
    home.remember_many(["a"], project="one")
    lines = "".join('{"content":"note","project_id":"%s"}\n' % p for p in ("one", "two", "three"))
    home.json("import", "-", input=lines)
    assert {s["project_id"] for s in home.lines("session", "list", "--all-projects")} == {"one", "two", "three"}
    for project in ("one", "two", "three"):
        assert all(s["project_id"] == project for s in home.lines("session", "list", "--project", project))
