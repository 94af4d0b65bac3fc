"""The viewer's kernel side: what it sends, what it refuses, marks to and fro."""

import base64
import copy
import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from workbench import phantoms
from workbench.entities import Circle, Ellipse, Point, Polyline, Text
from workbench.errors import AttributeUnusable, PixelDataUnusable
from workbench.rendering import render, resolve
from workbench.widgets import Viewer


@pytest.fixture(scope="module")
def stack():
    return phantoms.ct_series(3, rows=64, columns=48)


def asked(viewer, index):
    """What the viewer answers to a wish for a frame, without a browser."""
    sent = []
    viewer.send = lambda content, buffers=None: sent.append((content, buffers))
    viewer._answer(viewer, {"kind": "want", "index": index}, [])
    return sent


def test_a_frame_travels_as_modality_values(stack):
    viewer = Viewer(stack, window=(40, 400))
    ((message, (buffer,)),) = asked(viewer, 2)
    values = np.frombuffer(buffer, message["dtype"]).reshape(message["rows"], message["columns"])
    stored = stack[2].pixel_array * float(stack[2].RescaleSlope) + float(stack[2].RescaleIntercept)
    assert np.array_equal(values, stored)
    assert (message["index"], message["units"], message["center"], message["width"]) == (2, "HU", 40.0, 400.0)


def test_colour_travels_as_rgb():
    image = phantoms.fundus()
    ((message, (buffer,)),) = asked(Viewer(image), 0)
    assert message["channels"] == 3
    assert np.array_equal(np.frombuffer(buffer, "u1").reshape(image.Rows, image.Columns, 3), render(resolve(image), frame=0))


def test_wishes_out_of_range_and_of_unknown_kind_are_left_alone(stack):
    viewer = Viewer(stack)
    assert asked(viewer, 3) == []
    assert asked(viewer, -1) == []
    assert asked(viewer, "0") == []
    viewer._answer(viewer, "nonsense", [])


def test_a_frame_that_can_not_be_decoded_is_told_not_raised(stack):
    broken = copy.deepcopy(stack[0])
    broken.PixelData = b"\0\0"
    ((message, _),) = asked(Viewer(broken, window=(40, 400)), 0)
    assert message["kind"] == "trouble"
    assert message["text"]


def test_what_can_not_be_shown_is_refused(stack):
    with pytest.raises(AttributeUnusable, match="at least one image"):
        Viewer([])
    with pytest.raises(AttributeUnusable, match="no frame 3"):
        Viewer(stack, frame=3)
    with pytest.raises(PixelDataUnusable):
        Viewer(Dataset())


def test_marks_come_back_as_they_went(stack):
    viewer = Viewer(stack)
    marks = (
        Polyline(((1.0, 2.0), (3.0, 4.0))),
        Ellipse((10.0, 12.0), (5.0, 3.0), 20.0),
        Text("here", (4.0, 4.0)),
        Point((7.0, 8.0)),
    )
    for mark in marks:
        viewer.draw(mark)
    viewer.draw(Circle((9.0, 9.0), 2.0), frame=1)
    assert viewer.drawn() == marks
    assert viewer.drawn(1) == (Circle((9.0, 9.0), 2.0),)
    viewer.draw(Ellipse((9.0, 9.0), (2.0, 2.0)), frame=2)
    assert viewer.drawn(2) == (Ellipse((9.0, 9.0), (2.0, 2.0)),)
    viewer.marks = [{"kind": "circle", "center": [9, 9], "radii": [2, 3], "frame": 2}]
    assert viewer.drawn(2) == (Ellipse((9.0, 9.0), (2.0, 3.0)),)


def test_the_snapshot_is_what_rendering_says(stack):
    viewer = Viewer(stack, frame=1, window=(40, 400))
    viewer.center, viewer.width = 10.0, 80.0
    assert np.array_equal(viewer.snapshot(), render(resolve(stack[1], window=(10.0, 80.0))))
    viewer.inverse = True
    assert np.array_equal(viewer.snapshot(), 255 - render(resolve(stack[1], window=(10.0, 80.0))))
    assert viewer.image is stack[1]


def test_a_report_without_a_kernel_has_a_still_picture(stack):
    data, _ = Viewer(stack)._repr_mimebundle_()
    assert data["image/png"].startswith("iVBORw0KGgo")
    scan = phantoms.oct().volume
    picture = Image.open(io.BytesIO(base64.b64decode(Viewer(scan)._repr_mimebundle_()[0]["image/png"])))
    assert picture.width / picture.height == pytest.approx(6.0 / (320 * 0.0038), rel=0.01), "6 mm wide, 320 rows of 3.8 µm"


def test_the_browser_side_by_node():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here: it runs the tests of the widgets' JavaScript.")
    tests = Path(__file__).with_name("viewer.test.mjs")
    done = subprocess.run([node, "--test", str(tests)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout or "fail 0" in done.stdout
