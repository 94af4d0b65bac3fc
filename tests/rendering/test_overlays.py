"""Overlay planes (PS3.3 C.9.2)."""

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian

from workbench.rendering import render, resolve

DRAWN = np.array([[1, 0, 0], [0, 1, 1]], bool)


def with_overlay(image, bits=DRAWN, *, origin=(1, 1), group=0x6000, vr="OW", **elements):
    planes = bits if bits.ndim == 3 else bits[None]
    packed = np.packbits(planes.ravel(), bitorder="little").tobytes()
    image.add_new((group, 0x0010), "US", planes.shape[1])
    image.add_new((group, 0x0011), "US", planes.shape[2])
    image.add_new((group, 0x0040), "CS", "G")
    image.add_new((group, 0x0050), "SS", list(origin))
    if bits.ndim == 3:
        image.add_new((group, 0x0015), "IS", len(planes))
    image.add_new((group, 0x0100), "US", 1)
    image.add_new((group, 0x0102), "US", 0)
    image.add_new((group, 0x3000), vr, packed + b"\0" * (len(packed) % 2))
    return image


def seen(image, frame=0):
    return (render(resolve(image), frame=frame, with_overlays=True) == 255).astype(int).tolist()


def test_an_overlay_lies_where_its_origin_says(make):
    image = make(np.zeros((3, 4), np.uint8))
    assert seen(with_overlay(image)) == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert seen(with_overlay(image, origin=(2, 3))) == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert seen(with_overlay(image, origin=(0, 0))) == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert seen(with_overlay(image, origin=(9, 9))) == [[0] * 4] * 3


def test_it_is_drawn_only_when_asked_for(make):
    assert not render(resolve(with_overlay(make(np.zeros((2, 3), np.uint8))))).any()


def test_frames_of_an_overlay_belong_to_frames_of_the_image(make):
    image = with_overlay(make(np.zeros((3, 2, 3), np.uint8)), np.stack([DRAWN, ~DRAWN]))
    image.add_new((0x6000, 0x0051), "US", 2)
    none = [[0, 0, 0], [0, 0, 0]]
    assert [seen(image, frame) for frame in range(3)] == [none, DRAWN.astype(int).tolist(), (~DRAWN).astype(int).tolist()]


def test_an_overlay_in_the_unused_bits_of_the_pixels(make):
    image = make(DRAWN.astype(np.uint16) << 15, bits_stored=12)
    with_overlay(image)
    del image[0x6000, 0x3000]
    image[0x6000, 0x0102].value = 15
    assert seen(image) == DRAWN.astype(int).tolist()
    assert not render(resolve(image, voi="full")).any()


def test_big_endian_words(make):
    image = with_overlay(make(np.zeros((2, 3), np.uint8), PixelData=b"\0" * 6))
    image[0x6000, 0x3000].value = image[0x6000, 0x3000].value[::-1]
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    assert seen(image) == DRAWN.astype(int).tolist()


@pytest.mark.parametrize(
    ("element", "vr", "value", "message"),
    [
        (0x0010, "US", 0, "absent or out of range"),
        (0x0010, "US", 60000, "Overlay Data has 2 bytes"),
        (0x0015, "IS", 2**30, "absent or out of range"),
        (0x3000, "OW", b"", "neither Overlay Data nor an unused bit"),
    ],
)
def test_a_malformed_overlay_is_a_finding(make, element, vr, value, message):
    image = with_overlay(make(np.zeros((2, 3), np.uint8)))
    image.add_new((0x6000, element), vr, value)
    plan = resolve(image)
    assert plan.overlays == ()
    assert message in plan.findings[0].message


def test_a_state_decides_which_overlays_are_seen(make, make_pr):
    image = with_overlay(with_overlay(make(np.zeros((2, 3), np.uint8))), group=0x6002)
    state = make_pr(image)
    state.add_new((0x6002, 0x1001), "CS", "LAYER")
    assert [o.group for o in resolve(image, state=state).overlays] == [0x6002]
    assert [o.group for o in resolve(image).overlays] == [0x6000, 0x6002]


def test_what_is_not_done_is_said(make, make_pr):
    image = make(np.zeros((2, 3), np.uint8))
    findings = resolve(image, state=make_pr(image, ShutterShape="BITMAP")).findings
    assert [f.message for f in findings] == ["A bitmap shutter is not applied."]


def test_overlays_agree_with_dcmtk(make, program, tmp_path, dcm2pnm):
    random = np.random.default_rng(2)
    image = make(random.integers(0, 200, (40, 50)).astype(np.uint8), PixelAspectRatio=[1, 1])
    with_overlay(image, random.integers(0, 2, (30, 60)).astype(bool), origin=(5, 7))
    theirs = dcm2pnm(image, "+O", "0")
    assert (theirs == 255).sum() > 300
    assert np.abs(render(resolve(image), with_overlays=True).astype(int) - theirs).max() <= 1
