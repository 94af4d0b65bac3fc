"""Every notebook runs from top to bottom in a fresh kernel, says what it does, and is the same in both forms."""

import ast
import os
import re
import runpy
from dataclasses import dataclass
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.notebooks import leaks as leaking

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TEXTS = sorted((NOTEBOOKS / "text").glob("*.py"))
from_text = runpy.run_path(str(Path(__file__).with_name("pairs.py")))["from_text"]

names = pytest.mark.parametrize("text", TEXTS, ids=[t.stem for t in TEXTS])


def test_both_forms_are_there():
    assert [t.stem for t in TEXTS] == sorted(n.stem for n in NOTEBOOKS.glob("*.ipynb"))
    assert len(TEXTS) >= 6


@names
def test_both_forms_have_the_same_cells(text):
    written = nbformat.read(NOTEBOOKS / f"{text.stem}.ipynb", as_version=4)
    meant = from_text(text)
    assert [(c.cell_type, c.source) for c in written.cells] == [(c.cell_type, c.source) for c in meant.cells], "run: make notebooks"
    assert all(not c.get("outputs") and c.get("execution_count") is None for c in written.cells)


@names
def test_it_reads_like_a_notebook_of_the_house(text):
    cells = from_text(text).cells
    code = [c.source for c in cells if c.cell_type == "code"]
    assert cells[0].cell_type == "markdown"
    assert {"Reads", "Writes"} <= set(re.findall(r"\w+", cells[0].source)), "it opens with what it reads and writes"
    assert [c for c in code if len(c.splitlines()) > 10] == []
    last = ast.parse(code[-1]).body[-1]
    assert isinstance(last, ast.Assert), "it ends with an assertion of what it showed"


# ------------------------------------------------------------ each in a fresh kernel, once
GUARD = """import os, sys
def guard(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        where = arguments[0] if event in {"socket.getaddrinfo", "socket.gethostbyname"} else arguments[1]
        host = where[0] if isinstance(where, tuple) else where
        is_here = host in {None, "", "localhost", "::1"} or str(host).startswith(("127.", "/", "\\x00"))
        if not (is_here or str(host).endswith(".invalid")):  # a name that nobody has is looked up on purpose (RFC 6761)
            with open(os.environ["GUARD_LOG"], "a") as log:
                log.write(f"{event} {host}\\n")
            raise OSError("a notebook must not go beyond this machine")
sys.addaudithook(guard)
""".replace("\\\\", "\\")


@dataclass
class Run:
    """An executed notebook, the folder it worked in, and whom it wanted to reach beyond this machine."""

    notebook: nbformat.NotebookNode
    folder: Path
    reached: list[str]

    @property
    def outputs(self) -> list[nbformat.NotebookNode]:
        return [o for c in self.notebook.cells if c.cell_type == "code" for o in c.outputs]

    def leaks(self) -> list[tuple[int, str, str]]:
        return leaking.leaks(self.notebook, secrets=leaking.keys_below(self.folder), places=[self.folder])


def executed(notebook, folder):
    """Run a notebook in a fresh kernel that can't leave this machine."""
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    log = folder / "guard" / "log"
    path = os.pathsep.join(filter(None, [str(folder / "guard"), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"WORKBENCH_OUTPUT": str(folder / "output"), "PYTHONPATH": path, "GUARD_LOG": str(log)}
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources).execute(env=environment)
    return Run(notebook, folder, log.read_text().splitlines() if log.exists() else [])


@pytest.fixture(scope="module", params=TEXTS, ids=[t.stem for t in TEXTS])
def run(request, tmp_path_factory):
    return executed(from_text(request.param), tmp_path_factory.mktemp(request.param.stem))


@pytest.mark.timeout(300)
def test_it_runs_in_a_fresh_kernel_without_a_network(run):
    """B08: from top to bottom, offline."""
    assert [o for o in run.outputs if o.output_type == "error"] == []
    assert not [o.text for o in run.outputs if o.get("name") == "stderr" and "Traceback" in o.text]
    assert all(c.execution_count for c in run.notebook.cells if c.cell_type == "code" and c.source)
    assert run.reached == []


def test_nothing_secret_and_nobody_is_in_sources_or_outputs(run):
    """B08: no password, token, key, place or stranger, and after a release nobody at all."""
    assert run.leaks() == []


# ------------------------------------------------------------ these tests can fail
def planted(*cells):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def test_a_notebook_that_calls_out_is_seen(tmp_path):
    """B08: the guard stops a connection, a look-up and a datagram."""
    calls = (
        "socket.create_connection(('203.0.113.1', 80), timeout=1)",
        "socket.getaddrinfo('example.org', 80)",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('203.0.113.2', 53))",
    )
    cells = [f"try:\n    {call}\nexcept OSError as error:\n    print(error)" for call in calls]
    assert len(executed(planted("import socket", *cells), tmp_path).reached) == 3


LEAKS = {
    "a key": "print(open('a.key', 'rb').read().hex())",
    "a key, as bytes": "open('a.key', 'rb').read()",
    "a private key": "print('-----' + 'BEGIN ' + 'PRIVATE KEY-----')",
    "a secret in an assignment": "print('pass' + 'word = \\'swordfish\\'')",
    "a login in an address": "print('http://' + 'user:swordfish@host/')",
    "a long hexadecimal word": "import hashlib; print(hashlib.md5(b'x').hexdigest())",
    "a long base64 word": "import base64; base64.b64encode(bytes(range(97, 130)) + b'swordfish')",
    "a place": "import os; print(os.getcwd())",
    "a machine": "import socket; print('on', socket.gethostname(), 'today')",
    "a mail address": "print('jane.doe' + '@' + 'clinic.org')",
    "a stranger's name": "from IPython.display import HTML; HTML('<td>Doe' + '^Jane</td>')",
    "a person after the release": (
        "from workbench import deid, phantoms\nplanted = phantoms.planted_ct()\n"
        "deid.apply(deid.plan(planted.dataset), planted.dataset, keys=deid.Keys.create('b.key'))\n"
        "print(planted.dataset.PatientName)"
    ),
}  # fmt: skip


def test_whatever_leaks_is_seen(tmp_path):
    """B08: a copy of a shipped notebook into which every kind of leak is planted."""
    notebook = from_text(TEXTS[1])
    first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    added = [nbformat.v4.new_code_cell(source) for source in ("open('a.key', 'wb').write(bytes(range(200, 232)))", *LEAKS.values())]
    notebook.cells = [first, *added]
    found = executed(notebook, tmp_path).leaks()
    for number, what in enumerate(LEAKS, start=2):
        assert (number, what.split(",")[0]) in {(cell, kind) for cell, kind, _ in found}, what


def test_names_are_nobodys_loss_before_a_release(tmp_path):
    """B08: phantoms may be shown by name, until a cell releases."""
    show = "from workbench import deid, phantoms\nplanted = phantoms.planted_ct()\nprint(planted.dataset.PatientName)"
    assert executed(planted(show), tmp_path).leaks() == []
