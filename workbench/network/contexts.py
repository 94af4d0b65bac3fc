"""Presentation contexts: what to propose for a task.

Knows: abstract and transfer syntaxes, the limit of 128 contexts (PS3.8 9.3.2.2).
Does not know: associations, or what a peer accepts.
"""

from collections.abc import Iterator, Sequence

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext

__all__ = ["MAX_CONTEXTS", "MODEL_OF", "STORED_SYNTAXES", "query_model", "rounds", "service"]

#: Presentation context IDs are the odd numbers from 1 to 255 (PS3.8 9.3.2.2).
MAX_CONTEXTS = 128

_MODELS = {
    ("PATIENT", "FIND"): "1.2.840.10008.5.1.4.1.2.1.1",
    ("PATIENT", "MOVE"): "1.2.840.10008.5.1.4.1.2.1.2",
    ("PATIENT", "GET"): "1.2.840.10008.5.1.4.1.2.1.3",
    ("STUDY", "FIND"): "1.2.840.10008.5.1.4.1.2.2.1",
    ("STUDY", "MOVE"): "1.2.840.10008.5.1.4.1.2.2.2",
    ("STUDY", "GET"): "1.2.840.10008.5.1.4.1.2.2.3",
}

#: PATIENT or STUDY, by SOP class.
MODEL_OF = {uid: model for (model, _), uid in _MODELS.items()}

# What most instances are stored in, first what needs no decoder.
_USUAL = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1, JPEG2000Lossless, JPEGBaseline8Bit, JPEG2000, RLELossless,
    JPEGLSLossless, JPEGLSNearLossless, JPEGExtended12Bit, JPEGLossless, DeflatedExplicitVRLittleEndian, HTJ2KLossless, HTJ2K,
)  # fmt: skip
_JPEG_XL = ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112")
# Deflated image frames (PS3.5 8.2.16), and the retired processes of JPEG that old archives still hold.
_RARE = ("1.2.840.10008.1.2.8.1", *(f"1.2.840.10008.1.2.4.{n}" for n in (*range(52, 57), *range(58, 67))))

#: Every transfer syntax that we store as it comes, the usual ones first.
STORED_SYNTAXES: tuple[str, ...] = tuple(dict.fromkeys(str(uid) for uid in (*_USUAL, *AllTransferSyntaxes, *_JPEG_XL, *_RARE)))


def query_model(model: str, operation: str) -> str:
    """Return the SOP class of a query model (PS3.4 C.6): PATIENT or STUDY root, for FIND, MOVE or GET.

    Examples
    --------
    >>> query_model("STUDY", "FIND")
    '1.2.840.10008.5.1.4.1.2.2.1'
    """
    return _MODELS[model, operation]


def service(sop_class_uid: str) -> list[PresentationContext]:
    """Return the contexts for a service without bulk: explicit and implicit VR little endian."""
    return [build_context(sop_class_uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]


def rounds(sop_class_uids: Sequence[str], *, reserved: int) -> Iterator[list[PresentationContext]]:
    """Yield contexts to receive instances of these classes, as many at a time as an association holds.

    Each pair of class and transfer syntax has a context of its own, so that the peer can send every instance as it
    is stored. A class comes with all the usual syntaxes at once, or not yet: a peer that finds its class but not its
    syntax may decode the instance rather than wait. What has no room comes after the usual syntaxes of all classes.

    Parameters
    ----------
    sop_class_uids : sequence of str
        Storage classes.
    reserved : int
        Contexts of each association that are needed for something else.
    """
    size = MAX_CONTEXTS - reserved
    at_once = max(1, size // len(_USUAL))
    later: list[PresentationContext] = []
    for start in range(0, len(sop_class_uids), at_once):
        some = sop_class_uids[start : start + at_once]
        room = size // len(some)  # syntaxes for each: the usual ones at least
        yield [build_context(uid, syntax) for syntax in STORED_SYNTAXES[:room] for uid in some]
        later += [build_context(uid, syntax) for syntax in STORED_SYNTAXES[room:] for uid in some]
    for start in range(0, len(later), size):
        yield later[start : start + size]
