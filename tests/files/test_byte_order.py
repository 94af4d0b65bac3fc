"""Little and big endian: words are turned, numbers and unknowns keep their values. DCMTK's word on pixels is in tests/peers."""

import io
import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from workbench import phantoms
from workbench.errors import AttributeUnusable
from workbench.files import in_syntax, meta_bytes, read, save
from workbench.files.byte_order import turn_words

CT = "1.2.840.10008.5.1.4.1.1.2"
SIZES = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def ct() -> Dataset:
    return phantoms.ct_series(1, rows=16, columns=16)[0]


@given(st.sampled_from(sorted(SIZES)), st.binary(max_size=64))
def test_words_are_turned_within_and_turning_twice_changes_nothing(vr, data):
    size = SIZES[vr]
    data = data[: len(data) // 8 * 8]
    dataset, item = Dataset(), Dataset()
    for each in (dataset, item):
        each.add_new(0x00991001, vr, data)
    dataset.add_new(0x00081140, "SQ", [item])
    turn_words(dataset)
    turned = b"".join(data[k : k + size][::-1] for k in range(0, len(data), size))
    assert dataset[0x00991001].value == item[0x00991001].value == turned
    turn_words(dataset)
    assert dataset[0x00991001].value == item[0x00991001].value == data


def test_pixels_that_are_a_stream_are_turned():
    dataset = ct()
    data = bytes(dataset.PixelData)
    dataset.PixelData = io.BytesIO(data)
    turn_words(dataset)
    assert np.array_equal(np.frombuffer(dataset.PixelData, ">u2"), np.frombuffer(data, "<u2"))


@pytest.mark.parametrize("to", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("own", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda uid: uid.keyword)
def test_from_each_to_each_and_nothing_is_changed_in_place(own, to, tmp_path):
    truth = ct()
    source = read(save(in_syntax(truth, to=own), tmp_path / "own.dcm")).dataset
    before = source.file_meta.TransferSyntaxUID, source["PixelData"].value
    back = read(save(in_syntax(source, to=to), tmp_path / "to.dcm"))
    assert (source.file_meta.TransferSyntaxUID, source["PixelData"].value) == before
    assert back.transfer_syntax_uid == to
    assert not back.findings
    assert np.array_equal(back.dataset.pixel_array, truth.pixel_array)
    for dataset in (back.dataset, truth):
        del dataset.PixelData
    assert {str(e.tag): e.value for e in back.dataset} == {str(e.tag): e.value for e in truth}


def test_another_name_turns_no_words_and_is_refused(tmp_path):
    dataset = ct()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    with pytest.raises(AttributeUnusable, match=r"words in little endian.*in_syntax"):
        save(dataset, tmp_path / "x.dcm")
    big = read(save(in_syntax(ct(), to=ExplicitVRBigEndian), tmp_path / "big.dcm")).dataset
    big.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with pytest.raises(AttributeUnusable, match="words in big endian"):
        save(big, tmp_path / "x.dcm")
    del big.PixelData  # numbers and text are written in any order
    assert read(save(big, tmp_path / "x.dcm")).dataset.Rows == 16


def test_what_is_compressed_has_no_other_byte_order():
    dataset = phantoms.ct_series(1, rows=64, columns=64)[0]
    with pytest.raises(AttributeUnusable, match="not JPEG 2000"):
        in_syntax(dataset, to=JPEG2000Lossless)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    with pytest.raises(AttributeUnusable, match="without compression"):
        in_syntax(dataset, to=ExplicitVRBigEndian)
    with pytest.raises(AttributeUnusable, match="without compression"):
        in_syntax(ct(), to="1.3.46.670589.33.1.4.1")


def big(*elements: bytes) -> bytes:
    """A file in big endian of elements written by hand."""
    own = b"\x00\x08\x00\x16UI\x00\x1a" + CT.encode().ljust(26, b"\0") + b"\x00\x08\x00\x18UI\x00\x061.2.3\0"
    return meta_bytes(CT, "1.2.3", ExplicitVRBigEndian) + own + b"".join(elements)


def unknown(tag: bytes, value: bytes) -> bytes:
    return tag + b"UN\0\0" + len(value).to_bytes(4, "big") + value


ROWS, WORDS = b"\x00\x28\x00\x10", b"\x00\x66\x00\x23"


def test_unknown_values_are_in_little_endian_whatever_the_syntax():
    """PS3.5 6.2.2: an attribute that was not known to who sent it is in little endian, in big endian too."""
    item = unknown(ROWS, b"\x02\x01")
    sequence = (
        b"\x00\x08\x11\x40SQ\0\0" + (8 + len(item)).to_bytes(4, "big") + b"\xff\xfe\xe0\x00" + len(item).to_bytes(4, "big") + item
    )
    reading = read(big(sequence, unknown(ROWS, b"\x02\x01"), unknown(WORDS, b"\x01\x00\x02\x00")))
    assert reading.dataset.Rows == reading.dataset.ReferencedImageSequence[0].Rows == 0x0102
    assert list(np.frombuffer(reading.dataset[0x00660023].value, ">u2")) == [1, 2]  # as all words of this dataset
    again = in_syntax(reading.dataset, to=ExplicitVRLittleEndian)
    assert again.Rows == 0x0102
    assert list(np.frombuffer(again[0x00660023].value, "<u2")) == [1, 2]


# ------------------------------------------------------------ UN of undefined length (PS3.5 6.2.2, note 2)
END = b"\xfe\xff\xdd\xe0\0\0\0\0"
REFERENCED, PRIVATE = b"\x00\x08\x11\x40", b"\x00\x99\x10\x01"
CREATOR = b"\x00\x99\x00\x10LO\x00\x04TEST"


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def undefined(tag: bytes, *elements: bytes, item_length: bool = False) -> bytes:
    """UN of undefined length with one item, in Implicit VR Little Endian."""
    inside = b"".join(elements)
    if item_length:
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inside)) + inside
    else:
        item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + inside + b"\xfe\xff\x0d\xe0\0\0\0\0"
    return tag + b"UN\0\0\xff\xff\xff\xff" + item + END


