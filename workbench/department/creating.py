"""Objects as a system creates them: a phantom's pixels, filled in by the tables of the system's profile.

Knows: which phantom stands for which object, where the value of an attribute comes from (worklist, configuration, system).
Does not know: what is sent, when; whether the result is right (conformance).
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from workbench import builders, phantoms
from workbench.devices import Attribute, ObjectClass, Profile, attributes, objects
from workbench.errors import BuildRefused

__all__ = ["Step", "buildable", "create", "not_yet"]

_OP, _SC, _TRUE_COLOR = "1.2.840.10008.5.1.4.1.1.77.1.5.1", "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4"
_PET, _CT = "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.2"
_KEY_OBJECTS, _GRAYSCALE_STATE = "1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.5.1.4.1.1.11.1"
#: What an object of these classes shows is what it was made of: their tables do not replace it.
_DERIVED = frozenset({_KEY_OBJECTS, _GRAYSCALE_STATE})
#: Groups and attributes that say how pixels are stored: they belong to the phantom.
_PIXELS = frozenset({
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "SmallestImagePixelValue", "LargestImagePixelValue",
    "RescaleSlope", "RescaleIntercept", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
})  # fmt: skip
#: What tells whether the body part is one of a pair (PS3.3 C.7.3.1, Laterality), and how text is read.
_KEPT = frozenset({"SpecificCharacterSet", "BodyPartExamined", "AnatomicRegionSequence", "ImageLaterality"})
_STEP = "ScheduledProcedureStepSequence"
#: Attributes of the worklist that stand under another name in an image (IHE RAD TF-2, Appendix A).
_ELSEWHERE = MappingProxyType({
    "StudyID": ("RequestedProcedureID",), "StudyDescription": ("RequestedProcedureDescription",),
    "ProcedureCodeSequence": ("RequestedProcedureCodeSequence",), "ReasonForStudy": ("ReasonForTheRequestedProcedure",),
    "PerformedProcedureStepDescription": (_STEP, "ScheduledProcedureStepDescription"),
    "PerformedProtocolCodeSequence": (_STEP, "ScheduledProtocolCodeSequence"),
    "PerformingPhysicianName": (_STEP, "ScheduledPerformingPhysicianName"), "StationName": (_STEP, "ScheduledStationName"),
})  # fmt: skip
#: How a value of a statement is read where it is no text.
_READ: Mapping[str, Callable[[str], Any]] = MappingProxyType({
    **dict.fromkeys(("US", "UL", "SS", "SL", "US or SS"), int), **dict.fromkeys(("FL", "FD"), float),
    "AT": lambda text: int(text.strip("()").replace(",", ""), 16),
})  # fmt: skip
#: What phantoms do not have and scanners of the kind do; codes are of CID 11 and CID 4020.
_PLAUSIBLE: Mapping[str, Any] = MappingProxyType({
    "PatientPosition": "HFS", "SecondaryCountsType": "DLYD", "AxialAcceptance": 180.0, "ScatterFractionFactor": 0.3,
    "CollimatorType": "NONE", "ReconstructionMethod": "OSEM", "FrameReferenceTime": 0.0, "ConversionType": "DF",
})  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One performed step: what objects of one study share.

    Parameters
    ----------
    item : Dataset
        The worklist item, or an empty dataset where nothing was scheduled.
    began : datetime
        When it began.
    sources : tuple of Dataset
        Images that derived objects are made from.
    """

    item: Dataset
    began: datetime
    sources: tuple[Dataset, ...] = ()


def buildable(profile: Profile) -> tuple[ObjectClass, ...]:
    """Return the objects of a profile that can be created here."""
    return tuple(claimed for claimed in objects(profile) if claimed.uid in _MAKERS)


def not_yet(profile: Profile) -> tuple[ObjectClass, ...]:
    """Return the objects of a profile that can't be created here yet."""
    return tuple(claimed for claimed in objects(profile) if claimed.uid not in _MAKERS)


