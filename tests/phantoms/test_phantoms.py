"""Each phantom is complete, conformant, deterministic, and what its truth says."""

import io

import numpy as np
import pydicom
import pytest

from workbench import conformance, phantoms
from workbench.errors import BuildRefused


@pytest.fixture(scope="module")
def everything():
    return phantoms.everything()


@pytest.fixture(scope="module")
def body():
    return phantoms.pet_ct()


def saved(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def errors_of(dataset, folder):
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    path.write_bytes(saved(dataset))
    return [f"{finding.path}: {finding.message}" for finding in conformance.check(path).errors]


def test_dciodvfy_finds_no_error_in_any_phantom(everything, tmp_path):
    assert {d.SOPInstanceUID: e for d in everything if (e := errors_of(d, tmp_path))} == {}


def test_dciodvfy_would_find_an_error(everything, tmp_path):
    broken = pydicom.dcmread(io.BytesIO(saved(everything[0])))
    del broken.RescaleSlope
    assert any("RescaleSlope" in error for error in errors_of(broken, tmp_path))


def test_every_phantom_reads_back_equal(everything):
    for dataset in everything:
        back = pydicom.dcmread(io.BytesIO(saved(dataset)))
        assert back == dataset
        assert back.file_meta.TransferSyntaxUID.is_little_endian
        assert back.file_meta.MediaStorageSOPInstanceUID == back.SOPInstanceUID
        assert back.pixel_array.size == back.get("NumberOfFrames", 1) * back.Rows * back.Columns * back.SamplesPerPixel


def test_the_collection_has_several_patients_and_unique_instances(everything):
    assert len({d.SOPInstanceUID for d in everything}) == len(everything)
    assert len({d.PatientID for d in everything}) == 5
    assert len({d.StudyInstanceUID for d in everything}) == 5
    assert {d.Modality for d in everything} == {"CT", "PT", "OP", "OPT"}
    assert any("山田" in str(d.PatientName) and d.SpecificCharacterSet == "ISO_IR 192" for d in everything)
    assert len({(d.StudyInstanceUID, d.PatientID) for d in everything}) == 5


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: list(phantoms.ct_series(2, rows=64, columns=48, seed=seed)),
        lambda seed: [phantoms.fundus("L", seed=seed)],
        lambda seed: [phantoms.oct("L", seed=seed).volume],
        lambda seed: [phantoms.endothelium(seed=seed).image],
        lambda seed: [phantoms.planted_ct(seed).dataset],
        lambda seed: [*phantoms.pet_ct(seed).pet[:2], *phantoms.pet_ct(seed).ct[:1]],
    ],
)
def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(make):
    once, again, other = make(0), make(0), make(1)
    assert [saved(d) for d in once] == [saved(d) for d in again]
    for first, second in zip(once, other, strict=True):
        assert first.PixelData != second.PixelData
        assert first.SOPInstanceUID != second.SOPInstanceUID


@pytest.mark.parametrize("make", [phantoms.fundus, phantoms.oct, phantoms.endothelium])
def test_an_eye_is_right_or_left(make):
    with pytest.raises(BuildRefused, match=r"'R' or 'L'.*C\.8\.17\.5"):
        make("OD")


@pytest.mark.parametrize("bad", [{"n": 0}, {"n": 1, "rows": 8}, {"n": 1, "columns": 70000}])
def test_a_ct_series_needs_slices_and_pixels(bad):
    n = bad.pop("n")
    with pytest.raises(BuildRefused, match="n of 1 or more"):
        phantoms.ct_series(n, **bad)


def test_ct_slices_are_equidistant_and_differ():
    slices = phantoms.ct_series(5, rows=64, columns=96)
    assert np.allclose(np.diff([s.ImagePositionPatient[2] for s in slices]), 2.5)
    assert len({s.PixelData for s in slices}) == 5
    assert slices[0].pixel_array.shape == (64, 96)
    values = slices[2].pixel_array * slices[2].RescaleSlope + slices[2].RescaleIntercept
    assert values.min() <= -950  # air
    assert values.max() >= 300  # bone


