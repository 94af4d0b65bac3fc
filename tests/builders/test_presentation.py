"""Presentation states: what they say, and that DCMTK and our own rendering show the same by them."""

import copy
import re
import subprocess

import numpy as np
import pytest
from pydicom.dataset import Dataset

from workbench import builders, files, phantoms
from workbench.builders import Placed
from workbench.entities import Circle, Ellipse, Point, Polyline, Text
from workbench.errors import BuildRefused
from workbench.rendering import render, resolve

MARKS = [
    Point((3, 4)),
    Polyline(((1, 2), (30.5, 40))),
    Circle((20, 10), 5),
    Text("Näher ansehen", (9, 8)),
    Ellipse((20, 20), (6, 3)),
]


def pgm(path):
    """The pixels of a binary PGM of 8 bits."""
    data = path.read_bytes()
    head = re.match(rb"P5\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+255\s", data)
    return np.frombuffer(data[head.end() :], np.uint8).reshape(int(head[2]), int(head[1]))


@pytest.fixture
def dcmp2pgm(program, tmp_path):
    """A function that renders an image by a state with DCMTK."""

    def run(image, state):
        paths = [str(files.save(d, tmp_path / f"{k}.dcm", durable=False)) for k, d in enumerate((state, image))]
        command = [program("dcmp2pgm"), "-p", *paths, str(tmp_path / "out.pgm")]
        subprocess.run(command, check=True, capture_output=True)
        return pgm(tmp_path / "out.pgm")

    return run


def lut(values, first, bits):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(values), first, bits])
    item.add_new("LUTData", "US", [int(v) for v in values])
    item.LUTExplanation = "curve"
    return item


def without_window(image):
    for keyword in ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"):
        image.pop(keyword, None)


def as_is(image):
    """The phantom as it comes: rescaled to HU, with a window."""


def monochrome1(image):
    image.PhotometricInterpretation = "MONOCHROME1"


def with_voi_lut(image):
    without_window(image)
    image.VOILUTSequence = [lut(np.linspace(0, 1, 1500) ** 2 * 4095, -1000, 12)]


def with_modality_lut(image):
    without_window(image)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        image.pop(keyword, None)
    table = lut(np.arange(4096)[::-1] * 16, 0, 16)
    table.ModalityLUTType = "US"
    image.ModalityLUTSequence = [table]


def with_two_windows(image):
    image.WindowCenter, image.WindowWidth = [40, -600], [400, 1500]
    image.WindowCenterWidthExplanation = ["soft", "lung"]


IMAGES = [as_is, monochrome1, with_voi_lut, with_modality_lut, with_two_windows]
WISHES = {
    "nothing": {},
    "window": {"window": (40, 400)},
    "narrow": {"window": (-20.5, 1)},
    "inverse": {"inverse": True},
    "both": {"window": (-600, 1500), "inverse": True, "marks": MARKS},
}


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("change", IMAGES, ids=lambda f: f.__name__)
def test_dcmtk_shows_by_it_what_we_show(ct, dcmp2pgm, change, wish):
    image = ct[1]
    change(image)
    wished = dict(WISHES[wish])
    if change is with_modality_lut and "window" in wished:
        wished["window"] = (50_000, 1 if wish == "narrow" else 30_000)  # its table gives 16 bits
    state = builders.grayscale([image], **wished)
    plain = copy.deepcopy(state)
    plain.pop("GraphicAnnotationSequence", None)  # dcmp2pgm does not draw
    theirs, ours = dcmp2pgm(image, state).astype(int), render(resolve(image, state=plain)).astype(int)
    assert theirs.shape == ours.shape == (48, 64)
    assert np.abs(theirs - ours).max() <= 1
    assert ours.std() > 5  # something is to be seen


@pytest.mark.parametrize("change", [as_is, monochrome1, with_voi_lut, with_two_windows], ids=lambda f: f.__name__)
def test_a_state_that_wishes_nothing_changes_nothing(ct, change):
    image = ct[1]
    change(image)
    np.testing.assert_array_equal(render(resolve(image, state=builders.grayscale([image]))), render(resolve(image)))


