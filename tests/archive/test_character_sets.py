"""An archive of many character sets: each is found by keys in any other, and answers say in which they are."""

import io
import unicodedata

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from workbench.archive import Archive
from workbench.entities import StudyRef
from workbench.errors import AttributeUnusable
from workbench.files import character_sets

#: Specific Character Set, Patient's Name as stored, keys that find it
STORED = [
    (["ISO_IR 100"], b"Buc^J\xe9r\xf4me", ["Buc^Jérôme", "BUC^JÉR*", "*r?me"]),
    (["ISO_IR 101"], b"Wa\xb3\xeasa^Lech", ["Wałęsa^Lech", "WAŁĘ*"]),
    (["ISO_IR 144"], b"\xbb\xee\xda\x63\x65\xdc\xd1yp\xd3", ["Люкceмбypг", "люк*"]),
    (["ISO_IR 203"], b"\xbduvre^Z", ["œuvre^Z", "ŒUVRE*"]),
    (["ISO_IR 166"], b"\xb9\xd2\xc1^\xca\xa1\xd8\xc5", ["นาม*"]),
    (["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", ["山田*", "Yamada*", "=山田*"]),
    (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$BEDCf\x1b(J^\x1b$BB@O:\x1b(J",
        ["ﾔﾏﾀﾞ*", "田中^太郎"],
    ),
    (
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        ["홍*", "洪^吉洞", "Hong^Gildong=洪^吉洞=홍^길동"],
    ),
    (["GB18030"], b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", ["王*", "=王^小东"]),
    (["GBK"], b"Zhao=\xd5\xd4^\xd2\xbb", ["赵*"]),
    (["", "ISO 2022 IR 58"], b"Zhang=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1", ["张*"]),
    (["ISO_IR 192"], unicodedata.normalize("NFD", "Ñandú^José").encode(), ["Ñandú*", "ñANDÚ^josé"]),
]  # fmt: skip


def bytes_of(instance, raw):
    """Return a file in which Patient's Name stands as these bytes."""
    instance.PatientName = "PLACE^HOLDER^NAME"
    file = io.BytesIO()
    dcmwrite(file, instance, enforce_file_format=True)
    padded = raw + b" " * (len(raw) % 2)
    old = b"PN\x12\x00PLACE^HOLDER^NAME "
    assert file.getvalue().count(old) == 1
    return file.getvalue().replace(old, b"PN" + len(padded).to_bytes(2, "little") + padded)


@pytest.fixture
def filled(tmp_path, instance):
    with Archive(tmp_path) as archive:
        for number, (terms, raw, _) in enumerate(STORED):
            archive.add(bytes_of(instance(1, study=number, patient=number, SpecificCharacterSet=terms), raw))
        yield archive


def found(archive, name, terms="ISO_IR 192"):
    """Ask with a key as it comes over the wire, in a character set."""
    codecs = character_sets.encodings_of_terms(terms)
    raw = character_sets.encoded(name, codecs, vr="PN")
    asked = Dataset()
    asked.SpecificCharacterSet, asked.QueryRetrieveLevel, asked.StudyInstanceUID = terms, "STUDY", ""
    asked.PatientName = "X"
    buffer = io.BytesIO()
    dcmwrite(buffer, asked, implicit_vr=False, little_endian=True, force_encoding=True)
    padded = raw + b" " * (len(raw) % 2)
    encoded = buffer.getvalue().replace(b"PN\x02\x00X ", b"PN" + len(padded).to_bytes(2, "little") + padded)
    return list(archive.find(read_dataset(io.BytesIO(encoded), False, True)))


@pytest.mark.parametrize("number", range(len(STORED)))
def test_a_name_is_found_by_keys_in_unicode_and_answered_in_it(filled, number):
    terms, raw, keys = STORED[number]
    text = character_sets.decoded(raw, character_sets.encodings_of_terms(terms), vr="PN")
    for key in keys:
        (answer,) = (a for a in found(filled, key) if a.StudyInstanceUID == f"1.2.3.{number}")
        assert str(answer.PatientName) == text
        assert answer.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize(
    ("terms", "name", "number"),
    [
        ("GB18030", "山田*", 5), (["", "ISO 2022 IR 149"], "王*", 8), ("ISO_IR 203", "Buc^Jér*", 0), ("GB18030", "홍*", 7),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "王*", 8), ("ISO_IR 192", "ﾔﾏﾀﾞ*", 6), (["", "ISO 2022 IR 144"], "Люк*", 2),
        (["ISO 2022 IR 100", "ISO 2022 IR 87"], "山田*", 5), ("GBK", "张*", 10),
    ],
)  # fmt: skip
def test_a_key_in_one_set_finds_what_is_stored_in_another(filled, terms, name, number):
    assert [a.StudyInstanceUID for a in found(filled, name, terms)] == [f"1.2.3.{number}"]


def test_files_keep_their_bytes(filled):
    for number, (_, raw, _) in enumerate(STORED):
        (ref,) = filled.references(StudyRef(f"1.2.3.{number}"))
        assert raw in filled.path(ref).read_bytes()
        assert filled.open(ref).get_item("PatientName").value.rstrip() == raw


def test_what_cannot_be_decoded_is_spelled_out_in_answers_and_found_by_what_was_answered(tmp_path, instance):
    raw = b"M\xfcller^Zo\xeb"
    with Archive(tmp_path) as archive:
        ref = archive.add(bytes_of(instance(1, SpecificCharacterSet="ISO_IR 192"), raw))
        (answer,) = found(archive, "M*")
        assert str(answer.PatientName) == "M<FC>ller^Zo<EB>"
        assert len(found(archive, str(answer.PatientName))) == 1
        assert len(found(archive, "*ller*")) == 1
        assert raw in archive.path(ref).read_bytes()


def test_a_name_that_its_character_set_lacks_is_refused_not_maimed(tmp_path, instance):
    with Archive(tmp_path) as archive, pytest.raises(AttributeUnusable, match=r"\(0010,0010\) has characters"):
        archive.add(instance(1, SpecificCharacterSet="ISO_IR 100", PatientName="山田"))
