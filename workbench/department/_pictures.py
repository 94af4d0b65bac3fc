"""What objects show: phantoms, stored as the rows of a statement say.

Knows: which phantom stands for which SOP class, how pixels are stored (PS3.3 C.7.6.3), captured and framed.
Does not know: patients, studies and requests; who sends what.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from workbench import builders, phantoms
from workbench.department._coding import as_jpeg
from workbench.department._filling import Row
from workbench.department._step import Step
from workbench.devices import Profile, constraint, objects
from workbench.errors import BuildRefused
from workbench.standard import module_keywords

__all__ = ["DERIVED", "MAKERS", "with_range"]

_OP, _SC, _TRUE_COLOR = "1.2.840.10008.5.1.4.1.1.77.1.5.1", "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4"
_PET, _CT = "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.2"
_KEY_OBJECTS, _GRAYSCALE_STATE = "1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.5.1.4.1.1.11.1"
#: What an object of these classes shows is what it was made of: its patient and study are those of its images.
DERIVED = frozenset({_KEY_OBJECTS, _GRAYSCALE_STATE})
#: What frames follow one another by (PS3.3 C.8.6.3.1, C.8.6.4), in the order in which it is looked for.
_POINTERS = MappingProxyType({"PageNumberVector": 0x00182001, "SliceLocationVector": 0x00182005, "FrameTime": 0x00181063})
#: What a capture has of the image that it shows.
_CAPTURED = module_keywords("patient", "general-study", "patient-study", "general-series", "general-equipment") | {
    "SpecificCharacterSet", "InstanceNumber", "PatientOrientation", "AcquisitionNumber", "AcquisitionDate", "AcquisitionTime",
    "AcquisitionDateTime", "ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime",
}  # fmt: skip
_SIZE = MappingProxyType({"Rows": 0x00280010, "Columns": 0x00280011})
_OPPOSITE = MappingProxyType(dict(zip("LRHFAP", "RLFHPA", strict=True)))
_FIRST_SHOWN, _LAST_SHOWN = 17, 41  # slices about the hot spheres
_SUV_WHITE, _CT_BLACK_HU, _CT_WHITE_HU = 8.0, -160.0, 240.0


@dataclass(frozen=True)
class Look:
    """How pixels are stored: Samples per Pixel, Photometric Interpretation, Planar Configuration, bits, frames."""

    photometric: str
    planar: int
    allocated: int
    stored: int
    frames: int | None

    @property
    def in_color(self) -> bool:
        """Whether there are three samples a pixel."""
        return not self.photometric.startswith("MONOCHROME")


def _look(rows: Mapping[str, Row], *, in_color: bool = False) -> Look:
    """Return how a statement stores pixels: in colour where it lists colour, or wants a Planar Configuration."""

    def listed(keyword: str) -> tuple[str, ...]:
        return next(iter(rows[keyword].choices), ()) if keyword in rows else ()

    photometric = listed("PhotometricInterpretation")
    colors = [term for term in photometric if not term.startswith("MONOCHROME")]
    planar = rows.get("PlanarConfiguration")
    in_color = in_color or bool(colors) or "3" in listed("SamplesPerPixel") or (planar is not None and planar.presence == "ALWAYS")
    term = (colors or ["RGB"])[0] if in_color else (photometric or ("MONOCHROME2",))[0]
    place = photometric.index(term) if term in photometric else 0

    def number(keyword: str, otherwise: int) -> int:
        among = listed(keyword)
        return int(among[place if len(among) == len(photometric) else 0]) if among else otherwise

    frames = int(listed("NumberOfFrames")[0]) if listed("NumberOfFrames") else None
    return Look(term, number("PlanarConfiguration", 0), number("BitsAllocated", 8), number("BitsStored", 8), frames)


# ------------------------------------------------------------ how pixels are stored
def _store(dataset: Dataset, frames: NDArray[np.uint8], look: Look) -> None:
    """Write frames (frames, rows, columns[, 3]) as the statement stores them; YBR_FULL_422 is JPEG Baseline (PS3.5 8.2.1)."""
    rows, columns = frames.shape[1:3]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (3 if look.in_color else 1), look.photometric
    dataset.Rows, dataset.Columns, dataset.PixelRepresentation = rows, columns, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = look.allocated, look.stored, look.stored - 1
    dataset.LossyImageCompression = "00"
    if look.in_color:
        dataset.PlanarConfiguration = look.planar
    if look.photometric.startswith("YBR"):
        as_jpeg(dataset, frames)
        return
    stored = frames if look.stored == 8 else np.rint(frames * ((2**look.stored - 1) / 255)).astype(np.uint16)
    if look.in_color and look.planar:
        stored = np.moveaxis(stored, 3, 1)
    data = stored.astype("<u2" if look.allocated == 16 else "u1").tobytes()
    dataset.PixelData = data + b"\x00" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if look.allocated == 16 else "OB"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _sized(frames: NDArray[np.uint8], rows: Mapping[str, Row]) -> NDArray[np.uint8]:
    """Return frames (frames, rows, columns[, 3]) as large as the statement has them: each pixel repeated, black about a square."""
    said = [constraint(rows[k].attribute.constraint) if k in rows and rows[k].attribute.constraint else None for k in _SIZE]
    if said[0] is not None and said[0].is_same_as(_SIZE["Columns"]):
        more = [max(frames.shape[1:3]) - length for length in frames.shape[1:3]]
        about = [(0, 0), *((n // 2, n - n // 2) for n in more), (0, 0)]
        frames = np.pad(frames, about[: frames.ndim])
    larger = max((-(-one.least // length) for one, length in zip(said, frames.shape[1:3], strict=True) if one), default=1)
    return frames.repeat(larger, axis=1).repeat(larger, axis=2) if larger > 1 else frames


def with_range(dataset: Dataset, rows: Mapping[str, Row]) -> None:
    """Add the smallest and largest value of stored pixels where the statement has them, in their representation."""
    named = [k for k in ("SmallestImagePixelValue", "LargestImagePixelValue") if k in rows]
    if not named or "PixelData" not in dataset or dataset.SamplesPerPixel != 1:
        return
    kind, vr = ("<i2", "SS") if dataset.PixelRepresentation else ("<u2" if dataset.BitsAllocated == 16 else "u1", "US")
    many = dataset.Rows * dataset.Columns * int(dataset.get("NumberOfFrames") or 1)
    values = np.frombuffer(dataset.PixelData, kind)[:many]
    for keyword in named:
        dataset.add_new(keyword, vr, int(values.min() if keyword.startswith("Smallest") else values.max()))


def _turned(dataset: Dataset, frames: NDArray[np.uint8], rows: Mapping[str, Row]) -> NDArray[np.uint8]:
    """Turn frames about so that they lie as the statement's Patient Orientation (0020,0020) says, and say so."""
    row, now = rows.get("PatientOrientation"), dataset.get("PatientOrientation")
    if row is None or len(row.choices) != 2 or not now:
        return frames
    wanted = [among[0] for among in row.choices]
    axes = tuple(axis for axis, new, old in zip((2, 1), wanted, now, strict=True) if new == _OPPOSITE.get(old))
    dataset.PatientOrientation = [new if new == _OPPOSITE.get(old) else old for new, old in zip(wanted, now, strict=True)]
    return np.flip(frames, axes) if axes else frames