def create(profile: Profile, claimed: ObjectClass, step: Step) -> list[Dataset]:
    """Return new instances of one object of a profile, of one series.

    Parameters
    ----------
    profile : Profile
        Whose object.
    claimed : ObjectClass
        Which one: of :func:`buildable`.
    step : Step
        What is done, for whom.

    Returns
    -------
    list of Dataset
        With file meta information; Explicit VR Little Endian, or JPEG Baseline where the statement sends nothing else.

    Raises
    ------
    BuildRefused
        If it can't be created here yet, or its sources are lacking.
    """
    if claimed.uid not in _MAKERS:
        raise BuildRefused(f"{claimed.title} of {profile.title} ({claimed.source}) can't be created yet.")
    tables = attributes(profile, *claimed.modules)
    always = attributes(profile, *(module for module in claimed.modules if module not in claimed.conditional))
    mapped = _mapping(profile)
    series_uid, study_uid = generate_uid(), str(step.item.get("StudyInstanceUID") or "") or generate_uid()
    made = _MAKERS[claimed.uid](profile, step)
    for number, dataset in enumerate(made, start=1):
        if claimed.uid not in _DERIVED:
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
            dataset.SOPInstanceUID, dataset.InstanceNumber = generate_uid(), number
            _dated(dataset, step.began)
            _without_unclaimed(dataset, tables)
        filler = _Filler(profile, step, mapped)
        filler.fill(dataset, always)
        _with_meta(dataset, claimed.uid)
    return made


@dataclass
class _Filler:
    """Fills a dataset by the rows of modules."""

    profile: Profile
    step: Step
    mapped: Mapping[str, tuple[str, ...]]

    def fill(self, dataset: Dataset, rows: Sequence[Attribute]) -> None:
        for row in rows:
            if not row.tags or row.tags[0] >> 16 & 1:
                continue
            for item in _parents(dataset, row.tags[:-1]):
                self._one(item, row)

    def _one(self, item: Dataset, row: Attribute) -> None:
        tag, presence = row.tags[-1], row.presence or {"1": "ALWAYS", "2": "VNAP"}.get(row.type, "ANAP")
        keyword = keyword_for_tag(tag)
        if not keyword or keyword in _PIXELS or keyword.startswith("Overlay"):
            return
        vr = dictionary_VR(tag)
        if presence == "EMPTY":
            setattr(item, keyword, [] if vr == "SQ" else None)
            return
        if "MWL" in row.origins and len(row.tags) == 1:
            self._from_worklist(item, row, keyword)
        is_there = tag in item and not item[tag].is_empty
        if row.values and vr != "SQ" and (is_there or presence in {"ALWAYS", "VNAP"}):
            if not (is_there and _text(item[tag].value) in row.values):
                setattr(item, keyword, _typed(row.values[0], vr))
        elif not is_there:
            self._absent(item, keyword, vr, presence)

    def _from_worklist(self, item: Dataset, row: Attribute, keyword: str) -> None:
        value = _found(self.step.item, self.mapped.get(row.path) or _ELSEWHERE.get(keyword) or (keyword,))
        if value is None and keyword not in self.mapped:
            value = _found(self.step.item, (_STEP, keyword))
        if value is not None:
            setattr(item, keyword, deepcopy(value))
        elif keyword in item and len(self.step.item) and keyword not in {"StudyInstanceUID", "Modality"}:
            setattr(item, keyword, None)  # the phantom's own patient is not the one that was scheduled

    def _absent(self, item: Dataset, keyword: str, vr: str, presence: str) -> None:
        if presence == "ALWAYS" and (made := self._made(keyword, vr)) is not None:
            setattr(item, keyword, made)
        elif presence in {"ALWAYS", "VNAP"}:
            setattr(item, keyword, [] if vr == "SQ" else None)
        elif keyword in item and item[keyword].is_empty:
            delattr(item, keyword)

    def _made(self, keyword: str, vr: str) -> Any:
        """Return what the system would put in itself; None where it can't be told."""
        began, profile = self.step.began, self.profile
        known = {
            "Manufacturer": profile.maker, "ManufacturerModelName": profile.product, "SoftwareVersions": profile.version,
            "DeviceSerialNumber": "1", "StationName": profile.product.upper()[:16], "InstitutionName": "Hospital of Nowhere",
            "OperatorsName": "Operator^Ona", "PatientName": "Unscheduled^Una", "PatientID": f"{began:%Y%m%d%H%M%S}",
            "PatientSex": "O", "PatientBirthDate": "19700101", "ReferringPhysicianName": "Quill^Petra^^Dr.",
            "SpecificCharacterSet": "ISO_IR 100", "StudyID": f"{began:%H%M%S}", "AccessionNumber": f"{began:%Y%m%d%H%M%S}",
            "Modality": profile.modality or "OT", **_PLAUSIBLE,
        }  # fmt: skip
        if keyword in known:
            return known[keyword]
        by_vr: dict[str, Callable[[], Any]] = {
            "DA": lambda: f"{began:%Y%m%d}", "TM": lambda: f"{began:%H%M%S}", "DT": lambda: f"{began:%Y%m%d%H%M%S}",
            "UI": generate_uid, "IS": lambda: 1, "SH": lambda: "1", "LO": lambda: profile.product,
        }  # fmt: skip
        return by_vr[vr]() if vr in by_vr else None


