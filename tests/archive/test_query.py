"""Queries: what find answers at each level, and a law against a scan that matches every dataset by itself."""

import random
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from workbench.archive import Archive, matches
from workbench.entities import InstanceRef, PatientRef, SeriesRef, StudyRef
from workbench.errors import AttributeUnusable, InstanceNotFound, QueryKeyInvalid, WorkbenchError


def keys(level, **values) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in values.items():
            setattr(identifier, keyword, value)
    return identifier


NAMES = [
    "Doe^Jane",
    "DOE^John",
    "Müller^Zoë",
    "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "Иванов^Иван",
    "",
    "a%b_c^[d]",
    'O\'Hara^"x"',
]
DESCRIPTIONS = ["CT Abdomen", "ct abdomen", "PET'; DROP TABLE studies;--", "*", "100%", "", "[A-Z]", "Größe"]
DATES = ["20240101", "20240229", "19991231", "", "20241231"]
MODALITIES = ["CT", "PT", "MR"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    from tests_archive_conftest import instance

    chance = random.Random(7)
    datasets = []
    for study in range(1, 41):
        patient = chance.randrange(1, 12)
        of_study = {
            "PatientName": NAMES[patient % len(NAMES)], "StudyDescription": chance.choice(DESCRIPTIONS),
            "StudyDate": chance.choice(DATES), "SpecificCharacterSet": "ISO_IR 192",
            "StudyTime": f"{chance.randrange(24):02d}{chance.randrange(60):02d}00",
        }  # fmt: skip
        for series in range(1, chance.randrange(2, 4)):
            modality = chance.choice(MODALITIES)
            common = of_study | {"series": series, "study": study, "patient": patient, "Modality": modality}
            datasets += [instance(number, **common) for number in range(1, chance.randrange(2, 5))]
    with Archive(tmp_path_factory.mktemp("filled")) as archive:
        for dataset in datasets:
            archive.add(dataset)
        yield archive, datasets


@pytest.fixture(scope="module", autouse=True)
def _instances_module(request):
    """Make the helpers of conftest.py importable where fixtures of a wider scope need them."""
    import importlib.util
    import sys
    from pathlib import Path

    spec = importlib.util.spec_from_file_location("tests_archive_conftest", Path(__file__).with_name("conftest.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["tests_archive_conftest"] = module
    spec.loader.exec_module(module)
    yield
    del sys.modules["tests_archive_conftest"]


UNIQUE = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
KEYS = {
    "PatientName": st.sampled_from(
        [*NAMES, "doe*", "*^j*", "müller*", "山田*", "=山*", "И*", "?OE^*", "a%b*", "a_b*", "O'*", "[*"]
    ),
    "PatientID": st.sampled_from(["P1", "P*", "?1", "p1", "P1*", "nobody", ""]),
    "StudyDescription": st.sampled_from([*DESCRIPTIONS, "*abd*", "PET'*", "[*", "?00%", "Gr*", '""']),
    "StudyDate": st.sampled_from([*DATES, "20240101-20240630", "-20231231", "20240229-", '""']),
    "StudyTime": st.sampled_from(["", "12", "0800-1559", "-1200"]),
    "AccessionNumber": st.sampled_from(["", "A1", "A?", "A*"]),
}
LOWER = {"Modality": st.sampled_from(["CT", "PT\\MR", "?T", "*"]), "SeriesNumber": st.sampled_from(["1", "02"])}
LOWEST = {"InstanceNumber": st.sampled_from(["1", "3"]), "Rows": st.sampled_from([4, 5])}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), level=st.sampled_from(["PATIENT", "STUDY", "SERIES", "IMAGE"]))
def test_find_answers_what_a_scan_of_all_datasets_answers(filled, data, level):
    archive, datasets = filled
    allowed = {k: KEYS[k] for k in ("PatientName", "PatientID")} if level == "PATIENT" else dict(KEYS)
    if level in {"SERIES", "IMAGE"}:
        allowed |= LOWER
    if level == "IMAGE":
        allowed |= LOWEST
    wanted = data.draw(st.lists(st.sampled_from(sorted(allowed)), unique=True, max_size=3))
    identifier = keys(level, **{keyword: data.draw(allowed[keyword]) for keyword in wanted})
    expected = {d[UNIQUE[level]].value for d in datasets if matches(d, identifier)}
    if UNIQUE[level] not in identifier:
        setattr(identifier, UNIQUE[level], "")
    answers = list(archive.find(identifier, model="PATIENT"))
    found = [a[UNIQUE[level]].value for a in answers]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert all(set(a.keys()) >= set(identifier.keys()) for a in answers)


def test_counts_and_modalities_are_computed(filled):
    archive, datasets = filled
    for answer in archive.find(
        keys("STUDY", StudyInstanceUID="", ModalitiesInStudy="", NumberOfStudyRelatedSeries="", NumberOfStudyRelatedInstances="",
             SOPClassesInStudy="")
    ):  # fmt: skip
        own = [d for d in datasets if d.StudyInstanceUID == answer.StudyInstanceUID]
        found = answer.ModalitiesInStudy
        assert sorted([found] if isinstance(found, str) else found) == sorted({d.Modality for d in own})
        assert answer.NumberOfStudyRelatedSeries == len({d.SeriesInstanceUID for d in own})
        assert answer.NumberOfStudyRelatedInstances == len(own)
        assert answer.SOPClassesInStudy == own[0].SOPClassUID
    of_patient = keys("PATIENT", PatientID="", NumberOfPatientRelatedStudies="", NumberOfPatientRelatedInstances="")
    patients = list(archive.find(of_patient, model="PATIENT"))
    assert sum(int(a.NumberOfPatientRelatedInstances) for a in patients) == len(datasets)
    assert sum(int(a.NumberOfPatientRelatedStudies) for a in patients) == 40
    modalities = {a.StudyInstanceUID for a in archive.find(keys("STUDY", StudyInstanceUID="", ModalitiesInStudy="PT"))}
    assert modalities == {d.StudyInstanceUID for d in datasets if d.Modality == "PT"}
    series = list(archive.find(keys("SERIES", SeriesInstanceUID="", NumberOfSeriesRelatedInstances="")))
    assert sum(int(a.NumberOfSeriesRelatedInstances) for a in series) == len(datasets)
    (one,) = archive.find(
        keys("IMAGE", SOPInstanceUID=datasets[0].SOPInstanceUID, InstanceAvailability="", AvailableTransferSyntaxUID="")
    )
    assert (one.InstanceAvailability, one.AvailableTransferSyntaxUID) == ("ONLINE", "1.2.840.10008.1.2.1")


@pytest.mark.parametrize("level", ["PATIENT", "STUDY", "SERIES", "IMAGE"])
def test_everything_is_online_at_every_level(filled, level):
    answers = list(filled[0].find(keys(level, InstanceAvailability=""), model="PATIENT"))
    assert {a.InstanceAvailability for a in answers} == {"ONLINE"}


def test_an_answer_that_is_not_ascii_says_its_character_set(filled):
    archive, _ = filled
    for answer in archive.find(keys("STUDY", PatientName="")):
        assert ("SpecificCharacterSet" in answer) is not str(answer.PatientName).isascii()
        assert answer.get("SpecificCharacterSet", "ISO_IR 192") == "ISO_IR 192"


def test_references_by_every_kind_of_reference(filled):
    archive, datasets = filled
    one = datasets[5]
    for ref, keyword in [
        (PatientRef(one.PatientID), "PatientID"),
        (StudyRef(one.StudyInstanceUID), "StudyInstanceUID"),
        (SeriesRef(one.StudyInstanceUID, one.SeriesInstanceUID), "SeriesInstanceUID"),
        (InstanceRef.of(one), "SOPInstanceUID"),
    ]:
        expected = {InstanceRef.of(d) for d in datasets if d[keyword].value == one[keyword].value}
        assert set(archive.references(ref)) == expected
    uids = sorted({d.SOPInstanceUID for d in datasets})[:7]
    listed = keys("IMAGE", StudyInstanceUID="", SOPInstanceUID=uids)
    assert sorted(r.sop_instance_uid for r in archive.references(listed)) == uids


@pytest.mark.parametrize("level", ["PATIENT", "STUDY", "SERIES", "IMAGE"])
def test_a_retrieve_without_its_unique_key_would_mean_everything_and_is_refused(filled, level):
    with pytest.raises(QueryKeyInvalid, match=f"needs {UNIQUE[level]}"):
        filled[0].references(keys(level, StudyDate="20240101"), model="PATIENT")


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        (Dataset(), "must be one of STUDY, SERIES, IMAGE"),
        (keys("PATIENT", PatientID="1"), "must be one of STUDY, SERIES, IMAGE"),
        (keys("study"), "must be one of"),
        (keys("STUDY", Modality="CT"), "Modality is a key of level SERIES"),
        (keys("STUDY", StudyDate="20241231-20240101"), "runs backwards"),
        (keys("STUDY", StudyInstanceUID="*.1"), "is no UID"),
    ],
)
def test_a_query_that_the_model_does_not_have_is_refused_before_any_answer(filled, identifier, message):
    with pytest.raises((QueryKeyInvalid, AttributeUnusable), match=message):
        filled[0].find(identifier)