@pytest.mark.parametrize("change", [as_is, monochrome1], ids=lambda f: f.__name__)
def test_inverse_exchanges_black_and_white(ct, change):
    image = ct[1]
    change(image)
    state = builders.grayscale([image], inverse=True)
    assert state.PresentationLUTShape == ("IDENTITY" if change is monochrome1 else "INVERSE")
    np.testing.assert_array_equal(render(resolve(image, state=state)), 255 - render(resolve(image)))


def test_a_state_survives_its_file(ct, tmp_path):
    with_voi_lut(ct[1])
    state = builders.grayscale([ct[1]], marks=MARKS)
    back = files.read(files.save(state, tmp_path / "pr.dcm")).dataset
    assert back == state
    np.testing.assert_array_equal(render(resolve(ct[1], state=back)), render(resolve(ct[1], state=state)))


def test_marks_are_written_in_image_coordinates(ct):
    (annotation,) = builders.grayscale(ct, marks=MARKS).GraphicAnnotationSequence
    drawn = [(o.GraphicType, o.GraphicAnnotationUnits, list(o.GraphicData)) for o in annotation.GraphicObjectSequence]
    assert drawn[:3] == [
        ("POINT", "PIXEL", [3, 4]),
        ("POLYLINE", "PIXEL", [1, 2, 30.5, 40]),
        ("CIRCLE", "PIXEL", [20, 10, 25, 10]),
    ]
    assert drawn[3][0] == "ELLIPSE"
    (words,) = annotation.TextObjectSequence
    assert (words.UnformattedTextValue, list(words.AnchorPoint), words.AnchorPointAnnotationUnits) == (
        "Näher ansehen",
        [9, 8],
        "PIXEL",
    )
    assert [r.ReferencedSOPInstanceUID for r in annotation.ReferencedImageSequence] == [c.SOPInstanceUID for c in ct]


def test_every_image_is_listed_below_its_series(ct):
    state = builders.grayscale(ct)
    (series,) = state.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == ct[0].SeriesInstanceUID
    assert [r.ReferencedSOPInstanceUID for r in series.ReferencedImageSequence] == [c.SOPInstanceUID for c in ct]
    area = state.DisplayedAreaSelectionSequence[0]
    assert (list(area.DisplayedAreaTopLeftHandCorner), list(area.DisplayedAreaBottomRightHandCorner)) == ([1, 1], [64, 48])
    assert "GraphicAnnotationSequence" not in state
    assert "GraphicLayerSequence" not in state


def test_a_mark_on_one_frame_names_it(volume):
    state = builders.grayscale([volume], marks=[Placed(volume, (Point((3, 4)),), 2)])
    assert state.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedFrameNumber == 3  # from 1
    state = builders.grayscale([volume], marks=[Point((3, 4))])
    assert "ReferencedFrameNumber" not in state.GraphicAnnotationSequence[0].ReferencedImageSequence[0]


def test_an_eye_has_its_side_and_another_part_an_unknown_one(volume, ct):
    assert volume.ImageLaterality == "L"
    assert builders.grayscale([volume]).Laterality == "L"
    assert builders.grayscale(ct).Laterality == ""  # type 2C in General Series


def test_images_with_other_windows_keep_their_own(ct):
    ct[1].WindowCenter, ct[1].WindowWidth = 300, 2000
    without_window(ct[2])
    first, second = builders.grayscale(ct).SoftcopyVOILUTSequence
    assert [r.ReferencedSOPInstanceUID for r in first.ReferencedImageSequence] == [ct[0].SOPInstanceUID]
    assert [r.ReferencedSOPInstanceUID for r in second.ReferencedImageSequence] == [ct[1].SOPInstanceUID]
    assert (second.WindowCenter, second.WindowWidth) == (300, 2000)
    for image in ct[:2]:
        np.testing.assert_array_equal(render(resolve(image, state=builders.grayscale(ct))), render(resolve(image)))


def test_one_window_for_all_refers_to_none(ct):
    (item,) = builders.grayscale(ct).SoftcopyVOILUTSequence
    assert "ReferencedImageSequence" not in item


def test_of_several_windows_the_first_is_the_one(ct):
    with_two_windows(ct[0])
    (item,) = builders.grayscale(ct[:1]).SoftcopyVOILUTSequence
    assert (item.WindowCenter, item.WindowWidth, item.WindowCenterWidthExplanation) == (40, 400, "soft")


