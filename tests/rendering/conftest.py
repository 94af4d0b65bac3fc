"""Images made for one test, and what DCMTK makes of them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def make_image(values: np.ndarray, *, bits_stored: int | None = None, photometric: str = "MONOCHROME2", **attributes) -> Dataset:
    """An image of `values`, (rows, columns[, 3]) or (frames, rows, columns[, 3]), in Explicit VR Little Endian."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = SECONDARY_CAPTURE, generate_uid()
    image.Modality = "OT"
    image.SamplesPerPixel = 3 if values.shape[-1] == 3 and photometric[:3] in {"RGB", "YBR"} else 1
    frame_axes = values.ndim - 2 - (image.SamplesPerPixel == 3)
    if frame_axes:
        image.NumberOfFrames = values.shape[0]
    image.PhotometricInterpretation = photometric
    image.Rows, image.Columns = values.shape[frame_axes : frame_axes + 2]
    image.BitsAllocated = values.dtype.itemsize * 8
    image.BitsStored = bits_stored or image.BitsAllocated
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(values.dtype.kind == "i")
    if image.SamplesPerPixel == 3:
        image.PlanarConfiguration = 0
    data = values.tobytes()
    image.add_new("PixelData", "OW" if image.BitsAllocated > 8 else "OB", data + b"\0" * (len(data) % 2))
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


@pytest.fixture(scope="session")
def make() -> Callable[..., Dataset]:
    """A function that makes an image of an array."""
    return make_image


@pytest.fixture(scope="session")
def bits() -> Callable[..., Dataset]:
    """A function that makes an image of one bit a pixel (PS3.5 8.1.1) of an array of 0 and 1."""

    def of(values: np.ndarray) -> Dataset:
        image = make_image(values.astype(np.uint8))
        image.BitsAllocated = image.BitsStored = 1
        image.HighBit = 0
        packed = np.packbits(values.ravel().astype(np.uint8), bitorder="little").tobytes()
        image.PixelData = packed + b"\0" * (len(packed) % 2)
        return image

    return of


def ramp(low: int, high: int, dtype: str) -> np.ndarray:
    """All values from low to high in rows of 256."""
    values = np.arange(low, high + 1)
    return np.pad(values, (0, -len(values) % 256), mode="edge").reshape(-1, 256).astype(dtype)


@pytest.fixture(scope="session", name="ramp")
def _ramp() -> Callable[..., np.ndarray]:
    return ramp


def make_state(image: Dataset, **attributes) -> Dataset:
    """A grayscale softcopy presentation state for `image` that does nothing but what `attributes` say."""
    state = Dataset()
    state.file_meta = FileMetaDataset()
    state.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    state.SOPClassUID, state.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.11.1", generate_uid()
    series, reference, area = Dataset(), Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedImageSequence = generate_uid(), [reference]
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [image.Columns, image.Rows]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", [1, 1]
    state.Modality, state.ReferencedSeriesSequence = "PR", [series]
    state.DisplayedAreaSelectionSequence = [area]
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"):
        setattr(state, keyword, "")
    state.PatientName, state.PatientID = "Test^State", "T1"
    state.ReferringPhysicianName = state.StudyID = state.SeriesNumber = state.Manufacturer = ""
    state.StudyInstanceUID, state.SeriesInstanceUID = generate_uid(), generate_uid()
    state.InstanceNumber, state.ContentLabel, state.ContentDescription, state.ContentCreatorName = 1, "TEST", "", ""
    state.PresentationCreationDate, state.PresentationCreationTime = "20260101", "120000"
    state.PresentationLUTShape = "IDENTITY"
    for keyword, value in attributes.items():
        setattr(state, keyword, value)
    return state


@pytest.fixture(scope="session")
def make_pr() -> Callable[..., Dataset]:
    """A function that makes a presentation state for an image."""
    return make_state


def read_pnm(path: Path) -> np.ndarray:
    """The pixels of a binary PGM or PPM file of 8 bits."""
    content = path.read_bytes()
    fields, at = [], 0
    while len(fields) < 4:
        word = content[at:].split(None, 1)[0]
        at = content.index(word, at) + len(word)
        if word.startswith(b"#"):
            at = content.index(b"\n", at)
        else:
            fields.append(word)
    shape = (int(fields[2]), int(fields[1])) + ((3,) if fields[0] == b"P6" else ())
    return np.frombuffer(content[at + 1 :], np.uint8).reshape(shape)


@pytest.fixture
def dcm2pnm(program, tmp_path) -> Callable[..., np.ndarray | None]:
    """A function that renders a dataset or file with dcm2pnm and given switches; None where dcm2pnm refuses."""

    def run(source: Dataset | Path, *switches: str) -> np.ndarray | None:
        if isinstance(source, Dataset):
            source.save_as(tmp_path / "image.dcm", enforce_file_format=True)
            source = tmp_path / "image.dcm"
        out = tmp_path / "out.pnm"
        arguments = [program("dcm2pnm"), *([] if "+O" in switches else ["-O"]), *switches, str(source), str(out)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        return read_pnm(out) if done.returncode == 0 else None

    return run


@pytest.fixture
def dcmp2pgm(program, tmp_path) -> Callable[[Dataset, Dataset], np.ndarray]:
    """A function that renders an image through a presentation state with dcmp2pgm."""

    def run(image: Dataset, state: Dataset) -> np.ndarray:
        image.save_as(tmp_path / "image.dcm", enforce_file_format=True)
        state.save_as(tmp_path / "state.dcm", enforce_file_format=True)
        out = tmp_path / "out.pgm"
        arguments = [program("dcmp2pgm"), "-p", str(tmp_path / "state.dcm"), str(tmp_path / "image.dcm"), str(out)]
        subprocess.run(arguments, capture_output=True, text=True, check=True)
        return read_pnm(out)

    return run
