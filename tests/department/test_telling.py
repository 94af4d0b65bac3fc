"""What a provider receives of a step or a film is what the tables of the statement list: no row less, none more."""

from copy import deepcopy
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pynetdicom.dimse_primitives import N_ACTION, N_CREATE, N_SET

from workbench import devices, phantoms
from workbench.department import Modality, Outcome, scheduled
from workbench.department._printing import print_films
from workbench.department._telling import message_rows, step_begun, step_ended
from workbench.department.creating import Step
from workbench.entities import FilmLut
from workbench.errors import InputError
from workbench.network import Printer, ProcedureSteps, Server, Worklist
from workbench.network.providing import dataset_of
from workbench.rendering import render, resolve

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


@pytest.mark.parametrize("name", ["Doe^Jane", "Müller^Jörg"])
def test_a_step_is_told_in_a_set_of_the_statement(name):
    """Table 20 fixes ISO_IR 100; Table 22 lists no attribute for it, which is there where text needs it (PS3.3 C.12.1.1.2)."""
    item = complete()
    item.PatientName, item.RequestedProcedureDescription = name, name.replace("^", " ")
    created = step_begun(VEREOS, Step(item, BEGAN), station="SCANNER")
    assert (created.SpecificCharacterSet, str(created.PatientName)) == ("ISO_IR 100", name)
    changed = step_ended(VEREOS, Step(item, BEGAN), [], ended=BEGAN)
    assert changed.PerformedProcedureTypeDescription == name.replace("^", " ")
    assert changed.get("SpecificCharacterSet") == (None if name.isascii() else "ISO_IR 100")


def test_what_no_set_of_the_statement_has_is_not_told_in_another():
    item = complete()
    item.PatientName = item.RequestedProcedureDescription = "Иванов^Иван"
    for tell in (
        lambda step: step_begun(VEREOS, step, station="SCANNER"),
        lambda step: step_ended(VEREOS, step, [], ended=BEGAN),
    ):
        with pytest.raises(InputError, match=r"has no character set for this text\. It has ISO_IR 100, .*\(Table 88\)") as refused:
            tell(Step(item, BEGAN))
        assert "Иванов" not in str(refused.value)


def test_what_is_acquired_is_acquired_though_the_step_can_not_be_told():
    item = complete()
    item.SpecificCharacterSet, item.PatientName = "ISO_IR 144", "Иванов^Иван"
    with Server(None, ae_title="RIS", providers=[ProcedureSteps()]) as server:
        system = Modality("philips-vereos", ris=server.peer)
        system.item = item
        acquired, told = (
            system.perform(next(each for each in VEREOS.activities if each.does == does)) for does in ("acquire", "step")
        )
    assert acquired.count == len(system.made) > 0
    assert "The step could not be begun: Philips Vereos PET/CT scanner has no character set" in acquired.message
    assert (told.outcome, "no character set" in told.message) == (Outcome.FAILED, True)


def test_a_statement_without_such_tables_lists_nothing():
    canon = devices.profile("canon-vitrea-read")
    assert message_rows(canon, MPPS) == []
    assert step_begun(canon, Step(complete(), BEGAN), station="X") is None


# ------------------------------------------------------------ films
SESSION, FILM, GRAY, COLOR = (f"1.2.840.10008.5.1.1.{end}" for end in ("1", "2", "4", "4.1"))
ANNOTATION = "1.2.840.10008.5.1.1.15"
PRINT = {a.does: a for a in VEREOS.activities}["print"]


class RecordedFilms(Printer):
    """A printer that also keeps each attribute list as it came."""

    def __init__(self):
        super().__init__()
        self.came, self.printed = [], []

    def serve(self, association, request, context):
        if isinstance(request, N_CREATE | N_SET) and dataset_of(request, context):
            uid = str(getattr(request, "AffectedSOPClassUID", None) or getattr(request, "RequestedSOPClassUID", None))
            self.came.append((uid, dataset_of(request, context)))
        if isinstance(request, N_ACTION):
            self.printed.append(str(request.RequestedSOPClassUID))
        return super().serve(association, request, context)


def printed(system, *images):
    printer = RecordedFilms()
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        system.printer = server.peer
        system.made = list(images)
        (activity,) = [a for a in system.profile.activities if a.does == "print"]
        row = system.perform(activity)
    assert (row.outcome.value, row.message) == ("done", row.message)
    return printer, row


