"""What a refusal says to somebody who types commands."""

import ast
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
from workbench.cli._wording import _SAID, in_options, rows_in_options

ROOT = Path(inspect.getfile(workbench)).parent
#: Advice as somebody writes it in Python: an argument, a call, a field of a class.
PYTHON = re.compile(
    r"(?<![\w.\-/{<'\"&?;])[a-z][a-z0-9_]+=(?!=)|\b(add|save|start|stop|conflicts)\(\)|\b(Peer|Tls|Timeouts|Identity)\.|\b[A-Z][A-Za-z]+\(\w+=|calling_ae_title"
)
#: What no command does: its advice is read in Python only.
NO_COMMAND = (
    "archive/_encoding.py", "archive/_receiving.py", "deid/apply.py", "figures/", "flows/annotate.py", "flows/exchange.py",
    "flows/pull.py", "quantification/", "rendering/render.py", "widgets/",
)  # fmt: skip
#: No advice: SQL, HTML, HTTP, what an object is called in Python, what a command never asks for.
OTHER = (
    "PRAGMA", "<", "multipart/related", "Archive(", "Reading(", "Admission(titles_of=", "The server does not run: call start()",
)  # fmt: skip


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


def sentences(path):
    """Yield the texts of a module that are not docstrings, with {} for what is filled in."""

    def text(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.JoinedStr):
            return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        return ""

    tree = ast.parse(path.read_text("utf-8"))
    inside = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    yield from (text(node) for node in ast.walk(tree) if id(node) not in inside and " " in text(node))


def test_no_advice_of_a_command_is_for_those_who_write_python():
    seen = []
    for path in ROOT.glob("*/**/*.py"):
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith((*NO_COMMAND, "cli/")):
            seen += [(place, text) for text in sentences(path) if not text.startswith(OTHER) and "</" not in text]
    assert len(seen) > 1000
    told = [(place, in_options(text)) for place, text in seen]
    assert [(place, text) for place, text in told if PYTHON.search(text)] == []


def test_what_a_report_says_is_translated_and_what_a_dataset_says_is_not():
    row = {"message": "Use method='move'.", "PatientComments": "Use method='move'."}
    assert rows_in_options([row]) == [{"message": "Use --method move.", "PatientComments": "Use method='move'."}]


def test_what_is_no_remedy_stays():
    assert in_options("The peer says 0xA700: out of resources.") == "The peer says 0xA700: out of resources."


@pytest.mark.parametrize("arguments", [("serve", "--folder", "kept"), ("printer", "--folder", "kept")])
def test_a_port_in_use_is_told_with_its_option_and_leaves_no_folder(tmp_path, arguments):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = command(*arguments, "--port", taken.getsockname()[1], folder=tmp_path)
    assert code != 0
    assert "pass another port, 0 for a free one" in said
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
