"""Stored values of an image: checked first, then decoded.

Knows: the Image Pixel module (PS3.3 C.7.6.3), native and encapsulated pixel data (PS3.5 8 and A.4), pydicom's decoders.
Does not know: what the values mean or how they look.
"""

import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGTransferSyntaxes

from workbench.errors import PixelDataUnusable
from workbench.files import given
from workbench.rendering._codestream import mended, size, unpacked_runs
from workbench.rendering._reading import attribute, frame_count, integer, text, transfer_syntax_uid

__all__ = ["Layout", "layout", "pixels"]

LIMIT_BYTES = 2**31
_RLE = "1.2.840.10008.1.2.5"
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_NATIVE = {"", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
# retired processes that the decoder of the nearest one reads as well
_ALIKE = {f"1.2.840.10008.1.2.4.{n}": "1.2.840.10008.1.2.4.51" for n in (52, 53, 54, 55, 56)}
_JPEG = {*JPEGTransferSyntaxes, *_ALIKE}
_NAMES = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}
_PHOTOMETRIC = {
    "MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1,
    "RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3, "YBR_RCT": 3, "YBR_ICT": 3,
}  # fmt: skip
_KEYWORDS = {"PixelData": 0, "FloatPixelData": 32, "DoubleFloatPixelData": 64}


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of an image are laid out (PS3.3 C.7.6.3), checked.

    Parameters
    ----------
    keyword : str
        PixelData, FloatPixelData or DoubleFloatPixelData.
    rows, columns, frames, samples : int
        Rows, Columns, Number of Frames and Samples per Pixel.
    bits_allocated, bits_stored, high_bit : int
        As the attributes of those names.
    is_signed : bool
        Pixel Representation 1.
    planar_configuration : int
        0 where absent.
    photometric : str
        Photometric Interpretation as the attribute has it; MONOCHROME2 where that names a colour space for a single sample.
    transfer_syntax_uid : str
        Empty where the dataset has no file meta information.
    """

    keyword: str
    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    planar_configuration: int
    photometric: str
    transfer_syntax_uid: str

    @property
    def is_color(self) -> bool:
        """Whether a frame is shown in colour: three samples, or a palette."""
        return self.samples == 3 or self.photometric == "PALETTE COLOR"

    @property
    def is_native(self) -> bool:
        """Whether the pixel data are not encapsulated (PS3.5 A.1 to A.3, A.5)."""
        return self.transfer_syntax_uid in _NATIVE

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the decoded values."""
        if self.keyword != "PixelData":
            return np.dtype(f"f{self.bits_allocated // 8}")
        return np.dtype(f"{'i' if self.is_signed else 'u'}{max(self.bits_allocated, 8) // 8}")

    @property
    def frame_bytes(self) -> int:
        """Bytes that one decoded frame takes."""
        return self.rows * self.columns * self.samples * self.dtype.itemsize

    @property
    def value_range(self) -> tuple[int, int]:
        """Smallest and largest value that Bits Stored can hold."""
        return (-(2 ** (self.bits_stored - 1)), 2 ** (self.bits_stored - 1) - 1) if self.is_signed else (0, 2**self.bits_stored - 1)


def layout(image: Dataset) -> Layout:
    """Return how the pixels of an image are laid out, without touching them.

    Raises
    ------
    PixelDataUnusable
        If there are no pixel data, or an attribute of the Image Pixel module is absent or out of range (PS3.3 C.7.6.3).
    """
    keywords = [k for k in _KEYWORDS if k in image]
    if len(keywords) != 1:
        lack = "no pixel data" if not keywords else "more than one kind of pixel data"
        raise PixelDataUnusable(f"The dataset has {lack}: one of {', '.join(_KEYWORDS)} is needed (PS3.3 C.7.6.3, C.7.6.24).")
    keyword = keywords[0]
    _check_syntax(transfer_syntax_uid(image))
    bits = _KEYWORDS[keyword] or _number(image, "BitsAllocated", {1, 8, 16, 32})
    photometric = text(image, "PhotometricInterpretation") or "MONOCHROME2"
    samples = integer(image, "SamplesPerPixel", _PHOTOMETRIC.get(photometric, 1))
    if samples == 1 and _PHOTOMETRIC.get(photometric) == 3:
        photometric = "MONOCHROME2"  # colour by name only: there are no three samples to show
    if _PHOTOMETRIC.get(photometric) != samples:
        raise PixelDataUnusable(
            "Photometric Interpretation (0028,0004) and Samples per Pixel (0028,0002) do not fit, or are not known here: "
            f"one of {', '.join(_PHOTOMETRIC)} with 1 or 3 samples is needed (PS3.3 C.7.6.3.1.2)."
        )
    stored, high_bit = _bits(image, bits) if keyword == "PixelData" else (bits, bits - 1)
    return Layout(
        keyword=keyword,
        rows=_number(image, "Rows", range(1, 65536)),
        columns=_number(image, "Columns", range(1, 65536)),
        frames=frame_count(image),
        samples=samples or 1,
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=high_bit,
        is_signed=keyword == "PixelData" and _number(image, "PixelRepresentation", {0, 1}, default=0) == 1,
        planar_configuration=_number(image, "PlanarConfiguration", {0, 1}, default=0),
        photometric=photometric,
        transfer_syntax_uid=transfer_syntax_uid(image),
    )


