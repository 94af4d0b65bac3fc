"""Every notebook runs from top to bottom in a fresh kernel, says what it does, and is the same in both forms."""

import ast
import re
import runpy
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TEXTS = sorted((NOTEBOOKS / "text").glob("*.py"))
from_text = runpy.run_path(str(Path(__file__).with_name("pairs.py")))["from_text"]
SECRET = re.compile(
    r"(password|passwd|secret|token|api_key)\s*=\s*['\"][^'\"]+['\"]|-----BEGIN|://[^/\s'\"]+:[^/\s'\"]+@", re.IGNORECASE
)

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
    assert not SECRET.search("\n".join(c.source for c in cells))


@names
@pytest.mark.timeout(300)
def test_it_runs(text, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = from_text(text)
    client = nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert [o for o in outputs if o.output_type == "error"] == []
    assert not [o.text for o in outputs if o.get("name") == "stderr" and "Traceback" in o.text]
    assert all(c.execution_count for c in notebook.cells if c.cell_type == "code" and c.source)
