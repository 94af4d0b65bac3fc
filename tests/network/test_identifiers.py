"""Identifiers of responses are what pydicom's own reader makes of them."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from tests.network.scripted import EXPLICIT, IMPLICIT
from workbench.network._identifiers import identifier
from workbench.network._items import ItemEncoder

text = st.text(
    st.characters(codec="utf-8", exclude_characters="\\^=\r\n\f\t\x1b\x00", exclude_categories=["Cc", "Cs"]), max_size=20
)


def encoded(dataset, *, is_implicit):
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = is_implicit, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def item(name="Müller^Jörg", description="Both eyes", rows=70):
    step, dataset = Dataset(), Dataset()
    step.Modality, step.ScheduledProcedureStepDescription = "OP", description
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID, dataset.Rows, dataset.StudyDate = name, "", rows, "20240115"
    dataset.ScheduledProcedureStepSequence = [step]
    return dataset


@given(text, text, st.integers(0, 65535), st.booleans())
def test_the_same_as_the_patient_reader(name, description, rows, is_implicit):
    data = encoded(item(name, description, rows), is_implicit=is_implicit)
    ours = identifier(data, is_implicit=is_implicit)
    theirs = read_dataset(BytesIO(data), is_implicit, is_little_endian=True)
    assert ours == theirs
    assert str(ours.PatientName) == str(theirs.PatientName)


@pytest.mark.parametrize("declared", ["ISO_IR 100", ["", "ISO 2022 IR 87"], "GB18030"])
def test_character_sets(declared):
    dataset = Dataset()
    dataset.SpecificCharacterSet = declared
    dataset.PatientName = {"ISO_IR 100": "Müller", "GB18030": "王^小东"}.get(str(declared), "Yamada=山田^太郎")
    data = encoded(dataset, is_implicit=False)
    assert str(identifier(data, is_implicit=False).PatientName) == str(dataset.PatientName)


def test_explicit_where_implicit_was_agreed_is_read_all_the_same():
    data = encoded(item(), is_implicit=False)
    assert identifier(data, is_implicit=True).PatientName == "Müller^Jörg"


def test_an_unknown_value_is_in_little_endian_also_in_big_endian():
    """PS3.5 6.2.2; the number beside it, which is known, is in big endian."""
    unknown = b"\x00\x28\x00\x10UN\0\0\0\0\0\2\x02\x01"
    inner = b"\xff\xfe\xe0\x00" + len(unknown).to_bytes(4, "big") + unknown
    sequence = b"\x00\x08\x11\x40SQ\0\0" + len(inner).to_bytes(4, "big") + inner
    data = sequence + unknown + b"\x00\x28\x00\x11US\x00\x02\x01\x02"
    answer = identifier(data, is_implicit=False, is_little_endian=False)
    assert answer.Rows == answer.Columns == answer.ReferencedImageSequence[0].Rows == 0x0102


@pytest.mark.parametrize("is_implicit", [True, False])
def test_items_are_encoded_as_pydicom_would(is_implicit):
    step, keys = Dataset(), Dataset()
    step.Modality, step.ScheduledStationName = "", ""
    keys.PatientName, keys.PatientID, keys.AccessionNumber, keys.ScheduledProcedureStepSequence = "", "", "", [step]
    remembered = {}
    encode = ItemEncoder(keys, syntax=IMPLICIT if is_implicit else EXPLICIT, remembered=remembered)
    scheduled = item()
    read = read_dataset(BytesIO(encode(scheduled)), is_implicit, is_little_endian=True)
    assert read.SpecificCharacterSet == "ISO_IR 192"
    assert (read.PatientName, read.AccessionNumber, len(read)) == ("Müller^Jörg", "", 5)
    assert (read.ScheduledProcedureStepSequence[0].Modality, len(read.ScheduledProcedureStepSequence[0])) == ("OP", 2)
    assert remembered
    assert encode(scheduled) == encode(scheduled)


def test_an_item_that_came_in_another_character_set_is_answered_in_that():
    latin = Dataset()
    latin.SpecificCharacterSet, latin.PatientName, latin.RequestedProcedureDescription = "ISO_IR 100", "Müller^Jörg", "Größe"
    came = read_dataset(BytesIO(encoded(latin, is_implicit=False)), is_implicit_VR=False, is_little_endian=True)
    scheduled, keys = Dataset(), Dataset()
    scheduled.update({element.tag: element for element in came})
    keys.PatientName = keys.RequestedProcedureDescription = ""
    answer = ItemEncoder(keys, syntax=EXPLICIT, remembered={})(scheduled)
    read = read_dataset(BytesIO(answer), is_implicit_VR=False, is_little_endian=True)
    assert (read.SpecificCharacterSet, str(read.PatientName)) == ("ISO_IR 100", "Müller^Jörg")
    assert read.RequestedProcedureDescription == "Größe"


@pytest.mark.parametrize("is_implicit", [False, True])
def test_an_answer_has_all_that_a_dataset_has_and_shares_none_of_it(is_implicit):
    data = encoded(item(), is_implicit=is_implicit)
    one, other = (identifier(data, is_implicit=is_implicit) for _ in range(2))
    plain = vars(Dataset({}, parent_encoding="iso8859"))
    assert set(plain) <= set(vars(one))
    shared = {name for name, value in vars(one).items() if value is vars(other)[name] and not isinstance(value, str | bool | None)}
    assert shared == set()
    one.PatientID, one.NumberOfFrames = "CHANGED", 2
    one.private_block(0x0029, "MAKER", create=True).add_new(1, "LO", "x")
    assert one != other == identifier(data, is_implicit=is_implicit)
    assert not other.PatientID
    raw = identifier(data, is_implicit=is_implicit).get_item("StudyDate")
    assert len(raw) == len(RawDataElement._fields)
    assert (raw.is_raw, raw.is_buffered, raw.is_implicit_VR, raw.is_little_endian) == (True, False, is_implicit, True)