def _check_syntax(uid: str) -> None:
    if uid in _NATIVE or uid == _DEFLATED_FRAMES:
        return
    try:
        get_decoder(UID(_ALIKE.get(uid, uid)))
    except NotImplementedError as error:
        raise PixelDataUnusable(f"There is no decoder here for pixel data in transfer syntax {_named(uid)} (PS3.5 A.4).") from error


def _named(uid: str) -> str:
    """Return a transfer syntax by its name and UID."""
    name = _NAMES.get(uid) or UID(uid).name
    return f"{name} ({uid})" if name != uid else uid


def _number(image: Dataset, keyword: str, allowed: set[int] | range, *, default: int | None = None) -> int:
    value = integer(image, keyword, default)
    if value is None or value not in allowed:
        wanted = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else " or ".join(map(str, sorted(allowed)))
        found = "is absent, empty or no single number" if value is None else f"is {value}"
        raise PixelDataUnusable(f"{keyword} {found}; {wanted} is needed (PS3.3 C.7.6.3).")
    return value


def _bits(image: Dataset, allocated: int) -> tuple[int, int]:
    stored = _number(image, "BitsStored", range(1, allocated + 1), default=allocated)
    high_bit = integer(image, "HighBit", stored - 1)
    if high_bit is None or not stored - 1 <= high_bit < allocated:
        high_bit = stored - 1  # PS3.5 8.1.1: nothing else can be meant by less
    return stored, high_bit


def pixels(image: Dataset, frame: int | None = None, *, limit_bytes: int = LIMIT_BYTES) -> NDArray[Any]:
    """Return decoded stored values.

    Parameters
    ----------
    image : Dataset
        An image in any transfer syntax for which a decoder is installed.
    frame : int, optional
        Index of a frame, from 0. All frames where it is not given.
    limit_bytes : int, default 2 GiB
        What is refused rather than allocated.

    Returns
    -------
    ndarray, shape (rows, columns[, 3]) or (frames, rows, columns[, 3])
        The frames axis is there when `frame` is not given and the image has more than one. Colour is as the image
        stores it, by pixel; bits that are not stored are gone and the sign is extended (PS3.5 8.1.1). It may be a
        read-only view of the dataset's bytes.

    Raises
    ------
    InputError
        If it is not a dataset.
    PixelDataUnusable
        If the attributes are out of range, the data too short or too large, the frame is not there, or no installed
        decoder can read the transfer syntax.
    """
    return decoded(image, layout(given.one(image, what="an image")), frame=frame, limit_bytes=limit_bytes)[0]


