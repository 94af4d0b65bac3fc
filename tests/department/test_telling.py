"""What a provider receives of a step or a film is what the tables of the statement list: no row less, none more."""

from copy import deepcopy
from datetime import datetime

import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from workbench import devices
from workbench.department import Modality, scheduled
from workbench.department._telling import message_rows, step_begun, step_ended
from workbench.department.creating import Step
from workbench.network import ProcedureSteps, Server, Worklist

MPPS = "1.2.840.10008.3.1.2.3.3"
VEREOS = devices.profile("philips-vereos")
BEGAN = datetime(2026, 11, 21, 8, 30)  # noqa: DTZ001 - DICOM has local times


class Recorded(ProcedureSteps):
    """A keeper of performed steps that also keeps each attribute list as it came."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.came = []

    def create(self, sop_instance_uid, attributes):
        self.came.append(deepcopy(attributes))
        return super().create(sop_instance_uid, attributes)

    def set(self, sop_instance_uid, changes):
        self.came.append(deepcopy(changes))
        super().set(sop_instance_uid, changes)


def paths(dataset, above=""):
    """Every attribute of a dataset, in items too, as paths of keywords."""
    for element in dataset:
        yield above + element.keyword
        if element.VR == "SQ":
            for item in element.value:
                yield from paths(item, f"{above}{element.keyword}.")


def listed(*words, uid=MPPS, presence=None):
    """The rows of a table as paths; what stands in a sequence that is EMPTY there can't be."""
    (*tables,) = [t.id for t in VEREOS.of_kind("message") if t.uid == uid and all(word in t.title for word in words)]
    assert tables
    rows = devices.attributes(VEREOS, *tables)
    empty = {row.path for row in rows if row.presence == "EMPTY"}
    found = [row for row in rows if not any(row.path.startswith(f"{path}.") for path in empty)]
    return {".".join(map(keyword_for_tag, row.tags)) for row in found if presence in {None, row.presence}}


def complete():
    """A worklist item in which everything has a value that the tables may copy."""
    (item,) = scheduled([VEREOS])
    patient = Dataset()
    patient.ReferencedSOPClassUID, patient.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.1.1", "1.2.3"
    item.ReferencedPatientSequence = [patient]
    step = item.ScheduledProcedureStepSequence[0]
    for code in (*item.RequestedProcedureCodeSequence, *step.ScheduledProtocolCodeSequence):
        code.CodingSchemeVersion, code.ContextIdentifier = "2026", "99"  # the identifier is of no row
    step.ScheduledProtocolCodeSequence[0].CodeValue = "OTHER"
    return item


@pytest.fixture(scope="module")
def told():
    """The two lists of a scanner's step as they came over the wire, with the scanner."""
    worklist = Worklist([complete()])
    steps = Recorded(worklist)
    with Server(None, ae_title="RIS", providers=[worklist, steps]) as server:
        system = Modality(VEREOS, ris=server.peer)
        system.item = complete()
        rows = [system.perform(activity) for activity in VEREOS.activities if activity.does in {"acquire", "step"}]
    assert {row.outcome.value for row in rows} == {"done"}
    created, changed = steps.came
    return created, changed, system


def test_only_a_version_of_schemes_that_the_worklist_is_not_asked_for_can_lack():
    with Server(None, ae_title="RIS", providers=[Worklist([complete()])]) as server:
        (item,) = Modality(VEREOS).ask(server.peer)
    lacks = listed("N-CREATE") - set(paths(step_begun(VEREOS, Step(item, BEGAN), station="SCANNER")))
    assert {path.split(".")[-1] for path in lacks} == {"CodingSchemeVersion"}


def test_the_step_begins_with_the_rows_of_table_20(told):
    assert set(paths(told[0])) == listed("N-CREATE")


def test_the_step_ends_with_the_rows_of_table_22(told):
    assert set(paths(told[1])) == listed("N-SET") - {
        "PerformedSeriesSequence.ReferencedNonImageCompositeSOPInstanceSequence.ReferencedSOPClassUID",
        "PerformedSeriesSequence.ReferencedNonImageCompositeSOPInstanceSequence.ReferencedSOPInstanceUID",
    }


