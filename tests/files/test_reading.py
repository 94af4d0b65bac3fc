import contextlib
import io
import random
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from workbench.entities import Severity
from workbench.errors import LimitExceeded, NotDicom
from workbench.files import Limits, Part10, meta_bytes, read, save

SHIPPED = sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm"))
# CT, structured report, segmentation, deflated, encapsulated, big endian, implicit, enhanced with undefined lengths
SOUND = ["CT_small.dcm", "test-SR.dcm", "liver_1frame.dcm", "image_dfl.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm", "rtdose.dcm"]
SOUND += ["MR_small_RLE.dcm", "MR_small_implicit.dcm", "liver_expb_1frame.dcm"]
SEQUENCE = 0x00081140


def _texts(reading):
    return " ".join(f.message for f in reading.findings)


# ---------------------------------------------------------------- whole files
@pytest.mark.parametrize("name", SOUND)
def test_sound_files_read_as_pydicom_reads_them(name):
    path = get_testdata_file(name)
    reading = read(path)
    assert reading.is_complete
    assert reading.findings.errors == ()
    assert reading.dataset == dcmread(path)
    assert reading.transfer_syntax_uid == dcmread(path).file_meta.TransferSyntaxUID
    assert "Reading(complete" in repr(reading)


@pytest.mark.parametrize("name", SOUND[:3])
def test_bytes_streams_and_paths_read_alike(name):
    path = Path(get_testdata_file(name))
    with path.open("rb") as file:
        from_stream = read(file)
        assert not file.closed
    assert (
        read(path).dataset == from_stream.dataset == read(path.read_bytes()).dataset == read(io.BytesIO(path.read_bytes())).dataset
    )


def test_pixels_are_left_out_where_asked():
    reading = read(get_testdata_file("CT_small.dcm"), stop_before_pixels=True)
    assert "PixelData" not in reading.dataset
    assert reading.dataset.Rows == 128
    assert reading.is_complete


# ---------------------------------------------------------------- cut short
@pytest.mark.parametrize("name", SOUND)
def test_every_cut_in_the_dataset_is_seen(name):
    """F01: every 37th byte, of a CT, a report, a segmentation, deflated and encapsulated objects."""
    whole = Path(get_testdata_file(name)).read_bytes()
    begin = Part10.locate(whole).dataset_offset
    missed = [n for n in range(begin + 1, len(whole) - 1, 37) if read(whole[:n]).is_complete]
    assert missed == []


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SOUND), st.floats(0, 1, exclude_max=True))
def test_a_cut_anywhere_is_seen_or_lies_after_the_content(name, where):
    """F01: any other byte."""
    whole = Path(get_testdata_file(name)).read_bytes()
    begin = Part10.locate(whole).dataset_offset
    cut = begin + int(where * (len(whole) - begin))
    reading = read(whole[:cut])
    if reading.is_complete:  # between two elements after the last one that matters, or the pad byte after a deflate stream
        assert name == "image_dfl.dcm" or _is_boundary(whole, cut)
        assert "PixelData" in reading.dataset or "ContentSequence" in reading.dataset
        return
    whole_dataset = dcmread(io.BytesIO(whole))
    for tag in reading.dataset.keys():  # noqa: SIM118 - values are not to be made yet
        assert reading.dataset[tag] == whole_dataset[tag]  # what is kept is whole


def _is_boundary(whole, cut):
    from workbench.files.encoding import encoding_of, open_source
    from workbench.files.walker import walk

    part = Part10.locate(whole)
    top = walk(open_source(whole), part.dataset_offset, encoding_of(part.transfer_syntax_uid)).top
    return cut in [element.offset for element in top]


@pytest.mark.parametrize("name", ["CT_small.dcm", "test-SR.dcm", "liver_1frame.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm"])
def test_dcmdump_and_the_reader_agree_about_cuts(name, program, tmp_path):
    """F01: dcmdump is the second opinion."""
    dcmdump = program("dcmdump")
    whole = Path(get_testdata_file(name)).read_bytes()
    begin = Part10.locate(whole).dataset_offset
    path = tmp_path / "cut.dcm"
    for cut in random.Random(0).sample(range(begin + 1, len(whole)), 25):
        path.write_bytes(whole[:cut])
        if subprocess.run([dcmdump, path], capture_output=True, check=False, timeout=20).returncode:
            assert not read(path).is_complete, cut


def test_a_cut_file_tells_where_and_how_much():
    whole = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    reading = read(whole[:20_000])
    assert not reading.is_complete
    (finding,) = reading.findings.errors
    assert "cut short in (7FE0,0010)" in finding.message
    assert "32768 bytes are wanted" in finding.message
    assert "from where it came" in finding.remedy
    assert "PixelData" not in reading.dataset


