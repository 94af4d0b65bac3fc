import io
import struct
import time
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.filereader import read_file_meta_info

from workbench.errors import DatasetIncomplete, NotDicom, UidInvalid
from workbench.files import IMPLEMENTATION_CLASS_UID, Part10, meta_bytes

CT = "1.2.840.10008.5.1.4.1.1.2"
SHIPPED = sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm"))


@pytest.mark.parametrize("path", [p for p in SHIPPED if p.read_bytes()[128:134] == b"DICM\2\0"], ids=lambda p: p.name)
def test_the_offset_is_where_pydicom_stops_reading_file_meta_information(path):
    part = Part10.locate(path)
    with path.open("rb") as file:
        file.seek(132)
        meta = pydicom.filereader._read_file_meta_info(file)
        assert part.dataset_offset == file.tell()
    assert part.dataset_bytes == path.stat().st_size - part.dataset_offset
    assert part.sop_class_uid == meta.get("MediaStorageSOPClassUID", "")
    assert part.sop_instance_uid == meta.get("MediaStorageSOPInstanceUID", "")
    assert part.transfer_syntax_uid == meta.get("TransferSyntaxUID", "")


def test_bytes_and_files_give_the_same():
    path = Path(get_testdata_file("CT_small.dcm"))
    a, b = Part10.locate(path), Part10.locate(path.read_bytes())
    assert (a.path, b.path) == (path, None)
    assert (a.dataset_offset, a.dataset_bytes, a.sop_instance_uid) == (b.dataset_offset, b.dataset_bytes, b.sop_instance_uid)


uids = st.lists(st.integers(0, 10**9), min_size=2, max_size=5).map(lambda parts: "1." + ".".join(map(str, parts)))


@given(uids, uids, uids, st.sampled_from(["", "A", "SCANNER_1"]), st.binary(min_size=8, max_size=40))
def test_what_is_written_is_found_again(sop_class, instance, syntax, title, body):
    dataset = b"\x08\x00" + body
    part = Part10.locate(meta_bytes(sop_class, instance, syntax, source_ae_title=title) + dataset)
    assert (part.sop_class_uid, part.sop_instance_uid, part.transfer_syntax_uid) == (sop_class, instance, syntax)
    assert part.dataset_bytes == len(dataset)


def test_pydicom_reads_what_is_written(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(meta_bytes(CT, "1.2.3", "1.2.840.10008.1.2.1", source_ae_title="SCANNER"))
    meta = read_file_meta_info(path)
    assert meta.FileMetaInformationGroupLength == path.stat().st_size - 144
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.SourceApplicationEntityTitle == "SCANNER"
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert all(len(element.value) <= 16 for element in meta if element.VR in ("SH", "AE"))


@pytest.mark.parametrize("bad", ["../../x", "", "1.02.3", "1.2\n3", "1" * 65])
def test_a_uid_that_is_none_is_refused(bad):
    with pytest.raises(UidInvalid, match=r"SOP Instance UID \(0002,0003\) is not a valid UID"):
        meta_bytes(CT, bad, "1.2.840.10008.1.2")


def test_file_meta_information_longer_than_the_first_look_is_read_on():
    private = struct.pack("<HH2sHI", 2, 0x0102, b"OB", 0, 9000) + bytes(9000)
    whole = meta_bytes(CT, "1.2.3", "1.2.840.10008.1.2.1") + private + b"\x08\x00dataset"
    part = Part10.locate(whole)
    assert part.dataset_offset == len(whole) - 9
    with pytest.raises(DatasetIncomplete, match="ends within its file meta information"):
        Part10.locate(whole[:5000])


def test_a_bare_dataset_is_found_by_its_uids():
    part = Part10.locate(get_testdata_file("rtstruct.dcm"))
    dataset = dcmread(get_testdata_file("rtstruct.dcm"), force=True)
    assert (part.dataset_offset, part.sop_instance_uid, part.transfer_syntax_uid) == (
        0,
        dataset.SOPInstanceUID,
        "1.2.840.10008.1.2",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"PK\x03\x04" + bytes(200), "ZIP archive; unpack it first"),
        (b"\x89PNG\r\n" + bytes(200), "a PNG image"),
        (bytes(500), "only zeros"),
        (b"hello " * 50, "no 'DICM' prefix at byte 128"),
    ],
)
def test_what_is_not_dicom_is_told_with_what_it_looks_like(content, words, tmp_path):
    with pytest.raises(NotDicom, match=words):
        Part10.locate(content)
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(NotDicom, match=f"'x.bin' is not DICOM.*{words}"):
        Part10.locate(path)


def test_only_the_beginning_of_a_large_file_is_read_and_quickly(tmp_path):
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.write(meta_bytes(CT, "1.2.3", "1.2.840.10008.1.2.1") + b"\x08\x00")
        file.truncate(8 << 30)  # sparse
    best = min(_seconds(path) for _ in range(50))
    assert Part10.locate(path).dataset_bytes > (8 << 30) - 1000
    assert best < 0.0005  # typically 0.00002


def _seconds(path):
    begin = time.perf_counter()
    Part10.locate(path)
    return time.perf_counter() - begin


def test_a_stream_in_memory_is_not_a_path():
    with pytest.raises(TypeError):
        Part10.locate(io.BytesIO(b"x"))
