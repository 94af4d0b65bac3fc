"""Presentation states and images of other makers: our rendering against that of DCMTK, to one gray level."""

import csv
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from workbench.errors import PixelDataUnusable
from workbench.rendering import Window, render, resolve

# dcm2pnm spreads fewer than eight bits over 2**bits levels instead of 2**bits - 1, so white is not quite white there
FEW_BITS = 8
# codecs may differ in rounding where they lose information anyway; and then a steep window spreads that
LOSSY = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55)}


def table(first, values, bits):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values) % 65536, first % 65536, bits])
    item.add_new("LUTData", "US", [int(v) for v in values])
    return item


def voi(**attributes):
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


RESCALE = {"RescaleSlope": "1", "RescaleIntercept": "-1024", "RescaleType": "HU"}
CURVE = np.rint(4095 * np.linspace(0, 1, 1000) ** 2)
FALLING = table(0, np.arange(4096)[::-1] * 16, 16)
FALLING.ModalityLUTType = "US"
STATES = {
    "identity": {},
    "rescale and window": RESCALE | {"SoftcopyVOILUTSequence": [voi(WindowCenter="40", WindowWidth="400")]},
    "narrow window": RESCALE | {"SoftcopyVOILUTSequence": [voi(WindowCenter="40", WindowWidth="1")]},
    "inverse": RESCALE | {"SoftcopyVOILUTSequence": [voi(WindowCenter="0", WindowWidth="999")], "PresentationLUTShape": "INVERSE"},
    "VOI LUT": RESCALE | {"SoftcopyVOILUTSequence": [voi(VOILUTSequence=[table(-500, CURVE, 12)])]},
    "modality LUT": {"ModalityLUTSequence": [FALLING]},
    "presentation LUT": RESCALE | {
        "SoftcopyVOILUTSequence": [voi(WindowCenter="40", WindowWidth="400")],
        "PresentationLUTSequence": [table(0, np.rint(4095 * np.linspace(0, 1, 1024) ** 2), 12)],
    },
    "rotation 90": {"ImageRotation": 90, "ImageHorizontalFlip": "N"},
    "rotation 180 and flip": {"ImageRotation": 180, "ImageHorizontalFlip": "Y"},
    "rotation 270 and flip": {"ImageRotation": 270, "ImageHorizontalFlip": "Y"},
    "flip": {"ImageRotation": 0, "ImageHorizontalFlip": "Y"},
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_state_is_rendered_as_dcmp2pgm_does(make, make_pr, dcmp2pgm, name, photometric):
    y, x = np.mgrid[:48, :64]
    image = make((x * 60 + y * 5).astype(np.uint16), bits_stored=12, photometric=photometric, WindowCenter="7", WindowWidth="9")
    image.PatientName = image.PatientID = image.StudyDate = ""
    state = make_pr(image, **STATES[name])
    if "PresentationLUTSequence" in state:
        del state.PresentationLUTShape
    theirs = dcmp2pgm(image, state)
    ours = render(resolve(image, state=state))
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_three_scrambled_tables_of_dcmtk_give_its_own_picture(corpus):
    """Modality, VOI and presentation LUT scrambled so that only the right order gives the picture; rendered by DCMTK's authors."""
    folder = corpus / "presentation"
    image = pydicom.dcmread(folder / "weasis-dicom-tools__imageForPrLUTs.dcm")
    plan = resolve(image, state=pydicom.dcmread(folder / "weasis-dicom-tools__prLUTs.dcm"))
    expected = (folder / "prLUTs_expected.pgm").read_bytes()[-512 * 512 :]
    np.testing.assert_array_equal(render(plan).ravel(), np.frombuffer(expected, np.uint8))


def images(corpus):
    """Paths of all objects with pixels that the index knows to be decodable, and of those that it knows not to be."""
    with (corpus / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["pixel_decode"] not in {"", "n/a"}]
    good = [corpus / r["path"] for r in rows if r["pixel_decode"].startswith("ok")]
    return good, [corpus / r["path"] for r in rows if not r["pixel_decode"].startswith("ok")]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_images_of_the_corpus_are_rendered_or_refused_with_a_reason(corpus):
    good, bad = images(corpus)
    assert len(good) > 250
    for path in good:
        dataset = pydicom.dcmread(path, force=True)
        plan = resolve(dataset)
        for frame in {0, plan.layout.frames - 1}:
            seen = render(plan, frame=frame)
            assert seen.dtype == np.uint8, path
            assert seen.shape[2:] == ((3,) if plan.is_color else ()), path
    refused = []
    for path in bad:
        try:
            render(resolve(pydicom.dcmread(path, force=True)))
        except PixelDataUnusable as error:
            refused.append(str(error))
    assert 8 <= len(refused) < len(bad)
    assert all("PS3" in message or "limit" in message for message in refused)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_images_of_the_corpus_look_as_dcm2pnm_shows_them(corpus, program, dcm2pnm, tmp_path):
    """With the first window or VOI LUT, or the full range: to one gray level, where no lossy decoder comes between."""
    compared, different = 0, []
    for path in images(corpus)[0]:
        dataset = pydicom.dcmread(path, force=True)
        plan = resolve(dataset)
        if plan.layout.bits_stored < FEW_BITS or plan.layout.keyword != "PixelData":
            continue
        switches = []
        if not plan.is_color and plan.choices:
            switches = ["+Wi", "1"] if isinstance(plan.frame(0).voi, Window) else ["+Wl", "1"]
        elif not plan.is_color:
            plan = resolve(dataset, voi="full")
        theirs = dcm2pnm(decompressed(path, program, tmp_path), *switches)
        if theirs is None:  # no decoder, windows in functional groups, or an object that DCMTK does not take
            continue
        compared += 1
        ours = render(plan)
        is_lossy = plan.layout.transfer_syntax_uid in LOSSY or plan.layout.photometric.startswith("YBR")
        off = np.abs(ours.astype(int) - theirs) if ours.shape == theirs.shape else np.array([999])
        if off.max() > 1 and not (is_lossy and off.mean() < 1):
            different.append((path.name, int(off.max()), float(off.mean())))
    assert different == []
    assert compared > 200


def decompressed(path, program, tmp_path):
    """The file as one that dcm2pnm can read."""
    syntax = getattr(pydicom.dcmread(path, stop_before_pixels=True, force=True), "file_meta", {}).get("TransferSyntaxUID", "")
    tool = "dcmdrle" if syntax == "1.2.840.10008.1.2.5" else "dcmdjpls" if syntax[-3:] in {".80", ".81"} else "dcmdjpeg"
    if not syntax.startswith(("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")):
        return path
    out = tmp_path / "native.dcm"
    out.unlink(missing_ok=True)
    subprocess.run([program(tool), str(path), str(out)], capture_output=True, check=False)
    return out