def decoded(image: Dataset, shape: Layout, *, frame: int | None, limit_bytes: int = LIMIT_BYTES) -> tuple[NDArray[Any], str]:
    """Return stored values as :func:`pixels` does, and the colour space in which the decoder left them."""
    if frame is not None and not 0 <= frame < shape.frames:
        raise PixelDataUnusable(f"There is no frame {frame}: the image has {shape.frames}, counted from 0 (PS3.3 C.7.6.6).")
    frames = range(shape.frames) if frame is None else range(frame, frame + 1)
    if shape.frame_bytes * len(frames) > limit_bytes:
        raise PixelDataUnusable(
            f"{len(frames)} frame(s) of {shape.rows} × {shape.columns} need {shape.frame_bytes * len(frames):,} bytes, which is "
            f"over the limit of {limit_bytes:,}. Pass frame= for one at a time, or limit_bytes= if it is really that large."
        )
    value = attribute(image, shape.keyword)
    if not isinstance(value, (bytes, bytearray)) or not value:
        raise PixelDataUnusable(f"{shape.keyword} is empty (PS3.3 C.7.6.3).")
    if shape.is_native or (not shape.transfer_syntax_uid and value[:4] != b"\xfe\xff\x00\xe0"):
        array, photometric = _native(image, shape, bytes(value), frames), _expanded_photometric(shape)
    else:
        array, photometric = _encapsulated(image, shape, bytes(value), frames)
    return (array[0] if frame is not None or shape.frames == 1 else array), photometric


def _expanded_photometric(shape: Layout) -> str:
    return "YBR_FULL" if shape.photometric == "YBR_FULL_422" else shape.photometric


