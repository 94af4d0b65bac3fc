"""What a dataset of some SOP class can't do without: the sign of a file cut between two elements.

Knows: which attribute comes last of those that carry the content of an IOD (PS3.3 A).
Does not know: the rest of the IOD; that is conformance's.
"""

from collections.abc import Mapping

from pydicom.uid import UID

__all__ = ["missing_content"]

_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
# words of the SOP class's name -> any of these attributes carries the content
_CONTENT: tuple[tuple[tuple[str, ...], tuple[int, ...], str], ...] = (
    (("Image Storage", "Image Word Storage", "Image Byte Storage", "Segmentation Storage", "Parametric Map", "RT Dose", "Hardcopy"),
     (*_PIXELS, 0x00287FE0, 0x00660002), "Pixel Data (7FE0,0010)"),
    (("SR Storage", "Dose SR", "Dose Report", "Key Object Selection", "CAD SR", "Procedure Log", "Report Storage"),
     (0x0040A730,), "Content Sequence (0040,A730)"),
    (("Waveform Storage", "ECG", "Audio"), (0x54000100,), "Waveform Sequence (5400,0100)"),
    (("Encapsulated",), (0x00420011,), "Encapsulated Document (0042,0011)"),
    (("Spectroscopy Storage",), (0x56000020,), "Spectroscopy Data (5600,0020)"),
    (("RT Structure Set",), (0x30060080,), "RT ROI Observations Sequence (3006,0080)"),
    (("RT Plan", "RT Ion Plan"), (0x300C0080, 0x300A0070, 0x300A00B0, 0x300A03A2, 0x300E0002), "Approval Status (300E,0002)"),
    (("Grayscale Softcopy Presentation State",), (0x20500020, 0x20500010), "Presentation LUT Shape (2050,0020)"),
    (("Spatial Registration Storage",), (0x00700308,), "Registration Sequence (0070,0308)"),
)  # fmt: skip
_WITHOUT_STUDY = (
    "Hanging Protocol",
    "Color Palette",
    "Implant",
    "Directory",
    "Inventory",
    "Protocol Storage",
    "Procedure Step",
    "",
)
_IDENTITY = {0x00080016: "SOP Class UID (0008,0016)", 0x00080018: "SOP Instance UID (0008,0018)"}
_HIERARCHY = {0x0020000D: "Study Instance UID (0020,000D)", 0x0020000E: "Series Instance UID (0020,000E)"}


def missing_content(values: Mapping[int, bytes], meta_sop_class_uid: str) -> str:
    """Return the first attribute that a complete dataset of this SOP class has and this one has not, or "".

    Parameters
    ----------
    values : mapping
        Value bytes of the top level by tag (only those of short values matter).
    meta_sop_class_uid : str
        From the file meta information, for datasets that were cut before their own.
    """
    uid = values.get(0x00080016, b"").rstrip(b"\0 ").decode("ascii", "replace") or meta_sop_class_uid
    name = UID(uid).name if uid.startswith("1.2.840.10008.") else ""
    if uid == "1.2.840.10008.1.3.10":
        return "" if 0x00041220 in values else "Directory Record Sequence (0004,1220)"
    wanted = dict(_IDENTITY)
    if name and not any(word and word in name for word in _WITHOUT_STUDY):
        wanted |= _HIERARCHY
    for tag, attribute in wanted.items():
        if tag not in values:
            return attribute
    for words, tags, attribute in _CONTENT:
        if any(word in name for word in words) and not any(tag in values for tag in tags):
            return attribute
    has_matrix = all(tag in values for tag in (0x00280010, 0x00280011, 0x00280100))
    return "Pixel Data (7FE0,0010)" if has_matrix and not any(tag in values for tag in (*_PIXELS, 0x00660002)) else ""
