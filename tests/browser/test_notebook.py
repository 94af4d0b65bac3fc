"""The tour in JupyterLab, and text from datasets that tries to act in the browser."""

from pathlib import Path

import pytest

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


HOSTILE = r"""
from workbench import conformance, deid, inspection, phantoms
from workbench.widgets import Viewer
payload = "<img src=x onerror=\"window.__x=1\"><script>window.__x=1</script>"
image = phantoms.ct_series(1, rows=64, columns=64)[0]
image.PatientName = image.SeriesDescription = image.InstitutionName = payload
image.PatientComments = image.StudyDescription = image.Manufacturer = payload
image.add_new(0x00091001, "LO", payload)
other = phantoms.ct_series(2, rows=64, columns=64)[1]"""
SHOWN = (
    "inspection.summary(image)",
    "inspection.tree(image)",
    "inspection.table([image, other])",
    "inspection.differences(image, other)",
    "deid.plan(image)",
    "deid.report(deid.plan(image))",
    "conformance.check(image)",
    "viewer = Viewer(image)\nviewer.draw(__import__('workbench.entities').entities.Text(payload, (10, 10)))\nviewer",
)


def test_text_from_a_dataset_does_not_act(notebook):
    opened = notebook([HOSTILE, *SHOWN], name="hostile")
    opened.run_all(90)
    page = opened.page
    page.wait_for_function("() => document.querySelector('.wb-canvas')?.dataset.frame !== undefined")
    assert "onerror" in page.locator(".wb-overlay text").text_content(), "the text is shown as text"
    page.locator(".jp-Notebook").screenshot()
    page.wait_for_timeout(1_000)
    assert page.evaluate("() => typeof window.__x") == "undefined"
    assert page.locator("img[src='x']").count() == 0
    outputs = page.evaluate("""() => Array.from(window.jupyterapp.shell.currentWidget.content.widgets)
      .flatMap(c => c.model.type === 'code' ? c.model.sharedModel.outputs.map(o => o.output_type) : [])""")
    assert "error" not in outputs
    assert len(outputs) >= len(SHOWN)
    opened.picture("hostile")
