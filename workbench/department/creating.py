"""Objects as a system creates them: a phantom's pixels, filled in by the tables of the system's profile.

Knows: in which order an object comes to be: picture, patient, dates, what the statement does not have, what its rows want.
Does not know: what is sent, when; whether the result is right (conformance).

Private attributes are created where a statement says that they are always there and gives their values. What it wants of an
object that is not created yet, such as raw data, stays empty.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from workbench.department._coding import coded_in
from workbench.department._filling import KEPT, OF_PIXELS, Filler, Row, of_rows
from workbench.department._pictures import DERIVED, MAKERS, with_range
from workbench.department._step import Step, Subject
from workbench.devices import Attribute, Entity, ObjectClass, Profile, attributes, objects
from workbench.errors import BuildRefused
from workbench.standard import iod_types

__all__ = ["Step", "buildable", "create", "not_yet"]

#: Body parts that come in pairs, of those that phantoms show or statements name (PS3.16 Annex L).
_PAIRED = frozenset({"EYE", "BREAST", "EAR", "ORBIT", "KNEE", "HIP", "SHOULDER", "ELBOW", "HAND", "FOOT", "ANKLE", "WRIST"})


def buildable(profile: Profile) -> tuple[ObjectClass, ...]:
    """Return the objects of a profile that can be created here."""
    return tuple(claimed for claimed in objects(profile) if claimed.uid in MAKERS)


def not_yet(profile: Profile) -> tuple[ObjectClass, ...]:
    """Return the objects of a profile that can't be created here yet."""
    return tuple(claimed for claimed in objects(profile) if claimed.uid not in MAKERS)


def create(profile: Profile, claimed: ObjectClass, step: Step, *, transfer_syntax_uid: str = "") -> list[Dataset]:
    """Return new instances of one object of a profile, in as many new series as their pictures come from.

    Parameters
    ----------
    profile : Profile
        Whose object.
    claimed : ObjectClass
        Which one: of :func:`buildable`.
    step : Step
        What is done, for whom.
    transfer_syntax_uid : str
        The one to which the system is set; by default Explicit VR Little Endian, or JPEG Baseline where the statement sends
        nothing else.

    Returns
    -------
    list of Dataset
        With file meta information, which names the system's implementation (PS3.10 7.1).

    Raises
    ------
    BuildRefused
        If it can't be created here yet, or not in this transfer syntax, or its sources are lacking.
    """
    if claimed.uid not in MAKERS:
        raise BuildRefused(f"{claimed.title} of {profile.title} ({claimed.source}) can't be created yet.")
    modules = _Modules(profile, claimed)
    filler = Filler(profile, step.began, Subject(profile, modules.attributes, step))
    series: dict[str, str] = {}
    made = MAKERS[claimed.uid](profile, step, modules.by_keyword)
    for number, dataset in enumerate(made, start=1):
        if claimed.uid not in DERIVED:
            series_uid = series.setdefault(str(dataset.SeriesInstanceUID), generate_uid())
            filler.identify(dataset)
            dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.InstanceNumber = series_uid, generate_uid(), number
            _dated(dataset, step.began)
            _in_one_frame(dataset)
            with_range(dataset, modules.by_keyword)
            _without_unclaimed(dataset, modules.attributes)
            _with_what_the_picture_says(dataset, modules.by_keyword)
        filler.fill(dataset, modules.of(dataset))
        if claimed.uid not in DERIVED:
            _with_laterality_of_pairs(dataset)
        _with_private(dataset, modules.attributes)
        _with_meta(dataset, claimed.uid, profile.entity(claimed.entity))
    return [coded_in(dataset, transfer_syntax_uid) for dataset in made] if transfer_syntax_uid else made


class _Modules:
    """The modules of one object of a profile, read once for all instances of a series."""

    def __init__(self, profile: Profile, claimed: ObjectClass) -> None:
        self._profile, self._claimed = profile, claimed
        self.attributes = attributes(profile, *claimed.modules)
        self.by_keyword = {row.keyword: row for row in of_rows(self.attributes)}
        surely = [m for m in claimed.modules if m not in claimed.conditional or m in claimed.optional]
        elsewhere = {row.path for row in attributes(profile, *surely)}
        self._own = {
            module: {row.tags[0] for row in attributes(profile, module) if row.tags and row.path not in elsewhere}
            for module in claimed.modules
            if module not in surely
        }
        self._read: dict[tuple[str, ...], list[Row]] = {}

    def of(self, dataset: Dataset) -> list[Row]:
        """Return the rows of the modules that an object has: of conditional ones those it has something of."""
        present = tuple(m for m in self._claimed.modules if m not in self._own or any(tag in dataset for tag in self._own[m]))
        if present not in self._read:
            self._read[present] = of_rows(attributes(self._profile, *present))
        return self._read[present]


