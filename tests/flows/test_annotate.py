"""Annotate: numbers that are known, and three objects that belong together."""

import copy
import math

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from workbench import figures, phantoms, quantification
from workbench.conformance import check
from workbench.entities import Circle, Code, Ellipse, Point, Polyline, Text, html_safe
from workbench.errors import AttributeUnusable, BuildRefused, InputError
from workbench.flows import Audit, annotate
from workbench.rendering import resolve


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
    assert derived.note.startswith("no presentation state: all images are in colour")
    assert derived.note in repr(derived)
    shown = derived._repr_html_()
    assert "all images are in colour" in shown
    assert "<td style='text-align:left'>presentation</td><td style='text-align:left'></td><td style='text-align:left'>none" in shown


@pytest.mark.parametrize(
    ("value", "words"), [(-1000.4, "A: -1000 HU"), (12345.0, "A: 12345 HU"), (39.52, "A: 39.5 HU"), (0.5, "A: 0.5 HU")]
)
def test_a_mean_is_written_without_powers_of_ten(ct, value, words):
    region = annotate.measure(ct, Circle((32, 32), 6), values=np.full((64, 64), value), unit="HU", label="A")
    (text,) = annotate.annotate(region).presentation.GraphicAnnotationSequence[0].TextObjectSequence
    assert text.UnformattedTextValue == words


def test_three_objects_are_shown_by_class_and_uid(ct):
    derived = annotate.annotate([annotate.measure(ct, Circle((32, 32), 6))])
    shown = derived._repr_html_()
    assert derived.note == ""
    for dataset in derived.datasets:
        assert str(dataset.SOPInstanceUID) in shown
        assert html_safe(dataset.SOPClassUID.name) in shown
    assert ct.PatientID not in shown


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (Point((3, 3)), "Only a circle, an ellipse or a closed polyline"),
        (Text("x", (3, 3)), "Only a circle"),
        (Polyline(((1, 1), (5, 5))), "Only a circle"),
        (Circle((1.0, 1.0), 0.1), "holds no pixel centre"),
        (Circle((500, 500), 5), "'Region 1' reaches outside the image of 64 rows and 64 columns"),
        (Circle((4, 32), 5), "reaches outside"),
        (Ellipse((32, 60), (2, 6), 0), "reaches outside"),
        (Polyline.rectangle(60, 10, 65, 20), "reaches outside"),
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
    with pytest.raises(AttributeUnusable, match=r"shape \(8, 8\); \(rows, columns\) of this image are \(64, 64\)"):
        annotate.measure(ct, Circle((32, 32), 6), values=np.zeros((8, 8)), unit="HU")


def test_every_code_is_that_of_the_standard():
    known = {
        annotate.AREA: codes.SCT.Area,
        annotate.SQUARE_MM: codes.UCUM.SquareMillimeter,
        annotate.MEAN: codes.SCT.Mean,
        annotate.DEVIATION: codes.SCT.StandardDeviation,
        annotate.LARGEST: codes.SCT.Maximum,
        annotate.SMALLEST: codes.SCT.Minimum,
        annotate.INTENSITIES["HU"][0]: codes.DCM.AttenuationCoefficient,
        annotate.INTENSITIES["HU"][1]: codes.UCUM.HounsfieldUnit,
        annotate.INTENSITIES["g/ml"][0]: codes.DCM.Suvbw,
        annotate.INTENSITIES["g/ml"][1]: codes.UCUM.StandardizedUptakeValueBodyWeight,
        annotate.INTENSITIES["BQML"][0]: codes.DCM.TracerConcentration,
        annotate.INTENSITIES["BQML"][1]: codes.UCUM.BecquerelsPerMilliliter,
    }
    for own, theirs in known.items():
        assert (own.value, own.scheme, own.meaning) == (theirs.value, theirs.scheme_designator, theirs.meaning)
    assert {code for pair in annotate.INTENSITIES.values() for code in pair} <= set(known)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        *((word, "Attenuation Coefficient") for word in ("HU", "hu", "[hnsf'U]", " Hounsfield ")),
        *((word, "SUVbw") for word in ("g/ml", "SUV", "SUVbw", "g/ml{SUVbw}", "suvBW")),
        *((word, "Tracer Concentration") for word in ("BQML", "Bq/ml", "bqml")),
    ],
)
def test_common_names_of_units(ct, said, name):
    region = annotate.measure(ct, Circle((32, 32), 6), values=np.ones((64, 64)), unit=said)
    assert region.measurements[0].name.meaning == name


