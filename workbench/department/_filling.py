"""Datasets filled by the rows of a statement's modules.

Knows: presence and values as statements give them (PS3.2 A.8.1), what a system puts in itself, and what it can't know.
Does not know: pixels and what describes them; whether the result is right (conformance).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench.department._step import SUBJECT, Subject
from workbench.department._writing import write_in
from workbench.devices import Attribute, Profile, condition, constraint, default
from workbench.entities import Code
from workbench.standard import coded

__all__ = ["KEPT", "OF_PIXELS", "Filler", "Row", "of_rows"]

#: What describes how pixels are stored, or was measured with them: it belongs to the picture, tables do not replace it.
OF_PIXELS = frozenset({
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "SmallestImagePixelValue", "LargestImagePixelValue",
    "RescaleSlope", "RescaleIntercept", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    "FrameIncrementPointer", "FrameTime", "PageNumberVector", "SliceLocationVector", "DecayFactor", "FrameReferenceTime",
})  # fmt: skip
#: What tells whether the body part is one of a pair (PS3.3 C.7.3.1, Laterality), and how text is read.
KEPT = frozenset({"SpecificCharacterSet", "BodyPartExamined", "AnatomicRegionSequence", "Laterality", "ImageLaterality"})
#: What is measured on the day, and a worklist need not know.
_MEASURED = frozenset({"PatientWeight", "PatientSize"})
#: Which system made it (PS3.3 C.7.5.1).
_EQUIPMENT = frozenset({"Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName"})
#: Origins of what another object or system has said: it is not made up.
_TOLD = frozenset({"MWL", "QUERY", "COPY", "IMAGE"})
#: Who works with the system.
_OPERATOR = "Operator^Ona"
#: How a value of a statement is read where it is no text.
_READ: Mapping[str, Callable[[str], Any]] = MappingProxyType({
    **dict.fromkeys(("US", "UL", "SS", "SL", "US or SS"), int), **dict.fromkeys(("FL", "FD"), float),
    "AT": lambda text: int(text.strip("()").replace(",", ""), 16),
})  # fmt: skip
#: What phantoms do not have and scanners of the kind do; counts are those of a quiet bed position.
_PLAUSIBLE: Mapping[str, Any] = MappingProxyType({
    "PatientPosition": "HFS", "SecondaryCountsType": "DLYD", "AxialAcceptance": 180, "ScatterFractionFactor": "0.3",
    "ReconstructionDiameter": 512, "RadiopharmaceuticalRoute": "Intravenous", "FieldOfViewDimensions": [576, 164],
    "PrimaryPromptsCountsAccumulated": 24000000, "SecondaryCountsAccumulated": [9000000],
    "ImageRotation": 0, "ImageHorizontalFlip": "N", "ContentDescription": "As shown", "ConversionType": "WSD",
})  # fmt: skip
#: Codes of what phantoms do not say: intravenous route (PS3.16 CID 11).
_CODES: Mapping[str, tuple[Code, ...]] = MappingProxyType({
    "AdministrationRouteCodeSequence": (Code("47625008", "SCT", "Intravenous route"),),
})  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row of a statement with the rows below it."""

    attribute: Attribute
    keyword: str
    vr: str
    presence: str
    below: list["Row"] = field(default_factory=list)

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        return self.attribute.choices


def of_rows(rows: Sequence[Attribute]) -> list[Row]:
    """Return the rows of modules as a tree; private and repeated groups, whose values no statement gives, are left out."""
    top: list[Row] = []
    last: list[Row] = []
    for attribute in rows:
        tags = attribute.tags
        keyword = keyword_for_tag(tags[-1]) if tags else ""
        if not keyword or keyword.startswith("Overlay") or len(tags) > len(last) + 1:
            continue
        presence = attribute.presence or {"1": "ALWAYS", "2": "VNAP"}.get(attribute.type, "ANAP")
        row = Row(attribute, keyword, dictionary_VR(tags[-1]), presence)
        (last[len(tags) - 2].below if len(tags) > 1 else top).append(row)
        last = [*last[: len(tags) - 1], row]
    return top