@pytest.mark.parametrize(
    ("image", "word", "box"), [(phantoms.ct_series(1)[0], "Grayscale", GRAY), (phantoms.fundus(), "Color", COLOR)]
)
def test_a_film_is_asked_for_with_the_rows_of_the_tables(image, word, box):
    printer, row = printed(Modality(VEREOS), image)
    assert row.message == "1 image on 1 film."
    assert [uid for uid, _ in printer.came] == [SESSION, FILM, box]
    for uid, dataset in printer.came:
        assert set(paths(dataset)) == listed(f"Basic {word} Print", uid=uid)
        for attribute in devices.attributes(VEREOS, *(t.id for t in VEREOS.of_kind("message") if t.uid == uid and word in t.title)):
            *above, keyword = [keyword_for_tag(tag) for tag in attribute.tags]
            value = (dataset[above[0]].value[0] if above else dataset)[keyword]
            assert not value.is_empty
            if attribute.value and "1-100" not in attribute.value:
                assert str(value.value) in attribute.value.split(" | "), keyword


def test_colours_travel_plane_by_plane_and_look_the_same():
    image = phantoms.fundus()
    printer, _ = printed(Modality(VEREOS), image)
    (film,) = printer.films
    ((_, box),) = [row for row in printer.came if row[0] == COLOR]
    item = box.BasicColorImageSequence[0]
    pixels = np.frombuffer(film.images[0].pixels, np.uint8).reshape(item.Rows, item.Columns, 3)
    planes = np.frombuffer(item.PixelData, np.uint8)[: pixels.size].reshape(3, item.Rows, item.Columns)
    np.testing.assert_array_equal(planes.transpose(1, 2, 0), pixels)
    np.testing.assert_array_equal(pixels, render(resolve(image)))


def test_a_system_without_such_tables_asks_for_what_is_usual_with_its_annotations():
    printer, row = printed(Modality("canon-vitrea-read"), *phantoms.ct_series(8))
    (film,) = printer.films
    assert row.message == "4 images on 1 film."
    assert (film.box.layout, film.texts) == ("STANDARD\\2,2", ("1",))
    assert printer.printed == [FILM]


@pytest.mark.parametrize(("collate", "acted"), [(False, [FILM, FILM]), (True, [SESSION])])
def test_collation_is_a_choice(collate, acted):
    system, printer = Modality("canon-vitrea-read"), RecordedFilms()
    (activity,) = [a for a in system.profile.activities if a.does == "print"]
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        report = print_films(
            server.peer, system.profile, activity, phantoms.ct_series(2), layout="1x1", collate=collate, lut=FilmLut("LIN OD")
        )
    assert report.is_printed
    assert printer.printed == acted
    assert [film.lut.shape for film in printer.films] == ["LIN OD", "LIN OD"]


def annotated(profile, text):
    """What the annotation boxes of one film are told, and the film."""
    printer = RecordedFilms()
    (activity,) = [a for a in profile.activities if a.does == "print"]
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        try:
            assert print_films(
                server.peer, profile, activity, phantoms.ct_series(1), layout="STANDARD\\1,1", texts=(text,)
            ).is_printed
        finally:
            assert len(printer.came) in {0, 4}
    return [dataset for uid, dataset in printer.came if uid == ANNOTATION], printer.films


@pytest.mark.parametrize(
    ("text", "terms"), [("Film {film}", None), ("Müller {film}", "ISO_IR 100"), ("Иванов", "ISO_IR 144"), ("山田", "ISO_IR 192")]
)
def test_texts_of_a_film_are_written_in_a_set_of_the_statement(text, terms):
    """Vitrea Read, Table 37: the first of its sets that has the text."""
    ((told,), (film,)) = annotated(devices.profile("canon-vitrea-read"), text)
    assert (told.get("SpecificCharacterSet"), film.texts) == (terms, (text.replace("{film}", "1"),))


def test_a_film_whose_text_no_set_has_is_not_begun():
    canon = devices.profile("canon-vitrea-read")
    latin = [
        replace(table, rows=table.rows[:2]) if table.kind == "character_sets" else table  # ISO_IR 100 and the default repertoire
        for table in canon.tables
    ]
    latin = replace(canon, tables=tuple(latin))
    assert len(annotated(latin, "Müller")[1]) == 1
    with pytest.raises(InputError, match=r"has no character set for this text\. It has ISO_IR 100, the default .*\(Table 37\)"):
        annotated(latin, "Иванов")
