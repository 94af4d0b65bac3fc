"""What is scheduled in the department: worklist items for systems, of patients who do not exist; and how patients are registered.

Knows: which system is expected to do what, what an order holds, and what registration knows of a patient.
Does not know: who asks for it, what becomes of it.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import date

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench.devices import Profile, objects, repertoire
from workbench.entities import Code
from workbench.standard import coded

__all__ = ["registered", "scheduled"]

_Person = tuple[str, str, str, str, int]
#: Name, identifier, birth date, sex and weight in kg.
_PEOPLE: tuple[_Person, ...] = (
    ("Okafor^Adaeze^Ruth", "DEP-0001", "19710314", "F", 68),
    ("Lindqvist^Åke^Nils", "DEP-0002", "19550923", "M", 81),
    ("Marchetti^Lucia", "DEP-0003", "19890105", "F", 57),
    ("Müller^Jörg^^Ing.", "DEP-0004", "19620730", "M", 90),
    ("Silva^Inês^Maria", "DEP-0005", "20010211", "F", 61),
    ("Tanaka^Emi", "DEP-0006", "19680502", "F", 54),
    ("Whitfield^Hugh^Owen", "DEP-0007", "19471218", "M", 77),
)
#: What is ordered, by modality: procedure, its code, and what the step says.
_ORDERS = {
    "OP": ("Retinal photography of both eyes", Code("OPHOTO", "99WORKBENCH", "Retinal photography"), "Wide-field photographs"),
    "SC": ("Corneal endothelium, both eyes", Code("ENDOTH", "99WORKBENCH", "Specular microscopy"), "Endothelial cell count"),
    "PT": ("PET/CT of the whole body", Code("PETCT", "99WORKBENCH", "PET/CT whole body"), "FDG PET/CT, skull base to thigh"),
    "ES": ("Endoscopy with video", Code("ENDO", "99WORKBENCH", "Endoscopy"), "Gastroscopy"),
}
_OTHER = ("Examination", Code("EXAM", "99WORKBENCH", "Examination"), "Examination")


def scheduled(profiles: Iterable[Profile], *, day: date | None = None) -> list[Dataset]:
    """Return one worklist item for each system that asks a worklist, from half past eight on.

    Parameters
    ----------
    profiles : iterable of Profile
        The systems; the first entity that asks the worklist gives the station's AE title.
    day : date, optional
        When; today by default.

    Returns
    -------
    list of Dataset
        Complete: patient, request, step and codes, so that every attribute that a system copies has a value.
    """
    day = day or date.today()  # noqa: DTZ011 - a department has local days
    asking = [(p, a.entity) for p in profiles for a in p.activities if a.does == "worklist"]
    people: list[_Person] = []
    for profile, _ in asking:
        left = [one for one in _PEOPLE if one not in people] or list(_PEOPLE)
        people.append(next((one for one in left if _can_write(profile, one[0])), left[0]))
    return [_item(profile, entity, number, day, people[number]) for number, (profile, entity) in enumerate(asking)]


def registered(datasets: Iterable[Dataset]) -> Iterator[Dataset]:
    """Yield copies of objects with what a department knows of their patients beside the objects: workstations copy that."""
    for dataset in datasets:
        made = deepcopy(dataset)
        _register(made)
        yield made


def _register(dataset: Dataset) -> None:
    """Add issuer, other identifiers and names, time of birth, ethnic group and comments (PS3.3 C.7.1.1)."""
    dataset.IssuerOfPatientID, dataset.OtherPatientIDs, dataset.PatientBirthTime = "REGISTRY", f"OLD-{dataset.PatientID}", "0830"
    dataset.OtherPatientNames, dataset.EthnicGroup, dataset.PatientComments = "Also^Known", "Not stated", "Does not exist"


def _can_write(profile: Profile, name: str) -> bool:
    """Whether every object of a system may hold a name: one that is not ASCII needs more than the default repertoire."""
    return name.isascii() or all(any(repertoire(profile, one.uid)) for one in objects(profile))


def _item(profile: Profile, entity: str, number: int, day: date, person: _Person) -> Dataset:
    name, patient_id, birth_date, sex, weight = person
    procedure, code, description = _ORDERS.get(profile.modality, _OTHER)
    item, step, study = Dataset(), Dataset(), Dataset()
    item.SpecificCharacterSet = "ISO_IR 100"
    item.PatientName, item.PatientID, item.PatientBirthDate, item.PatientSex = name, patient_id, birth_date, sex
    item.PatientWeight, item.PatientSize = weight, 1.7
    _register(item)
    item.AccessionNumber = f"ACC{day:%y%m%d}{number + 1:02d}"
    item.ReferringPhysicianName, item.RequestingPhysician = "Quill^Petra^^Dr.", "Brand^Oskar^^Dr."
    item.AdmissionID, item.CurrentPatientLocation, item.InstitutionName = f"ADM{number + 1:04d}", "Ward 7", "Hospital of Nowhere"
    item.StudyInstanceUID = generate_uid()
    item.RequestedProcedureID, item.RequestedProcedureDescription = f"RP{day:%y%m%d}{number + 1:02d}", procedure
    item.RequestedProcedurePriority = "ROUTINE"
    item.RequestedProcedureCodeSequence = [coded(code)]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", generate_uid()
    item.ReferencedStudySequence = [study]
    step.ScheduledStationAETitle = profile.entity(entity).ae_title or profile.product.upper()[:16]
    step.ScheduledStationName = profile.product.upper()[:16]
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = f"{day:%Y%m%d}", f"{8 + number:02d}3000"
    step.Modality = profile.modality or "OT"
    step.ScheduledPerformingPhysicianName = "Hale^Ingrid^^Dr."
    step.ScheduledProcedureStepDescription, step.ScheduledProcedureStepID = description, f"SPS{day:%y%m%d}{number + 1:02d}"
    step.ScheduledProcedureStepLocation, step.ScheduledProtocolCodeSequence = f"Room {number + 1}", [coded(code)]
    step.ScheduledProcedureStepStatus = "SCHEDULED"
    item.ScheduledProcedureStepSequence = [step]
    return item
