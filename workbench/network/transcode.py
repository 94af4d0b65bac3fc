"""The same dataset in another transfer syntax, without loss.

Knows: which transfer syntaxes can be left for one without compression without a bit of the image changed.
Does not know: files, associations; it never compresses.
"""

import copy
import io

from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import decompress
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from workbench.errors import AttributeUnusable, PixelDataUnusable
from workbench.files import character_sets
from workbench.files.byte_order import order_checked, turn

__all__ = ["can_leave", "encoded", "recoded"]

#: What an instance may be recoded to, in the order of preference: explicit keeps the representation of private elements, and
#: big endian is retired (PS3.5-2016b A.3), though there are systems that take nothing else.
TARGETS = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian), str(ExplicitVRBigEndian))


def can_leave(transfer_syntax_uid: str) -> bool:
    """Return whether datasets of this transfer syntax can be recoded to an uncompressed one here.

    Uncompressed and deflated ones can; encapsulated ones can where a decoder is installed; video and private ones
    can't.

    Examples
    --------
    >>> can_leave("1.2.840.10008.1.2.4.70"), can_leave("1.2.840.10008.1.2.4.102"), can_leave("1.3.46.670589.33.1.4.1")
    (True, False, False)
    """
    uid = UID(transfer_syntax_uid)
    if uid.is_private or not uid.is_transfer_syntax:
        return False
    if not uid.is_encapsulated:
        return True
    try:
        return bool(get_decoder(uid).is_available)
    except NotImplementedError:
        return False


def encoded(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """Return the encoded bytes of `dataset`, without file meta information; `dataset` stays as it is.

    Raises
    ------
    PixelDataUnusable
        If it can't be encoded so.
    """
    uid = UID(transfer_syntax_uid)
    try:
        order_checked(dataset, uid)
    except AttributeUnusable as error:
        raise PixelDataUnusable(str(error)) from None
    shallow = copy.copy(dataset)
    shallow.file_meta = FileMetaDataset()
    shallow.file_meta.TransferSyntaxUID = uid
    shallow.preamble = None
    for tag in [tag for tag in shallow.keys() if tag.group < 8]:  # noqa: SIM118 - keys() decodes nothing
        del shallow[tag]
    buffer = io.BytesIO()
    try:
        dcmwrite(buffer, shallow, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian, enforce_file_format=False)
    except character_sets.NotEncodable:
        raise PixelDataUnusable(
            "The dataset has characters that its Specific Character Set (0008,0005) does not have (PS3.5 6.1). "
            "'ISO_IR 192' has all."
        ) from None
    except Exception as error:  # noqa: BLE001 - the library's text may hold a value, so only its kind is told
        raise PixelDataUnusable(f"The dataset can't be encoded in {uid.name} ({type(error).__name__}).") from None
    return _without_meta(buffer.getvalue())


def _without_meta(data: bytes) -> bytes:
    start = 132 if data[128:132] == b"DICM" else 0
    while data[start : start + 2] == b"\x02\x00":  # group 0002, always explicit VR little endian
        if data[start + 4 : start + 6] in {b"OB", b"UN"}:
            start += 12 + int.from_bytes(data[start + 8 : start + 12], "little")
        else:
            start += 8 + int.from_bytes(data[start + 6 : start + 8], "little")
    return data[start:]


def recoded(part10: bytes | Dataset, *, to: str) -> bytes:
    """Return the dataset of a file or a dataset, encoded in an uncompressed transfer syntax.

    Parameters
    ----------
    part10 : bytes or Dataset
        A whole file, or a dataset with the Transfer Syntax UID of its encoding in its ``file_meta``.
    to : str
        One of `TARGETS`.

    Raises
    ------
    PixelDataUnusable
        If its pixels can't be decoded, or it can't be encoded so.

    Notes
    -----
    Decoding what was compressed with loss loses nothing more: Lossy Image Compression (0028,2110) and its ratio and
    method stay as they are (PS3.3 C.7.6.1.1.5). Colours are not converted where the decoder leaves the choice.
    """
    dataset = dcmread(io.BytesIO(part10)) if isinstance(part10, bytes) else copy.deepcopy(part10)
    source = UID(str(dataset.file_meta.TransferSyntaxUID))
    if source.is_encapsulated and "PixelData" in dataset:
        try:
            decompress(dataset, as_rgb=False, generate_instance_uid=False)
        except Exception as error:  # noqa: BLE001 - each decoder has its own
            raise PixelDataUnusable(
                f"Its pixels can't be decoded from {source.name} ({type(error).__name__}), and the peer takes no "
                f"compressed ones of this kind (PS3.5 A.4)."
            ) from None
    target = UID(to)
    if source.is_little_endian != target.is_little_endian:
        _turn(dataset, source)
    return encoded(dataset, to)


def _turn(dataset: Dataset, source: UID) -> None:
    try:
        turn(dataset, is_little_endian=source.is_little_endian)
    except AttributeUnusable as error:
        raise PixelDataUnusable(str(error)) from None
