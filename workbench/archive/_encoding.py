"""A dataset as the bytes of a file.

Knows: how pydicom encodes.
Does not know: where the bytes go.
"""

import io
import re

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from workbench.entities import uid_checked
from workbench.errors import AttributeUnusable
from workbench.files import character_sets, meta_bytes
from workbench.files.byte_order import order_checked

__all__ = ["encoded"]

_SAME_PIXELS = {DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian}


def encoded(dataset: Dataset, transfer_syntax_uid: str | None) -> bytes:
    """Return a dataset as a file of PS3.10; it is not changed.

    Raises
    ------
    AttributeUnusable
        If a UID is missing, no transfer syntax is named, or a value can't be encoded.
    UidInvalid
        If its SOP Instance UID is none.
    """
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not dataset.get(keyword):
            raise AttributeUnusable(f"The archive needs {keyword}, which the dataset does not have (PS3.3 C.12.1).")
    uid_checked(dataset.SOPInstanceUID, name="SOP Instance UID (0008,0018)")
    syntax = _syntax(dataset, transfer_syntax_uid)
    order_checked(dataset, syntax)
    shallow, file = Dataset(dataset), io.BytesIO()
    try:
        if syntax.is_transfer_syntax and not syntax.is_private:
            shallow.file_meta = FileMetaDataset()
            shallow.file_meta.TransferSyntaxUID = syntax
            dcmwrite(file, shallow, enforce_file_format=True)
        else:  # one that pydicom does not know is encapsulated, and those are Explicit VR Little Endian (PS3.5 A.4)
            file.write(meta_bytes(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), syntax))
            dcmwrite(file, shallow, implicit_vr=False, little_endian=True, force_encoding=True)
    except Exception as error:  # noqa: BLE001 - whatever the library stumbles over; its text may repeat the value
        tag = re.search(r"\([0-9A-F]{4},[0-9A-F]{4}\)", str(error))
        if isinstance(error, character_sets.NotEncodable):
            raise AttributeUnusable(
                f"Instance {dataset.SOPInstanceUID} can't be encoded: {tag[0] if tag else 'an attribute'} has characters that its "
                "Specific Character Set (0008,0005) does not have (PS3.5 6.1). 'ISO_IR 192' has all."
            ) from None
        raise AttributeUnusable(
            f"Instance {dataset.SOPInstanceUID} can't be encoded: {tag[0] if tag else 'an attribute'} has a value "
            f"that does not fit its value representation ({type(error).__name__}; PS3.5 6.2)."
        ) from None
    return file.getvalue()


def _syntax(dataset: Dataset, wanted: str | None) -> UID:
    """Return how the dataset is to be encoded; one whose pixels would have to be changed is refused."""
    own = UID((getattr(dataset, "file_meta", None) or FileMetaDataset()).get("TransferSyntaxUID") or "")
    syntax = UID(wanted or own)
    if not syntax:
        raise AttributeUnusable(
            f"Instance {dataset.SOPInstanceUID} has no Transfer Syntax UID (0002,0010) in its file_meta: pass transfer_syntax_uid=."
        )
    if own and own != syntax and "PixelData" in dataset and not {own, syntax} <= _SAME_PIXELS:
        raise AttributeUnusable(
            f"Instance {dataset.SOPInstanceUID} is encoded in {own.name}: its pixel data would have to be transcoded to become "
            f"{syntax.name}, which adding does not do."
        )
    return syntax
