"""Films as the attributes of print management, in both directions.

Knows: PS3.3 C.13 (film session, film box, image box, annotation box) and C.11.4 (presentation LUT); PS3.4 H.
Does not know: associations, printers.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from workbench.entities import FilmBox, FilmImage, FilmLut, FilmSession
from workbench.errors import AttributeUnusable

__all__ = [
    "ANNOTATION_BOX", "COLOR", "COLOR_IMAGE_BOX", "FILM_BOX", "FILM_SESSION", "GRAYSCALE", "GRAY_IMAGE_BOX", "LUT", "PRINTER",
    "PRINTER_INSTANCE", "box_attributes", "box_of", "image_attributes", "image_of", "lut_attributes", "lut_of", "reference",
    "session_attributes", "session_of", "text_attributes",
]  # fmt: skip

_ROOT = "1.2.840.10008.5.1.1."
FILM_SESSION, FILM_BOX, GRAY_IMAGE_BOX, COLOR_IMAGE_BOX = (_ROOT + end for end in ("1", "2", "4", "4.1"))
GRAYSCALE, COLOR, ANNOTATION_BOX, PRINTER, PRINTER_INSTANCE, LUT = (_ROOT + end for end in ("9", "18", "15", "16", "17", "23"))

_SESSION = {"priority": "PrintPriority", "medium": "MediumType", "destination": "FilmDestination", "label": "FilmSessionLabel",
            "owner": "OwnerID"}  # fmt: skip
_BOX = {"layout": "ImageDisplayFormat", "orientation": "FilmOrientation", "size": "FilmSizeID",
        "magnification": "MagnificationType", "smoothing": "SmoothingType", "border": "BorderDensity",
        "empty": "EmptyImageDensity", "least": "MinDensity",
        "most": "MaxDensity", "trim": "Trim", "configuration": "ConfigurationInformation",
        "annotation": "AnnotationDisplayFormatID", "resolution": "RequestedResolutionID", "illumination": "Illumination",
        "ambient": "ReflectedAmbientLight"}  # fmt: skip
_IMAGE = {"magnification": "MagnificationType", "smoothing": "SmoothingType", "configuration": "ConfigurationInformation",
          "too_large": "RequestedDecimateCropBehavior"}  # fmt: skip
_PIXELS = Tag(0x7FE0, 0x0010)


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """Return an item that refers to an instance."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _spelled(value: object, names: Mapping[str, str]) -> Dataset:
    """Return what is not left to the printer, as attributes."""
    dataset = Dataset()
    for name, keyword in names.items():
        if (said := getattr(value, name)) not in {"", None}:
            setattr(dataset, keyword, said)
            if not str(said).isascii():
                dataset.SpecificCharacterSet = "ISO_IR 192"
    return dataset