def test_an_unknown_model_is_refused(filled):
    with pytest.raises(QueryKeyInvalid, match="'PATIENT' or 'STUDY'"):
        filled[0].find(keys("STUDY"), model="COMPOSITE")


@pytest.mark.parametrize(
    "values",
    [
        {"StudyDescription": "*" * 65_536},
        {"StudyDescription": "*a" * 500},
        {"PatientName": "?*" * 500},
        {"StudyInstanceUID": [f"1.2.3.{n}" for n in range(10_000)]},
        {"StudyInstanceUID": ["9" * 64] * 10_000},
        {"PatientID": "x" * 100_000},
        {"PatientID": "'; DROP TABLE studies; --"},
        {"AccessionNumber": "A1' OR '1'='1"},
        {"PatientID": "\\".join(["P1"] * 300)},
        {"StudyDate": "99999999-00000000"},
        {"StudyTime": "::::"},
        {"PatientID": "P1\x00*"},
        {"ReferencedStudySequence": [keys("STUDY", ReferencedSOPInstanceUID="1.2.3")]},
        {"PatientName": "\ud800"},
    ],
)
def test_hostile_identifiers_are_answered_or_refused_in_two_seconds(filled, values):
    archive, _ = filled
    start = time.perf_counter()
    try:
        answers = list(archive.find(keys("STUDY", **values)))
    except WorkbenchError as error:
        assert isinstance(error, QueryKeyInvalid | AttributeUnusable)  # noqa: PT017
    else:
        assert len(answers) <= 40
    assert time.perf_counter() - start < 2
    assert archive.counts().studies == 40