def test_a_cut_between_two_elements_is_seen_by_what_is_lacking():
    """F01: a cut that leaves only whole elements."""
    whole = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    cut = whole.index(b"\xe0\x7f\x10\x00OW")
    reading = read(whole[:cut])
    assert not reading.is_complete
    assert "Pixel Data (7FE0,0010) is missing" in _texts(reading)


def test_a_cut_in_the_file_meta_information_is_told():
    reading = read(Path(get_testdata_file("CT_small.dcm")).read_bytes()[:200])
    assert not reading.is_complete
    assert "ends within its file meta information" in _texts(reading)


def test_a_cut_deflated_dataset_gives_what_could_be_inflated():
    """F01: deflated."""
    whole = Path(get_testdata_file("image_dfl.dcm")).read_bytes()
    reading = read(whole[:1500])
    assert not reading.is_complete
    assert "deflated dataset is cut short" in _texts(reading)
    assert len(reading.dataset) > 5


# ---------------------------------------------------------------- nesting
def _implicit(tag, value, length=None):
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def _nested(depth, *, defined):
    value = _implicit(0x00081150, b"1.2.840.10008.5.1.4.1.1.2\0")
    for _ in range(depth):
        if defined:
            value = _implicit(SEQUENCE, _implicit(0xFFFEE000, value))
        else:
            item = _implicit(0xFFFEE000, value + _implicit(0xFFFEE00D, b""), 0xFFFFFFFF)
            value = _implicit(SEQUENCE, item + _implicit(0xFFFEE0DD, b""), 0xFFFFFFFF)
    head = _implicit(0x00080016, b"1.2.840.10008.5.1.4.1.1.66") + _implicit(0x00080018, b"1.2.3\0")
    uids = _implicit(0x0020000D, b"1.2.4\0") + _implicit(0x0020000E, b"1.2.5\0")
    return meta_bytes("1.2.840.10008.5.1.4.1.1.66", "1.2.3", "1.2.840.10008.1.2") + head + value + uids


@pytest.mark.parametrize("defined", [True, False])
def test_nesting_up_to_the_limit_is_read(defined):
    """F03: 63 levels."""
    reading = read(_nested(63, defined=defined))
    assert reading.is_complete
    dataset, depth = reading.dataset, 0
    while "ReferencedImageSequence" in dataset:
        dataset, depth = dataset.ReferencedImageSequence[0], depth + 1
    assert depth == 63


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("depth", [65, 5_000])
def test_nesting_beyond_the_limit_is_refused_by_name(depth, defined):
    """F03: 65 and 5 000 levels."""
    with pytest.raises(LimitExceeded, match=r"nested deeper than 64 levels.*Limits\(nesting"):
        read(_nested(depth, defined=defined))


@pytest.mark.parametrize("defined", [True, False])
def test_nesting_in_a_cut_file_is_bounded_too(defined):
    """F03: with a cut."""
    whole = _nested(3_000, defined=defined)
    with pytest.raises(LimitExceeded):
        read(whole[: len(whole) - 4])


def test_a_limit_can_be_set():
    with pytest.raises(LimitExceeded, match="deeper than 3 levels"):
        read(_nested(4, defined=True), limits=Limits(nesting=3))