def _read(dataset: Dataset, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what attributes say, by the names of a frozen value; what is absent or empty is left out."""
    found: dict[str, Any] = {}
    for name, keyword in names.items():
        value = _value(dataset, keyword)
        if value not in {"", None}:
            found[name] = value if isinstance(value, int) else str(value).strip()
    return found


def _value(dataset: Dataset, keyword: str) -> Any:
    try:
        value = dataset.get(keyword)
    except Exception as error:  # noqa: BLE001 - pydicom finds out only here that bytes do not fit their VR
        raise AttributeUnusable(f"{keyword} can't be read ({type(error).__name__}).") from None
    if isinstance(value, list | tuple) or (hasattr(value, "__len__") and not isinstance(value, str | bytes | Sequence)):
        raise AttributeUnusable(f"{keyword} has several values where one is meant (PS3.3 C.13).")
    return value


# ------------------------------------------------------------ session and box
def session_attributes(session: FilmSession) -> Dataset:
    """Return the attributes of a film session (PS3.3 C.13.1)."""
    dataset = _spelled(session, _SESSION)
    dataset.NumberOfCopies = session.copies
    return dataset


def session_of(dataset: Dataset) -> FilmSession:
    """Return the film session that attributes describe.

    Raises
    ------
    AttributeUnusable
        If a value is out of range.
    """
    copies = _value(dataset, "NumberOfCopies")
    return FilmSession(copies=1 if copies in {None, ""} else int(copies), **_read(dataset, _SESSION))


def box_attributes(box: FilmBox, *, session_uid: str, lut_uid: str = "") -> Dataset:
    """Return the attributes of a film box (PS3.3 C.13.3, C.13.4)."""
    dataset = _spelled(box, _BOX)
    dataset.ReferencedFilmSessionSequence = [reference(FILM_SESSION, session_uid)]
    if lut_uid:
        dataset.ReferencedPresentationLUTSequence = [reference(LUT, lut_uid)]
    return dataset


def box_of(dataset: Dataset) -> FilmBox:
    """Return the film box that attributes describe.

    Raises
    ------
    AttributeUnusable
        If there is no such layout, or a value is out of range.
    """
    layout = dataset.get("ImageDisplayFormat")  # the one text in which a backslash is no separator (VR ST)
    if not layout:
        raise AttributeUnusable("A film box needs Image Display Format (2010,0010) (PS3.3 C.13.3).")
    said = _read(dataset, {name: keyword for name, keyword in _BOX.items() if name != "layout"})
    return FilmBox(layout=str(layout).strip(), **said)


def text_attributes(text: str, position: int) -> Dataset:
    """Return the attributes of an annotation box (PS3.3 C.13.7); a text of 64 characters has room in it."""
    dataset = Dataset()
    if not text.isascii():
        dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.AnnotationPosition, dataset.TextString = position, text
    return dataset


# ------------------------------------------------------------ images
def image_attributes(image: FilmImage, position: int) -> Dataset:
    """Return the attributes of an image box with an image in it (PS3.3 C.13.5).

    Parameters
    ----------
    position : int
        Image Box Position (2020,0010), from 1.
    """
    dataset = _spelled(image, _IMAGE)
    dataset.ImageBoxPosition, dataset.Polarity = position, image.polarity
    if image.width_mm is not None:
        dataset.RequestedImageSize = f"{image.width_mm:.6g}"
    item = Dataset()
    item.SamplesPerPixel = image.samples
    item.PhotometricInterpretation = "RGB" if image.samples == 3 else "MONOCHROME1" if image.is_inverse else "MONOCHROME2"
    if image.samples == 3:
        item.PlanarConfiguration = 0
    item.Rows, item.Columns = image.rows, image.columns
    if image.aspect != (1, 1):
        item.PixelAspectRatio = list(image.aspect)
    item.BitsAllocated = 8 if image.bits == 8 else 16
    item.BitsStored, item.HighBit, item.PixelRepresentation = image.bits, image.bits - 1, 0
    item[_PIXELS] = DataElement(_PIXELS, "OB" if image.bits == 8 else "OW", image.pixels + b"\0" * (len(image.pixels) % 2))
    setattr(dataset, "BasicColorImageSequence" if image.samples == 3 else "BasicGrayscaleImageSequence", [item])
    return dataset


def image_of(dataset: Dataset, *, is_color: bool) -> FilmImage | None:
    """Return the image of an image box's attributes; None where the sequence is empty, which erases it (PS3.4 H.4.3.1.2.1).

    Raises
    ------
    AttributeUnusable
        If the pixels are not described as PS3.3 C.13.5 has it, or are fewer than that.
    """
    keyword = "BasicColorImageSequence" if is_color else "BasicGrayscaleImageSequence"
    sequence = dataset.get(keyword)
    if keyword not in dataset:
        raise AttributeUnusable(f"An image box needs {keyword} (PS3.3 C.13.5).")
    if not sequence:
        return None
    item: Dataset = sequence[0]
    numbers = {
        name: _number(item, name) for name in ("SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit")
    }
    samples, rows, columns, allocated, stored, high = numbers.values()
    photometric = str(item.get("PhotometricInterpretation") or "").strip()
    if photometric not in ({"RGB"} if is_color else {"MONOCHROME1", "MONOCHROME2"}) or samples != (3 if is_color else 1):
        raise AttributeUnusable("Photometric Interpretation does not fit this image box (PS3.3 C.13.5).")
    if (allocated, stored, high) not in {(8, 8, 7), (16, 12, 11)} or _number(item, "PixelRepresentation") != 0:
        raise AttributeUnusable("Pixels have 8 bits, or 12 of 16 allocated, unsigned (PS3.3 C.13.5).")
    needed = rows * columns * samples * allocated // 8
    pixels = bytes(item.get("PixelData") or b"")
    if len(pixels) < needed:
        raise AttributeUnusable("There are fewer pixels than rows and columns say (PS3.3 C.13.5).")
    pixels = pixels[:needed]
    if is_color and _number(item, "PlanarConfiguration", 0) == 1:
        pixels = _by_pixel(pixels)
    width = _value(dataset, "RequestedImageSize")
    return FilmImage(
        pixels, rows, columns, stored, samples,
        polarity=str(_value(dataset, "Polarity") or "NORMAL").strip(), is_inverse=photometric == "MONOCHROME1",
        aspect=_aspect(item), width_mm=float(width) if width else None, **_read(dataset, _IMAGE),
    )  # fmt: skip


def _number(item: Dataset, keyword: str, default: int | None = None) -> int:
    value = _value(item, keyword)
    if value is None and default is not None:
        return default
    if not isinstance(value, int):
        raise AttributeUnusable(f"An image to print needs {keyword} (PS3.3 C.13.5).")
    return value


def _aspect(item: Dataset) -> tuple[int, int]:
    values = item.get("PixelAspectRatio") or (1, 1)
    if len(values) != 2:
        raise AttributeUnusable("Pixel Aspect Ratio has two values (PS3.3 C.7.6.3.1.7).")
    return int(values[0]), int(values[1])


def _by_pixel(planes: bytes) -> bytes:
    """Colour by plane as colour by pixel (PS3.3 C.7.6.3.1.3)."""
    size, mixed = len(planes) // 3, bytearray(len(planes))
    for sample in range(3):
        mixed[sample::3] = planes[sample * size : (sample + 1) * size]
    return bytes(mixed)


# ------------------------------------------------------------ presentation LUT
def lut_attributes(lut: FilmLut) -> Dataset:
    """Return the attributes of a presentation LUT (PS3.3 C.11.4)."""
    dataset = Dataset()
    if lut.shape:
        dataset.PresentationLUTShape = lut.shape
        return dataset
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(lut.values), 0, lut.bits])
    item.add_new("LUTData", "OW", b"".join(value.to_bytes(2, "little") for value in lut.values))
    dataset.PresentationLUTSequence = [item]
    return dataset


def lut_of(dataset: Dataset) -> FilmLut:
    """Return the presentation LUT that attributes describe.

    Raises
    ------
    AttributeUnusable
        If it is malformed (PS3.3 C.11.4.1).
    """
    if not dataset.get("PresentationLUTSequence"):
        return FilmLut(shape=str(_value(dataset, "PresentationLUTShape") or "").strip())
    item: Dataset = dataset.PresentationLUTSequence[0]
    descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or len(descriptor) != 3 or data is None or int(descriptor[1]):
        raise AttributeUnusable(
            "A presentation LUT needs LUT Descriptor, whose first value mapped is 0, and LUT Data (PS3.3 C.11.4.1)."
        )
    values = _words(data)
    entries, bits = int(descriptor[0]) or 65_536, int(descriptor[2])
    if len(values) != entries:
        raise AttributeUnusable("A presentation LUT has other entries than its descriptor says (PS3.3 C.11.4.1).")
    return FilmLut(values=values, bits=bits)


def _words(data: bytes | int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(data, bytes | bytearray):
        return tuple(int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data) - 1, 2))
    return (int(data),) if isinstance(data, int) else tuple(int(value) & 0xFFFF for value in data)
