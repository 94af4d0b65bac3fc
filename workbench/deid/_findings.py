"""What de-identifying attributes does not reach, and a person should look at.

Knows: where an identity can be beside the attributes: in pixels, in text, in recognizable features.
Does not know: how to clean any of it.
"""

from collections.abc import Iterator

from pydicom.dataset import Dataset

from workbench.deid.plan import Plan
from workbench.entities import Finding, Severity

__all__ = ["looked_at"]

#: modalities whose images often have text burned in (PS3.3 C.7.6.1.1.4; ultrasound, captures, film digitizers, photographs)
_WRITTEN_ON = frozenset(
    {"US", "IVUS", "OT", "SC", "ES", "XC", "GM", "RF", "FS", "HC", "DOC", "OP", "OPT", "OAM", "KER", "AR", "SMR"}
)
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_HEAD = ("HEAD", "BRAIN", "FACE", "SKULL", "NECK", "HEADNECK")


def looked_at(dataset: Dataset, plan: Plan) -> Iterator[Finding]:
    """Yield findings about pixels, faces and content of a dataset that is being released."""
    if "Rows" in dataset:
        yield from _burned_in(dataset)
        yield from _recognizable(dataset)
    if any(step.action == "D" and step.path in {"ContentSequence", "GraphicAnnotationSequence"} for step in plan):
        yield Finding(
            Severity.WARNING, "ContentSequence" if "ContentSequence" in dataset else "GraphicAnnotationSequence", "PS3.15 E.3.4",
            "Its codes and numbers stay, its text is replaced.", "Read it before it leaves the house.",
        )  # fmt: skip
    if any(step.path == "EncapsulatedDocument" for step in plan):
        yield Finding(
            Severity.NOTE,
            "EncapsulatedDocument",
            "PS3.15 Table E.1-1",
            "The document was replaced by an empty one; nothing of it is left.",
        )


def _burned_in(dataset: Dataset) -> Iterator[Finding]:
    said = str(dataset.get("BurnedInAnnotation", "") or "")
    message = "Pixels are not changed, and the object says that they have burned-in text."
    remedy = "Look at every frame, mask the text, or do not release it."
    if said == "YES":
        yield Finding(Severity.ERROR, "BurnedInAnnotation", "PS3.15 E.3.1", message, remedy)
    elif said != "NO" and (
        str(dataset.get("Modality", "")) in _WRITTEN_ON
        or str(dataset.get("SOPClassUID", "")).startswith(_CAPTURE)
        or str(dataset.get("ConversionType", "") or "")
    ):
        message = "Pixels are not changed, and images of this kind often have burned-in text."
        yield Finding(Severity.WARNING, "BurnedInAnnotation", "PS3.15 E.3.1", message, remedy)
    if any(tag >> 24 == 0x60 and tag & 0xFFFF == 0x0102 and _position(dataset, tag) for tag in dataset.keys()):  # noqa: SIM118
        message = "An overlay is kept in unused bits of the pixels; its description is removed, its bits are not."
        yield Finding(Severity.WARNING, "PixelData", "PS3.5 8.1.2", message, remedy)


def _position(dataset: Dataset, tag: int) -> bool:
    return str(dataset[tag].value or "0") != "0"


def _recognizable(dataset: Dataset) -> Iterator[Finding]:
    part = str(dataset.get("BodyPartExamined", "") or "").upper()
    said = str(dataset.get("RecognizableVisualFeatures", "") or "")
    if said == "YES" or (said != "NO" and part in _HEAD and str(dataset.get("Modality", "")) in {"CT", "MR", "PT"}):
        yield Finding(
            Severity.WARNING, "PixelData", "PS3.15 E.3.2", "A face could be reconstructed from these images.",
            "Deface them where the agreement asks for it.",
        )  # fmt: skip
