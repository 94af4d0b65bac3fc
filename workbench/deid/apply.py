"""A plan carried out: a new dataset, and findings about what a person should still look at.

Knows: the actions, the attributes that say what was done (PS3.3 C.12.1.1.1, C.7.1.1).
Does not know: files, networks.
"""

from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version

from pydicom.dataelem import DataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from workbench.deid import actions
from workbench.deid._findings import looked_at
from workbench.deid._walk import decoded, path_of, quiet
from workbench.deid.keys import Keys
from workbench.deid.options import Options
from workbench.deid.plan import ACTIONS, Plan
from workbench.deid.plan import plan as planned
from workbench.entities import Finding, Findings, Severity
from workbench.errors import BuildRefused, InputError, KeyRefused
from workbench.files import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, given
from workbench.standard import coded

__all__ = ["Released", "apply"]


@dataclass(frozen=True, slots=True)
class Released:
    """A de-identified dataset and what there is to say about it."""

    dataset: Dataset
    findings: Findings

    def __repr__(self) -> str:
        return f"<Released: {len(self.dataset)} attributes, {len(self.findings)} findings>"


@dataclass(slots=True)
class _Work:
    """What is needed along the way."""

    actions: dict[str, str]
    keys: Keys
    patient: str
    patient_id: str
    days: int
    undated: list[str]


def apply(plan: Plan, dataset: Dataset, *, keys: Keys) -> Released:
    """Return a new dataset in which a plan is carried out.

    Parameters
    ----------
    plan : Plan
        Of this dataset, or of one with the same attributes; it may have been changed by a person, but has to name every
        attribute that the profile affects.
    dataset : pydicom.Dataset
        The original, which is not changed.
    keys : Keys
        The secret behind new UIDs, pseudonyms and moved dates. A patient is a Patient ID with its issuer; where both
        Patient ID and Patient's Name are empty, a study.

    Returns
    -------
    Released
        The dataset, complete with file meta information, an empty preamble, Patient Identity Removed YES and the
        De-identification Method; and findings about what de-identifying attributes does not reach.

    Raises
    ------
    KeyRefused
        If `keys` is not a key: nothing is invented in its place.
    InputError
        If there is no plan, or no dataset.
    BuildRefused
        If the plan does not cover the dataset.
    """
    if not isinstance(keys, Keys):
        raise KeyRefused("De-identifying needs a key: Keys.create(path) once, Keys.load(path) from then on.")
    if not isinstance(plan, Plan):
        raise InputError("De-identifying begins with a plan, then the dataset: apply(plan(dataset), dataset, keys=keys).")
    needed = planned(given.one(dataset), plan.options)
    chosen = plan.actions
    _covered(needed, chosen)
    patient_id = _text(dataset, "PatientID")
    named = patient_id or _text(dataset, "PatientName") or _text(dataset, "StudyInstanceUID")  # strangers are not one person
    patient = f"{_text(dataset, 'IssuerOfPatientID')}\0{named}"
    work = _Work(chosen, keys, patient, patient_id, keys.shift_days(patient), [])
    with quiet():
        released = _built(dataset, "", work)
        _mark(released, plan.options)
        released.file_meta = _meta(dataset, released)
    released.preamble = bytes(128)
    weaker = [step.path for step in needed if step.action != "K" and chosen[step.path] == "K"]
    return Released(released, Findings([*looked_at(dataset, plan), *_about(work.undated, weaker)]))


def _covered(needed: Plan, chosen: dict[str, str]) -> None:
    missing = [step for step in needed if step.path not in chosen]
    if missing:
        what = f"{len(missing)} attributes of this dataset, first {missing[0].tag} {missing[0].name}"
        raise BuildRefused(f"The plan does not cover {what}: make a plan of this dataset.")
    wrong = sorted({action for action in chosen.values() if action not in ACTIONS})
    if wrong:
        raise BuildRefused(f"A plan has the actions {', '.join(ACTIONS)}, not {wrong[0]!r} (PS3.15 Table E.1-1a).")