def enhanced(volume, windows, slopes):
    """The volume with functional groups for its frames, as an enhanced CT or MR has them (PS3.3 C.7.6.16.2)."""
    image = copy.deepcopy(volume)
    groups = []
    for window, slope in zip(windows, slopes, strict=True):
        group, voi, values = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = window
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, 0, "US"
        group.FrameVOILUTSequence, group.PixelValueTransformationSequence = [voi], [values]
        groups.append(group)
    image.PerFrameFunctionalGroupsSequence = groups
    return image


def test_windows_of_frames_are_kept_by_frame(volume):
    n = int(volume.NumberOfFrames)
    image = enhanced(volume, [(100, 200)] * (n - 1) + [(50, 60)], [2] * n)
    state = builders.grayscale([image])
    assert (state.RescaleSlope, state.RescaleIntercept) == (2, 0)
    first, last = state.SoftcopyVOILUTSequence
    assert list(first.ReferencedImageSequence[0].ReferencedFrameNumber) == list(range(1, n))
    assert last.ReferencedImageSequence[0].ReferencedFrameNumber == n
    (item,) = builders.grayscale([enhanced(volume, [(100, 200)] * n, [2] * n)]).SoftcopyVOILUTSequence
    assert "ReferencedImageSequence" not in item


def test_a_table_of_a_big_endian_image_keeps_its_numbers(ct, tmp_path, program):
    image = ct[1]
    with_voi_lut(image)
    path = files.save(image, tmp_path / "little.dcm")
    subprocess.run([program("dcmconv"), "+tb", str(path), str(tmp_path / "big.dcm")], check=True)
    big = files.read(tmp_path / "big.dcm").dataset
    assert big.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.2"
    tables = [builders.grayscale([i]).SoftcopyVOILUTSequence[0].VOILUTSequence[0] for i in (image, big)]
    assert tables[0].LUTData == tables[1].LUTData
    assert list(tables[1].LUTDescriptor) == [1500, -1000, 12]


@pytest.mark.parametrize("photometric", ["RGB", "PALETTE COLOR", ""])
def test_colour_is_refused(ct, photometric):
    ct[1].PhotometricInterpretation = photometric
    with pytest.raises(BuildRefused, match=rf"for MONOCHROME1 and MONOCHROME2 images.*N\.2\.1.*{ct[1].SOPInstanceUID}"):
        builders.grayscale(ct)


def test_a_photograph_is_refused(fundus):
    with pytest.raises(BuildRefused, match="MONOCHROME1 and MONOCHROME2"):
        builders.grayscale([fundus])


REFUSED = [
    ({"window": (40, 0.5)}, r"width of 1 or more.*C\.11\.2\.1\.2\.1"),
    ({"window": (40, -1)}, "width of 1 or more"),
    ({"window": (float("nan"), 400)}, "finite center"),
    ({"window": (40, float("nan"))}, "width of 1 or more"),
    ({"marks": [Point((64.5, 3))]}, r"outside the images of 48 rows and 64 columns.*C\.10\.5\.1\.2"),
    ({"marks": [Text("x", (3, -1))]}, "outside the images"),
    ({"label": "lower case"}, r"presentation state .*can't be built"),
]


@pytest.mark.parametrize(("wish", "message"), REFUSED)
def test_what_can_not_be_shown_is_refused(ct, wish, message):
    with pytest.raises(BuildRefused, match=message):
        builders.grayscale(ct, **wish)


def test_images_must_be_alike_where_a_state_has_but_one_value(ct):
    other = phantoms.ct_series(1, rows=64, columns=64)[0]
    with pytest.raises(BuildRefused, match=r"differ in rows and columns.*C\.10\.4"):
        builders.grayscale([ct[0], other])
    monochrome1(ct[1])
    with pytest.raises(BuildRefused, match=r"Some of the images are MONOCHROME1.*C\.11\.6"):
        builders.grayscale(ct)