@dataclass
class Filler:
    """Fills the objects of one series by rows."""

    profile: Profile
    began: datetime
    subject: Subject
    _made_once: dict[str, Any] = field(default_factory=dict)

    def identify(self, dataset: Dataset) -> None:
        """Put the subject's patient and study, and the system's equipment, in place of the phantom's."""
        for keyword in _EQUIPMENT & set(dataset.dir()):
            setattr(dataset, keyword, self._known()[keyword])
        if not self.subject.is_known:
            dataset.StudyInstanceUID = self.subject.value("StudyInstanceUID")
            return
        for keyword in sorted(SUBJECT):
            value = self.subject.value(keyword)
            if value is not None:
                setattr(dataset, keyword, value)
            elif keyword in dataset and keyword not in _MEASURED:
                setattr(dataset, keyword, [] if dataset[keyword].VR == "SQ" else None)

    def fill(self, dataset: Dataset, rows: Sequence[Row]) -> None:
        """Fill a dataset by the rows of modules."""
        for row in rows:
            if row.keyword not in OF_PIXELS and row.keyword != "SpecificCharacterSet":
                self._one(dataset, row, dataset)
        for row in rows:
            _constrain(dataset, row, dataset)
        for row in rows:
            if row.attribute.condition and row.keyword in dataset and not condition(row.attribute.condition).holds(dataset):
                delattr(dataset, row.keyword)
        if "SOPClassUID" in dataset or any(row.keyword == "SpecificCharacterSet" for row in rows):
            write_in(dataset, self.profile, [row.attribute for row in rows], source=self.subject.character_set)

    def _one(self, item: Dataset, row: Row, whole: Dataset) -> None:
        if row.presence == "EMPTY":
            setattr(item, row.keyword, [] if row.vr == "SQ" else None)
            return
        if item is whole and self._is_lacking(row, whole):
            self._by_default(item, row)
            return
        if item is whole and (told := self._told(row)) is not None:
            setattr(item, row.keyword, told)
        is_there = row.keyword in item and not item[row.keyword].is_empty
        if row.keyword == "Modality" and "CONFIG" in row.attribute.origins and row.choices:
            item.Modality = self._modality(row)
        elif row.vr != "SQ" and row.choices and self._may_choose(row, is_there=is_there):
            if not (is_there and _is_listed(item[row.keyword].value, row)):
                setattr(item, row.keyword, _chosen(row))
        elif not is_there:
            self._absent(item, row, whole)
        if row.vr == "SQ" and row.keyword in item:
            for below in _of_kind(item[row.keyword].value or (), row):
                for each in row.below:
                    self._one(below, each, whole)

    def _is_lacking(self, row: Row, whole: Dataset) -> bool:
        """Whether what a value comes from, worklist or image, has nothing, and the statement says what stands there then."""
        said = row.attribute
        if not said.otherwise or (said.condition and not condition(said.condition).holds(whole)):
            return False
        return not self.subject.is_scheduled if "MWL" in said.origins else self.subject.copied(row.keyword) is None

    def _by_default(self, item: Dataset, row: Row) -> None:
        old = str(item.get(row.keyword) or "")
        setattr(item, row.keyword, default(row.attribute.otherwise).made(began=self.began, operator=_OPERATOR, old=old))

    def _modality(self, row: Row) -> str:
        """Return the modality to which the system is set: the one that is ordered where it can be set so, else its default."""
        among, wanted = row.choices[0], self.subject.wanted_modality
        return wanted if wanted in among else among[0]

    def _told(self, row: Row) -> Any:
        """Return what the worklist or a source says."""
        origins = set(row.attribute.origins)
        if row.keyword in _EQUIPMENT and origins & {"COPY", "IMAGE"}:
            return self.subject.copied(row.keyword)
        is_said = row.keyword in SUBJECT or "MWL" in origins or row.keyword in _OF_REQUEST
        return self.subject.value(row.keyword, row.attribute.path) if is_said else None

    def _may_choose(self, row: Row, *, is_there: bool) -> bool:
        """Whether the system itself chooses among the listed values: what is said of a patient is not its choice."""
        origins = set(row.attribute.origins)
        if row.keyword in SUBJECT and (not origins or origins & {"MWL", "QUERY", "USER", "COPY", "IMAGE"}):
            return False
        return is_there or row.presence in {"ALWAYS", "VNAP"}

    def _absent(self, item: Dataset, row: Row, whole: Dataset) -> None:
        made = self._made(row, whole, nested=item is not whole) if row.presence in {"ALWAYS", "VNAP"} else None
        if made is not None:
            setattr(item, row.keyword, made)
        elif row.presence in {"ALWAYS", "VNAP"}:
            setattr(item, row.keyword, [] if row.vr == "SQ" else None)
        elif row.keyword in item:
            delattr(item, row.keyword)

    def _made(self, row: Row, whole: Dataset, *, nested: bool) -> Any:
        """Return what the system would put in itself; None where it can't be told."""
        if row.vr == "SQ":
            return self._items(row, whole)
        known = self._known()
        if row.keyword in known and (row.presence == "ALWAYS" or row.keyword not in SUBJECT):
            return deepcopy(known[row.keyword])
        origins = set(row.attribute.origins)
        if row.presence != "ALWAYS" or nested or (origins and origins <= _TOLD):
            return None
        if row.keyword not in self._made_once:
            self._made_once[row.keyword] = self._by_representation(row.vr)
        return self._made_once[row.keyword]

    def _known(self) -> Mapping[str, Any]:
        began, profile = self.began, self.profile
        return {
            "Manufacturer": profile.maker, "ManufacturerModelName": profile.product, "SoftwareVersions": profile.version or "1",
            "DeviceSerialNumber": "1", "StationName": profile.product.upper()[:16], "InstitutionName": "Hospital of Nowhere",
            "SecondaryCaptureDeviceManufacturer": profile.maker, "SecondaryCaptureDeviceManufacturerModelName": profile.product,
            "SecondaryCaptureDeviceSoftwareVersions": profile.version or "1",
            "OperatorsName": _OPERATOR, "ContentCreatorName": _OPERATOR, "PatientName": "Unscheduled^Una",
            "PatientID": f"{began:%Y%m%d%H%M%S}", "PatientSex": "O", "PatientBirthDate": "19700101",
            "ReferringPhysicianName": "Quill^Petra^^Dr.", "StudyID": f"{began:%H%M%S}", "AccessionNumber": f"{began:%Y%m%d%H%M%S}",
            "Modality": profile.modality or "OT", "PerformedProcedureStepStartDate": f"{began:%Y%m%d}",
            "PerformedProcedureStepStartTime": f"{began:%H%M%S}", "PerformedProcedureStepID": f"PPS{began:%y%m%d%H%M%S}",
            **_PLAUSIBLE,
        }  # fmt: skip

    def _by_representation(self, vr: str) -> Any:
        by_vr: dict[str, Callable[[], Any]] = {
            "DA": lambda: f"{self.began:%Y%m%d}", "TM": lambda: f"{self.began:%H%M%S}", "UI": generate_uid,
            "DT": lambda: f"{self.began:%Y%m%d%H%M%S}", "IS": lambda: 1, "SH": lambda: "1", "LO": lambda: self.profile.product,
        }  # fmt: skip
        return by_vr[vr]() if vr in by_vr else None

    def _items(self, row: Row, whole: Dataset) -> list[Dataset] | None:
        """Return the items of a sequence: known, or of the values that are listed for them; None where one can't be made."""
        if row.keyword in _CODES:
            return [coded(code) for code in _CODES[row.keyword]]
        if row.keyword == "EnergyWindowRangeSequence":
            window = Dataset()
            window.EnergyWindowLowerLimit, window.EnergyWindowUpperLimit = 449, 613  # keV, about the 511 of annihilation
            return [window]
        if row.keyword == "ReferencedImageSequence":  # of a presentation state: all its images (PS3.3 C.10.4)
            series = whole.get("ReferencedSeriesSequence") or ()
            return [deepcopy(image) for one in series for image in one.get("ReferencedImageSequence") or ()] or None
        many = (
            int(whole.get("SamplesPerPixelUsed") or whole.get("SamplesPerPixel", 1))
            if row.keyword == "ChannelDescriptionCodeSequence"
            else 1
        )
        made = [self._item(row, number, whole) for number in range(many)]
        return [item for item in made if item is not None] or None

    def _item(self, row: Row, number: int, whole: Dataset) -> Dataset | None:
        item = Dataset()
        for below in row.below:
            if below.presence == "ALWAYS" and below.vr != "SQ" and below.choices:
                setattr(item, below.keyword, _chosen(below, number))
            elif below.presence == "ALWAYS" and (made := self._made(below, whole, nested=True)) is not None:
                setattr(item, below.keyword, made)
            elif below.presence == "ALWAYS":
                return None
        return item if len(item) else None