def _parents(dataset: Dataset, above: tuple[int, ...]) -> Iterator[Dataset]:
    if not above:
        yield dataset
        return
    tag, *below = above
    if tag in dataset and dataset[tag].VR == "SQ":
        for item in dataset[tag].value or ():
            yield from _parents(item, tuple(below))


def _found(item: Dataset, path: Sequence[str]) -> Any:
    for number, keyword in enumerate(path):
        value = item.get(keyword)
        if value is None or (not value and value != 0):
            return None
        if number == len(path) - 1:
            return value
        item = value[0]
    return None


def _mapping(profile: Profile) -> Mapping[str, tuple[str, ...]]:
    """Return where in the worklist the statement finds each attribute: path of tags to keywords."""
    found: dict[str, tuple[str, ...]] = {}
    for table in profile.of_kind("mapping"):
        for row in table.records():
            if row.get("source_tag"):
                tags = str(row["source_tag"]).split(".")
                found[str(row.get("target_tag") or row["tag"])] = tuple(
                    keyword_for_tag(int(tag.strip("()").replace(",", ""), 16)) for tag in tags if "x" not in tag
                )
    return found


def _text(value: Any) -> str:
    return "\\".join(map(str, value)) if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else str(value)


def _typed(value: str, vr: str) -> Any:
    parts = value.split("\\")
    read = _READ.get(vr, str)
    made = [read(part) for part in parts]
    return made if len(made) > 1 else made[0]


def _dated(dataset: Dataset, began: datetime) -> None:
    """Move the phantom's dates and times to now; intervals within an acquisition, as decay correction needs, are kept."""
    first = _moment(dataset.get("SeriesDate") or dataset.StudyDate, dataset.get("SeriesTime") or dataset.StudyTime)
    for element in dataset.iterall():
        if element.is_empty or element.VM != 1:
            continue
        if element.VR == "DA" and element.keyword != "PatientBirthDate":
            element.value = f"{began:%Y%m%d}"
        elif element.VR == "TM":
            element.value = f"{began + (_moment(dataset.StudyDate, element.value) - first):%H%M%S}"
        elif element.VR == "DT":
            text = str(element.value)
            element.value = f"{began + (_moment(text[:8], text[8:14]) - first):%Y%m%d%H%M%S}"