def explicit_big(tag: bytes, representation: bytes, value: bytes) -> bytes:
    return tag + representation + len(value).to_bytes(2, "big") + value


INSIDE = (implicit(0x00081155, b"1.2.3.4\0"), implicit(0x00280010, b"\x02\x01"), implicit(0x00660023, b"\x01\x00\x02\x00"))


@pytest.mark.parametrize("item_length", [False, True])
@pytest.mark.parametrize("tag", [REFERENCED, PRIVATE])
def test_an_unknown_of_undefined_length_is_a_sequence_in_implicit_little_endian(tag, item_length, tmp_path):
    columns = explicit_big(b"\x00\x28\x00\x11", b"US", b"\x01\x02")
    element = undefined(tag, *INSIDE, item_length=item_length)
    creator = CREATOR if tag == PRIVATE else b""
    source = big(*([columns, creator, element] if tag == PRIVATE else [element, columns]))
    reading = read(source)
    assert not reading.findings.errors

    def check(dataset, order):
        (item,) = dataset[int.from_bytes(tag, "big")].value
        assert (item.ReferencedSOPInstanceUID, item.Rows, dataset.Columns) == ("1.2.3.4", 0x0102, 0x0102)
        assert list(np.frombuffer(item[0x00660023].value, f"{order}u2")) == [1, 2]

    check(reading.dataset, ">")
    check(read(save(reading.dataset, tmp_path / "big.dcm")).dataset, ">")
    check(dcmread(tmp_path / "big.dcm"), ">")  # another reader's word
    check(read(save(in_syntax(reading.dataset, to=ExplicitVRLittleEndian), tmp_path / "little.dcm")).dataset, "<")


@pytest.mark.parametrize("is_defined", [True, False])
def test_also_within_a_sequence_whose_length_stays(is_defined):
    element = undefined(PRIVATE, *INSIDE)
    inside = CREATOR + element
    length = len(inside).to_bytes(4, "big") if is_defined else b"\xff\xff\xff\xff"
    item = b"\xff\xfe\xe0\x00" + length + inside + (b"" if is_defined else b"\xff\xfe\xe0\x0d\0\0\0\0")
    whole = len(item).to_bytes(4, "big") if is_defined else b"\xff\xff\xff\xff"
    sequence = REFERENCED + b"SQ\0\0" + whole + item + (b"" if is_defined else b"\xff\xfe\xe0\xdd\0\0\0\0")
    reading = read(big(sequence, explicit_big(b"\x00\x28\x00\x11", b"US", b"\x01\x02")))
    assert not reading.findings.errors
    (outer,) = reading.dataset.ReferencedImageSequence
    assert outer[0x00991001].value[0].Rows == reading.dataset.Columns == 0x0102


def test_dcmdump_reads_the_same_of_it(program, tmp_path):
    path = tmp_path / "x.dcm"
    path.write_bytes(big(undefined(REFERENCED, *INSIDE)))
    before = subprocess.run([program("dcmdump"), path], capture_output=True, text=True, check=True, timeout=20).stdout
    assert "[1.2.3.4]" in before
    assert "US 258" in before
    save(read(path).dataset, path)
    after = subprocess.run([program("dcmdump"), path], capture_output=True, text=True, check=True, timeout=20).stdout
    assert "[1.2.3.4]" in after
    assert "US 258" in after


def test_one_that_is_cut_short_is_said_to_be():
    whole = big(undefined(REFERENCED, *INSIDE))
    for length in range(len(whole) - len(undefined(REFERENCED, *INSIDE)) + 2, len(whole)):
        assert read(whole[:length]).findings.errors, length


def test_private_unknowns_stay_as_they_are(tmp_path):
    source = ct()
    source.private_block(0x0099, "TEST", create=True).add_new(1, "UN", b"\1\2\3\4\5\6")
    path = save(in_syntax(source, to=ExplicitVRBigEndian), tmp_path / "x.dcm")
    assert b"\x00\x99\x10\x01UN\0\0\0\0\0\6\1\2\3\4\5\6" in path.read_bytes()
    assert dcmread(path)[0x00991001].value == b"\1\2\3\4\5\6"


def test_a_value_that_can_not_be_read_is_named_without_it():
    reading = read(big(b"\x00\x28\x00\x10US\x00\x04\xab\xcd\xab\xcd", b"\x00\x28\x01\x00FL\x00\x06secret"))
    with pytest.raises(AttributeUnusable, match=r"byte order.*can't be read") as caught:
        in_syntax(reading.dataset, to=ExplicitVRLittleEndian)
    assert "secret" not in str(caught.value)
