import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pynetdicom.dsutils import decode, encode

from workbench.errors import QueryKeyInvalid
from workbench.standard import query_identifier, query_keys

MODELS = [("PATIENT", "PATIENT"), ("PATIENT", "STUDY"), ("PATIENT", "SERIES"), ("PATIENT", "IMAGE")]
MODELS += [("STUDY", "STUDY"), ("STUDY", "SERIES"), ("STUDY", "IMAGE")]
UNIQUE = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
STUDY = {"StudyInstanceUID": "1.2.3"}


# ---------------------------------------------------------------- keys
@pytest.mark.parametrize(("model", "level"), MODELS)
def test_each_level_has_its_unique_key_and_those_above(model, level):
    keys = query_keys(model, level)
    unique = [k.keyword for k in keys.values() if k.kind == "U"]
    levels = ["PATIENT", "STUDY", "SERIES", "IMAGE"]
    first = 0 if model == "PATIENT" else 1
    assert unique == [UNIQUE[name] for name in levels[first : levels.index(level) + 1]]


def test_required_keys_are_those_of_the_tables():
    def required(model, level):
        return {k.keyword for k in query_keys(model, level).values() if k.kind == "R"}

    assert required("PATIENT", "PATIENT") == {"PatientName"}  # PS3.4 Table C.6-1
    assert required("PATIENT", "STUDY") == {"StudyDate", "StudyTime", "AccessionNumber", "StudyID"}  # C.6-2
    assert required("STUDY", "STUDY") == {
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "StudyID",
        "PatientName",
        "PatientID",
    }  # C.6-5
    assert required("STUDY", "SERIES") == {"Modality", "SeriesNumber"}  # C.6-3
    assert required("STUDY", "IMAGE") == {"InstanceNumber"}  # C.6-4


def test_computed_keys_are_at_their_levels():
    assert query_keys("PATIENT", "PATIENT")["NumberOfPatientRelatedStudies"].vr == "IS"
    assert query_keys("STUDY", "STUDY")["ModalitiesInStudy"].tag == 0x00080061
    assert "NumberOfStudyRelatedInstances" in query_keys("STUDY", "STUDY")
    assert "NumberOfSeriesRelatedInstances" in query_keys("STUDY", "SERIES")
    assert "NumberOfPatientRelatedStudies" in query_keys("STUDY", "STUDY")


def test_the_table_can_not_be_changed():
    with pytest.raises(TypeError):
        query_keys("STUDY", "STUDY")["X"] = 1


# ---------------------------------------------------------------- identifiers
@pytest.mark.parametrize(("model", "level"), MODELS)
def test_identifiers_have_level_and_return_keys_and_can_be_encoded(model, level):
    upper = {UNIQUE[name]: "1.2" for name in ["PATIENT", "STUDY", "SERIES", "IMAGE"] if name in dict(_levels(model, level))}
    identifier = query_identifier(model, level, upper)
    assert identifier.QueryRetrieveLevel == level
    assert {k.keyword for k in query_keys(model, level).values() if k.kind in "UR"} <= {e.keyword for e in identifier}
    assert "SpecificCharacterSet" not in identifier
    encoded = encode(identifier, is_implicit_vr=True, is_little_endian=True)
    import io

    assert len(decode(io.BytesIO(encoded), is_implicit_vr=True, is_little_endian=True)) == len(identifier)


def _levels(model, level):
    levels = ["PATIENT", "STUDY", "SERIES", "IMAGE"][0 if model == "PATIENT" else 1 :]
    return [(name, True) for name in levels[: levels.index(level)]]


@pytest.mark.parametrize("name", ["PatientID", "(0010,0020)", "00100020", "0010,0020"])
def test_keywords_and_tags_name_the_same_key(name):
    assert query_identifier("STUDY", "STUDY", {name: "77"}).PatientID == "77"


def test_paths_lead_into_sequences():
    keys = {**STUDY, "RequestAttributesSequence.ScheduledProcedureStepID": "A*", "(0040,0275).(0040,1001)": "B"}
    item = query_identifier("STUDY", "SERIES", keys).RequestAttributesSequence
    assert len(item) == 1
    assert (item[0].ScheduledProcedureStepID, item[0].RequestedProcedureID) == ("A*", "B")