def _dated(dataset: Dataset, began: datetime) -> None:
    """Move the phantom's dates and times to now; intervals within an acquisition, as decay correction needs, are kept."""
    shift = began - _moment(dataset.get("SeriesDate") or dataset.StudyDate, dataset.get("SeriesTime") or dataset.StudyTime)
    of_subject = {"StudyDate", "StudyTime", "PatientBirthDate", "PatientBirthTime"}
    for item in _with_items(dataset):
        moments = {}
        for element in item:
            if element.keyword in of_subject or element.is_empty or element.VM != 1 or element.VR not in {"DA", "TM", "DT"}:
                continue
            moments[element.keyword] = (element, _shifted(element, item, dataset, shift))
        for element, text in moments.values():
            element.value = text


def _with_items(dataset: Dataset) -> list[Dataset]:
    """Return a dataset and the items of what was measured with it, but not of what patient and request hold."""
    found = [dataset]
    for element in dataset:
        if element.VR == "SQ" and element.keyword == "RadiopharmaceuticalInformationSequence":
            found += element.value
    return found


def _shifted(element: Any, item: Dataset, dataset: Dataset, shift: timedelta) -> str:
    value = str(element.value)
    if element.VR == "DT":
        return f"{_moment(value[:8], value[8:14]) + shift:%Y%m%d%H%M%S}"
    date, time = (element.keyword.replace("Time", "Date"), element.keyword.replace("Date", "Time"))
    moment = _moment(item.get(date) or dataset.SeriesDate, item.get(time) or "000000") + shift
    return f"{moment:%Y%m%d}" if element.VR == "DA" else f"{moment:%H%M%S}"


def _moment(date: Any, time: Any) -> datetime:
    return datetime.strptime(f"{date}{str(time)[:6]:0<6}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - as DICOM has it, without a zone


def _in_one_frame(dataset: Dataset) -> None:
    """Give the frames of reference of a phantom UIDs of this study: other patients do not lie in them."""
    for keyword in ("FrameOfReferenceUID", "SynchronizationFrameOfReferenceUID"):
        if dataset.get(keyword):
            setattr(dataset, keyword, generate_uid(entropy_srcs=[str(dataset.StudyInstanceUID), str(dataset[keyword].value)]))


def _without_unclaimed(dataset: Dataset, rows: Sequence[Attribute]) -> None:
    """Leave out what the statement does not have and the IOD does not want."""
    listed = {row.tags[0] for row in rows if row.tags}
    wanted: Mapping[str, str] = iod_types(str(dataset.SOPClassUID))
    for element in list(dataset):
        is_wanted = wanted.get(element.keyword, "3") != "3" or element.keyword in OF_PIXELS
        if element.tag not in listed and not is_wanted and element.keyword not in KEPT:
            del dataset[element.tag]


def _with_laterality_of_pairs(dataset: Dataset) -> None:
    """Leave Laterality (0020,0060) to body parts that come in pairs, and to images that do not say it themselves.

    PS3.3 C.7.3.1.
    """
    if dataset.get("ImageLaterality") or dataset.get("BodyPartExamined") not in _PAIRED:
        dataset.pop("Laterality", None)


def _with_what_the_picture_says(dataset: Dataset, rows: Mapping[str, Row]) -> None:
    """Add what a statement has under names of its own: the isotope (300A,0226), how the image was processed (0018,5020)."""
    isotopes = dataset.get("RadiopharmaceuticalInformationSequence") or [Dataset()]
    nuclides = isotopes[0].get("RadionuclideCodeSequence") or [Dataset()]
    known = {"SourceIsotopeName": nuclides[0].get("CodeMeaning"), "ProcessingFunction": dataset.get("ReconstructionMethod")}
    for keyword in known.keys() & rows.keys():
        if known[keyword]:
            setattr(dataset, keyword, known[keyword])


def _with_private(dataset: Dataset, rows: Sequence[Attribute]) -> None:
    """Add private elements that are always there, each in a block of its creator (PS3.5 7.8.1), with the first value listed."""
    for row in rows:
        if not row.creator or len(row.tags) != 1 or row.presence != "ALWAYS" or not row.choices:
            continue
        group, element = row.tags[0] >> 16, row.tags[0] & 0xFFFF
        block = dataset.private_block(group, row.creator, create=True)
        if element > 0xFF:  # the creator itself comes with its block
            values = [among[0] for among in row.choices]
            block.add_new(element & 0xFF, row.vr, values if len(values) > 1 else values[0])


def _with_meta(dataset: Dataset, sop_class_uid: str, entity: Entity) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class_uid), dataset.SOPInstanceUID
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID if hasattr(dataset, "file_meta") else ExplicitVRLittleEndian
    meta.FileMetaInformationVersion = b"\x00\x01"
    if entity.implementation_class_uid:
        meta.ImplementationClassUID = UID(entity.implementation_class_uid)
        if entity.implementation_version_name:
            meta.ImplementationVersionName = entity.implementation_version_name
    dataset.file_meta = meta