_OF_REQUEST = frozenset({
    "RequestAttributesSequence", "ReferencedPerformedProcedureStepSequence", "PerformedProtocolCodeSequence",
    "PerformedProcedureStepDescription",
})  # fmt: skip


def _constrain(item: Dataset, row: Row, whole: Dataset) -> None:
    """Give an attribute that is there the value that its row wants, where that can be told; pixels stay what they are."""
    if row.keyword not in item or row.keyword in OF_PIXELS:
        return
    tag, text = row.attribute.tags[-1], row.attribute.constraint
    if text and not constraint(text).holds(item, tag, whole):
        wanted = constraint(text).wanted(item, tag, whole)
        if wanted is not None:
            setattr(item, row.keyword, _READ.get(row.vr, str)(wanted))
    if row.vr == "SQ":
        for one in _of_kind(item[row.keyword].value or (), row):
            for below in row.below:
                _constrain(one, below, whole)


def _of_kind(items: Sequence[Dataset], row: Row) -> Iterator[Dataset]:
    """Yield the items that rows are about: content items of another value type are other things."""
    kinds = {kind for below in row.below if below.keyword == "ValueType" for kind in below.attribute.values}
    for item in items:
        if not kinds or item.get("ValueType", "") in {"", *kinds}:
            yield item


def _is_listed(value: Any, row: Row) -> bool:
    parts = list(value) if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]
    return len(parts) == len(row.choices) and all(str(p) in among for p, among in zip(parts, row.choices, strict=True))


def _chosen(row: Row, number: int = 0) -> Any:
    """Return the value of a row by its first alternatives, or by those of that number where there are so many."""
    read = _READ.get(row.vr, str)
    made = [read(among[min(number, len(among) - 1)]) for among in row.choices]
    return made if len(made) > 1 else made[0]
