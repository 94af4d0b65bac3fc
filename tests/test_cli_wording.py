"""What a refusal says to somebody who types commands."""

import inspect
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import workbench
from workbench.cli import app
from workbench.cli._wording import _SAID, in_options

ROOT = Path(inspect.getfile(workbench)).parent


def command(*arguments, folder):
    said = subprocess.run(
        [sys.executable, "-m", "workbench.cli", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
    )
    return said.returncode, said.stderr


def options(node):
    own = {name for parameter in node.params for name in parameter.opts}
    return own.union(*(options(child) for child in getattr(node, "commands", {}).values()))


def test_every_option_that_a_remedy_names_is_one():
    named = set(re.findall(r"--[a-z-]+", " ".join(_SAID.values())))
    assert named
    assert named <= options(get_command(app))


@pytest.mark.parametrize("python", _SAID)
def test_every_remedy_that_is_translated_is_told_somewhere(python):
    sources = " ".join(path.read_text("utf-8") for path in ROOT.glob("*/*.py") if path.name != "_wording.py")
    told = re.sub(r"\"\s*f?\"", "", sources)  # sentences that go on in the next line
    assert python in told or re.sub(r"'", "\\'", python) in told


def test_what_is_no_remedy_stays():
    assert in_options("The peer says 0xA700: out of resources.") == "The peer says 0xA700: out of resources."


@pytest.mark.parametrize("arguments", [("serve", "--folder", "kept"), ("printer", "--folder", "kept")])
def test_a_port_in_use_is_told_with_its_option_and_leaves_no_folder(tmp_path, arguments):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = command(*arguments, "--port", taken.getsockname()[1], folder=tmp_path)
    assert code != 0
    assert "pass --port 0 for a free port" in said
    assert list(tmp_path.iterdir()) == []


def test_a_worklist_that_is_none_leaves_no_folder(tmp_path):
    (tmp_path / "items.csv").write_text("Nothing\n1\n")
    code, said = command("serve", "--port", 0, "--worklist", "items.csv", folder=tmp_path)
    assert (code, [path.name for path in tmp_path.iterdir()]) == (2, ["items.csv"]), said


@pytest.mark.parametrize("name", ["print", "render"])
def test_a_window_is_a_center_and_a_width(name):
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    assert "CENTER WIDTH" in shown
    assert "<float" not in shown.lower()