def _framed(dataset: Dataset, rows: Mapping[str, Row], *, places_mm: Sequence[float] = ()) -> None:
    """Say by what frames follow one another: what the statement points to, or the first vector that it has."""
    row = rows.get("FrameIncrementPointer")
    pointed = row.choices[0][0] if row is not None and row.choices else ""
    of_tag = {f"({tag >> 16:04X},{tag & 0xFFFF:04X})": keyword for keyword, tag in _POINTERS.items()}
    keyword = of_tag.get(pointed) or next((k for k in _POINTERS if k in rows), "")
    many = int(dataset.NumberOfFrames)
    if not keyword and many > 1:
        keyword = "FrameTime"
    if keyword:
        time = rows[keyword].choices[0][0] if keyword in rows and rows[keyword].choices else "1000"
        values = {"PageNumberVector": list(range(1, many + 1)), "SliceLocationVector": list(places_mm) or [0] * many}
        setattr(dataset, keyword, values.get(keyword, time))
        dataset.FrameIncrementPointer = _POINTERS[keyword]


# ------------------------------------------------------------ what stands for what
@cache
def _scan() -> phantoms.PetCt:
    return phantoms.pet_ct()


def _fundus(_profile: Profile, _step: Step, rows: Mapping[str, Row]) -> list[Dataset]:
    made = [phantoms.fundus(eye) for eye in ("R", "L")]
    for dataset in made:
        pixels = np.frombuffer(dataset.PixelData, np.uint8).reshape(1, dataset.Rows, dataset.Columns, 3).copy()
        if "SamplesPerPixelUsed" in rows:  # two lasers, red and green: the third sample holds nothing (PS3.3 C.7.6.3.1.9)
            pixels[..., 2], dataset.SamplesPerPixelUsed = 0, 2
        dataset.PixelData = _turned(dataset, pixels, rows).tobytes()
        _framed(dataset, rows)
    return made


def _pet(_profile: Profile, step: Step, _rows: Mapping[str, Row]) -> list[Dataset]:
    """Return the PET series in the activity that it has in this patient: its uptake is known, the weight is the worklist's."""
    made = deepcopy(list(_scan().pet))
    weight_kg = float(step.item.get("PatientWeight") or 0)
    for dataset in made if weight_kg > 0 else ():
        share = float(dataset.PatientWeight) / weight_kg
        for keyword in ("RescaleSlope", "WindowCenter", "WindowWidth"):
            setattr(dataset, keyword, f"{float(dataset[keyword].value) * share:.10g}")
    return made


def _ct(_profile: Profile, _step: Step, _rows: Mapping[str, Row]) -> list[Dataset]:
    return deepcopy(list(_scan().ct))


