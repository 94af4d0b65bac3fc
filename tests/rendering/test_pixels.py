"""Stored values: native layouts by known answers, compressed ones against DCMTK and pydicom, refusals before allocation."""

import contextlib
import subprocess
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, RLELossless

from workbench.errors import PixelDataUnusable
from workbench.rendering import layout, pixels


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_native_values_come_back(make, dtype):
    info = np.iinfo(dtype)
    values = np.array([[info.min, 0, 1], [2, 3, info.max]], dtype)
    image = make(values)
    assert pixels(image).dtype == np.dtype(dtype)
    np.testing.assert_array_equal(pixels(image), values)


@given(st.integers(2, 16), st.booleans(), st.data())
def test_bits_that_are_not_stored_are_dropped(make, stored, signed, data):
    """PS3.5 8.1.1: overlay bits or anything else may stand above High Bit."""
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    values = np.array([data.draw(st.lists(st.integers(low, high), min_size=6, max_size=6))]).reshape(2, 3)
    high_bit = data.draw(st.integers(stored - 1, 15))
    shift = high_bit + 1 - stored
    rubbish = data.draw(st.integers(0, 2**16 - 1)) & ~(((1 << stored) - 1) << shift)
    words = (((values & ((1 << stored) - 1)) << shift) | rubbish).astype(np.uint16)
    image = make(words.view(np.int16) if signed else words, bits_stored=stored, HighBit=high_bit)
    np.testing.assert_array_equal(pixels(image), values)


@given(rows=st.integers(1, 5), columns=st.integers(1, 9), frames=st.integers(1, 4), seed=st.integers(0, 99))
def test_single_bits_are_unpacked_across_frames(bits, rows, columns, frames, seed):
    values = np.random.default_rng(seed).integers(0, 2, (frames, rows, columns))
    image = bits(values)
    for frame in range(frames):
        np.testing.assert_array_equal(pixels(image, frame=frame), values[frame])
    np.testing.assert_array_equal(pixels(image), values if frames > 1 else values[0])


def test_planar_configuration_1_is_turned_to_colour_by_pixel(make):
    values = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    image = make(values, photometric="RGB", PlanarConfiguration=1, PixelData=np.moveaxis(values, -1, 0).tobytes())
    np.testing.assert_array_equal(pixels(image), values)


def test_subsampled_chroma_is_repeated(make):
    """PS3.3 C.7.6.3.1.2: Y1 Y2 CB CR for each pair of pixels."""
    image = make(np.zeros((1, 2, 3), np.uint8), photometric="YBR_FULL_422", PixelData=bytes([10, 20, 100, 200]))
    assert pixels(image).tolist() == [[[10, 100, 200], [20, 100, 200]]]


def test_big_endian_words_and_bytes_in_words(make):
    image = make(np.array([[1, 2]], np.uint16), PixelData=b"\x00\x01\x00\x02")
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    assert pixels(image).tolist() == [[1, 2]]
    image = make(np.array([[1, 2, 3]], np.uint8))
    image.add_new("PixelData", "OW", b"\x02\x01\x00\x03")
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    assert pixels(image).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")])
def test_floating_point_pixels(make, keyword, dtype):
    image = make(np.zeros((1, 2), np.uint16))
    del image.PixelData, image.BitsStored, image.HighBit, image.PixelRepresentation
    setattr(image, keyword, np.array([1.5, -2e30], dtype).tobytes())
    assert pixels(image).tolist() == [[np.dtype(dtype).type(1.5), np.dtype(dtype).type(-2e30)]]


