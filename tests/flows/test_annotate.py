"""Annotate: numbers that are known, and three objects that belong together."""

import copy
import math

import numpy as np
import pytest

from workbench import phantoms, quantification
from workbench.conformance import check
from workbench.entities import Circle, Code, Ellipse, Point, Polyline, Text
from workbench.errors import AttributeUnusable, BuildRefused
from workbench.flows import Audit, annotate


@pytest.fixture(scope="module")
def ct():
    """A disc of 40 HU with noise from -8 to 7 in air, pixels of 4 mm."""
    return phantoms.planted_ct().dataset


def numbers(region):
    return {(m.name.meaning, m.derivation.meaning if m.derivation else ""): (m.value, m.unit.value) for m in region.measurements}


def test_a_ct_phantom(ct):
    before = ct.to_json()
    region = annotate.measure(ct, Circle((32, 32), 10), label="Water")
    found = numbers(region)
    hu = "[hnsf'U]"
    mean, unit = found["Attenuation Coefficient", "Mean"]
    assert unit == hu
    assert mean == pytest.approx(39.5, abs=1)  # the noise is uniform over -8 ... 7
    assert found["Attenuation Coefficient", "Standard Deviation"][0] == pytest.approx(math.sqrt((16**2 - 1) / 12), rel=0.1)
    assert found["Attenuation Coefficient", "Maximum"] == (47, hu)
    assert found["Attenuation Coefficient", "Minimum"] == (32, hu)
    area, unit = found["Area", ""]
    assert (area, unit) == (pytest.approx(math.pi * 40**2, rel=0.02), "mm2")
    assert ct.to_json() == before


def test_the_same_region_in_three_ways(ct):
    square = Polyline.rectangle(20, 20, 30, 30)
    assert numbers(annotate.measure(ct, square))["Area", ""][0] == 100 * 16
    circle = annotate.measure(ct, Circle((32, 32), 8)).measurements
    assert annotate.measure(ct, Ellipse((32, 32), (8, 8), 30)).measurements == circle


def test_a_pet_sphere_in_suv():
    body = phantoms.pet_ct()
    suv = quantification.suv(body.pet)
    sphere = body.spheres[-1]
    inverse = np.linalg.inv(suv.affine_mm)
    column, row, index = (inverse @ (*sphere.center_mm, 1))[:3]
    index = round(float(index))
    image = next(d for d in body.pet if d.SOPInstanceUID == suv.sop_instance_uids[index])
    mark = Circle((column + 0.5, row + 0.5), sphere.diameter_mm / 2 / 4 - 1.5)
    region = annotate.measure(image, mark, values=suv.values[index], unit="g/ml", label="Largest")
    value, unit = numbers(region)["SUVbw", "Mean"]
    assert value == pytest.approx(sphere.suv, rel=0.01)  # there is noise
    assert unit == "g/ml{SUVbw}"
    derived = annotate.annotate([region])
    assert "7.9" in derived.presentation.GraphicAnnotationSequence[0].TextObjectSequence[0].UnformattedTextValue
    own = numbers(annotate.measure(image, mark))["Tracer Concentration", "Mean"]
    assert own[1] == "Bq/ml"
    assert own[0] > 1000


def test_three_objects_that_belong_together(ct):
    image = phantoms.ct_series(1, rows=64)[0]
    audit = Audit()
    regions = [
        annotate.measure(image, Circle((32, 32), 6), label="One", finding=Code("85756007", "SCT", "Tissue")),
        annotate.measure(image, Polyline.rectangle(8, 8, 20, 20), label="Two"),
    ]
    derived = annotate.annotate(regions, window=(40, 400), audit=audit)
    assert len(derived.datasets) == 3
    assert [check(d).errors for d in derived.datasets] == [()] * 3
    assert {d.StudyInstanceUID for d in derived.datasets} == {image.StudyInstanceUID}
    assert derived.presentation.SoftcopyVOILUTSequence[0].WindowCenter == 40
    held = {
        str(i.ReferencedSOPInstanceUID)
        for e in derived.selection.CurrentRequestedProcedureEvidenceSequence
        for s in e.ReferencedSeriesSequence
        for i in s.ReferencedSOPSequence
    }
    assert held == {str(d.SOPInstanceUID) for d in (image, derived.report, derived.presentation)}
    assert repr(derived).startswith("Derived(")
    assert (audit.lines[0].step, audit.lines[0].count, audit.lines[0].verified) == ("build", 3, True)
    assert ct.PatientID not in repr(derived) + audit.lines[0].note


def test_a_colour_image_has_no_grayscale_state():
    image = copy.deepcopy(phantoms.fundus())
    image.PixelSpacing = [0.01, 0.01]
    region = annotate.measure(image, Circle((100, 100), 20), label="Disc")
    assert {name for name, _ in numbers(region)} == {"Area"}
    derived = annotate.annotate([region])
    assert derived.presentation is None
    assert len(derived.datasets) == 2


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (Point((3, 3)), "Only a circle, an ellipse or a closed polyline"),
        (Text("x", (3, 3)), "Only a circle"),
        (Polyline(((1, 1), (5, 5))), "Only a circle"),
        (Circle((1.0, 1.0), 0.1), "holds no pixel centre"),
        (Circle((500, 500), 5), "holds no pixel centre"),
    ],
)
def test_marks_without_an_inside(ct, mark, message):
    with pytest.raises(AttributeUnusable, match=message):
        annotate.measure(ct, mark)


def test_what_has_neither_unit_nor_spacing():
    image = copy.deepcopy(phantoms.fundus())
    del image.PixelSpacing
    with pytest.raises(AttributeUnusable, match=r"can't be measured.*\(0028,0030\)"):
        annotate.measure(image, Circle((100, 100), 20))


def test_no_image(ct):
    state = annotate.annotate([annotate.measure(ct, Circle((32, 32), 6))]).presentation
    with pytest.raises(AttributeUnusable, match=r"Rows \(0028,0010\)"):
        annotate.measure(state, Circle((32, 32), 6))


def test_values_of_another_size(ct):
    with pytest.raises(AttributeUnusable):
        annotate.measure(ct, Circle((32, 32), 6), values=np.zeros((8, 8)), unit="HU")


def test_refusals_of_building(ct):
    other = phantoms.ct_series(1, rows=64)[0]
    audit = Audit()
    for found in ([], [annotate.measure(ct, Circle((32, 32), 6)), annotate.measure(other, Circle((32, 32), 6))]):
        with pytest.raises(BuildRefused):
            annotate.annotate(found, audit=audit)
    assert [line.verified for line in audit.lines] == [False, False]
