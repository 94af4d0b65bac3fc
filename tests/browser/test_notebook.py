"""The tour in JupyterLab, and text from datasets that tries to act in the browser."""

from pathlib import Path

import nbformat
import pytest

from tests.browser.conftest import ARTIFACTS
from workbench import flows

TOUR = Path(__file__).parents[2] / "notebooks" / "01_tour.ipynb"
pytestmark = pytest.mark.timeout(240)


def test_the_tour_runs_in_jupyterlab(notebook):
    opened = notebook(TOUR, name="tour")
    opened.run_all(180)
    page = opened.page
    outputs = page.evaluate("""() => Array.from(window.jupyterapp.shell.currentWidget.content.widgets)
      .filter(c => c.model.type === 'code')
      .flatMap(c => c.model.sharedModel.outputs.map(o => [o.output_type, Object.keys(o.data || {})]))""")
    assert [o for o in outputs if o[0] == "error"] == []
    assert sum("image/png" in kinds for _, kinds in outputs) >= 4, "three figures and the viewer's still picture"
    page.locator(".workbench-viewer").first.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.wb-canvas')?.dataset.frame !== undefined")
    grey = page.evaluate("""() => {
      const canvas = document.querySelector('.wb-canvas');
      const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      let bright = 0;
      for (let i = 0; i < data.length; i += 4) if (data[i] > 60) bright += 1;
      return bright / (data.length / 4);
    }""")
    assert 0.05 < grey < 0.95, "the canvas shows a body on black"
    opened.picture("tour")
    assert opened.errors == []
    assert [r for r in opened.requests if "://127.0.0.1" not in r and not r.startswith(("data:", "blob:"))] == []


PAYLOAD = """<img src=x onerror="window.__x=1;alert(1)">"""
HOSTILE = r"""
import copy, logging, pathlib, tempfile
from workbench import archive, builders, conformance, deid, entities, figures, files, flows, inspection, network, phantoms
from workbench.department import Department
from workbench.flows import annotate, exchange, pull, release
from workbench.widgets import Viewer
payload = '<img src=x onerror="window.__x=1;alert(1)">'
script = payload + "<script>window.__x=1;alert(2)</script></td></pre></script><svg onload=window.__x=1>"
short = "<img src=x>'\""
with __import__("pydicom").config.disable_value_validation():
    image, other = copy.deepcopy(phantoms.ct_series(2, rows=64, columns=64))
    image.PatientName, image.PatientID, image.AccessionNumber, image.StationName = script, payload, short, short
    for word in ("SeriesDescription", "StudyDescription", "InstitutionName", "Manufacturer", "ProtocolName", "OperatorsName"):
        setattr(image, word, payload)
    other.PatientName, other.PatientID, other.StudyDescription = "<script>alert(3)</script>^A", payload, payload
    image.PatientComments, image.TextValue, image.RetrieveURL = script, script, "javascript:window.__x=1"
    block = image.private_block(0x0029, payload, create=True)
    block.add_new(1, "LO", payload), block.add_new(2, "UT", script), block.add_new(3, "UN", script.encode())"""