def test_an_empty_sequence_asks_for_all_of_it():
    identifier = query_identifier("STUDY", "STUDY", {"ProcedureCodeSequence": None})
    assert len(identifier.ProcedureCodeSequence) == 0


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("StudyDate", "20240101-20240131", "20240101-20240131"),
        ("StudyDate", dt.date(2024, 2, 29), "20240229"),
        ("StudyDate", (dt.date(2024, 1, 1), dt.date(2024, 1, 31)), "20240101-20240131"),
        ("StudyDate", (None, dt.date(2024, 1, 31)), "-20240131"),
        ("StudyDate", ("20240101", None), "20240101-"),
        ("StudyDate", (None, None), ""),
        ("StudyTime", "0930-1700", "0930-1700"),
        ("StudyTime", dt.time(9, 30, 5), "093005.000000"),
        ("StudyTime", (dt.time(9), None), "090000.000000-"),
        ("PatientName", "DOE^J*", "DOE^J*"),
        ("PatientName", "D?E", "D?E"),
        ("ModalitiesInStudy", "PT", "PT"),
        ("PatientID", 77, "77"),
        ("NumberOfStudyRelatedInstances", 5, "5"),
        ("AccessionNumber", None, ""),
        ("AccessionNumber", "", ""),
    ],
)
def test_values_that_can_match(key, value, text):
    assert str(query_identifier("STUDY", "STUDY", {key: value})[key].value or "") == text


def test_lists_of_uids_are_one_key():
    for value in (["1.2.3", "1.2.4"], "1.2.3\\1.2.4", ("1.2.3",) and ["1.2.3", "1.2.4"]):
        assert list(query_identifier("STUDY", "STUDY", {"StudyInstanceUID": value}).StudyInstanceUID) == ["1.2.3", "1.2.4"]


def test_date_times_may_have_offsets_and_ranges():
    keys = {**STUDY, "SeriesInstanceUID": "1.2.4"}

    def key(value):
        return query_identifier("STUDY", "IMAGE", {**keys, "AcquisitionDateTime": value}).AcquisitionDateTime

    assert key("20240101120000+0100") == "20240101120000+0100"
    assert key("20240101120000-0500") == "20240101120000-0500"
    assert key("20240101-20240102") == "20240101-20240102"
    assert key("20240101120000-0500-20240102120000-0500") == "20240101120000-0500-20240102120000-0500"
    assert key(dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)) == "20240101120000.000000+0000"


def test_other_than_ascii_text_declares_utf_8():
    assert query_identifier("STUDY", "STUDY", {"PatientName": "MÜLLER*"}).SpecificCharacterSet == "ISO_IR 192"
    assert query_identifier("STUDY", "STUDY", {"PatientName": "山田^太郎"}).SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize(
    ("model", "level", "keys", "words"),
    [
        ("STUDY", "STUDY", {"PatientNam": "x"}, "'PatientNam' is not an attribute.*Do you mean PatientName"),
        ("STUDY", "STUDY", {"studydate": "20240101"}, "Do you mean StudyDate"),
        ("STUDY", "STUDY", {"Modality": "CT"}, "not a key of the Study Root model at STUDY level.*belongs to SERIES level"),
        ("STUDY", "SERIES", {**STUDY, "PatientName": "x"}, "belongs to STUDY level.*only StudyInstanceUID can be used"),
        ("STUDY", "STUDY", {"PixelData": "x"}, "nor at any other"),
        ("STUDY", "PATIENT", {}, "has the levels STUDY, SERIES, IMAGE, not 'PATIENT'.*model='PATIENT'"),
        ("WORKLIST", "STUDY", {}, "no query model 'WORKLIST'"),
        ("STUDY", "STUDY", {"(0011,0010)": "x"}, "is private"),
        ("STUDY", "STUDY", {"(0008,FFFE)": "x"}, "not an attribute of PS3.6"),
        ("STUDY", "STUDY", {"QueryRetrieveLevel": "SERIES"}, "set from level"),
        ("STUDY", "STUDY", {"SpecificCharacterSet": "ISO_IR 100"}, "set from the text of the keys"),
        ("STUDY", "SERIES", {}, "needs StudyInstanceUID with a single value.*relational=True"),
        ("PATIENT", "IMAGE", {"PatientID": "1"}, "needs StudyInstanceUID and SeriesInstanceUID"),
        ("STUDY", "SERIES", {"StudyInstanceUID": ["1.2", "1.3"]}, "needs a single value"),
        ("PATIENT", "STUDY", {"PatientID": "A*"}, "PatientID needs a single value"),
        ("STUDY", "STUDY", {"StudyDate": "2024*"}, "matches YYYYMMDD.*no wildcards"),
        ("STUDY", "STUDY", {"StudyDate": "20240230"}, "is no date: there is no such month or day"),
        ("STUDY", "STUDY", {"StudyDate": "20241301-"}, "is no date|matches YYYYMMDD"),
        ("STUDY", "STUDY", "StudyDate=2024", "Keys are a mapping of keywords to values, .* not a str"),
        ("STUDY", "STUDY", {"StudyDate": "2024-01-01"}, "matches YYYYMMDD"),
        ("STUDY", "STUDY", {"StudyDate": "20240201-20240101"}, "end is before its begin"),
        ("STUDY", "STUDY", {"StudyDate": ("20240101",)}, "a range of two values"),
        ("STUDY", "STUDY", {"StudyTime": "2561"}, "matches HHMMSS"),
        ("STUDY", "STUDY", {"StudyInstanceUID": "1.2.*"}, "not a valid UID.*no wildcards"),
        ("STUDY", "STUDY", {"StudyInstanceUID": "../../x"}, "not a valid UID"),
        ("STUDY", "STUDY", {"ModalitiesInStudy": "ct"}, "upper-case"),
        ("STUDY", "STUDY", {"ModalitiesInStudy": ["CT", "PT"]}, "can't match a list"),
        ("STUDY", "STUDY", {"PatientName": "A\\B"}, "can't have a backslash"),
        ("STUDY", "STUDY", {"PatientName": "A\nB"}, "can't have control characters"),
        ("STUDY", "STUDY", {"AccessionNumber": "x" * 17}, "more than 16 characters"),
        ("STUDY", "STUDY", {"PatientName": "*" * 65_536}, "more than 1024 characters"),
        ("STUDY", "STUDY", {"PatientAge": "*"}, "can't match wildcards"),
        ("STUDY", "STUDY", {"NumberOfStudyRelatedSeries": "many"}, "only a number"),
        ("STUDY", "STUDY", {"PatientID": Dataset()}, "value of type Dataset"),
        ("STUDY", "STUDY", {"ProcedureCodeSequence": "x"}, "is a sequence: name an attribute in it"),
        ("STUDY", "STUDY", {"PatientID.CodeValue": "x"}, "PatientID is not a sequence"),
        ("STUDY", "STUDY", {5: "x"}, "named by a keyword or a tag"),
    ],
)
def test_what_is_refused(model, level, keys, words):
    with pytest.raises(QueryKeyInvalid, match=words):
        query_identifier(model, level, keys)