def test_private_keys_are_not_answered(filled):
    identifier = keys("STUDY", StudyInstanceUID="")
    identifier.private_block(0x0009, "MAKER", create=True).add_new(1, "LO", "no such value")
    answers = list(filled[0].find(identifier))
    assert len(answers) == 40
    assert {tuple(a.keys()) for a in answers} == {(0x00080052, 0x0020000D)}


def test_what_the_index_does_not_hold_is_read_from_a_file(tmp_path, instance):
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "R7", "S7"
    dataset = instance(
        1, KVP="120", RequestAttributesSequence=[item], AdditionalPatientHistory="Größe", SpecificCharacterSet="ISO_IR 100"
    )
    wanted = Dataset()
    wanted.RequestedProcedureID = ""
    with Archive(tmp_path) as archive:
        archive.add(dataset)
        archive.add(instance(2, series=2))
        (answer,) = archive.find(
            keys(
                "SERIES", SeriesInstanceUID="1.2.3.1.1", KVP="", RequestAttributesSequence=[wanted], AdditionalPatientHistory="Gr*"
            )
        )
        assert (answer.KVP, answer.AdditionalPatientHistory, answer.SpecificCharacterSet) == (120, "Größe", "ISO_IR 192")
        assert [list(i.values()) for i in answer.RequestAttributesSequence] == [[item["RequestedProcedureID"]]]
        wanted.RequestedProcedureID = "R8"
        assert list(archive.find(keys("SERIES", SeriesInstanceUID="", RequestAttributesSequence=[wanted]))) == []