def test_the_frames_of_a_truncated_object_that_are_whole_can_still_be_had(make):
    values = np.arange(24, dtype=np.uint16).reshape(3, 2, 4)
    image = make(values, PixelData=values.tobytes()[:-4])
    np.testing.assert_array_equal(pixels(image, frame=1), values[1])
    with pytest.raises(PixelDataUnusable, match="44 bytes where 48 are needed to frame 2"):
        pixels(image, frame=2)
    with pytest.raises(PixelDataUnusable, match="truncated"):
        pixels(image)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"BitsAllocated": 0}, "BitsAllocated is 0; 1 or 8 or 16 or 32 is needed"),
        ({"BitsAllocated": 7}, "BitsAllocated is 7"),
        ({"BitsAllocated": 64}, "BitsAllocated is 64"),
        ({"BitsAllocated": None}, "BitsAllocated is absent"),
        ({"BitsStored": 17}, "BitsStored is 17; 1 to 16 is needed"),
        ({"SamplesPerPixel": 255}, "Samples per Pixel"),
        ({"PhotometricInterpretation": "CIELAB"}, "Photometric Interpretation"),
        ({"PixelRepresentation": 2}, "PixelRepresentation is 2"),
        ({"Rows": 0}, "Rows is 0; 1 to 65535"),
        ({"Columns": None}, "Columns is absent"),
        ({"Rows": 65535, "Columns": 65535}, "over the limit of 2,147,483,648"),
        ({"NumberOfFrames": 2**31 - 1}, "over the limit"),
        ({"PixelData": b""}, "PixelData is empty"),
        ({"PixelData": b"\0" * 6}, "6 bytes where 8 are needed"),
    ],
)
def test_what_can_not_be_true_is_refused_before_anything_is_allocated(make, attributes, message):
    """F05: sizes, counts and bits that can not be true."""
    image = make(np.zeros((2, 2), np.uint16), **attributes)
    tracemalloc.start()
    try:
        with pytest.raises(PixelDataUnusable, match=message):
            pixels(image)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_no_pixel_data_and_two_kinds_of_them_are_refused(make):
    image = make(np.zeros((2, 2), np.uint16))
    image.FloatPixelData = b"\0" * 16
    with pytest.raises(PixelDataUnusable, match="more than one kind"):
        layout(image)
    del image.FloatPixelData, image.PixelData
    with pytest.raises(PixelDataUnusable, match="no pixel data"):
        layout(image)


def test_a_frame_that_is_not_there_is_refused(make):
    image = make(np.zeros((3, 2, 2), np.uint8))
    for frame in (-1, 3):
        with pytest.raises(PixelDataUnusable, match=f"no frame {frame}: the image has 3"):
            pixels(image, frame=frame)


def test_a_transfer_syntax_without_a_decoder_is_named(make):
    image = make(np.zeros((2, 2), np.uint8))
    image.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.102")
    with pytest.raises(PixelDataUnusable, match=r"MPEG-4 AVC/H.264 High Profile / Level 4.1 \(1.2.840.10008.1.2.4.102\)"):
        pixels(image)
    image.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.110")
    with pytest.raises(PixelDataUnusable, match="JPEG XL Lossless"):
        pixels(image)


def test_a_codestream_of_another_size_is_refused_before_decoding():
    image = pydicom.dcmread(get_testdata_file("MR_small_jp2klossless.dcm", download=False))
    image.Rows, image.Columns = 32, 128
    with pytest.raises(PixelDataUnusable, match="64 × 64 by its own header, but Rows and Columns say 32 × 128"):
        pixels(image)