def test_values_do_not_stand_in_errors():
    for value in ("SECRET\\NAME", "SECRET\n", "SECRET" * 30):
        with pytest.raises(QueryKeyInvalid) as caught:
            query_identifier("STUDY", "STUDY", {"PatientName": value, "PatientID": value})
        assert "SECRET" not in str(caught.value)


def test_a_device_asks_for_its_own_keys_alone_be_they_in_the_model_or_not():
    identifier = query_identifier(
        "STUDY", "SERIES", {"StudyInstanceUID": "1.2", "(0040,0275).(0040,1001)": None, "SliceThickness": None}, only=True
    )
    assert {e.keyword for e in identifier} == {
        "QueryRetrieveLevel", "StudyInstanceUID", "RequestAttributesSequence", "SliceThickness",
    }  # fmt: skip
    assert [e.keyword for e in identifier.RequestAttributesSequence[0]] == ["RequestedProcedureID"]
    with pytest.raises(QueryKeyInvalid, match="needs StudyInstanceUID with a single value"):
        query_identifier("STUDY", "SERIES", {"Modality": "CT"}, only=True)
    with pytest.raises(QueryKeyInvalid, match="SpecificCharacterSet is not a key to be passed"):
        query_identifier("STUDY", "STUDY", {"SpecificCharacterSet": None}, only=True)


def test_relational_queries_may_leave_out_and_add_upper_keys():
    identifier = query_identifier("STUDY", "SERIES", {"PatientName": "DOE*", "Modality": "PT"}, relational=True)
    assert (identifier.PatientName, identifier.Modality) == ("DOE*", "PT")


@given(st.dates(dt.date(1900, 1, 1)), st.dates(dt.date(1900, 1, 1)))
def test_ranges_of_dates_are_in_order_or_refused(first, last):
    keys = {"StudyDate": (first, last)}
    if first <= last:
        assert query_identifier("STUDY", "STUDY", keys).StudyDate == f"{first:%Y%m%d}-{last:%Y%m%d}".replace(" ", "")
    else:
        with pytest.raises(QueryKeyInvalid):
            query_identifier("STUDY", "STUDY", keys)


@given(
    st.dictionaries(
        st.sampled_from(["PatientName", "StudyDate", "StudyInstanceUID", "NumberOfStudyRelatedSeries"]), st.text(max_size=80)
    )
)
def test_any_text_makes_an_identifier_or_a_refusal(keys):
    try:
        identifier = query_identifier("STUDY", "STUDY", keys)
    except QueryKeyInvalid:
        return
    assert encode(identifier, is_implicit_vr=True, is_little_endian=True)