def _native(image: Dataset, shape: Layout, value: bytes, frames: range) -> NDArray[Any]:
    per_frame = shape.rows * shape.columns * shape.samples
    subsampled = shape.photometric == "YBR_FULL_422" and len(value) < per_frame * shape.frames  # else it was written in full
    stored = per_frame * 2 // 3 if subsampled else per_frame
    first, count = frames.start * stored, len(frames) * stored
    needed = -(-(first + count) * shape.bits_allocated // 8)
    if len(value) < needed:
        raise PixelDataUnusable(
            f"{shape.keyword} has {len(value):,} bytes where {needed:,} are needed to frame {frames[-1]}: the object is truncated "
            "or its Rows, Columns, Bits Allocated or Number of Frames are wrong (PS3.5 8.1)."
        )
    is_big = shape.transfer_syntax_uid == "1.2.840.10008.1.2.2"
    if is_big and shape.bits_allocated != 16 and image[shape.keyword].VR == "OW":  # words of 16 bits, whatever pixels are in them
        value, is_big = np.frombuffer(value, np.uint16, len(value) // 2).byteswap().tobytes(), False
    if shape.bits_allocated == 1:
        packed = np.frombuffer(value, np.uint8)[first // 8 : needed]
        flat: NDArray[Any] = np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + count]
    else:
        flat = np.frombuffer(value, shape.dtype.newbyteorder(">" if is_big else "<"), count, first * shape.dtype.itemsize)
        flat = flat.astype(shape.dtype, copy=False)
    if subsampled:
        array: NDArray[Any] = _upsampled(flat).reshape(len(frames), shape.rows, shape.columns, 3)
    elif shape.samples == 1:
        array = flat.reshape((len(frames), shape.rows, shape.columns))
    elif shape.planar_configuration:
        array = np.moveaxis(flat.reshape(len(frames), 3, shape.rows, shape.columns), 1, -1)
    else:
        array = flat.reshape(len(frames), shape.rows, shape.columns, 3)
    return _aligned(array, shape, high_bit=shape.high_bit)


def _upsampled(flat: NDArray[Any]) -> NDArray[Any]:
    """Y1 Y2 CB CR becomes Y1 CB CR Y2 CB CR (PS3.3 C.7.6.3.1.2, YBR_FULL_422)."""
    groups = flat.reshape(-1, 4)
    return groups[:, [0, 2, 3, 1, 2, 3]].reshape(-1)


def _aligned(array: NDArray[Any], shape: Layout, *, high_bit: int) -> NDArray[Any]:
    """Drop the bits that are not stored and extend the sign (PS3.5 8.1.1)."""
    if shape.keyword != "PixelData" or shape.bits_allocated in {shape.bits_stored, 1}:
        return array
    width = array.dtype.itemsize * 8
    return (array << (width - 1 - high_bit)) >> (width - shape.bits_stored)


def _encapsulated(image: Dataset, shape: Layout, value: bytes, frames: range) -> tuple[NDArray[Any], str]:
    sources = _all_frames(image, shape, value) if len(frames) > 1 else iter([_one_frame(image, shape, value, frames.start)])
    array: NDArray[Any] | None = None
    photometric = shape.photometric
    for index, source in zip(frames, sources, strict=False):
        one, photometric = _decoded_frame(shape, source, index)
        if array is None:
            array = np.empty((len(frames), *one.shape), one.dtype)
        array[index - frames.start] = one
        last = index
    if array is None or last != frames[-1]:
        raise PixelDataUnusable(f"The pixel data end before frame {frames[-1]}: Number of Frames is {shape.frames} (PS3.5 A.4).")
    return array, photometric


def _one_frame(image: Dataset, shape: Layout, value: bytes, index: int) -> bytes:
    try:
        return get_frame(value, index, number_of_frames=shape.frames, extended_offsets=_offsets(image))
    except Exception as error:
        raise PixelDataUnusable(f"Frame {index} is not to be found in the encapsulated pixel data (PS3.5 A.4).") from error


def _all_frames(image: Dataset, shape: Layout, value: bytes) -> Iterator[bytes]:
    try:
        yield from generate_frames(value, number_of_frames=shape.frames, extended_offsets=_offsets(image))
    except Exception as error:
        raise PixelDataUnusable("The frames are not to be found in the encapsulated pixel data (PS3.5 A.4).") from error


def _offsets(image: Dataset) -> tuple[bytes, bytes] | None:
    offsets, lengths = attribute(image, "ExtendedOffsetTable"), attribute(image, "ExtendedOffsetTableLengths")
    return (offsets, lengths) if offsets and lengths and len(offsets) == len(lengths) else None


def _decoded_frame(shape: Layout, source: bytes, index: int) -> tuple[NDArray[Any], str]:
    uid = shape.transfer_syntax_uid
    if uid == _DEFLATED_FRAMES:
        return _inflated(shape, source, index), shape.photometric
    if uid == _RLE and shape.bits_allocated == 1:
        packed = unpacked_runs(source, length=-(-shape.rows * shape.columns // 8))
        return _single(shape, packed), shape.photometric
    if uid in _JPEG:
        source = mended(source)
    said = size(source)
    if said is not None and said != (shape.rows, shape.columns):
        raise PixelDataUnusable(
            f"Frame {index} is {said[0]} × {said[1]} by its own header, but Rows and Columns say {shape.rows} × {shape.columns} "
            "(PS3.5 8.2)."
        )
    if not uid:
        raise PixelDataUnusable("The pixel data are encapsulated, but no Transfer Syntax UID (0002,0010) says how (PS3.5 A.4).")
    decoder = get_decoder(UID(_ALIKE.get(uid, uid)))
    wrapped = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0" + len(source).to_bytes(4, "little") + source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array, found = decoder.as_array(wrapped, index=0, raw=True, **_options(shape))
    except Exception as error:
        raise PixelDataUnusable(
            f"Frame {index} in transfer syntax {_named(uid)} can't be decoded: it is damaged or of a rare kind (PS3.5 8.2)."
        ) from error
    if uid == _RLE:  # keeps the words as they were
        array = _aligned(array, shape, high_bit=shape.high_bit)
    elif uid in _JPEG:  # codes no sign; the others do, or the decoder has put it right
        array = _aligned(array, shape, high_bit=shape.bits_stored - 1)
    return array, str(found["photometric_interpretation"])


def _options(shape: Layout) -> dict[str, Any]:
    return {
        "rows": shape.rows,
        "columns": shape.columns,
        "number_of_frames": 1,
        "samples_per_pixel": shape.samples,
        "bits_allocated": shape.bits_allocated,
        "bits_stored": shape.bits_stored,
        "pixel_representation": int(shape.is_signed),
        "planar_configuration": shape.planar_configuration,
        "photometric_interpretation": shape.photometric,
        "pixel_keyword": "PixelData",
        "allow_excess_frames": False,
        "correct_unused_bits": False,
    }


def _inflated(shape: Layout, source: bytes, index: int) -> NDArray[Any]:
    """Decode one frame of Deflated Image Frame Compression (PS3.5 A.4.13): native bytes, deflated."""
    bits = shape.rows * shape.columns * shape.samples * shape.bits_allocated
    try:
        raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(source, -(-bits // 8) + 1)
    except zlib.error as error:
        raise PixelDataUnusable(f"Frame {index} is not deflated data (PS3.5 A.4.13).") from error
    return _single(shape, raw)


def _single(shape: Layout, raw: bytes) -> NDArray[Any]:
    """Return the one frame of which `raw` has the native bytes."""
    frame: NDArray[Any] = _native(Dataset(), shape, raw, range(1))[0]
    return frame
