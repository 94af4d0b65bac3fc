"""JupyterLab in headless Chromium, each test with its own folder, nothing beyond 127.0.0.1."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RUN_ALL = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready; await panel.sessionContext.ready;
  window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""
IDLE = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  const cells = Array.from(panel.content.widgets).filter(c => c.model.type === 'code' && c.model.sharedModel.getSource().trim());
  return cells.length > 0 && cells.every(c => c.model.executionCount) && panel.sessionContext.session.kernel.status === 'idle';
}"""


def pytest_collection_modifyitems(items):
    for item in items:
        if "browser" in Path(str(item.fspath)).parts:
            item.add_marker("browser")


@pytest.fixture(scope="module")
def lab(program, free_port, tmp_path_factory):
    """A JupyterLab server without password on a free loopback port: (address, folder)."""
    program("chromium")
    folder = tmp_path_factory.mktemp("lab")
    port = free_port()
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "cfg"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "run"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "cfg/lab"),
        "IPYTHONDIR": str(folder / "ipython"),
        "WORKBENCH_OUTPUT": str(folder / "output"),
    }
    arguments = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--ServerApp.disable_check_xsrf=True",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True",
    ]
    subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "disable", "@jupyterlab/apputils-extension:announcements"],
        env=environment,
        check=True,
        capture_output=True,
    )
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            arguments, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
        )
        try:
            _wait(f"http://127.0.0.1:{port}/api", server)
            yield f"http://127.0.0.1:{port}", folder
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait(10)


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "JupyterLab ended at start"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("JupyterLab did not start in 30 s")


@dataclass
class Page:
    """A notebook open in the browser."""

    page: object
    folder: Path
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def run_all(self, seconds: float = 60) -> None:
        """Run every cell and wait until the kernel is idle again."""
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        self.page.evaluate(RUN_ALL)
        try:
            self.page.wait_for_function(IDLE, timeout=seconds * 1000)
        except Exception:
            self.picture("hanging")
            raise

    def picture(self, name: str, selector: str | None = None) -> Path:
        """Keep a screenshot as a test artifact."""
        ARTIFACTS.mkdir(exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        if selector:
            self.page.locator(selector).first.screenshot(path=path)
        else:
            self.page.screenshot(path=path)
        return path


@pytest.fixture(scope="module")
def chromium(program):
    """Headless Chromium from the system, driven by playwright."""
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), headless=True, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def notebook(lab, chromium):
    """A function that opens cells, or an existing notebook, in JupyterLab and returns its `Page`."""
    address, folder = lab
    pages = []

    def open_notebook(cells: list[str] | Path, *, name: str) -> Page:
        path = folder / f"{name}.ipynb"
        if isinstance(cells, Path):
            shutil.copyfile(cells, path)
        else:
            kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}  # else a dialog asks
            nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells], metadata=kernel), path)
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        opened = Page(page, folder)
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.goto(f"{address}/lab/tree/{name}.ipynb?reset", wait_until="domcontentloaded")
        pages.append(page)
        return opened

    yield open_notebook
    for page in pages:
        page.close()