# ------------------------------------------------------------------ PET/CT


def suv_by_hand(body):
    """SUV from the header's numbers, by the formula of PS3.3 C.8.9 written out for one hour."""
    head = body.pet[0]
    item = head.RadiopharmaceuticalInformationSequence[0]
    remaining = float(item.RadionuclideTotalDose) * 2 ** (-3600 / float(item.RadionuclideHalfLife))
    values = np.stack([d.pixel_array * float(d.RescaleSlope) for d in body.pet])
    return values * float(head.PatientWeight) * 1000 / remaining


def test_the_core_of_each_sphere_has_its_suv(body):
    suv = suv_by_hand(body)
    z = np.array([float(d.ImagePositionPatient[2]) for d in body.pet])[:, None, None]
    x0 = float(body.pet[0].ImagePositionPatient[0])
    axis = x0 + 4 * np.arange(128)
    assert [s.diameter_mm for s in body.spheres] == [10, 13, 17, 22, 28, 37]
    for sphere in (*body.spheres, body.background):
        x, y, z0 = sphere.center_mm
        away = np.sqrt((axis - x) ** 2 + (axis[:, None] - y) ** 2 + (z - z0) ** 2)
        core = away <= sphere.diameter_mm / 2 - 2 + 1e-6
        assert core.sum() >= 1
        assert suv[core].mean() == pytest.approx(sphere.suv, abs=1e-3)
        assert suv[core].std() < 0.1 * sphere.suv


def test_pet_slopes_differ_from_slice_to_slice_as_scanners_write_them(body):
    assert len({float(d.RescaleSlope) for d in body.pet}) > 20
    assert all(len(str(d.RescaleSlope)) <= 16 for d in body.pet)


def test_pet_and_ct_share_frame_of_reference_study_and_slices(body):
    both = (*body.pet, *body.ct)
    assert len({d.FrameOfReferenceUID for d in both}) == len({d.StudyInstanceUID for d in both}) == 1
    assert [d.ImagePositionPatient[2] for d in body.pet] == [d.ImagePositionPatient[2] for d in body.ct]
    assert all(128 * d.PixelSpacing[0] == 512 for d in body.pet)
    assert all(256 * d.PixelSpacing[0] == 512 for d in body.ct)


def test_the_frame_reference_time_is_when_the_activity_equals_its_mean(body):
    half_life_s = float(body.pet[0].RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife)
    for d in (body.pet[0], body.pet[-1]):
        start_s = int(d.AcquisitionTime[2:4]) * 60 + int(d.AcquisitionTime[4:6]) - 30 * 60 * (d.SeriesTime[2:4] == "30")
        times = start_s + np.linspace(0, d.ActualFrameDuration / 1000, 20001)
        mean = np.mean(2 ** (-times / half_life_s))
        assert 2 ** (-float(d.FrameReferenceTime) / 1000 / half_life_s) == pytest.approx(mean, rel=1e-5)
        assert float(d.DecayFactor) == pytest.approx(1 / mean, rel=1e-5)


# ------------------------------------------------------------------ eyes


@pytest.mark.parametrize(("eye", "nasal"), [("R", slice(320, None)), ("L", slice(None, 320))])
def test_the_optic_disc_is_on_the_nasal_side(eye, nasal):
    image = phantoms.fundus(eye)
    brightness = image.pixel_array.sum(axis=2).astype(float)
    column = np.unravel_index(np.argmax(brightness), brightness.shape)[1]
    assert column in range(640)[nasal]
    assert image.ImageLaterality == eye
    assert image.PatientOrientation == ["L", "F"]