@pytest.mark.parametrize(("which", "words"), [(0, "N-CREATE"), (1, "N-SET")])
def test_what_is_empty_there_has_no_value(told, which, words):
    for path in listed(words, presence="EMPTY"):
        *above, keyword = path.split(".")
        items = [told[which]]
        for sequence in above:
            items = [below for item in items for below in item[sequence].value]
        assert items
        assert all(item[keyword].is_empty for item in items), path


def test_values_come_from_where_the_tables_say(told):
    created, changed, system = told
    item = complete()
    planned = item.ScheduledProcedureStepSequence[0]
    assert created.PerformedProcedureStepID == item.RequestedProcedureID
    assert created.PerformedStationAETitle == VEREOS.entity("dicom-manager").ae_title
    assert (created.Modality, created.PerformedProcedureStepStatus) == ("PT", "IN PROGRESS")
    assert (created.PatientName, created.PatientID) == (item.PatientName, item.PatientID)
    assert created.PerformedProcedureStepDescription == planned.ScheduledProcedureStepDescription
    (requested,) = created.ScheduledStepAttributesSequence
    assert requested.StudyInstanceUID == system.item.StudyInstanceUID
    assert requested.ScheduledProtocolCodeSequence[0].CodeValue == "OTHER"
    for dataset in (created, changed):  # the tables copy both from the Requested Procedure Code Sequence
        assert dataset.ProcedureCodeSequence[0].CodeValue == item.RequestedProcedureCodeSequence[0].CodeValue
        assert dataset.PerformedProtocolCodeSequence[0].CodeValue == item.RequestedProcedureCodeSequence[0].CodeValue
    assert {image.StudyID for image in system.made if image.Modality == "PT"} == {created.StudyID}


def test_the_end_names_every_image_and_the_dose_of_every_scan(told):
    _, changed, system = told
    named = {ref.ReferencedSOPInstanceUID for one in changed.PerformedSeriesSequence for ref in one.ReferencedImageSequence}
    assert named == {image.SOPInstanceUID for image in system.made if "Rows" in image}
    assert changed.PerformedProcedureStepStatus == "COMPLETED"
    scans = {i.SeriesInstanceUID: i for i in system.made if i.SOPClassUID.endswith("1.1.2") and "ORIGINAL" in i.ImageType}
    assert changed.TotalNumberOfExposures == len(scans) > 0
    doses = changed.ExposureDoseSequence
    assert [float(dose.KVP) for dose in doses] == [float(scan.KVP) for scan in scans.values()]
    assert {dose.RadiationMode for dose in doses} == {"CONTINUOUS"}


def test_tube_current_is_told_in_microamperes_and_no_scan_is_no_exposure():
    scan = Dataset()
    scan.SOPClassUID, scan.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2"
    scan.SeriesInstanceUID, scan.StudyInstanceUID, scan.Modality, scan.Rows = "1.3", "1.4", "CT", 1
    scan.ImageType, scan.XRayTubeCurrent, scan.CTDIvol = ["ORIGINAL", "PRIMARY", "AXIAL"], 250, 7.5
    step = Step(complete(), BEGAN)
    (dose,) = step_ended(VEREOS, step, [scan, scan], ended=step.began).ExposureDoseSequence
    assert (float(dose.XRayTubeCurrentInuA), dose.CTDIvol) == (250_000, 7.5)
    scan.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    none = step_ended(VEREOS, step, [scan], ended=step.began, status="DISCONTINUED")
    assert none.TotalNumberOfExposures == 0
    assert none["ExposureDoseSequence"].is_empty
    assert none.PerformedProcedureStepStatus == "DISCONTINUED"


def test_a_scheme_without_a_version_gets_none():
    (item,) = scheduled([VEREOS])
    created = step_begun(VEREOS, Step(item, BEGAN), station="SCANNER")
    assert "CodingSchemeVersion" not in created.ProcedureCodeSequence[0]
    assert created["ReferencedPatientSequence"].is_empty


def test_a_name_beyond_latin_letters_is_told_in_unicode():
    item = complete()
    item.PatientName = "Иванов^Иван"
    created = step_begun(VEREOS, Step(item, BEGAN), station="SCANNER")
    assert (created.SpecificCharacterSet, str(created.PatientName)) == ("ISO_IR 192", "Иванов^Иван")


def test_a_statement_without_such_tables_lists_nothing():
    canon = devices.profile("canon-vitrea-read")
    assert message_rows(canon, MPPS) == []
    assert step_begun(canon, Step(complete(), BEGAN), station="X") is None
