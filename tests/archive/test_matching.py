"""Attribute matching: known answers from PS3.4 C.2.2.2, and a law against a plain reading of it."""

import datetime as dt
import re
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from workbench.archive import criteria, matches
from workbench.errors import AttributeUnusable, QueryKeyInvalid


def of(**values) -> Dataset:
    dataset = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a key is not a value
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("keyword", "key", "value", "expected"),
    [
        # single value matching: exact, but for case in a person's name (C.2.2.2.1)
        ("PatientID", "ABC", "ABC", True),
        ("PatientID", "abc", "ABC", False),
        ("PatientID", "ABC", "ABCD", False),
        ("PatientID", "ABC", "", False),
        ("PatientName", "doe^jane", "DOE^Jane", True),
        ("PatientName", "doe^jane", "DOE^Jane^^^", True),
        ("PatientName", "doe", "DOE^Jane", False),
        ("PatientName", "STRASSE*", "Straße^Anna", True),
        # three component groups
        ("PatientName", "yamada*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("PatientName", "山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("PatientName", "=山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("PatientName", "=yamada*", "Yamada^Tarou=山田^太郎=やまだ^たろう", False),
        ("PatientName", "Yamada*=田*", "Yamada^Tarou=山田^太郎", False),
        ("PatientName", "*=*=やまだ^*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        # universal matching (C.2.2.2.3)
        ("PatientID", "", "anything", True),
        ("PatientID", "", "", True),
        ("PatientID", "*", "", True),
        # wildcards (C.2.2.2.4)
        ("StudyDescription", "CT*", "CT Abdomen", True),
        ("StudyDescription", "*abd*men", "CT abdomen", True),
        ("StudyDescription", "?T Abdomen", "CT Abdomen", True),
        ("StudyDescription", "?T Abdomen", "T Abdomen", False),
        ("StudyDescription", "ct*", "CT Abdomen", False),
        ("StudyDescription", "[C]T*", "CT Abdomen", False),
        ("StudyDescription", "100%*", "1000", False),
        ("StudyDescription", "C_*", "CT", False),
        ("StudyDescription", "a*b*a", "aba", True),
        ("StudyDescription", "ab*ba", "aba", False),
        # lists of UIDs (C.2.2.2.2)
        ("StudyInstanceUID", "1.2.3\\1.2.4", "1.2.4", True),
        ("StudyInstanceUID", "1.2.3\\1.2.4", "1.2.40", False),
        # ranges (C.2.2.2.5)
        ("StudyDate", "20240101-20240131", "20240131", True),
        ("StudyDate", "20240101-20240131", "20240201", False),
        ("StudyDate", "-20240131", "19991231", True),
        ("StudyDate", "20240101-", "20231231", False),
        ("StudyDate", "20240101-20240131", "", False),
        ("StudyDate", "20240229", "2024.02.29", True),
        ("StudyTime", "08-12", "125959.9", True),
        ("StudyTime", "08-1200", "120100", False),
        ("StudyTime", "1015", "101530", True),
        ("StudyTime", "101530", "101530.000", True),
        ("AcquisitionDateTime", "202402-202403", "20240315101500", True),
        ("AcquisitionDateTime", "2024", "20241231235959.5", True),
        ("AcquisitionDateTime", "20240101120000-0500", "20240101120000-0500", True),
        # instants, where both have an offset from UTC (C.2.2.2.5, PS3.5 6.2)
        ("AcquisitionDateTime", "20240101120000-0500", "20240101170000+0000", True),
        ("AcquisitionDateTime", "20240101120000-0500", "20240101120000+0000", False),
        ("AcquisitionDateTime", "20240101120000-0500", "20240101223000+0530", True),
        ("AcquisitionDateTime", "20240101000000+0100-20240101010000+0100", "20231231233000+0000", True),
        ("AcquisitionDateTime", "20240101000000+0100-20240101010000+0100", "20240101003000+0000", False),
        ("AcquisitionDateTime", "20240301+0000-20240301+0000", "20240301003000+0100", False),
        ("AcquisitionDateTime", "202402+0000", "20240229235959.999999+0000", True),
        ("AcquisitionDateTime", "202402+0000", "20240301003000+0100", True),
        ("AcquisitionDateTime", "202402+0000", "20240301013000+0100", False),
        ("AcquisitionDateTime", "20240101120000-0500-", "20240101165959+0000", False),
        ("AcquisitionDateTime", "-20240101120000-0500", "20240101170000.000001+0000", True),
        ("AcquisitionDateTime", "-20240101120000.000000-0500", "20240101170000.000001+0000", False),
        # the end is earlier on the clock and later in fact
        ("AcquisitionDateTime", "20240101120000+0200-20240101110000+0000", "20240101103000+0000", True),
        # as they are written, where one has none
        ("AcquisitionDateTime", "20240101120000-0500", "20240101120000", True),
        ("AcquisitionDateTime", "20240101-20240102", "20240102233000-0500", True),
        # numbers
        ("InstanceNumber", "7", "07", True),
        ("InstanceNumber", "7", "8", False),
        # one of several values
        ("ModalitiesInStudy", "PT", "CT\\PT", True),
        ("ModalitiesInStudy", "MR\\PT", "CT\\PT", True),
        ("ModalitiesInStudy", "P", "CT\\PT", False),
        ("ImageType", "PRIM*", "ORIGINAL\\PRIMARY", True),
        # empty value matching (C.2.2.2.7)
        ("PatientID", '""', "", True),
        ("PatientID", '""', "x", False),
    ],
)
def test_known_answers(keyword, key, value, expected):
    assert matches(of(**{keyword: value}), of(**{keyword: key})) is expected


def test_an_attribute_that_is_absent_matches_only_what_is_universal():
    assert matches(Dataset(), of(PatientID=""))
    assert matches(Dataset(), of(PatientID='""'))
    assert not matches(Dataset(), of(PatientID="1"))
    assert not matches(Dataset(), of(StudyDate="19000101-"))


def test_a_sequence_matches_if_one_item_matches_all_its_keys():
    dataset = of(
        RequestAttributesSequence=[of(RequestedProcedureID="1", ScheduledProcedureStepID="a"), of(RequestedProcedureID="2")]
    )
    assert matches(dataset, of(RequestAttributesSequence=[of(RequestedProcedureID="2", ScheduledProcedureStepID="")]))
    assert not matches(dataset, of(RequestAttributesSequence=[of(RequestedProcedureID="2", ScheduledProcedureStepID="a")]))
    assert not matches(Dataset(), of(RequestAttributesSequence=[of(RequestedProcedureID="2")]))
    assert matches(Dataset(), of(RequestAttributesSequence=[of(RequestedProcedureID="")]))
    with pytest.raises(QueryKeyInvalid, match="at most one item"):
        criteria(of(RequestAttributesSequence=[Dataset(), Dataset()]))


@pytest.mark.parametrize(
    ("keyword", "key", "message"),
    [
        ("StudyDate", "20240131-20240101", "runs backwards"),
        ("StudyDate", "2024*", "neither a DA value nor a range"),
        ("StudyDate", "yesterday", "neither a DA value nor a range"),
        ("StudyDate", "-", "neither a DA value nor a range"),
        ("AcquisitionDateTime", "20240101120000+0000-20240101120000+0100", "runs backwards"),
        ("StudyTime", "25h", "neither a TM value nor a range"),
        ("StudyInstanceUID", "1.2.*", "is no UID"),
        ("StudyInstanceUID", "1" * 65, "is no UID"),
        ("PatientID", "x" * 2000, "longer than 1024"),
        ("PatientAge", "04?Y", "allows no wildcard"),
    ],
)
def test_what_can_not_be_matched_is_refused_without_telling_the_value(keyword, key, message):
    with pytest.raises(AttributeUnusable, match=message) as caught:
        criteria(of(**{keyword: key}))
    assert len(key) == 1 or key not in str(caught.value)


def test_a_value_of_the_wrong_kind_is_refused():
    identifier = Dataset()
    identifier[Tag("Rows")] = RawDataElement(Tag("Rows"), "US", 3, b"abc", 0, False, True)
    identifier[Tag("InstanceNumber")] = RawDataElement(Tag("InstanceNumber"), "IS", 4, b"five", 0, False, True)
    with pytest.raises(AttributeUnusable, match=r"does not fit its value representation|is to be a number"):
        criteria(identifier)


def test_private_attributes_and_bulk_data_are_no_keys():
    identifier = of(PatientID="1", PixelData=b"\0\0", SpecificCharacterSet="ISO_IR 192", QueryRetrieveLevel="STUDY")
    identifier.private_block(0x0009, "MAKER", create=True).add_new(1, "LO", "x")
    assert [key.keyword for key in criteria(identifier)] == ["PatientID"]


@pytest.mark.parametrize(
    ("keyword", "key"),
    [
        ("StudyDescription", "*" * 65_536),
        ("StudyDescription", "*?" * 500),
        ("StudyDescription", "*a" * 500),
        ("PatientName", "*a" * 511 + "b"),
        ("SOPInstanceUID", "\\".join(f"1.2.{n}" for n in range(10_000))),
    ],
)
def test_hostile_keys_take_no_time(keyword, key):
    dataset = of(**{keyword: "1.2.9999" if keyword == "SOPInstanceUID" else "a" * 64})
    start = time.perf_counter()
    (criterion,) = criteria(of(**{keyword: key}))
    for _ in range(2000):
        criterion.accepts_in(dataset)
    assert time.perf_counter() - start < 2


def test_sequences_without_end_are_refused():
    identifier = Dataset()
    for _ in range(30):
        identifier = of(ContentSequence=[identifier])
    with pytest.raises(QueryKeyInvalid, match="nested more than"):
        criteria(identifier)


# ---------------------------------------------------------------- laws
LETTERS = st.text("abA?*[]%_. ", max_size=8)
VALUES = st.text("abA[]%_. ", max_size=8)


def naive(pattern: str, value: str) -> bool:
    """C.2.2.2.4 read aloud."""
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, value, re.DOTALL) is not None


@given(LETTERS, VALUES)
def test_wildcards_match_as_a_regular_expression_does(pattern, value):
    pattern, value = pattern.strip(), value.strip()
    expected = not pattern or set(pattern) == {"*"} or (bool(value) and naive(pattern, value))
    assert matches(of(PatientID=value), of(PatientID=pattern)) is expected


@given(st.text("abAB*?^", max_size=6), st.text("abAB^", max_size=6))
def test_names_match_as_patterns_do_without_case(pattern, value):
    folded = [text.casefold().rstrip("^") for text in (pattern, value)]
    expected = not pattern or set(pattern) == {"*"} or not folded[0] or (bool(value) and naive(*folded))
    assert matches(of(PatientName=value), of(PatientName=pattern)) is expected


DATES = st.dates(dt.date(1890, 1, 1), dt.date(2100, 12, 31))


@given(DATES, st.none() | DATES, st.none() | DATES)
def test_date_ranges_match_as_dates_compare(day, first, last):
    if (first is None and last is None) or (first and last and first > last):
        return
    key = f"{first:%Y%m%d}-" if last is None else f"-{last:%Y%m%d}" if first is None else f"{first:%Y%m%d}-{last:%Y%m%d}"
    expected = (first is None or day >= first) and (last is None or day <= last)
    assert matches(of(StudyDate=f"{day:%Y%m%d}"), of(StudyDate=key)) is expected


TIMES = st.times().map(lambda t: t.replace(microsecond=0))


@given(TIMES, TIMES, TIMES)
def test_time_ranges_match_as_times_compare(moment, one, other):
    first, last = sorted((one, other))
    expected = first <= moment <= last
    assert matches(of(StudyTime=f"{moment:%H%M%S}"), of(StudyTime=f"{first:%H%M%S}-{last:%H%M%S}")) is expected
    by_hour = first.hour <= moment.hour <= last.hour
    assert matches(of(StudyTime=f"{moment:%H%M%S}"), of(StudyTime=f"{first:%H}-{last:%H}")) is by_hour


MOMENTS = st.integers(-(2**31), 2**32).map(lambda seconds: dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds))
OFFSETS = st.integers(-12 * 4, 14 * 4).map(lambda quarters: dt.timezone(dt.timedelta(minutes=15 * quarters)))


@given(MOMENTS, MOMENTS, MOMENTS, st.tuples(OFFSETS, OFFSETS, OFFSETS))
def test_date_time_ranges_with_offsets_match_as_instants_compare(one, other, third, zones):
    first, moment, last = (m.astimezone(zone) for m, zone in zip((one, other, third), zones, strict=True))
    if first > last:
        first, last = last, first
    text = [f"{m:%Y%m%d%H%M%S}{m.strftime('%z')[:5]}" for m in (first, moment, last)]
    assert matches(of(AcquisitionDateTime=text[1]), of(AcquisitionDateTime=f"{text[0]}-{text[2]}")) is (first <= moment <= last)