# a peer that answers with failures whose comment acts; an AE title and names of files and peers that do
MADE = r"""
from pydicom import Dataset
from pynetdicom import AE, evt, AllStoragePresentationContexts
def fail(event):
    answer = Dataset()
    answer.Status, answer.ErrorComment = 0xA700, payload
    return answer
def refuse(event):
    yield fail(event), None
rude = AE(ae_title=short)
rude.supported_contexts = AllStoragePresentationContexts[:100]
for sop_class in ("1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"):
    rude.add_supported_context(sop_class)
said = [(evt.EVT_C_STORE, fail), (evt.EVT_C_FIND, refuse), (evt.EVT_C_GET, lambda event: iter([1, fail(event)]))]
listening = rude.start_server(("127.0.0.1", 0), block=False, evt_handlers=said)
peer = entities.Peer(payload, short, port=listening.socket.getsockname()[1], calling_ae_title=short, retrieve_by="get")
folder = pathlib.Path(tempfile.mkdtemp()) / script.replace("/", "")
folder.mkdir()
place = folder / (payload + ".dcm")
place.write_bytes(b"no DICOM")
saved = files.save(image, folder / (payload + "2.dcm"))
keys = deid.Keys.create(folder / "key")
department = Department(folder / "archive", instances=[image, other], ae_title=short)
audit = flows.Audit(folder / "audit.jsonl")
book = network.AddressBook(folder / "peers.toml")
book.add(peer)
seen = annotate.measure(other, entities.Circle((32, 32), 6))"""
SHOWN = (
    "inspection.summary(image)",
    "inspection.tree(image)",
    "inspection.table([image, other])",
    "inspection.differences(image, other)",
    "deid.plan(image)",
    "deid.report(deid.plan(image))",
    "conformance.check(image)",
    "conformance.check_many([place, saved])",
    "release.release([image, Dataset()], keys=keys)",
    "department",
    "department.archive",
    "department.archive.table()",
    "pull.find(department.peer, audit=audit)",
    "network.find(department.peer)",
    "book",
    "network.echo(peer)",
    "network.echo(peer.but(port=1))",
    "network.store(peer, [image, place, saved])",
    "exchange.push(peer, [image], audit=audit)",
    "audit.lines",
    "seen",
    "annotate.annotate([seen])",
    "print(payload, image.PatientName)",
    "logging.getLogger('workbench').warning(payload)",
    "figures.image(image)",
    "viewer = Viewer(image)\nviewer.draw(entities.Text(payload, (10, 10)))\nviewer",
)
#: each fails in a traceback that holds a payload
FAILING = {
    "network.find(peer)": "StatusFailure",
    "network.retrieve(peer, entities.StudyRef(image.StudyInstanceUID), into=department.archive)": "StatusFailure",
    "files.read(place)": "NotDicom",
    "network.find(payload)": "PeerUnknown",
    "department.stop(), listening.shutdown(), 1 / 0, payload": "ZeroDivisionError",
}
OUTPUTS = """() => Array.from(window.jupyterapp.shell.currentWidget.content.widgets)
  .flatMap(c => c.model.type === 'code' ? c.model.sharedModel.outputs.map(o => [o.output_type, o.ename || '']) : [])"""


def attempts():
    """The cells that fail, so that the notebook goes on to its end."""
    return [f"try:\n    {cell}\nexcept Exception:\n    get_ipython().showtraceback()" for cell in FAILING]


def watched(page):
    """Note every dialog that a page opens."""
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    return dialogs


def acted(page, dialogs):
    """Whether anything of the payload came to life."""
    page.wait_for_timeout(1_500)
    strange = page.locator("img[src='x'], svg[onload], [onerror], a[href^='javascript:']").count()
    return page.evaluate("() => typeof window.__x") != "undefined" or strange > 0 or dialogs != []


def test_text_from_a_dataset_does_not_act(notebook):
    """B01: names, descriptions, private text, files, AE titles, a peer's comments: in every table, report, error and widget."""
    opened = notebook([HOSTILE, MADE, *SHOWN, *attempts()], name="hostile")
    page, dialogs = opened.page, watched(opened.page)
    opened.run_all(90)
    outputs = page.evaluate(OUTPUTS)
    assert [name for kind, name in outputs if kind == "error"] == list(FAILING.values())
    assert len(outputs) >= len(SHOWN) + len(FAILING)
    page.locator(".workbench-viewer").first.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.wb-canvas')?.dataset.frame !== undefined")
    assert "onerror" in page.locator(".wb-overlay text").text_content(), "the text is shown as text"
    opened.picture("hostile")
    assert not acted(page, dialogs)
    assert opened.errors == []


@pytest.fixture
def exported(chromium, tmp_path):
    """A function that runs cells, writes them as one HTML file, and opens it: (page, dialogs, addresses asked for)."""
    pages = []

    def export(*cells):
        source = tmp_path / "exported.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), source)
        path = flows.notebook.run(source, output=tmp_path / "out")
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        pages.append(page)
        asked, dialogs = [], watched(page)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page, dialogs, asked

    yield export
    for page in pages:
        page.close()


def test_nor_does_it_in_an_exported_report(exported):
    """B01: the HTML that a run leaves behind, opened in a browser, with the payload still to be read in it."""
    page, dialogs, asked = exported(HOSTILE, MADE, *SHOWN, *attempts())
    read = page.locator("body").inner_text()
    assert read.count("onerror=") > 40
    assert read.count("Traceback") == len(FAILING)
    assert "comment" in read.lower()
    assert not acted(page, dialogs)
    assert [address for address in asked if not address.startswith(("file:", "data:", "blob:"))] == []
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "exported.png")


def test_these_tests_would_see_it_act(notebook, exported):
    """B01: the same payload, shown as a page would be, acts in both places."""
    shown = f"from IPython.display import HTML\nHTML({PAYLOAD!r})"
    opened = notebook([shown], name="acting")
    dialogs = watched(opened.page)
    opened.run_all()
    assert acted(opened.page, dialogs)
    page, dialogs, _ = exported(shown)
    assert acted(page, dialogs)
    assert dialogs == ["1"]