def _secondary_capture(profile: Profile, _step: Step, rows: Mapping[str, Row]) -> list[Dataset]:
    """Return what a screen shows: a slice where the system scans, else an eye; in colour where the statement has it."""
    look = _look(rows)
    dataset, frames, _ = _shown(profile, look, many=1)
    captured = _captured(dataset, _SC)
    _store(captured, _turned(captured, _sized(frames, rows), rows), look)
    return [captured]


def _true_color(profile: Profile, _step: Step, rows: Mapping[str, Row]) -> list[Dataset]:
    look = _look(rows, in_color=True)
    dataset, frames, places_mm = _shown(profile, look, many=look.frames or 5)
    captured = _captured(dataset, _TRUE_COLOR)
    _store(captured, _turned(captured, _sized(frames, rows), rows), look)
    captured.NumberOfFrames = len(frames)
    _framed(captured, rows, places_mm=places_mm)
    return [captured]


def _shown(profile: Profile, look: Look, *, many: int) -> tuple[Dataset, NDArray[np.uint8], list[float]]:
    """Return the phantom that a screen shows, its frames (frames, rows, columns[, 3]), and where they lie in mm."""
    if {_CT, _PET} & {claimed.uid for claimed in objects(profile)}:
        chosen = np.linspace(_FIRST_SHOWN, _LAST_SHOWN, many + 2).round().astype(int)[1:-1]
        frames = np.stack([_fused(int(i)) if look.in_color else _windowed(int(i)) for i in chosen])
        return _scan().ct[chosen[0]], frames, [float(_scan().ct[i].SliceLocation) for i in chosen]
    eye = phantoms.fundus() if look.in_color else phantoms.endothelium().image
    shape = (1, eye.Rows, eye.Columns, 3) if look.in_color else (1, eye.Rows, eye.Columns)
    frame = np.frombuffer(eye.PixelData, np.uint8)[: int(np.prod(shape))].reshape(shape)
    return eye, np.repeat(frame, many, axis=0), []


def _windowed(index: int) -> NDArray[np.uint8]:
    """Return a CT slice in a window for soft tissue."""
    image = _scan().ct[index]
    hu = np.frombuffer(image.PixelData, "<u2").reshape(image.Rows, image.Columns) * 1.0 + float(image.RescaleIntercept)
    return np.asarray(np.clip((hu - _CT_BLACK_HU) / (_CT_WHITE_HU - _CT_BLACK_HU), 0, 1) * 255).astype(np.uint8)


def _fused(index: int) -> NDArray[np.uint8]:
    """Return a CT slice with the PET over it from black over red and yellow to white."""
    grey, image = _windowed(index).astype(float), _scan().pet[index]
    bq_ml = np.frombuffer(image.PixelData, "<i2").reshape(image.Rows, image.Columns) * float(image.RescaleSlope)
    white_bq_ml = _SUV_WHITE * max(float(np.median(bq_ml[bq_ml > 0])) if (bq_ml > 0).any() else 1.0, 1.0)
    heat = np.clip(bq_ml / white_bq_ml, 0, 1).repeat(2, axis=0).repeat(2, axis=1)
    hot = np.clip(np.stack([3 * heat, 3 * heat - 1, 3 * heat - 2], axis=-1), 0, 1) * 255
    share = np.minimum(heat * 2, 0.7)[..., None]
    return np.asarray(np.rint(grey[..., None] * (1 - share) + hot * share)).astype(np.uint8)


def _captured(image: Dataset, sop_class_uid: str) -> Dataset:
    """Return a secondary capture of an image without pixels: patient, study, series, equipment, dates (PS3.3 A.8)."""
    made = FileDataset("", Dataset(), file_meta=FileMetaDataset(), preamble=b"\x00" * 128)
    for element in image:
        if element.keyword in _CAPTURED:
            made[element.tag] = deepcopy(element)
    made.SOPClassUID, made.ConversionType = UID(sop_class_uid), "WSD"
    made.ImageType, made.BurnedInAnnotation = ["DERIVED", "SECONDARY"], "NO"
    if eye := image.get("ImageLaterality"):
        made.Laterality, made.BodyPartExamined = eye, "EYE"
    if image.get("ImageOrientationPatient") == [1, 0, 0, 0, 1, 0]:
        made.PatientOrientation = ["L", "P"]
    return made


def _key_objects(profile: Profile, step: Step, _rows: Mapping[str, Row]) -> list[Dataset]:
    _need_sources(step, "a key object selection")
    return [builders.selection(list(step.sources), description="Chosen", author=_author(profile))]


def _state(profile: Profile, step: Step, _rows: Mapping[str, Row]) -> list[Dataset]:
    _need_sources(step, "a presentation state")
    return [builders.grayscale(list(step.sources), author=_author(profile))]


def _need_sources(step: Step, what: str) -> None:
    if not step.sources:
        raise BuildRefused(f"There is no image that {what} could refer to: retrieve or acquire one first.")


def _author(profile: Profile) -> builders.Author:
    return builders.Author(manufacturer=profile.maker, model=profile.product, software_version=profile.version)


Maker = Callable[[Profile, Step, Mapping[str, Row]], list[Dataset]]
MAKERS: Mapping[str, Maker] = MappingProxyType(
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
