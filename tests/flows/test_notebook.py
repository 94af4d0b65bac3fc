"""A notebook is run to its end, or it is told where it failed; the HTML needs nothing else."""

import re
import subprocess
import sys

import nbformat
import pytest

from workbench.errors import FileError, NotVerified
from workbench.flows import notebook


def written(folder, *cells, name="trial"):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    path = folder / f"{name}.ipynb"
    nbformat.write(book, path)
    return path


def test_it_runs_in_its_output_folder(tmp_path):
    source = written(
        tmp_path,
        "import os, pathlib\npathlib.Path('made.txt').write_text(os.environ['WORKBENCH_OUTPUT'])",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "print('<script>window.__x = 1</script>')",
    )
    content = source.read_bytes()
    seen = []
    html = notebook.run(source, output=tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert html == tmp_path / "out" / "trial.html"
    assert (tmp_path / "out" / "made.txt").read_text() == str((tmp_path / "out").resolve())
    assert seen[-1] == (3, 3)
    assert source.read_bytes() == content
    text = html.read_text()
    assert "data:image/png;base64," in text
    assert "&lt;script&gt;window.__x" in text
    remote = re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"'](?:https?:)?//[^\"']+", text)
    assert remote == []
    assert "import(" not in "".join(re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL))


def test_a_cell_that_fails(tmp_path):
    source = written(tmp_path, "print('before')", "raise ValueError('DOE^JANE')", "print('after')")
    with pytest.raises(NotVerified, match=r"A cell of trial.ipynb failed with ValueError; trial.html shows where") as caught:
        notebook.run(source, output=tmp_path / "out")
    assert "DOE" not in str(caught.value)
    text = (tmp_path / "out" / "trial.html").read_text()
    assert "before" in text
    assert "ValueError" in text


def test_a_kernel_that_dies(tmp_path):
    source = written(tmp_path, "print('before')", "import os; os._exit(1)")
    with pytest.raises(NotVerified, match=r"The kernel of trial\.ipynb ended or did not answer"):
        notebook.run(source, output=tmp_path / "out")
    assert (tmp_path / "out" / "trial.html").exists()


def test_a_cell_without_end(tmp_path):
    source = written(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(NotVerified, match="did not answer in time"):
        notebook.run(source, output=tmp_path / "out", timeout_s=2)


def test_no_notebook(tmp_path):
    (tmp_path / "text.ipynb").write_text("no notebook")
    (tmp_path / "json.ipynb").write_text("[1]")
    for name in ("text.ipynb", "json.ipynb"):
        with pytest.raises(FileError, match=rf"{name} is not a notebook"):
            notebook.run(tmp_path / name, output=tmp_path / "out")
    with pytest.raises(FileError, match="can't be read"):
        notebook.run(tmp_path / "none.ipynb", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_tour_is_there():
    assert (notebook.folder() / "01_tour.ipynb").is_file()


def test_what_runs_notebooks_is_loaded_when_one_is_run():
    heavy = ("nbclient", "nbformat", "nbconvert", "jupyter_client")
    code = f"import workbench.flows, sys; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_progress_bar_leaves_no_frozen_line(tmp_path):
    """What needs a kernel is not in the report: no bar at 0, and of a viewer its still picture."""
    source = written(
        tmp_path,
        "from workbench.flows import progress\nwith progress('counting') as tick:\n    tick(1, 2)\nprint('counted')",
        "from workbench import phantoms\nfrom workbench.widgets import Viewer\nViewer(phantoms.ct_series(1, rows=64, columns=64))",
    )
    text = notebook.run(source, output=tmp_path / "out").read_text()
    shown = re.sub(r"<[^>]+>", "", text.split("<body", 1)[1])
    assert "counted" in shown
    assert "?/s" not in shown
    assert "counting: " not in shown
    assert len(re.findall(r"<img[^>]+src=\"data:image/png;base64,", text)) == 1
