"""Created objects in the transfer syntax to which a system is set.

Knows: which transfer syntaxes can be written here, what a lossy one wants said (PS3.3 C.7.6.1.1.5).
Does not know: where a setting comes from, what pixels show.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from workbench.errors import BuildRefused
from workbench.files import in_syntax
from workbench.rendering import pixels

__all__ = ["as_jpeg", "coded_in"]

_LOSSLESS = frozenset({RLELossless, JPEGLSLossless, JPEG2000Lossless})


def as_jpeg(dataset: Dataset, frames: NDArray[np.uint8]) -> None:
    """Write frames (frames, rows, columns[, 3]) in JPEG Baseline, marked as lossy (PS3.3 C.7.6.1.1.5)."""
    coded = []
    for frame in frames:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=92, subsampling="4:2:2")
        coded.append(file.getvalue())
    if dataset.SamplesPerPixel == 3:  # what the codestream holds (PS3.5 8.2.1)
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "YBR_FULL_422", 0
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    dataset.LossyImageCompressionRatio = round(frames.nbytes / sum(map(len, coded)), 2)
    dataset.PixelData = encapsulate(coded)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit


def coded_in(dataset: Dataset, transfer_syntax_uid: str) -> Dataset:
    """Return a created object in another transfer syntax; the object is the caller's own and may be changed.

    Raises
    ------
    BuildRefused
        If it can't be written so here: it is compressed already, has pixels that the syntax can't hold, or there is no encoder.

    Notes
    -----
    JPEG Baseline holds 8 bits; what has no pixels stays uncompressed (PS3.5 A.4).
    """
    own, to = UID(dataset.file_meta.TransferSyntaxUID), UID(transfer_syntax_uid)
    if own == to or (to.is_encapsulated and "PixelData" not in dataset):
        return dataset
    if own.is_encapsulated:
        raise BuildRefused(f"It is created in {own.name}, and is not created in {to.name}.")
    if not to.is_encapsulated:
        return in_syntax(dataset, to=to)
    if to == JPEGBaseline8Bit:
        if dataset.BitsAllocated != 8:
            raise BuildRefused(f"{to.name} holds 8 bits a sample (PS3.5 A.4.1), not {dataset.BitsAllocated}.")
        if dataset.PhotometricInterpretation not in {"MONOCHROME1", "MONOCHROME2", "RGB"}:
            raise BuildRefused(f"{dataset.PhotometricInterpretation} is not written in {to.name} here.")
        values = pixels(dataset)
        as_jpeg(dataset, values if int(dataset.get("NumberOfFrames") or 1) > 1 else values[np.newaxis])
    elif to in _LOSSLESS:
        dataset.compress(to, generate_instance_uid=False)
    else:
        raise BuildRefused(f"There is no encoder for {to.name} here.")
    return dataset