def _moment(date: Any, time: Any) -> datetime:
    return datetime.strptime(f"{date}{str(time)[:6]:0<6}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - as DICOM has it, without a zone


def _without_unclaimed(dataset: Dataset, rows: Sequence[Attribute]) -> None:
    """Leave out what the statement does not have and the IOD does not want."""
    listed = {row.tags[0] for row in rows if row.tags}
    wanted = builders.required(str(dataset.SOPClassUID))
    for element in list(dataset):
        is_wanted = wanted.get(element.keyword, "3") != "3" or element.keyword in _PIXELS
        if element.tag not in listed and not is_wanted and element.keyword not in _KEPT:
            del dataset[element.tag]


def _with_meta(dataset: Dataset, sop_class_uid: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class_uid), dataset.SOPInstanceUID
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID if hasattr(dataset, "file_meta") else ExplicitVRLittleEndian
    dataset.file_meta = meta


# ------------------------------------------------------------ what stands for what
def _fundus(_profile: Profile, _step: Step) -> list[Dataset]:
    return [phantoms.fundus(eye) for eye in ("R", "L")]


def _pet(_profile: Profile, _step: Step) -> list[Dataset]:
    return list(phantoms.pet_ct().pet)


def _ct(_profile: Profile, _step: Step) -> list[Dataset]:
    return list(phantoms.pet_ct().ct)


def _secondary_capture(profile: Profile, _step: Step) -> list[Dataset]:
    """Return what a screen shows: the endothelium in grey, or a photograph in colour as JPEG where that is what is sent."""
    if profile.modality in {"SC", "OP"}:
        return [_captured(phantoms.endothelium().image, _SC)]
    captured = _captured(phantoms.fundus(), _SC)
    return [_as_jpeg(captured)]


def _true_color(_profile: Profile, _step: Step) -> list[Dataset]:
    both = [phantoms.fundus(eye) for eye in ("R", "L")]
    captured = _captured(both[0], _TRUE_COLOR)
    captured.PixelData = b"".join(eye.PixelData for eye in both)
    captured.NumberOfFrames, captured.FrameIncrementPointer, captured.FrameTime = len(both), 0x00181063, 1000.0
    captured.PlanarConfiguration, captured.Laterality = 0, ""
    return [captured]


def _captured(image: Dataset, sop_class_uid: str) -> Dataset:
    """Return a secondary capture of an image: patient, study, equipment and pixels (PS3.3 A.8)."""
    made = FileDataset("", Dataset(), file_meta=FileMetaDataset(), preamble=b"\x00" * 128)
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    wanted = builders.required(sop_class_uid)
    for element in image:
        if element.keyword in wanted or element.keyword in _PIXELS:
            made[element.tag] = deepcopy(element)
    for keyword in ("NumberOfFrames", "PixelSpacing"):
        made.pop(keyword, None)
    made.SOPClassUID, made.ConversionType = UID(sop_class_uid), "DF"
    made.ImageType = ["ORIGINAL", "PRIMARY"]
    made.BurnedInAnnotation, made.Laterality = "NO", image.get("ImageLaterality", "")
    made.SeriesDate, made.SeriesTime = image.SeriesDate, image.SeriesTime
    return made


def _as_jpeg(dataset: Dataset) -> Dataset:
    """Return a colour image in JPEG Baseline (PS3.5 8.2.1), marked as lossy (PS3.3 C.7.6.1.1.5)."""
    pixels = np.frombuffer(dataset.PixelData, np.uint8)[: dataset.Rows * dataset.Columns * 3]
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(dataset.Rows, dataset.Columns, 3)).save(file, "JPEG", quality=92)
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    dataset.LossyImageCompressionRatio = round(len(pixels) / len(file.getvalue()), 2)
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.PixelData = encapsulate([file.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return dataset


def _key_objects(profile: Profile, step: Step) -> list[Dataset]:
    _need_sources(step, "a key object selection")
    return [builders.selection(list(step.sources), description="Chosen", author=_author(profile))]


def _state(profile: Profile, step: Step) -> list[Dataset]:
    _need_sources(step, "a presentation state")
    return [builders.grayscale(list(step.sources), author=_author(profile))]


def _need_sources(step: Step, what: str) -> None:
    if not step.sources:
        raise BuildRefused(f"There is no image that {what} could refer to: retrieve or acquire one first.")


def _author(profile: Profile) -> builders.Author:
    return builders.Author(manufacturer=profile.maker, model=profile.product, software_version=profile.version)


_MAKERS: Mapping[str, Callable[[Profile, Step], list[Dataset]]] = MappingProxyType(
    {
        _OP: _fundus,
        _SC: _secondary_capture,
        _TRUE_COLOR: _true_color,
        _PET: _pet,
        _CT: _ct,
        _KEY_OBJECTS: _key_objects,
        _GRAYSCALE_STATE: _state,
    }
)
