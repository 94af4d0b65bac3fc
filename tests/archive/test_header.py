"""The walk over encoded datasets agrees with pydicom, and gives up where it should."""

import csv
import io
import struct
import warnings
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from workbench.archive import Archive, _header
from workbench.archive._attributes import BY_KEYWORD
from workbench.archive._header import Beginning, NotWalkable, read_header
from workbench.errors import InstanceConflict, LimitExceeded, NotDicom, WorkbenchError
from workbench.files import Part10


def shown_by_pydicom(dataset: Dataset, keyword: str) -> str:
    value = dataset[keyword].value
    parts = list(value) if dataset[keyword].VM > 1 else [value]
    return "\\".join("" if v is None else str(v).strip() for v in parts)


def test_indexed_values_are_those_of_pydicom_for_real_objects(corpus):
    """Every readable object of the corpus that is not malformed, whatever its encoding and character set."""
    compared = 0
    for row in csv.DictReader((corpus / "index.csv").open(encoding="utf-8")):
        if row["category"] == "malformed":
            continue
        path = corpus / row["path"]
        try:
            part = Part10.locate(path)
            values = read_header(path.read_bytes()[part.dataset_offset :], part.transfer_syntax_uid).values
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset = dcmread(path, force=True)
        except (WorkbenchError, NotWalkable, OSError, ValueError, RecursionError, NotImplementedError):
            continue
        for keyword in (
            "SOPInstanceUID",
            "StudyInstanceUID",
            "PatientName",
            "PatientID",
            "StudyDescription",
            "Rows",
            "ImageType",
            "Modality",
        ):
            assert (keyword in values) == (keyword in dataset), (row["path"], keyword)
            if keyword in values:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    # empty groups at the end of a name mean nothing (PS3.5 6.2.1)
                    assert values[keyword].rstrip("=") == shown_by_pydicom(dataset, keyword), (row["path"], keyword)
                compared += 1
    assert compared > 1500


def test_every_real_object_that_can_be_taken_comes_back_byte_for_byte(corpus, tmp_path):
    """Refused are: no UIDs of its own, not a UID, cut short, nested too deep, the same UID with other bytes."""
    taken, refused = 0, {}
    with Archive(tmp_path) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in csv.DictReader((corpus / "index.csv").open(encoding="utf-8")):
            path = corpus / row["path"]
            try:
                ref = archive.add(path)
            except InstanceConflict:
                continue
            except WorkbenchError as error:
                refused[row["path"]] = type(error).__name__
                continue
            stored, part = archive.path(ref), Part10.locate(path)
            assert stored.read_bytes()[Part10.locate(stored).dataset_offset :] == path.read_bytes()[part.dataset_offset :]
            taken += 1
        assert archive.verify().errors == ()
        assert all(archive.references(ref) == [ref] for ref in archive)
    assert taken > 320
    assert len(refused) < 50
    ordinary = [
        p for p in refused if p.split("/")[0] in {"seg", "parametric", "waveform", "microscopy", "presentation", "encapsulated"}
    ]
    assert ordinary == []


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def test_sequences_of_undefined_length_nested_too_deep_are_refused():
    start = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    assert read_header(start * 60 + end * 60, ExplicitVRLittleEndian).values == {}
    with pytest.raises(LimitExceeded, match="nested more than 64 deep"):
        read_header(start * 5000 + end * 5000, ExplicitVRLittleEndian)


def test_a_deflate_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(_header, "INFLATED_LIMIT_BYTES", 100 << 20)
    engine = zlib.compressobj(9, wbits=-15)
    piece = bytes(1 << 24)
    bomb = b"".join(engine.compress(piece) for _ in range(8)) + engine.flush()
    assert len(bomb) < 2 << 20
    with pytest.raises(LimitExceeded, match="inflates beyond"):
        read_header(bomb, DeflatedExplicitVRLittleEndian)
    with pytest.raises(NotDicom, match="not a deflate stream"):
        read_header(b"\xff" * 100, DeflatedExplicitVRLittleEndian)


def test_a_sequence_of_unknown_vr_is_walked_as_implicit():
    inner = struct.pack("<HHI", 0x0010, 0x0020, 2) + b"P1"
    unknown = struct.pack("<HH2sHI", 0x0009, 0x1010, b"UN", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    dataset = unknown + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) + element(0x0010, 0x0020, b"LO", b"P2")
    assert read_header(dataset, ExplicitVRLittleEndian).values == {"PatientID": "P2"}


