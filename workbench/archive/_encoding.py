"""A dataset as the bytes of a file.

Knows: how pydicom encodes.
Does not know: where the bytes go.
"""

import io

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from workbench.entities import uid_checked
from workbench.errors import AttributeUnusable

__all__ = ["encoded"]


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
    own = getattr(dataset, "file_meta", None) or FileMetaDataset()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax_uid or own.get("TransferSyntaxUID") or "")
    if not meta.TransferSyntaxUID:
        raise AttributeUnusable(
            f"Instance {dataset.SOPInstanceUID} has no Transfer Syntax UID (0002,0010) in its file_meta: pass transfer_syntax_uid=."
        )
    shallow = Dataset(dataset)
    shallow.file_meta = meta
    file = io.BytesIO()
    try:
        dcmwrite(file, shallow, enforce_file_format=True)
    except (AttributeError, ValueError, TypeError, KeyError, NotImplementedError, OverflowError) as error:
        raise AttributeUnusable(
            f"Instance {dataset.SOPInstanceUID} can't be encoded ({type(error).__name__}): look for an attribute whose value "
            "does not fit its value representation (PS3.5 6.2)."
        ) from None
    return file.getvalue()
