"""Palettes and colour spaces (PS3.3 C.7.6.3.1.2, C.7.6.3.1.5, C.7.9)."""

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering import palette, render, resolve
from workbench.rendering.palette import rgb


def with_palette(dataset, descriptor, tables, *, segmented=False):
    for color, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        dataset.add_new(f"{color}PaletteColorLookupTableDescriptor", "US", descriptor)
        dataset.add_new(f"{'Segmented' if segmented else ''}{color}PaletteColorLookupTableData", "OW", table)
    return dataset


def words(*values):
    return np.array(values, "<u2").tobytes()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_image(make, bits):
    tables = [(0, 255, 7), (0, 0, 8), (255, 0, 9)]
    data = [bytes(t) + b"\0" if bits == 8 else words(*(v * 257 for v in t)) for t in tables]
    image = with_palette(make(np.array([[10, 11, 12]], np.uint8), photometric="PALETTE COLOR"), [3, 10, bits], data)
    assert render(resolve(image)).tolist() == [[[0, 0, 255], [255, 0, 0], [7, 8, 9]]]


def test_an_index_beyond_the_palette_takes_its_ends(make):
    """PS3.3 C.7.6.3.1.5: below the first value the first entry, above the last the last."""
    image = make(np.array([[0, 10, 11, 255]], np.uint8), photometric="PALETTE COLOR")
    with_palette(image, [2, 10, 8], [bytes([1, 2])] * 3)
    assert render(resolve(image))[0, :, 0].tolist() == [1, 1, 2, 2]


def test_sixteen_bits_said_but_eight_written():
    dataset = with_palette(Dataset(), [2, 0, 16], [words(0, 200)] * 3)
    assert palette(dataset)(np.array([0, 1])).tolist() == [[0, 0, 0], [200, 200, 200]]


def test_segments_are_expanded():
    """PS3.3 C.7.9.2: three discrete entries, a linear run of four, then those first segments over again."""
    segments = words(0, 3, 10, 20, 30, 1, 4, 70, 2, 1, 0, 0)
    dataset = with_palette(Dataset(), [10, 0, 16], [segments] * 3, segmented=True)
    assert palette(dataset).red.values.tolist() == [10, 20, 30, 40, 50, 60, 70, 10, 20, 30]


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (words(1, 4, 70), "unknown or misplaced"),
        (words(9, 1, 1), "unknown or misplaced"),
        (words(0, 2, 1, 2), "has 2 entries, its descriptor says 10"),
        (words(0, 1, 5, *([1, 65535, 9] * 3)), "more than 65536"),
        (words(0, 1, 5, 2, 1, 6, 0), "misplaced"),
    ],
    ids=["line from nowhere", "unknown", "too few", "too many", "indirect to itself"],
)
def test_malformed_segments_are_refused(segments, message):
    with pytest.raises(AttributeUnusable, match=message):
        palette(with_palette(Dataset(), [10, 0, 16], [segments] * 3, segmented=True))


def test_tables_of_different_lengths_are_refused():
    dataset = with_palette(Dataset(), [2, 0, 8], [b"\1\2"] * 3)
    dataset.BluePaletteColorLookupTableDescriptor = [1, 0, 8]
    with pytest.raises(AttributeUnusable, match="different lengths"):
        palette(dataset)
    with pytest.raises(AttributeUnusable, match="RedPaletteColorLookupTableDescriptor"):
        palette(Dataset())


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_gray_has_no_chroma(color):
    y = color[0]
    assert rgb(np.array([[[y, 128, 128]]], np.uint8), photometric="YBR_FULL", bits_stored=8).tolist() == [[[y, y, y]]]


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_to_ybr_and_back_is_the_same_colour(r, g, b):
    """PS3.3 C.7.6.3.1.2 defines YBR_FULL from RGB; rounding costs two levels at most."""
    y = 0.2990 * r + 0.5870 * g + 0.1140 * b
    cb, cr = -0.1687 * r - 0.3313 * g + 0.5 * b + 128, 0.5 * r - 0.4187 * g - 0.0813 * b + 128
    ybr = np.clip(np.rint([[[y, cb, cr]]]), 0, 255).astype(np.uint8)
    back = rgb(ybr, photometric="YBR_FULL", bits_stored=8).astype(int)
    assert np.abs(back - [r, g, b]).max() <= 2


def test_sixteen_bit_colour_is_brought_to_eight(make):
    values = np.array([[[0, 256, 65535]]], np.uint16)
    assert render(resolve(make(values, photometric="RGB"))).tolist() == [[[0, 1, 255]]]


BARS = [
    ("SC_rgb_rle.dcm", 0), ("SC_rgb_rle_16bit.dcm", 0), ("SC_rgb_rle_32bit.dcm", 0),
    ("SC_rgb_gdcm_KY.dcm", 0), ("SC_rgb_jpeg_gdcm.dcm", 0),
    ("SC_rgb_jls_lossy_line.dcm", 2), ("SC_rgb_jls_lossy_sample.dcm", 2), ("SC_rgb_dcmtk_+eb+cr.dcm", 0),
    ("SC_rgb_dcmtk_+eb+cy+np.dcm", 5),
    ("SC_rgb_dcmtk_+eb+cy+s4.dcm", 5), ("SC_rgb_jpeg_dcmtk.dcm", 5), ("SC_ybr_full_422_uncompressed.dcm", 5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "tolerance"), BARS)
def test_the_colour_bars_of_pydicom_in_every_colour_space(name, tolerance):
    """One picture in many syntaxes; lossy green loses five levels of blue in all decoders."""
    seen = render(resolve(pydicom.dcmread(get_testdata_file(name, download=False)))).astype(int)
    expected = {
        5: (255, 0, 0),
        25: (0, 255, 0),
        45: (0, 0, 255),
        65: (0, 0, 0),
        75: (64, 64, 64),
        85: (192, 192, 192),
        95: (255,) * 3,
    }
    for row, color in expected.items():
        assert np.abs(seen[row, 50] - color).max() <= tolerance, row


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes_agree_with_dcmtk(make, dcm2pnm, bits):
    random = np.random.default_rng(3)
    tables = random.integers(0, 2**bits, (3, 256))
    data = [t.astype("u1" if bits == 8 else "<u2").tobytes() for t in tables]
    image = with_palette(make(np.arange(256, dtype=np.uint8).reshape(16, 16), photometric="PALETTE COLOR"), [256, 0, bits], data)
    assert np.abs(render(resolve(image)).astype(int) - dcm2pnm(image)).max() <= 1