def test_nesting_in_sequences_of_unknown_representation_is_bounded():
    """F03: sequences written as UN."""
    value = b""
    for _ in range(100):  # UN of undefined length: implicit inside (PS3.5 6.2.2)
        value = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + value
    body = struct.pack("<HH2sHI", 0x0009, 0x1001, b"UN", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + value
    with pytest.raises(LimitExceeded):
        read(meta_bytes("1.2.840.10008.5.1.4.1.1.7", "1.2.3", "1.2.840.10008.1.2.1") + body)


# ---------------------------------------------------------------- deflate
def _bomb(size):
    deflater = zlib.compressobj(9, wbits=-15)
    head = struct.pack("<HH2sHI", 0x0042, 0x0011, b"OB", 0, size)
    body = b"".join([deflater.compress(head), *(deflater.compress(bytes(1 << 20)) for _ in range(size >> 20)), deflater.flush()])
    return meta_bytes("1.2.840.10008.5.1.4.1.1.104.1", "1.2.3", "1.2.840.10008.1.2.1.99") + body


def test_a_deflate_bomb_is_stopped_at_the_limit_and_in_bounded_memory(tmp_path):
    """F04: a bomb in a deflated dataset."""
    path = tmp_path / "bomb.dcm"
    path.write_bytes(_bomb(200 << 20))
    assert path.stat().st_size < 300_000
    code = (
        "import resource, sys\nfrom workbench.files import read, Limits\nfrom workbench.errors import LimitExceeded\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read(sys.argv[1], limits=Limits(inflated_bytes=32 << 20))\n"
        "except LimitExceeded as error:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=True)
    grown_kb, _, message = done.stdout.partition(" ")
    assert "inflates to more than 33554432 bytes" in message
    assert int(grown_kb) < (32 + 64) * 1024
    with pytest.raises(LimitExceeded):
        read(path)  # also by default


def test_damaged_deflate_is_told():
    whole = bytearray(Path(get_testdata_file("image_dfl.dcm")).read_bytes())
    whole[1200:1300] = b"\xff" * 100
    reading = read(bytes(whole))
    assert not reading.is_complete
    assert "deflated dataset is damaged" in _texts(reading)


# ---------------------------------------------------------------- preamble, file meta information, oddities
@pytest.mark.parametrize(
    ("magic", "words"), [(b"MZ", "Windows program"), (b"\x7fELF", "a program"), (b"#!/bin/sh\n", "a script"), (b"II*\0", "TIFF")]
)
def test_a_preamble_that_is_a_program_is_told(magic, words):
    """F13: each kind of beginning is flagged."""
    whole = Path(get_testdata_file("test-SR.dcm")).read_bytes()
    reading = read(magic.ljust(128, b"\0") + whole[128:])
    assert reading.is_complete
    (finding,) = reading.findings
    assert finding.severity is Severity.WARNING
    assert words in finding.message


def test_a_missing_preamble_is_told_and_saving_mends_it(tmp_path):
    reading = read(get_testdata_file("rtstruct.dcm"))
    assert reading.is_complete
    assert "no preamble" in _texts(reading)
    assert "Implicit VR Little Endian is assumed" in _texts(reading)
    save(reading.dataset, tmp_path / "a.dcm")
    again = read(tmp_path / "a.dcm")
    assert again.findings == ()
    assert again.dataset == reading.dataset


def test_a_wrong_transfer_syntax_is_told():
    whole = Path(get_testdata_file("MR_small_implicit.dcm")).read_bytes()
    offset = Part10.locate(whole).dataset_offset
    lying = meta_bytes("1.2.840.10008.5.1.4.1.1.4", "1.2.3", "1.2.840.10008.1.2.1") + whole[offset:]
    reading = read(lying)
    assert "names transfer syntax Explicit VR Little Endian, but its dataset is in Implicit VR Little Endian" in _texts(reading)
    assert reading.dataset.Rows == 64
    assert reading.transfer_syntax_uid == "1.2.840.10008.1.2"


def test_trailing_zeros_are_told_and_left_out():
    whole = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    reading = read(whole + bytes(512))
    assert reading.is_complete
    assert "512 bytes follow the last element" in _texts(reading)
    assert reading.dataset == dcmread(get_testdata_file("CT_small.dcm"))


def test_a_malformed_sequence_of_known_length_does_not_hide_what_follows():
    item = _implicit(0xFFFEE000, _implicit(0x00081150, b"1.2.3\0", 4_000))  # longer than its item
    body = _implicit(SEQUENCE, item) + _implicit(0x0020000D, b"1.2.4\0")
    head = _implicit(0x00080016, b"1.2.840.10008.5.1.4.1.1.66") + _implicit(0x00080018, b"1.2.3\0")
    reading = read(
        meta_bytes("1.2.840.10008.5.1.4.1.1.66", "1.2.3", "1.2.840.10008.1.2") + head + body + _implicit(0x0020000E, b"1.5\0")
    )
    assert "malformed inside" in _texts(reading)
    assert reading.dataset.SeriesInstanceUID == "1.5"


def _explicit(tag, representation, value):
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, representation, len(value)) + value


def _with_elements(*elements):
    head = _explicit(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.66") + _explicit(0x00080018, b"UI", b"1.2.3\0")
    uids = _explicit(0x0020000D, b"UI", b"1.2.4\0") + _explicit(0x0020000E, b"UI", b"1.2.5\0")
    return meta_bytes("1.2.840.10008.5.1.4.1.1.66", "1.2.3", "1.2.840.10008.1.2.1") + head + uids + b"".join(elements)


@pytest.mark.parametrize(
    ("element", "words", "keyword", "value"),
    [
        (_explicit(0x00280010, b"US", b"\x05\0"), "", "Rows", 5),
        (_explicit(0x00204000, b"LT", b"odd"), "has an odd length", "ImageComments", "odd"),
        (_explicit(0x00081030, b"LO", b"late"), "(0008,1030) stands out of order", "StudyDescription", "late"),
        (_explicit(0x0020000E, b"UI", b"1.2.6\0"), "(0020,000E) stands out of order or twice", "SeriesInstanceUID", "1.2.6"),
        (_explicit(0x00280010, b"UL", b"\x05\0\0\0"), "", "Rows", 5),
    ],
)
def test_odd_elements_are_kept_told_and_saved_as_read(element, words, keyword, value, tmp_path):
    """F06: odd lengths, order and representations."""
    reading = read(_with_elements(element))
    assert reading.is_complete
    assert words in _texts(reading)
    assert bool(reading.findings) == bool(words)
    assert reading.dataset[keyword].value == value
    save(reading.dataset, tmp_path / "a.dcm")
    assert read(tmp_path / "a.dcm").dataset == reading.dataset


def test_a_value_length_of_nearly_four_gigabytes_is_a_cut():
    """F06: a length of 0xFFFFFFFE."""
    body = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 0xFFFFFFFE) + bytes(100)
    reading = read(_with_elements(body))
    assert not reading.is_complete
    assert "4294967294 bytes are wanted and 100 are there" in _texts(reading)


def test_a_wrong_group_length_of_the_file_meta_information_is_told():
    """F06: a wrong group length."""
    whole = bytearray(_with_elements())
    whole[140:144] = struct.pack("<I", 9_999)
    reading = read(bytes(whole))
    assert reading.is_complete
    assert "Group Length (0002,0000) is missing or wrong" in _texts(reading)
    assert reading.dataset.SeriesInstanceUID == "1.2.5"


@pytest.mark.parametrize("content", [b"", b"hello", bytes(1000), b"\x89PNG" + bytes(400), b"<html>" + bytes(200)])
def test_what_is_not_dicom_is_refused_in_words(content):
    with pytest.raises(NotDicom, match=r"bytes is not DICOM: (it|no 'DICM' prefix)"):
        read(content)


def test_findings_and_errors_hold_no_values():
    whole = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    name = str(dcmread(get_testdata_file("CT_small.dcm")).PatientName)
    assert len(name) > 5
    for cut in range(400, len(whole), 997):
        reading = read(whole[:cut])
        assert name not in _texts(reading) + repr(reading)


def test_a_large_file_is_walked_without_reading_its_values(tmp_path):
    path = tmp_path / "large.dcm"
    head = dcmread(get_testdata_file("CT_small.dcm"), stop_before_pixels=True)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, head)
    size = 3 << 30
    with path.open("wb") as file:
        file.write(meta_bytes(head.SOPClassUID, head.SOPInstanceUID, "1.2.840.10008.1.2.1") + buffer.getvalue())
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size))
        file.truncate(file.tell() + size)
    begin = time.monotonic()
    reading = read(path, stop_before_pixels=True)
    assert time.monotonic() - begin < 2
    assert reading.is_complete
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    assert not read(path, stop_before_pixels=True).is_complete