@pytest.mark.parametrize("unit", ["kg", "", "mGy", "Houndsfield", 7])
def test_unknown_units(ct, unit):
    with pytest.raises(InputError, match=r"accepted are 'HU', 'g/ml' \(SUV by body weight\) or 'BQML'"):
        annotate.measure(ct, Circle((32, 32), 6), unit=unit)


def test_units_that_the_image_contradicts(ct):
    pet = phantoms.pet_ct().pet[0]
    mark = Circle((pet.Columns / 2, pet.Rows / 2), 4)
    for unit in ("HU", "SUV"):
        with pytest.raises(InputError, match=r"are in BQML, not in .*pass values="):
            annotate.measure(pet, mark, unit=unit)
    with pytest.raises(InputError, match="are in HU, not in g/ml"):
        annotate.measure(ct, Circle((32, 32), 6), unit="SUVbw")
    assert annotate.measure(pet, mark, unit="Bq/ml").measurements == annotate.measure(pet, mark).measurements
    with pytest.raises(InputError, match="values= need unit="):
        annotate.measure(pet, mark, values=np.ones((pet.Rows, pet.Columns)))


@pytest.mark.parametrize(("kind", "names"), [("", {"SUVbw"}), ("BW", {"SUVbw"}), ("LBMJANMA", set())])
def test_images_that_are_in_suv(kind, names):
    pet = copy.deepcopy(phantoms.pet_ct().pet[0])
    pet.Units, pet.SUVType = "GML", kind
    region = annotate.measure(pet, Circle((pet.Columns / 2, pet.Rows / 2), 4))
    assert {name for name, how in numbers(region) if how} == names


@pytest.mark.parametrize(
    ("mark", "anchor"),
    [
        (Circle((32, 32), 6), [38, 26]),
        (Ellipse((32, 32), (4, 8), 90), [40, 28]),
        (Polyline.rectangle(8, 9, 20, 21), [20, 9]),
        (Circle((60, 4), 4), [64, 0]),
    ],
)
def test_words_stand_beside_their_mark(ct, mark, anchor):
    state = annotate.annotate(annotate.measure(ct, mark)).presentation
    (words,) = state.GraphicAnnotationSequence[0].TextObjectSequence
    assert words.AnchorPoint == pytest.approx(anchor)


def test_refusals_of_building(ct):
    other = phantoms.ct_series(1, rows=64)[0]
    audit = Audit()
    for found in ([], [annotate.measure(ct, Circle((32, 32), 6)), annotate.measure(other, Circle((32, 32), 6))]):
        with pytest.raises(BuildRefused):
            annotate.annotate(found, audit=audit)
    assert [line.verified for line in audit.lines] == [False, False]


def _annotated(images, **changes):
    regions = [annotate.measure(image, Circle((32, 32), 6), label=f"Region{i}") for i, image in enumerate(images)]
    return annotate.annotate(regions, **changes)


def test_each_region_is_shown_on_its_own_image():
    images = phantoms.ct_series(3, rows=64, columns=64)
    derived = _annotated(images)
    assert derived.note == ""
    assert check(derived.presentation).errors == ()
    for number, image in enumerate(images):
        drawn = resolve(image, state=derived.presentation).frame(0).annotations
        assert [a.text.split(":")[0] for a in drawn if hasattr(a, "text")] == [f"Region{number}"]
        texts = [t.get_text() for t in figures.presentation(image, derived.presentation).axes[0].texts]
        assert [t.split(":")[0] for t in texts if t.startswith("Reg")] == [f"Region{number}"]


def test_each_region_is_shown_on_its_own_frame():
    volume = phantoms.oct().volume
    regions = [annotate.measure(volume, Circle((256, 160), 30), frame=f, label=f"F{f}") for f in (3, 7)]
    state = annotate.annotate(regions).presentation
    shown = [
        [a.text.split(":")[0] for a in resolve(volume, state=state).frame(f).annotations if hasattr(a, "text")] for f in (3, 5, 7)
    ]
    assert shown == [["F3"], [], ["F7"]]


def test_regions_that_one_state_can_not_show_are_told():
    slices = phantoms.pet_ct().pet[20:22]
    derived = _annotated([slices[0], slices[0], slices[1]])
    assert derived.note.startswith("the presentation state shows 2 of 3 regions: other images differ from the first in size")
    assert derived.note in repr(derived)
    (series,) = derived.presentation.ReferencedSeriesSequence
    assert [i.ReferencedSOPInstanceUID for i in series.ReferencedImageSequence] == [slices[0].SOPInstanceUID]