def _text(dataset: Dataset, keyword: str) -> str:
    element = decoded(dataset, Tag(keyword)) if keyword in dataset else None
    return "" if element is None or element.value is None else str(element.value).strip()


def _built(dataset: Dataset, parent: str, work: _Work) -> Dataset:
    """Return a new dataset with what is left; the depth was bounded when the plan was made."""
    made = Dataset()
    for key in sorted(dataset.keys()):
        tag = Tag(key)
        path = path_of(parent, tag)
        element = decoded(dataset, tag)
        action = work.actions.get(path, "")
        if action == "X" or element is None:
            continue
        made[tag] = _acted(element, action, path, work)
    return made


def _acted(element: DataElement, action: str, path: str, work: _Work) -> DataElement:
    if element.VR == "SQ":
        items = () if action == "Z" else enumerate(element.value)
        return actions.with_value(element, Sequence([_built(item, f"{path}[{i}]", work) for i, item in items]))
    if element.keyword in {"PatientName", "PatientID"} and action in {"Z", "D"}:
        return actions.with_value(element, _pseudonym(element, work))
    made = deepcopy(element)
    if action == "D" and element.VR != "UI":
        made = actions.dummy(element)
    elif action == "Z":
        made = actions.with_value(element, empty_value_for_VR(element.VR))
    elif action in {"U", "D"}:  # the dummy of a UID is another UID
        made = actions.replaced_uid(element, work.keys)
    elif action == "C":
        made = _moved(element, path, work)
    elif element.keyword == "PatientAge":
        made = actions.capped_age(element)
    return made


def _moved(element: DataElement, path: str, work: _Work) -> DataElement:
    moved = actions.moved(element, work.days)
    if moved is not None:
        return moved
    work.undated.append(path)
    return actions.dummy(element)


def _pseudonym(element: DataElement, work: _Work) -> str:
    """Return what stands for the patient, the same in name and ID; another patient inside has another one."""
    text = str(element.value or "").strip()
    is_other = element.keyword == "PatientID" and text != work.patient_id
    name = work.keys.pseudonym(f"\0{text}" if is_other else work.patient)
    return f"PSEUDONYM^{name}" if element.keyword == "PatientName" else name


def _mark(released: Dataset, options: Options) -> None:
    released.PatientIdentityRemoved = "YES"
    released.DeidentificationMethod = f"PS3.15 Basic Profile 2026c, dicom-workbench {version('dicom-workbench')}"
    released.DeidentificationMethodCodeSequence = Sequence([coded(code) for code in options.codes])
    modified = "MODIFIED" if options.retain_longitudinal_modified_dates else "REMOVED"
    released.LongitudinalTemporalInformationModified = "UNMODIFIED" if options.retain_longitudinal_full_dates else modified


def _meta(original: Dataset, released: Dataset) -> FileMetaDataset:
    """Return file meta information (PS3.10 7.1) with nothing of the original's but its transfer syntax."""
    old = getattr(original, "file_meta", None)
    syntax = old.get("TransferSyntaxUID") if old is not None else None
    if not syntax:
        is_implicit, is_little = original.original_encoding
        explicit = ExplicitVRBigEndian if is_little is False else ExplicitVRLittleEndian
        syntax = ImplicitVRLittleEndian if is_implicit else explicit
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = released.get("SOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = released.get("SOPInstanceUID", "")
    meta.TransferSyntaxUID = UID(str(syntax))
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta


def _about(undated: list[str], weaker: list[str]) -> list[Finding]:
    found = [
        Finding(Severity.WARNING, path, "PS3.15 E.3.6", "Not a date, so it could not be moved; it was replaced by a dummy date.")
        for path in undated
    ]
    message, remedy = "The plan keeps what the profile would not keep.", "Make sure that it names nobody."
    return found + [Finding(Severity.WARNING, path, "PS3.15 E.1", message, remedy) for path in weaker]
