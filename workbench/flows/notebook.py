"""A notebook run from top to bottom, and kept as one HTML file that needs nothing else.

Knows: where the notebooks of the workbench are, nbclient and nbconvert.
Does not know: what a notebook does.
"""

import os
import re
import subprocess
from asyncio import CancelledError
from collections.abc import Callable
from importlib.resources import files as resource_files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.entities import plain
from workbench.errors import Cancelled, FileError, NotVerified, ToolMissing
from workbench.files import write_whole

if TYPE_CHECKING:
    import nbclient
    import nbformat

__all__ = ["folder", "run"]

# scripts and style sheets that a browser would fetch from elsewhere, and scripts that fetch them
_REMOTE = re.compile(
    r"<(?:script|link)[^>]+(?:src|href)=[\"'](?:https?:)?//[^>]*>(?:\s*</script>)?"
    r"|<script[^>]*>(?:(?!</script>).)*?\bimport\b[^;]*?https?://.*?</script>",
    re.IGNORECASE | re.DOTALL,
)


def folder() -> Path:
    """Return the folder of the workbench's notebooks: inside the installed package, or beside it in a checkout.

    Raises
    ------
    FileError
        If neither is there.
    """
    package = Path(str(resource_files("workbench")))
    for place in (package / "notebooks", package.parent / "notebooks"):
        if place.is_dir():
            return place
    raise FileError("The notebooks were not installed with the workbench: reinstall it, or work from a checkout.")


def run(notebook: Path, *, output: Path, progress: Callable[[int, int], None] | None = None, timeout_s: int = 300) -> Path:
    """Run a notebook in a fresh kernel and write what it shows as one HTML file.

    Parameters
    ----------
    notebook : Path
        The notebook; it is not changed.
    output : Path
        A folder: the kernel works there, finds it in the environment variable WORKBENCH_OUTPUT, and the HTML file is put there.
    progress : callable, optional
        Called with how many cells are done and how many there are.
    timeout_s : int
        Longest time for one cell, in seconds.

    Returns
    -------
    Path
        The HTML file, with its pictures inside and no address of another place.

    Raises
    ------
    FileError
        If it is no notebook.
    ToolMissing
        If there is no Python kernel.
    NotVerified
        If a cell fails; the HTML file shows where.
    Cancelled
        If the process gets SIGINT or SIGTERM meanwhile: then the kernel is ended first.
    """
    import nbclient  # noqa: PLC0415 - seconds, and only wanted where a notebook is run

    content = _opened(notebook)
    output.mkdir(parents=True, exist_ok=True)
    total = len(content.cells)

    def executed(**event: Any) -> None:
        if progress:
            progress(int(event["cell_index"]) + 1, total)

    client = nbclient.NotebookClient(
        content,
        extra_arguments=["--IPKernelApp.log_level=40"],
        timeout=timeout_s,
        kernel_name="python3",
        resources={"metadata": {"path": str(output)}},
        on_cell_executed=executed,
    )
    target = output / f"{notebook.stem}.html"
    try:
        # what cells print is kept in the notebook; beside it a kernel that is stopped only complains of its sockets
        client.execute(env=os.environ | {"WORKBENCH_OUTPUT": str(output.resolve())}, stderr=subprocess.DEVNULL)
    except (Exception, CancelledError) as error:
        raise _failure(error, client, notebook=notebook.name, shown_in=target.name) from error
    finally:
        write_whole(target, _html(content).encode())
    return target


def _failure(error: BaseException, client: "nbclient.NotebookClient", *, notebook: str, shown_in: str) -> BaseException:
    import nbclient  # noqa: PLC0415 - seconds, and only wanted where a notebook is run
    from jupyter_client.kernelspec import NoSuchKernel  # noqa: PLC0415 - seconds, and only wanted where a notebook is run

    if hasattr(client, "_async_cleanup_kernel_future"):  # nbclient takes SIGINT and SIGTERM for itself, and ends the kernel
        return Cancelled(f"The run of {notebook} was stopped; {shown_in} shows what was done until then.")
    if isinstance(error, nbclient.exceptions.CellExecutionError):
        return NotVerified(f"A cell of {notebook} failed with {plain(error.ename)}; {shown_in} shows where.")
    if isinstance(error, NoSuchKernel):
        return ToolMissing("There is no kernel 'python3' for notebooks: install ipykernel beside the workbench.")
    if isinstance(error, nbclient.exceptions.CellTimeoutError | nbclient.exceptions.DeadKernelError | RuntimeError):
        return NotVerified(f"The kernel of {notebook} ended or did not answer in time ({type(error).__name__}).")
    return error


def _opened(notebook: Path) -> "nbformat.NotebookNode":
    import nbformat  # noqa: PLC0415 - seconds, and only wanted where a notebook is run

    try:
        content: nbformat.NotebookNode = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise FileError(f"{notebook} can't be read: {error.strerror}.") from error
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError, ValueError) as error:
        raise FileError(f"{notebook.name} is not a notebook.") from error
    return content


def _html(content: "nbformat.NotebookNode") -> str:
    from nbconvert.exporters import HTMLExporter  # noqa: PLC0415 - seconds, and only wanted where a notebook is run

    for cell in content.cells:
        if "outputs" in cell:
            cell.outputs = [shown for shown in cell.outputs if not _is_lifeless(shown)]
    content.metadata.pop("widgets", None)
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="lab", embed_images=True, mathjax_url="", require_js_url="", jquery_url=""
    )
    html, _ = exporter.from_notebook_node(content)
    return _REMOTE.sub("", html)


def _is_lifeless(shown: "nbformat.NotebookNode") -> bool:
    """Take the widget out of an output: it needs its kernel. Say whether nothing is left but words about it, as of a progress bar.

    A still picture that a widget gives beside it stays.
    """
    data = shown.get("data", {})
    return data.pop("application/vnd.jupyter.widget-view+json", None) is not None and set(data) <= {"text/plain"}
