"""B07: servers that a notebook embeds end with its kernel, however that ends, and their port is free again at once."""

import os
import re
import signal
import socket
import time

import pytest

pytestmark = pytest.mark.timeout(150)

START = """import os
from workbench.department import Department
department = Department(instances=[], port={port})
print("listens at", department.server.port, "in process", os.getpid())"""
AGAIN = "second = Department(instances=[], port={port})"
SAID = """() => window.jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code')
  .map(c => c.model.sharedModel.outputs.map(o => [o.text || '', o.ename || '', o.evalue || ''].flat().join(' ')).join(' '))"""
RUN_CELL = """async (index) => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = index;
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def seconds_until_free(port, limit_s=10.0):
    """Wait until a new server could bind the port, and say how long that took."""
    began = time.monotonic()
    while time.monotonic() < began + limit_s:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                time.sleep(0.02)
            else:
                return time.monotonic() - began
    raise AssertionError(f"after {limit_s} s the port is still taken")


def restart(page, _process):
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:restart-kernel'); }")
    page.locator(".jp-Dialog button:has-text('Restart')").click()


def close(page, _process):
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:close-and-shutdown'); }")
    page.locator(".jp-Dialog button:has-text('Ok'), .jp-Dialog button:has-text('Shut')").first.click()


def shut_down(page, _process):
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")


def kill(_page, process):
    os.kill(process, signal.SIGKILL)


@pytest.fixture
def started(notebook, free_port, request):
    """A notebook whose department listens, and its port and process; a client is associated and says nothing."""
    port = free_port()
    opened = notebook(
        [START.format(port=port), AGAIN.format(port=port)], name=request.node.name.translate(str.maketrans("[]", "__"))
    )
    opened.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    opened.page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.ready; }")
    opened.page.evaluate(RUN_CELL, 0)
    opened.page.wait_for_function(f"() => ({SAID})()[0].includes('listens at')", timeout=60_000)
    said = opened.page.evaluate(SAID)[0]
    found = re.search(r"listens at (\d+) in process (\d+)", said)
    assert found, said
    assert int(found[1]) == port
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"\x01\0\0")
        yield opened, port, int(found[2])


@pytest.mark.parametrize("end", [restart, kill, shut_down, close])
def test_the_port_is_free_when_the_kernel_has_ended(started, end):
    """B07: restart from the menu, SIGKILL, shutdown, and the notebook closed."""
    opened, port, process = started
    assert listens(port)
    end(opened.page, process)
    assert seconds_until_free(port) < 2.0
    assert not listens(port)


def test_after_a_restart_the_same_cell_starts_it_again(started):
    """B07: the port that the last kernel used is no obstacle to the next."""
    opened, port, process = started
    restart(opened.page, process)
    seconds_until_free(port)
    opened.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'", timeout=30_000
    )
    opened.page.evaluate(RUN_CELL, 0)
    opened.page.wait_for_function(
        f"() => /listens at {port} in process/.test(({SAID})()[0]) && !({SAID})()[0].includes('{process}')", timeout=30_000
    )
    assert listens(port)
    assert opened.errors == []


def test_a_second_start_at_the_same_port_says_what_to_do(started):
    """B07: the message names the port, and the first department goes on."""
    opened, port, _ = started
    opened.page.evaluate(RUN_CELL, 1)
    opened.page.wait_for_function(f"() => ({SAID})()[1].includes('Refused')", timeout=30_000)
    said = opened.page.evaluate(SAID)[1]
    assert re.search(rf"ServerRefused.*Port {port} of 127\.0\.0\.1 is in use.*stop\(\) it.*port=0", said), said
    assert listens(port)
    opened.page.evaluate("() => { const at = document.querySelector('.jp-WindowedPanel-outer'); at.scrollTop = at.scrollHeight; }")
    opened.page.wait_for_timeout(800)
    opened.picture("second_start")