def test_what_does_not_follow_its_transfer_syntax_is_read_by_the_patient_reader(tmp_path, instance, encode):
    """Implicit VR in a context of Explicit VR, as some senders do."""
    implicit = encode(instance(), transfer_syntax_uid=ImplicitVRLittleEndian)
    with pytest.raises(NotWalkable):
        read_header(implicit.dataset, ExplicitVRLittleEndian)
    with Archive(tmp_path) as archive:
        receiving = archive.receiving(**(implicit.announced | {"transfer_syntax_uid": ExplicitVRLittleEndian}))
        receiving.write(implicit.dataset)
        ref = receiving.commit()
        assert archive.table("STUDY")["AccessionNumber"].tolist() == ["A1"]
        assert ref.study_instance_uid == "1.2.3.1"


def test_the_schema_has_a_column_for_every_indexed_attribute():
    schema = Path(__file__).parents[2].joinpath("workbench/archive/_schema.sql").read_text(encoding="utf-8")
    words = set(schema.replace(",", " ").split())
    assert set(BY_KEYWORD) <= words


def test_empty_and_zero_values_stay_apart():
    file = io.BytesIO()
    file.write(element(0x0010, 0x0010, b"PN", b"") + element(0x0010, 0x0020, b"LO", b"0 "))
    assert read_header(file.getvalue(), ExplicitVRLittleEndian).values == {"PatientName": "", "PatientID": "0"}


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_wherever_the_beginning_is_cut_off_the_header_is_the_same(instance, encode, syntax):
    encoded = encode(instance(Rows=200, Columns=10, PixelData=bytes(4000)), transfer_syntax_uid=syntax)
    whole = read_header(encoded.dataset, syntax).values
    size, at_once = len(encoded.dataset), 0
    for cut in range(1, size):
        beginning = Beginning(encoded.dataset[:cut], syntax)
        header = beginning.header(size)
        if header is not None:
            assert header.values == whole
            at_once += 1
        for other in (size - 2, size + 2):
            assert beginning.header(other) is None
        assert read_header(encoded.dataset, syntax, beginning=beginning).values == whole
    assert (at_once > 3000) == (syntax != DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("text", ["Å", "\x1b", "A\\B ", " "])
def test_values_are_the_same_whether_they_are_decoded_at_once_or_when_asked_for(text):
    dataset = element(0x0008, 0x0005, b"CS", b"ISO_IR 100") + element(0x0010, 0x0020, b"LO", text.encode("latin-1"))
    dataset += element(0x0028, 0x0010, b"US", b"\xc8\0") + element(0x0028, 0x0011, b"US", b"\xc8")
    values = read_header(dataset, ExplicitVRLittleEndian).values
    assert values == {"PatientID": "A\\B" if text == "A\\B " else text.strip(), "Rows": "200"}
    assert values.get("Columns") is None
    assert "Columns" not in values


NO_TEXT = [
    "hex",
    "rot13",
    "zip",
    "bz2",
    "base64",
    "uu",
    "quopri",
    "idna",
    "punycode",
    "undefined",
    "A\0B",
    "ISO_IR 6\\hex",
    "\\rot13",
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(
    declared=(st.sampled_from(NO_TEXT) | st.text(st.characters(max_codepoint=255), max_size=20)).map(lambda t: t.encode("latin-1")),
    value=st.binary(max_size=30).map(lambda raw: b"N" + raw) | st.just(b"Yamada\x1b$B;3ED\x1b(B\xe9"),
)
def test_no_character_set_hides_a_value(declared, value):
    dataset = element(0x0008, 0x0005, b"CS", declared) + element(0x0010, 0x0010, b"PN", value)
    assert "PatientName" in read_header(dataset, ExplicitVRLittleEndian).values


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("declared", NO_TEXT)
def test_a_character_set_that_names_no_encoding_of_text_is_the_default_one(tmp_path, instance, encode, declared):
    encoded = encode(instance(PatientID="P1", AdditionalPatientHistory="MARK"))
    dataset = encoded.dataset.replace(b"MARK", b"\x1bA\xe9B").replace(b"Test^Number1", b"T\x1bst^Numb\xe9r1")
    head = element(0x0008, 0x0005, b"CS", declared.encode() + b" " * (len(declared) % 2))
    with Archive(tmp_path) as archive:
        receiving = archive.receiving(**encoded.announced)
        receiving.write(head + dataset)
        ref = receiving.commit()
        asked = Dataset()
        asked.QueryRetrieveLevel, asked.PatientID = "STUDY", "P1"
        asked.PatientName = asked.AdditionalPatientHistory = ""
        (answer,) = archive.find(asked)
        assert (answer.PatientName, answer.AdditionalPatientHistory) == ("T\x1bst^Numbér1", "\x1bAéB")
        assert list(archive) == [ref]