def test_slices_with_other_slopes_need_states_of_their_own():
    slices = phantoms.pet_ct().pet[20:23]
    assert len({s.RescaleSlope for s in slices}) > 1
    with pytest.raises(BuildRefused, match=r"differ in their modality transformation.*C\.11\.1.*Make a state for each"):
        builders.grayscale(slices)
    assert builders.grayscale(slices[:1]).RescaleSlope == slices[0].RescaleSlope


@pytest.mark.parametrize("wish", WISHES)
def test_dcmpschk_passes_it(ct, volume, dcmtk, wish):
    # in ASCII: DCMTK 3.6.7 takes every other letter of UTF-8 for an error in LO
    for images in (ct, [volume]):
        done = dcmtk("dcmpschk", builders.grayscale(images, description="Size", **WISHES[wish]))
        said = done.stdout + done.stderr
        assert "Test passed." in said
        errors = [line for line in said.splitlines() if line[:2] in {"E:", "F:"} or "Error" in line]
        assert errors == []


@pytest.mark.parametrize("center", [(2.0, 30.0), (30.0, 2.0)])
def test_a_circle_that_reaches_outside_to_the_left_or_the_top_is_refused(center):
    from workbench.entities import Circle

    with pytest.raises(BuildRefused, match="outside"):
        builders.grayscale(phantoms.ct_series(1, rows=64, columns=64), marks=[Circle(center, 5.0)])


def test_marks_may_belong_to_single_images(ct):
    marks = [Point((1, 1)), Placed(ct[2], (Circle((20, 20), 5), Text("Here", (25, 20)))), Placed(ct[0], (Point((7, 8)),))]
    state = builders.grayscale(ct, marks=marks)
    shown = [[type(a).__name__ for a in resolve(image, state=state).frame(0).annotations] for image in ct[:3]]
    assert shown == [["GraphicObject"] * 2, ["GraphicObject"], ["GraphicObject", "GraphicObject", "TextObject"]]
    places = [[r.ReferencedSOPInstanceUID for r in a.ReferencedImageSequence] for a in state.GraphicAnnotationSequence]
    assert places == [[c.SOPInstanceUID for c in ct], [ct[2].SOPInstanceUID], [ct[0].SOPInstanceUID]]


def test_dcmtk_takes_every_image_of_a_state_with_marks_of_their_own(ct, dcmp2pgm, dcmtk):
    ct[1].WindowCenter, ct[1].WindowWidth = 300, 2000
    state = builders.grayscale(ct, marks=[Placed(image, (Circle((20, 20), 5),)) for image in ct])
    assert "Test passed." in "".join((done := dcmtk("dcmpschk", state)).stdout + done.stderr)
    for image in ct:
        plain = copy.deepcopy(state)
        del plain.GraphicAnnotationSequence
        assert np.abs(dcmp2pgm(image, state).astype(int) - render(resolve(image, state=plain)).astype(int)).max() <= 1


def test_marks_on_another_image_or_frame_are_refused(ct, volume):
    with pytest.raises(BuildRefused, match=r"not among those of the presentation state.*C\.10\.5"):
        builders.grayscale(ct[:1], marks=[Placed(ct[1], (Point((1, 1)),))])
    with pytest.raises(BuildRefused, match=r"no frame 1; frames count from 0"):
        builders.grayscale(ct, marks=[Placed(ct[0], (Point((1, 1)),), 1)])
    with pytest.raises(BuildRefused, match="no frame -1"):
        builders.grayscale([volume], marks=[Placed(volume, (Point((1, 1)),), -1)])
    assert str(ct[1].PatientName) not in repr(Placed(ct[1], ()))


def test_eyes_of_both_sides_leave_the_side_of_the_state_open(volume):
    other = copy.deepcopy(volume)
    other.ImageLaterality, other.SOPInstanceUID = "R", "1.2.826.0.1.3680043.10.2"
    assert builders.grayscale([volume, other]).Laterality == ""


def test_a_private_sop_class_is_named_with_what_can_be_built(ct):
    ct[0].SOPClassUID = "1.2.826.0.1.3680043.10.1"
    with pytest.raises(BuildRefused, match=r"presentation state .* can't be built: instance .* private.*PS3\.6 A.*key object"):
        builders.grayscale(ct[:1])
    assert builders.selection(ct[:1]).Modality == "KO"
