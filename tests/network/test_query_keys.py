"""Every key that the PET/CT statement asks for (Table 25) and has to answer (Table 44) is matched and answered by the server."""

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pynetdicom import AE

from workbench.archive import Archive
from workbench.devices import profile
from workbench.devices.claims import keys
from workbench.network import Server
from workbench.phantoms import ct_series

STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
ABOVE = {
    "STUDY": (),
    "SERIES": ("StudyInstanceUID",),
    "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID"),
}
#: What a CT phantom does not have.
PLANTED = {
    "PatientName": "Doe^Jane", "PatientID": "VQ1", "PatientBirthDate": "19700102", "PatientBirthTime": "0304", "PatientSex": "F",
    "AccessionNumber": "A77", "StudyID": "S9", "StudyDate": "20240115", "StudyTime": "083000", "StudyDescription": "Whole body",
    "ReferringPhysicianName": "Roe^Rita", "PerformedProcedureStepDescription": "Routine", "SeriesDescription": "Axial",
    "PerformedProcedureStepStartDate": "20240115", "PerformedProcedureStepStartTime": "083100", "SeriesDate": "20240115",
    "SeriesTime": "083200", "ProtocolName": "Body", "ContrastBolusAgent": "Agent", "InstanceCreationDate": "20240116",
    "InstanceCreationTime": "090000", "AdmittingDiagnosesDescription": "Observation", "OtherPatientIDs": "OLD1",
    "PatientAge": "053Y", "PatientSize": "1.7", "PatientWeight": "70", "AdditionalPatientHistory": "Nothing", "KVP": "120",
    "PatientComments": "Comfortable", "PatientOrientation": ["L", "P"], "BodyPartExamined": "CHEST", "Manufacturer": "Maker",
    "FrameOfReferenceUID": "1.2.3.9", "SliceLocation": "2.5", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
}  # fmt: skip
COUNTED = {
    "ModalitiesInStudy": "CT", "NumberOfStudyRelatedInstances": "2", "NumberOfStudyRelatedSeries": "1",
    "NumberOfSeriesRelatedInstances": "2",
}  # fmt: skip


def rows():
    """Return table, level, keyword and kinds of matching of each key; those within a sequence under its keyword."""
    found = []
    for source, activity in (("Table 25", "FIND as SCU"), ("Table 44", "FIND as SCP")):
        for key in keys(profile("philips-vereos"), activity=activity):
            name = ".".join(keyword_for_tag(part[1:5] + part[6:10]) for part in key.path.split("."))
            if name not in {"QueryRetrieveLevel", "SpecificCharacterSet"}:
                found.append(pytest.param(key.level, name, key.matching, id=f"{source}-{key.level}-{name}"))
    return found


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A server with a study of two images, an instance of it, and an association of pynetdicom's."""
    with Archive(tmp_path_factory.mktemp("keys")) as archive:
        for dataset in ct_series(2, rows=16, columns=16):
            for keyword, value in PLANTED.items():
                setattr(dataset, keyword, value)
            request = Dataset()
            request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP1", "SPS1"
            dataset.RequestAttributesSequence = [request]
            archive.add(dataset)
        with Server(archive) as server:
            entity = AE(ae_title="VEREOS")
            entity.add_requested_context(STUDY_FIND)
            association = entity.associate("127.0.0.1", server.port, ae_title="WORKBENCH")
            yield dataset, association
            association.release()


def question(dataset, level):
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword in ABOVE[level]:
        setattr(identifier, keyword, dataset[keyword].value)
    return identifier


def answers(association, identifier):
    """Return the answers to a query that ends well."""
    *pending, (last, _) = association.send_c_find(identifier, STUDY_FIND)
    assert last.Status == 0, last
    assert {status.Status for status, _ in pending} <= {0xFF00}
    return [answer for _, answer in pending]


def value_of(dataset, name):
    for part in name.split("."):
        element = dataset[part]
        dataset = element.value[0] if element.VR == "SQ" else dataset
    if element.VR == "SQ":
        return "item"
    return "\\".join(map(str, element.value)) if element.VM > 1 else str(element.value)


def put(identifier, name, value):
    *sequence, keyword = name.split(".")
    target = identifier
    if sequence:
        target = Dataset()
        identifier.RequestAttributesSequence = [target]
    if dictionary_VR(keyword) == "SQ":
        setattr(target, keyword, [])
    else:
        setattr(target, keyword, int(value) if value and dictionary_VR(keyword) == "US" else value.split("\\") if value else None)


@pytest.mark.parametrize(("level", "name", "matching"), rows())
def test_a_key_of_the_statement(asked, level, name, matching):
    dataset, association = asked
    wanted = COUNTED.get(name) or value_of(dataset, name)
    identifier = question(dataset, level)
    if name not in identifier:
        put(identifier, name, "")
    found = answers(association, identifier)
    assert len(found) == (2 if level == "IMAGE" else 1)
    assert wanted in {value_of(answer, name) for answer in found}
    if "wildcard" in matching:
        put(identifier, name, wanted[:-1] + "*")
        assert answers(association, identifier)
        put(identifier, name, "?" + wanted[1:])
        assert answers(association, identifier)
        put(identifier, name, "x" + wanted + "*")
        assert not answers(association, identifier)
    if "range" in matching:
        put(identifier, name, f"{wanted}-")
        assert answers(association, identifier)
        put(identifier, name, "20991231-" if "Date" in name else "235959-")
        assert not answers(association, identifier)
    if "single" in matching and not name.startswith("RequestAttributes"):
        put(identifier, name, wanted)
        assert wanted in {value_of(answer, name) for answer in answers(association, identifier)}
        put(identifier, name, OTHER.get(dictionary_VR(name), "9"))
        assert not answers(association, identifier)


OTHER = {"DA": "19010101", "TM": "010101", "UI": "1.9.9", "PN": "Nobody", "CS": "XX"}


def test_both_tables_are_whole():
    assert [sum(1 for row in rows() if row.id.startswith(f"Table {n}")) for n in (25, 44)] == [52, 58]
