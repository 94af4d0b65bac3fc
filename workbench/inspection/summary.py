"""What a dataset is, in a few plain words.

Knows: which attributes say what an object is, who made it and how large it is.
Does not know: what the numbers are good for.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from workbench.entities import html_safe, plain
from workbench.files import given
from workbench.inspection._walk import element, text_of, uid_name, walk

__all__ = ["Line", "Summary", "summary"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a summary; `personal` where its text may belong to a patient."""

    label: str
    text: str
    personal: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Summary:
    """What an object is: ``print()`` and a notebook show all lines, ``repr()`` only those that are not personal."""

    lines: tuple[Line, ...]

    def __getitem__(self, label: str) -> str:
        """Return the text of the line with that label, or an empty text."""
        return next((line.text for line in self.lines if line.label == label), "")

    def __str__(self) -> str:
        return self._text(self.lines)

    def __repr__(self) -> str:
        return self._text(tuple(line for line in self.lines if not line.personal))

    @staticmethod
    def _text(lines: tuple[Line, ...]) -> str:
        return "\n".join(f"{line.label:<16}{plain(line.text)}" for line in lines)

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        rows = (f"<tr><th {left}>{html_safe(line.label)}</th><td {left}>{html_safe(line.text)}</td></tr>" for line in self.lines)
        return f"<table>{''.join(rows)}</table>"


def summary(dataset: Dataset) -> Summary:
    """Return what an object is: kind, maker, patient, geometry, pixels, encoding, dates, UIDs, private attributes, size.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Any dataset; what it does not have is left out.

    Raises
    ------
    InputError
        If it is not a dataset.

    Examples
    --------
    >>> image = Dataset()
    >>> image.SOPClassUID, image.Rows, image.Columns = "1.2.840.10008.5.1.4.1.1.2", 512, 512
    >>> summary(image)["Kind"], summary(image)["Pixels"]
    ('CT Image Storage', '512 rows × 512 columns')
    """
    given.one(dataset)
    made: tuple[tuple[str, Callable[[Dataset], str], bool], ...] = (
        ("Kind", _kind, False),
        ("Patient", lambda d: _joined(d, ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge")), True),
        ("Study", lambda d: _joined(d, ("StudyDate", "StudyTime", "StudyDescription", "AccessionNumber")), True),
        ("Series", lambda d: _joined(d, ("Modality", "SeriesNumber", "SeriesDate", "SeriesDescription", "Laterality")), True),
        ("Made by", lambda d: _joined(d, ("Manufacturer", "ManufacturerModelName", "SoftwareVersions")), False),
        ("Station", lambda d: _joined(d, ("StationName",)), True),
        ("Institution", lambda d: _joined(d, ("InstitutionName",)), True),
        ("Pixels", _pixels, False),
        ("Geometry", _geometry, False),
        ("Encoding", _encoding, False),
        ("De-identified", lambda d: _joined(d, ("PatientIdentityRemoved", "DeidentificationMethod")), False),
        ("UIDs", _uids, False),
        ("Content", _content, False),
    )
    lines = (Line(label, _short(text(dataset), 300), personal) for label, text, personal in made)
    return Summary(tuple(line for line in lines if line.text))


def _value(dataset: Dataset, keyword: str) -> str:
    return text_of(element(dataset, Tag(keyword))[2]) if keyword in dataset else ""


def _joined(dataset: Dataset, keywords: tuple[str, ...]) -> str:
    return ", ".join(text for keyword in keywords if (text := _value(dataset, keyword).strip()))


def _kind(dataset: Dataset) -> str:
    uid = _value(dataset, "SOPClassUID")
    if not uid:
        return f"no SOP Class UID, Modality {_value(dataset, 'Modality') or 'unknown'}"
    return uid_name(uid)


def _pixels(dataset: Dataset) -> str:
    if not _value(dataset, "Rows"):
        return ""
    parts = [f"{_value(dataset, 'Rows')} rows × {_value(dataset, 'Columns')} columns"]
    frames, bits = _value(dataset, "NumberOfFrames"), _value(dataset, "BitsStored")
    if frames and frames != "1":
        parts.append(f"{frames} frames")
    if bits:
        sign = ", signed" if _value(dataset, "PixelRepresentation") == "1" else ""
        parts.append(f"{bits} of {_value(dataset, 'BitsAllocated')} bits{sign}")
    parts.append(_value(dataset, "PhotometricInterpretation"))
    if _value(dataset, "LossyImageCompression") == "01":
        parts.append("lossy")
    if _value(dataset, "BurnedInAnnotation") == "YES":
        parts.append("burned-in annotation")
    return ", ".join(p for p in parts if p)


def _geometry(dataset: Dataset) -> str:
    named = (
        ("PixelSpacing", "pixel spacing {} mm"),
        ("ImagerPixelSpacing", "imager pixel spacing {} mm"),
        ("SliceThickness", "slice thickness {} mm"),
        ("ImagePositionPatient", "position {} mm"),
        ("ImageOrientationPatient", "orientation {}"),
    )
    return ", ".join(text.format(value.replace("\\", " · ")) for keyword, text in named if (value := _value(dataset, keyword)))


def _encoding(dataset: Dataset) -> str:
    meta = getattr(dataset, "file_meta", None)
    syntax = _value(meta, "TransferSyntaxUID") if meta is not None else ""
    charset = _value(dataset, "SpecificCharacterSet")
    return ", ".join(t for t in (uid_name(syntax) if syntax else "", f"character set {charset}" if charset else "") if t)


def _uids(dataset: Dataset) -> str:
    named = (("StudyInstanceUID", "study"), ("SeriesInstanceUID", "series"), ("SOPInstanceUID", "instance"))
    return ", ".join(f"{word} {_tail(uid)}" for keyword, word in named if (uid := _value(dataset, keyword)))


def _tail(uid: str) -> str:
    return uid if len(uid) <= 12 else "…" + uid[-11:]


def _content(dataset: Dataset) -> str:
    attributes = private = depth = size = 0
    for node in walk(dataset):
        if node.tag is None:
            continue
        attributes += 1
        private += node.tag.is_private
        depth = max(depth, node.depth // 2 + isinstance(node.value, Sequence))
        size += len(node.value) if isinstance(node.value, (bytes, bytearray, str)) else 0
    return f"{attributes:,} attributes, {private:,} private, sequences {depth} deep, about {_bytes(size)}"


def _bytes(size: int) -> str:
    if size < 1_000_000:
        return f"{size / 1000:,.1f} kB"
    return f"{size / 1_000_000:,.1f} MB"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
