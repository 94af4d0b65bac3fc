"""The viewer in JupyterLab: pixels on the canvas, wheel, drag, marks, and a reload without its kernel."""

import json

import pytest

STACK = "from workbench import phantoms\nfrom workbench.widgets import Viewer\nimages = phantoms.ct_series(5, rows=128, columns=96)"
SHOW = "viewer = Viewer(images, window=(40, 400), height_px=512)\nviewer"
CANVAS = ".wb-canvas"
SHOWN = "n => document.querySelector('.wb-canvas') && document.querySelector('.wb-canvas').dataset.frame === String(n)"
# grey level of an image pixel, read from the canvas: the picture is fitted into its middle
PIXEL = """([column, row]) => {
  const canvas = document.querySelector('.wb-canvas');
  const scale = Math.min(canvas.width / 96, canvas.height / 128);
  const x = Math.round((canvas.width - 96 * scale) / 2 + (column + 0.5) * scale);
  const y = Math.round((canvas.height - 128 * scale) / 2 + (row + 0.5) * scale);
  return Array.from(canvas.getContext('2d').getImageData(x, y, 1, 1).data);
}"""

pytestmark = pytest.mark.timeout(120)


def report(code: str) -> str:
    """A cell that writes what the kernel knows to a file."""
    return f"import json\nwith open('report.json', 'w') as out:\n    json.dump({code}, out)"


def kernel_says(opened, code: str) -> object:
    """Run an expression in the notebook's kernel, through its last cell."""
    (opened.folder / "report.json").unlink(missing_ok=True)
    opened.page.evaluate(
        """async (source) => {
          const panel = window.jupyterapp.shell.currentWidget;
          await panel.sessionContext.session.kernel.requestExecute({code: source}).done;
        }""",
        report(code),
    )
    return json.loads((opened.folder / "report.json").read_text())


def test_it_draws_scrolls_windows_and_marks(notebook):
    opened = notebook([STACK, SHOW], name="viewer")
    opened.run_all()
    page = opened.page
    page.wait_for_function(SHOWN, arg=0)
    expected = kernel_says(opened, "[[int(viewer.snapshot()[r, c]) for c, r in [(48, 64), (30, 50), (2, 2)]]]")[0]
    seen = [page.evaluate(PIXEL, [c, r]) for c, r in [(48, 64), (30, 50), (2, 2)]]
    assert [s[0] for s in seen] == pytest.approx(expected, abs=1), "four screen pixels an image pixel: no interpolation"
    assert all(s[0] == s[1] == s[2] and s[3] == 255 for s in seen)
    opened.picture("viewer", ".workbench-viewer")

    page.hover(CANVAS)
    page.mouse.wheel(0, 120)
    page.wait_for_function(SHOWN, arg=1)
    page.mouse.wheel(0, 120)
    page.wait_for_function(SHOWN, arg=2)
    page.keyboard.press("Tab")
    assert kernel_says(opened, "viewer.frame") == 2

    box = page.locator(CANVAS).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = page.evaluate(PIXEL, [48, 64])
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 200, steps=6)
    page.mouse.up()
    center, width = kernel_says(opened, "list(viewer.window)")
    assert center == pytest.approx(40 + 200 * 400 / 256, rel=0.05)
    assert width == pytest.approx(400 + 60 * 400 / 256, rel=0.05)
    assert page.evaluate(PIXEL, [48, 64])[0] < before[0], "a higher centre darkens"

    page.locator("button[aria-label^=Ellipse]").click()
    page.mouse.move(x - 40, y - 30)
    page.mouse.down()
    page.mouse.move(x + 40, y + 30, steps=5)
    page.mouse.up()
    page.wait_for_selector(".wb-overlay ellipse")
    (mark,) = kernel_says(opened, "[[m.center, m.radii] for m in viewer.drawn()]")
    assert mark[0] == pytest.approx([48, 64], abs=1)
    assert mark[1] == pytest.approx([10, 7.5], abs=0.6), "512 screen pixels show 128 rows"
    opened.picture("viewer_marked", ".workbench-viewer")

    page.locator(".workbench-viewer").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function(SHOWN, arg=3)
    page.keyboard.press("End")
    page.wait_for_function(SHOWN, arg=4)
    assert opened.errors == []
    assert [r for r in opened.requests if "://127.0.0.1" not in r and not r.startswith(("data:", "blob:"))] == []


def test_after_fast_scrolling_the_last_wanted_frame_is_shown(notebook):
    many = "images = phantoms.ct_series(60, rows=128, columns=96)"
    opened = notebook([STACK, many, SHOW], name="scroll")
    opened.run_all()
    opened.page.wait_for_function(SHOWN, arg=0)
    opened.page.hover(CANVAS)
    for _ in range(40):
        opened.page.mouse.wheel(0, 100)
    for _ in range(7):
        opened.page.mouse.wheel(0, -100)
    opened.page.wait_for_function(SHOWN, arg=33)
    assert opened.page.locator(".wb-status").text_content().startswith("34 / 60")
    assert opened.errors == []


def test_a_reloaded_page_without_its_kernel_says_so(notebook):
    """B04: no kernel, a clear state, and no error in the browser."""
    opened = notebook([STACK, SHOW], name="stale")
    opened.run_all()
    page = opened.page
    page.wait_for_function(SHOWN, arg=0)
    page.evaluate("""async () => {
      const panel = window.jupyterapp.shell.currentWidget;
      await panel.context.save();
      await panel.sessionContext.shutdown();
    }""")
    page.hover(CANVAS)
    for _ in range(4):
        page.mouse.wheel(0, 100)
    page.wait_for_selector(".wb-stale:not([hidden])", timeout=20_000)
    opened.picture("viewer_stale", ".workbench-viewer")
    page.reload(wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_timeout(2_000)
    assert opened.errors == []
