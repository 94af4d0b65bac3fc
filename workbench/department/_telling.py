"""What a system tells of its performed steps, by the tables of its statement.

Knows: which rows an N-CREATE and an N-SET have, and where each value comes from (PS3.4 F.7.2; PS3.3 C.4.13 to C.4.16).
Does not know: how a message is spoken (network), when it is sent (modality).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from workbench.department._filling import Filler, Row, of_rows
from workbench.department._repertoire import character_set_for
from workbench.department._step import Step, Subject
from workbench.devices import Attribute, Profile, attributes
from workbench.network import procedure_step

__all__ = ["keep_listed", "message_rows", "step_begun", "step_ended"]

_PLANNED = "ScheduledProcedureStepSequence"
_CT = "1.2.840.10008.5.1.4.1.1.2"
_CHARACTER_SET = "SpecificCharacterSet"
#: How a note of a statement says that a value is that of another attribute of the worklist.
_FROM = re.compile(r"from .+ \(([0-9A-F]{4}),([0-9A-F]{4})\)$")
_RANGE = re.compile(r"\d+-\d+")
_ONE_TEXT = frozenset({"ST", "LT", "UT", "UR"})
#: Not in an item whose scheme has no version (PS3.3 Table 8.8-1a, type 1C).
_WHERE_NEEDED = frozenset({"CodingSchemeVersion"})


# ------------------------------------------------------------ rows
def message_rows(profile: Profile, uid: str, *words: str) -> list[Attribute]:
    """Return the rows of the messages of one SOP class whose titles have these words; empty where a statement has no such table.

    A row without a word for presence is there, with or without a value. A range of numbers is not a list of values, nor is what
    has a backslash in it where this separates none (PS3.5 6.2): they are left out.
    """
    tables = [table.id for table in profile.of_kind("message") if table.uid == uid and all(w in table.title for w in words)]
    found = []
    for row in attributes(profile, *tables):
        keyword = keyword_for_tag(row.tags[-1]) if row.tags else ""
        presence = row.presence or ("ANAP" if keyword in _WHERE_NEEDED else "VNAP")
        is_list = not _RANGE.fullmatch(row.value) and row.vr not in _ONE_TEXT
        found.append(replace(row, presence=presence, value=row.value if is_list else ""))
    return found


def keep_listed(dataset: Dataset, rows: Sequence[Row]) -> None:
    """Take away what no row has, in items too."""
    listed = {row.keyword: row for row in rows}
    for element in list(dataset):
        if element.keyword not in listed:
            del dataset[element.tag]
        elif element.VR == "SQ" and listed[element.keyword].below:
            for item in element.value:
                keep_listed(item, listed[element.keyword].below)


# ------------------------------------------------------------ performed steps
def step_begun(profile: Profile, step: Step, *, station: str) -> Dataset | None:
    """Return the attributes of the N-CREATE of a step; None where the statement does not list them.

    Parameters
    ----------
    profile : Profile
        Whose step.
    step : Step
        What is done, for whom.
    station : str
        AE title of the entity that performs it.

    Raises
    ------
    InputError
        If the system has no character set for what is to be told.
    """
    rows = message_rows(profile, procedure_step.PERFORMED_STEP, "N-CREATE")
    known: dict[str, Any] = {
        "ScheduledStepAttributesSequence": [_requested(step, rows)],
        "PerformedStationAETitle": station, "PerformedStationName": profile.product.upper()[:16],
        "PerformedProcedureStepStartDate": f"{step.began:%Y%m%d}", "PerformedProcedureStepStartTime": f"{step.began:%H%M%S}",
        "PerformedProcedureStepID": f"PPS{step.began:%y%m%d%H%M%S}",
    }  # fmt: skip
    return _filled(profile, step, rows, known) if rows else None


def step_ended(
    profile: Profile, step: Step, made: Iterable[Dataset], *, ended: datetime, status: str = "COMPLETED"
) -> Dataset | None:
    """Return the attributes of the N-SET that ends a step; None where the statement does not list them.

    Parameters
    ----------
    made : iterable of Dataset
        The instances of the step.
    status : str
        ``COMPLETED`` or ``DISCONTINUED``.

    Raises
    ------
    InputError
        If the system has no character set for what is to be told.
    """
    rows = message_rows(profile, procedure_step.PERFORMED_STEP, "N-SET")
    made = list(made)
    scans = _scans(made)
    known: dict[str, Any] = {
        "PerformedProcedureStepStatus": status, "PerformedProcedureTypeDescription": step.item.get("RequestedProcedureDescription"),
        "PerformedProcedureStepEndDate": f"{ended:%Y%m%d}", "PerformedProcedureStepEndTime": f"{ended:%H%M%S}",
        "PerformedSeriesSequence": procedure_step.performed_series(made),
        "TotalNumberOfExposures": len(scans), "ExposureDoseSequence": [_dose(scan) for scan in scans],
    }  # fmt: skip
    return _filled(profile, step, rows, known) if rows else None


class _Told(Subject):
    """Patient, study and request of a step, where the rows of a message may say which attribute of the worklist they hold."""

    def __init__(self, profile: Profile, rows: Sequence[Attribute], step: Step) -> None:
        super().__init__(profile, rows, step)
        self._named = {}
        for row in rows:
            if len(row.tags) == 1 and (match := _FROM.search(row.note)):
                source = keyword_for_tag(int(match[1] + match[2], 16))
                self._named[keyword_for_tag(row.tags[0])] = step.item.get(source) or None

    def value(self, keyword: str, path: str = "") -> Any:
        """Return a copy of what is known; None where nothing is."""
        return deepcopy(self._named[keyword]) if keyword in self._named else super().value(keyword, path)


def _filled(profile: Profile, step: Step, rows: list[Attribute], known: Mapping[str, Any]) -> Dataset:
    dataset, tree = Dataset(), of_rows(rows)
    for keyword, value in known.items():
        if value is not None:
            setattr(dataset, keyword, value)
    Filler(profile, step.began, _Told(profile, rows, replace(step, sources=()))).fill(dataset, tree)
    keep_listed(dataset, tree)
    is_listed = any(row.keyword == _CHARACTER_SET for row in tree)
    texts = (e.value for e in dataset.iterall() if e.VR != "SQ" and e.keyword != _CHARACTER_SET)
    said = character_set_for(profile, procedure_step.PERFORMED_STEP, texts, is_listed=is_listed)
    if said:
        dataset.SpecificCharacterSet = said.split("\\") if "\\" in said else said
    return dataset


def _requested(step: Step, rows: Sequence[Attribute]) -> Dataset:
    """Return the item of the Scheduled Step Attributes Sequence (0040,0270) with what the worklist item has of its rows."""
    planned = (step.item.get(_PLANNED) or [Dataset()])[0]
    found = Dataset()
    for row in rows:
        if len(row.tags) == 2 and keyword_for_tag(row.tags[0]) == "ScheduledStepAttributesSequence":
            keyword = keyword_for_tag(row.tags[1])
            value = planned.get(keyword) if keyword in planned else step.item.get(keyword)
            if value:
                setattr(found, keyword, deepcopy(value))
    found.StudyInstanceUID = step.item.get("StudyInstanceUID") or step.study_uid
    return found


# ------------------------------------------------------------ dose
def _scans(made: Iterable[Dataset]) -> list[Dataset]:
    """Return one image of each series that was scanned with X-rays here; what was reckoned from others exposed nobody."""
    first: dict[str, Dataset] = {}
    for dataset in made:
        is_scan = dataset.SOPClassUID == _CT and "ORIGINAL" in (dataset.get("ImageType") or ())
        if is_scan:
            first.setdefault(str(dataset.SeriesInstanceUID), dataset)
    return list(first.values())


def _dose(scan: Dataset) -> Dataset:
    """Return the item of the Exposure Dose Sequence (0040,030E) of a scan (PS3.3 C.4.16); what it does not say is left out."""
    item = Dataset()
    for keyword in ("KVP", "ExposureTime", "CTDIvol"):
        if scan.get(keyword) not in {None, ""}:
            setattr(item, keyword, scan[keyword].value)
    if scan.get("XRayTubeCurrent"):
        item.XRayTubeCurrentInuA = f"{float(scan.XRayTubeCurrent) * 1000:.10g}"
    item.RadiationMode = "CONTINUOUS"
    return item