def test_a_name_is_found_across_character_sets(tmp_path, instance):
    sets = [
        ("ISO_IR 100", "Müller^Zoë"),
        ("ISO_IR 144", "Иванов^Иван"),
        ("ISO_IR 126", "Διονυσιος"),
        ("ISO_IR 138", "שרון^דבורה"),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Buc^Jérôme"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ]
    with Archive(tmp_path) as archive:
        for number, (charset, name) in enumerate(sets, 1):
            archive.add(instance(1, study=number, patient=number, SpecificCharacterSet=charset, PatientName=name))
        for number, (_, name) in enumerate(sets, 1):
            query = name.split("=")[-1][:2] + "*"
            (answer,) = archive.find(keys("STUDY", PatientName=query, StudyInstanceUID=""))
            assert (str(answer.PatientName), answer.StudyInstanceUID) == (name, f"1.2.3.{number}")


def test_removing_takes_files_rows_and_empty_parents(tmp_path, instance):
    with Archive(tmp_path) as archive:
        refs = [archive.add(instance(n, series=s, study=t, patient=1)) for t in (1, 2) for s in (1, 2) for n in (1, 2)]
        assert archive.remove(refs[0]) == 1
        assert archive.remove(SeriesRef("1.2.3.1", "1.2.3.1.2")) == 2
        assert archive.remove(StudyRef("1.2.3.2")) == 4
        counts = archive.counts()
        assert (counts.patients, counts.studies, counts.series, counts.instances) == (1, 1, 1, 1)
        assert archive.verify() == ()
        with pytest.raises(InstanceNotFound, match="nothing of this study"):
            archive.remove(StudyRef("1.2.3.2"))
        with pytest.raises(InstanceNotFound, match="is not in the archive"):
            archive.open(refs[0])
        assert refs[0] not in archive
        assert refs[1] in archive
        assert archive.add(instance(1)) == refs[0]


def test_tables_and_html(tmp_path, instance):
    with Archive(tmp_path / "<script>") as archive:
        archive.add(instance(1, PatientName="<img src=x onerror=alert(1)>"))
        archive.add(instance(2, series=2))
        assert list(archive.table("SERIES")["SeriesInstanceUID"]) == ["1.2.3.1.1", "1.2.3.1.2"]
        assert archive.table()["NumberOfStudyRelatedInstances"].tolist() == [2]
        assert archive.table("PATIENT")["PatientID"].tolist() == ["P1"]
        assert len(archive.table("IMAGE")) == 2
        with pytest.raises(QueryKeyInvalid, match="one of PATIENT"):
            archive.table("FRAME")
        assert "<script>" not in archive._repr_html_()
        assert "onerror" not in repr(archive) + archive._repr_html_()


def test_objects_without_a_study_are_kept_and_found_by_their_uid(tmp_path, instance):
    dataset = instance(1)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "PatientName", "PatientID", "Modality"):
        delattr(dataset, keyword)
    with Archive(tmp_path) as archive:
        ref = archive.add(dataset)
        assert archive.references(ref) == [ref]
        assert list(archive.find(keys("STUDY", StudyInstanceUID=""))) == []
        counts = archive.counts()
        assert (counts.studies, counts.series, counts.instances) == (0, 0, 1)