# ---------------------------------------------------------------- anything
@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*SOUND, "nested_priv_SQ.dcm", "UN_sequence.dcm"]), st.randoms(use_true_random=False), st.integers(1, 12))
def test_no_damage_crashes_the_reader(name, randomness, changes):
    damaged = bytearray(Path(get_testdata_file(name)).read_bytes())
    for _ in range(changes):
        damaged[randomness.randrange(100, min(len(damaged), 4_000))] = randomness.randrange(256)
    with contextlib.suppress(NotDicom, LimitExceeded):
        read(bytes(damaged))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(content):
    for whole in (content, bytes(128) + b"DICM" + content, meta_bytes("1.2.3", "1.2.3", "1.2.840.10008.1.2") + content):
        with contextlib.suppress(NotDicom, LimitExceeded):
            read(whole)


def test_every_file_of_the_corpus_is_read_or_refused_in_time(corpus):
    slow, count = [], 0
    for path in sorted(p for p in corpus.rglob("*") if p.is_file()):
        begin = time.monotonic()
        try:
            reading = read(path)
        except (NotDicom, LimitExceeded):
            pass
        else:
            count += 1
            assert reading.is_complete or reading.findings
        if time.monotonic() - begin > 5:
            slow.append(path.name)
    assert slow == []
    assert count > 500


#: dcmdump stops where the reader goes on, or the other way round
EXPLAINED = {
    "dcm4che__no_preamble_dicm_in_data": "bare dataset with 'DICM' at byte 128 by chance: dcmdump takes it for the prefix",
    "SC_rgb_jpeg.dcm": "names Explicit VR, is Implicit VR",
}


@pytest.mark.slow
def test_dcmdump_and_the_reader_agree_about_the_corpus(corpus, program):
    dcmdump = program("dcmdump")
    suffixes = (".json", ".txt", ".csv", ".npy", ".md", ".pgm", ".gz", ".nii")
    differ = []
    files = [p for p in corpus.rglob("*") if p.is_file() and p.suffix not in suffixes and "ibsi" not in str(p)]
    for path in [*files, *SHIPPED]:
        is_sound = not subprocess.run([dcmdump, path], capture_output=True, check=False, timeout=60).returncode
        try:
            is_read = not read(path).findings.errors
        except (NotDicom, LimitExceeded):
            is_read = False
        if is_sound != is_read and not path.name.endswith(tuple(EXPLAINED)):
            differ.append(path.name)
    assert differ == []