@pytest.mark.parametrize("eye", ["R", "L"])
def test_every_b_scan_lies_in_the_localizer(eye):
    made = phantoms.oct(eye)
    rows = []
    for group in made.volume.PerFrameFunctionalGroupsSequence:
        location = group.OphthalmicFrameLocationSequence[0]
        assert location.ReferencedSOPInstanceUID == made.localizer.SOPInstanceUID
        top, left, bottom, right = location.ReferenceCoordinates
        assert top == bottom
        assert 0 <= left < right <= made.localizer.Columns
        assert (right - left) * float(made.localizer.PixelSpacing[1]) == pytest.approx(6.0, abs=1e-4)
        rows.append(top)
    assert np.diff(rows) * float(made.localizer.PixelSpacing[0]) == pytest.approx(0.25, abs=1e-4)
    assert 0 <= min(rows) < max(rows) <= made.localizer.Rows


def test_the_retina_is_where_the_truth_says():
    made = phantoms.oct()
    frames = made.volume.pixel_array.astype(float)
    assert made.thickness_um.shape == (25, 512)
    assert np.unravel_index(np.argmin(made.thickness_um), (25, 512)) == made.fovea
    assert made.thickness_um.min() == pytest.approx(227, abs=1)  # the layers' thickness in the fovea
    assert made.thickness_um[0, 0] == pytest.approx(316, abs=1)  # and in the periphery
    spacing = made.volume.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing[0]
    assert (made.base_px - made.surface_px) * float(spacing) * 1000 == pytest.approx(made.thickness_um)
    for f in (0, 12, 24):
        for c in (20, 200, 300, 500):
            surface, base = round(made.surface_px[f, c]), round(made.base_px[f, c])
            assert frames[f, surface + 1 : surface + 4, c - 3 : c + 4].mean() > 2.5 * frames[f, : surface - 2, c].mean()
            assert frames[f, base - 4 : base - 1, c - 3 : c + 4].mean() > 1.1 * frames[f, base + 2 : base + 6, c - 3 : c + 4].mean()


def test_the_cells_are_as_many_as_the_truth_says():
    made = phantoms.endothelium()
    areas = np.bincount(made.labels.ravel())[1:]
    assert made.cells == areas.size == len(np.unique(made.labels)) - 1
    assert made.density_per_mm2 == pytest.approx(made.cells / (areas.sum() * 1e-6))
    assert made.variation_percent == pytest.approx(100 * np.std(areas, ddof=1) / areas.mean())
    assert 2000 < made.density_per_mm2 < 3500  # an adult's
    assert 30 < made.hexagonality_percent < 80
    edge = np.concatenate([made.labels[0], made.labels[-1], made.labels[:, 0], made.labels[:, -1]])
    assert not edge.any()
    borders = (made.labels[1:-1, 1:-1] != made.labels[1:-1, 2:]) | (made.labels[1:-1, 1:-1] != made.labels[2:, 1:-1])
    pixels = made.image.pixel_array[1:-1, 1:-1].astype(float)
    assert pixels[borders].mean() < 0.8 * pixels[~borders].mean()


# ------------------------------------------------------------------ identities


def test_every_planted_identity_is_in_the_bytes():
    made = phantoms.planted_ct()
    raw = saved(made.dataset)
    assert len(made.identities) > 100
    assert len(set(made.identities)) == len(made.identities)
    assert [i for i in made.identities if i.encode() not in raw] == []
    assert min(len(i.encode()) for i in made.identities) >= 7


def test_identities_are_planted_in_every_kind_of_place():
    dataset = phantoms.planted_ct().dataset
    depths, vrs, private = set(), set(), 0

    def walk(items, depth):
        nonlocal private
        for element in items:
            depths.add(depth)
            vrs.add(element.VR)
            private += element.tag.is_private
            for item in element.value if element.VR == "SQ" else ():
                walk(item, depth + 1)

    walk(dataset, 0)
    assert depths == {0, 1, 2, 3}
    assert vrs >= {"PN", "LO", "SH", "LT", "UT", "ST", "UI", "DA", "TM", "DT", "SQ", "UN", "OB", "OW", "AE"}
    assert private >= 12
    assert dataset.file_meta.SourceApplicationEntityTitle.split()[-1] in phantoms.planted_ct().identities


def test_identities_do_not_show_themselves():
    made = phantoms.planted_ct()
    assert not any(i in repr(made) for i in made.identities)
