"""What the README shows is run."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    try:
        assert names["report"].complete
        assert len(names["report"]) == len(names["archive"]) > 0
    finally:
        names["department"].stop()
        names["archive"].close()


def test_every_notebook_and_picture_it_names_is_there():
    root = Path(__file__).parents[1]
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(targets) >= 7
    assert [t for t in targets if not (root / t).exists()] == []


def test_every_command_it_shows_exists():
    from workbench.cli import app

    known = {c.name or c.callback.__name__ for c in app.registered_commands} | {g.name for g in app.registered_groups}
    shown = set(re.findall(r"^\$ workbench (\w+)", README, re.MULTILINE))
    assert shown
    assert shown <= known


def test_the_study_it_retrieves_is_a_phantom():
    from workbench import phantoms

    (uid,) = re.findall(r"--study (\S+)", README)
    assert uid == phantoms.pet_ct().ct[0].StudyInstanceUID


def test_every_option_it_shows_is_one_of_its_command():
    from typer.main import get_command

    from workbench.cli import app

    lines = re.findall(r"^\$ workbench (.*?)(?: +#.*| &.*)?$", README, re.MULTILINE)
    for line in lines:
        command, words = get_command(app), line.split()
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
    assert any("--trace" in line for line in lines)