@pytest.mark.parametrize(
    "fragments",
    [b"", b"\xfe\xff\x00\xe0\x00\x00\x00\x00", b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x00\x00\x00\x00", b"\xff" * 40],
    ids=["nothing", "no fragment", "an empty fragment", "rubbish"],
)
def test_damaged_encapsulation_is_refused(make, fragments):
    """F05: no fragment, an empty one, and rubbish."""
    image = make(np.zeros((2, 2), np.uint8), PixelData=fragments)
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = RLELossless
    with pytest.raises(PixelDataUnusable):
        pixels(image)


@given(st.binary(max_size=200))
def test_rubbish_for_a_run_length_frame_raises_nothing_else(make, frame):
    image = make(np.zeros((4, 4), np.uint8), PixelData=encapsulate([frame or b"\0"]))
    image.file_meta.TransferSyntaxUID = RLELossless
    with contextlib.suppress(PixelDataUnusable):
        assert pixels(image).shape == (4, 4)


def test_fewer_frames_than_promised_are_refused():
    image = pydicom.dcmread(get_testdata_file("SC_rgb_rle_2frame.dcm", download=False))
    image.NumberOfFrames = 3
    with pytest.raises(PixelDataUnusable, match="frame"):
        pixels(image)


def test_single_bits_in_runs_and_deflated_frames(bits):
    """PS3.5 8.2.2 and A.4.13: the packed bytes of a frame are what is compressed."""
    values = np.zeros((2, 8, 16), np.uint8)
    values[0, 2:5, 3:9] = values[1, 1, :] = 1
    image = bits(values)
    packed = [np.packbits(f.ravel(), bitorder="little").tobytes() for f in values]
    header = np.array([1, 64, *[0] * 14], "<u4").tobytes()
    image.PixelData = encapsulate([header + bytes([len(p) - 1]) + p for p in packed])
    image.file_meta.TransferSyntaxUID = RLELossless
    np.testing.assert_array_equal(pixels(image), values)
    deflate = [zlib.compressobj(wbits=-15) for _ in packed]
    image.PixelData = encapsulate([d.compress(p) + d.flush() for d, p in zip(deflate, packed, strict=True)])
    image.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.8.1")
    np.testing.assert_array_equal(pixels(image), values)
    image.PixelData = encapsulate([b"\xff" * 16] * 2)
    with pytest.raises(PixelDataUnusable, match="not deflated"):
        pixels(image)


LOSSLESS = ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"]


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("signed", [False, True])
def test_what_is_compressed_without_loss_comes_back(make, syntax, signed):
    random = np.random.default_rng(0)
    values = random.integers(-2000 if signed else 0, 2000, (3, 40, 48)).astype(np.int16 if signed else np.uint16)
    image = make(values, bits_stored=12)
    image.compress(UID(syntax), generate_instance_uid=False)
    np.testing.assert_array_equal(pixels(image), values)
    np.testing.assert_array_equal(pixels(image, frame=2), values[2])


@pytest.mark.parametrize("switch", ["+e1", "+el"], ids=["process 14 selection value 1", "process 14"])
def test_jpeg_lossless_by_dcmtk_comes_back(make, program, tmp_path, switch):
    values = np.random.default_rng(1).integers(0, 4096, (16, 24)).astype(np.uint16)
    make(values, bits_stored=12).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    subprocess.run([program("dcmcjpeg"), switch, str(tmp_path / "a.dcm"), str(tmp_path / "b.dcm")], check=True)
    np.testing.assert_array_equal(pixels(pydicom.dcmread(tmp_path / "b.dcm")), values)


@pytest.mark.parametrize(("switch", "stored"), [("+eb", 8), ("+ee", 12)], ids=["baseline", "extended, 12 bits"])
def test_lossy_jpeg_is_decoded_as_dcmtk_does(make, program, tmp_path, switch, stored):
    y, x = np.mgrid[:64, :64]
    values = ((np.sin(x / 9) + np.cos(y / 7) + 2) / 4 * (2**stored - 1)).astype(np.uint8 if stored == 8 else np.uint16)
    make(values, bits_stored=stored).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    subprocess.run([program("dcmcjpeg"), switch, str(tmp_path / "a.dcm"), str(tmp_path / "b.dcm")], check=True)
    subprocess.run([program("dcmdjpeg"), str(tmp_path / "b.dcm"), str(tmp_path / "c.dcm")], check=True)
    ours = pixels(pydicom.dcmread(tmp_path / "b.dcm")).astype(int)
    theirs = pixels(pydicom.dcmread(tmp_path / "c.dcm")).astype(int)
    assert np.abs(ours - theirs).max() <= 1
    image = pydicom.dcmread(tmp_path / "b.dcm")
    at = image.PixelData.index(b"\xff\xda")
    header = at + 2 + int.from_bytes(image.PixelData[at + 2 : at + 4], "big")
    image.PixelData = image.PixelData[: header - 3] + b"\0\0\0" + image.PixelData[header:]  # as some makers write it
    np.testing.assert_array_equal(pixels(image), ours)
