"""SUV: published truth, the vendors' headers, laws, refusals."""

import copy
import json
from datetime import datetime, timedelta

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import AttributeUnusable
from workbench.quantification import Injection, injection, regions, suv, suv_by_weight, volume


def local(*parts):
    """The time of the images has no zone."""
    return datetime(*parts)  # noqa: DTZ001


NOON = local(2026, 3, 4, 12)


def item(dataset):
    return dataset.RadiopharmaceuticalInformationSequence[0]


# ------------------------------------------------------------------ known answers


def test_the_phantom_has_the_suv_that_its_truth_says(body):
    made = suv(reversed(body.pet))
    assert made.units == "g/ml"
    for sphere in (*body.spheres, body.background):
        core = regions.sphere(made, center_mm=sphere.center_mm, diameter_mm=sphere.diameter_mm - 4)
        found = regions.statistics(made.values, core, units=made.units, voxel_volume_ml=made.voxel_ml)
        assert found.mean == pytest.approx(sphere.suv, abs=1e-3)


DRO = ["0_0", "1_0", "2_0", "2_1", "2_3", "2_4", "3_1", "3_4", "4_0", "4_1", "5_0"]


def dro(corpus, name):
    return [pydicom.dcmread(p) for p in sorted((corpus / "pet/ibsi_suv" / f"DRO_{name}" / "PT").iterdir())]


def is_truth(made, images):
    """Background 1.00, cold sphere 0.20, hot sphere 4.00, within the step of the stored values."""
    stored = np.stack([image.pixel_array for image in images])
    step = np.median(made.values[stored > 0] / stored[stored > 0])
    levels = np.unique(np.round(made.values, 6))
    return [abs(levels[np.argmin(np.abs(levels - truth))] - truth) <= max(0.005, step) for truth in (0.2, 1.0, 4.0)] == [
        True
    ] * 3 and abs(made.values.max() - 4.0) <= max(0.005, step)


@pytest.mark.parametrize("name", DRO)
def test_digital_reference_objects(corpus, name):
    images = dro(corpus, name)
    assert is_truth(suv(images), images)


def test_a_dose_in_megabecquerel_is_refused_and_can_be_corrected(corpus):
    images = dro(corpus, "3_0")
    with pytest.raises(AttributeUnusable, match=r"below 10 kBq.*looks like MBq.*dose_bq="):
        suv(images)
    corrected = injection(images, dose_bq=368.08e6)
    assert is_truth(suv(images, injection=corrected), images)


def test_every_digital_reference_object_is_covered(corpus):
    folders = {p.name for p in (corpus / "pet/ibsi_suv").iterdir() if p.is_dir()}
    assert folders == {f"DRO_{name}" for name in (*DRO, "3_0")}


MAKERS = ["GE_MEDICAL_AND_BQML", "PHILIPS_BQML", "PHILIPS_CNTS_AND_BQML_SUV", "RADIOPHARM_DATETIME_UNDEFINED", "SIEMENS"]


@pytest.mark.parametrize("name", MAKERS)
def test_makers_headers(corpus, name):
    folder = corpus / "pet/suv_truth"
    truth = json.loads((folder / "suv_expected.json").read_text())
    assert set(truth) == set(MAKERS)
    images = [pydicom.dcmread(folder / file) for file in truth[name]["files"]]
    plain, made = volume(images), suv(images)
    some = plain.values > 0
    assert made.values[some] / plain.values[some] == pytest.approx(truth[name]["expected_suvbw_factor"], rel=1e-6)


def test_published_vector(pet, corpus):
    truth = json.loads((corpus / "pet/suv_truth/pixelmed_suv_vectors.json").read_text())
    vectors, stored = truth["vectors"], truth["stored_pixel"]
    for image in pet:
        image.PatientWeight, image.PatientSize = truth["common"]["PatientWeight_kg"], 2.898275349
        image.PatientSex = truth["common"]["PatientSex"]
        image.CorrectedImage = truth["common"]["CorrectedImage"]
        for keyword, value in vectors["BQML"].items():
            where = item(image) if keyword.startswith("Radio") else image
            setattr(where, keyword, value)
        del item(image).RadiopharmaceuticalStartDateTime
    pixels = np.full(pet[0].pixel_array.shape, stored, np.int16)
    for image in pet:
        image.PixelData = pixels.tobytes()
    assert suv(pet).values == pytest.approx(truth["expected"]["SUVbw"], abs=1e-4)
    for image in pet:
        image.TimezoneOffsetFromUTC = vectors["BQML_tz"]["TimezoneOffsetFromUTC"]
    assert suv(pet).values == pytest.approx(truth["expected"]["SUVbw"], abs=1e-4)
    for image in pet:
        image.Units, image.RescaleSlope = "GML", vectors["GML_no_SUVType"]["RescaleSlope"]
    assert suv(pet).values == pytest.approx(truth["expected"]["SUVbw"], abs=1e-4)
    for image in pet:
        image.Units, image.RescaleSlope, image.Manufacturer = "CNTS", vectors["PhilipsCNTS"]["RescaleSlope"], "Philips"
        image.private_block(0x7053, "Philips PET Private Group", create=True).add_new(
            0x00, "DS", vectors["PhilipsCNTS"]["(7053,1000)"]
        )
    assert suv(pet).values == pytest.approx(truth["expected"]["SUVbw"], abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "per_suvbw"),
    [("BSA", 0.3806), ("IBW", 2.7726)],  # published for 70 kg and 2.898 m, a man
)
def test_published_ratios_of_other_kinds_of_suv(pet, kind, per_suvbw):
    for image in pet:
        image.PatientWeight, image.PatientSize, image.PatientSex = 70, 2.898275349, "M"
        image.Units, image.SUVType = ("CM2ML" if kind == "BSA" else "GML"), kind
        image.RescaleSlope = per_suvbw / 1000
        image.PixelData = np.full(pet[0].pixel_array.shape, 1000, np.int16).tobytes()
    assert suv(pet).values == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "sex", "mass_kg"),
    [  # of 70 kg and 1.70 m, worked out by hand from the published formulas
        ("LBMJANMA", "M", 54.471),
        ("LBMJANMA", "F", 44.173),
        ("LBMJAMES128", "M", 55.298),
        ("LBMJAMES128", "F", 49.807),
        ("IBW", "F", 61.880),
    ],
)
def test_lean_and_ideal_mass(pet, kind, sex, mass_kg):
    for image in pet:
        image.PatientWeight, image.PatientSize, image.PatientSex = 70, 1.7, sex
        image.Units, image.SUVType, image.RescaleSlope = "GML", kind, 0.001
    stored = np.stack([image.pixel_array for image in pet])
    assert suv(pet).values == pytest.approx(stored * 0.001 * 70 / mass_kg, rel=1e-4)


# ------------------------------------------------------------------ when the scan began


def test_published_start_of_the_scan_from_frame_reference_times(pet):
    # six frames of 120 s; the series was made a day later, so its time is no start
    times = ["121310.062000", "121513.671000", "121717.468000", "121921.296000", "122125.281000"]
    offsets = [59936.854672596, 182936.8546726, 306936.8546726, 430936.8546726, 554936.8546726]
    for image, time, offset in zip(pet, times, offsets, strict=True):
        image.AcquisitionDate, image.AcquisitionTime = "20120928", time
        image.FrameReferenceTime, image.ActualFrameDuration = f"{offset:.8g}", 120000
        item(image).RadiopharmaceuticalStartDateTime = "20120928111500"
    found = injection(pet).reference
    assert abs(found - local(2012, 9, 28, 12, 13, 10, 62000)) < timedelta(seconds=0.01)


def test_a_series_time_after_the_acquisition_is_no_start(pet):
    truth = suv(pet).values
    for image in pet:
        image.SeriesDate, image.SeriesTime = "20260305", "080000"
    shifted = injection(pet)
    assert abs(shifted.reference - local(2026, 3, 4, 9, 30)) < timedelta(seconds=1)  # from Frame Reference Time
    assert suv(pet).values == pytest.approx(truth, rel=2e-4)


def test_ge_says_privately_when_the_scan_began(pet):
    for image in pet:
        image.SeriesDate, image.SeriesTime = "20260305", "080000"
        image.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20260304092900.00")
    assert injection(pet).reference == local(2026, 3, 4, 9, 29)


def test_an_injection_before_midnight(pet):
    for image in pet:
        del item(image).RadiopharmaceuticalStartDateTime
        item(image).RadiopharmaceuticalStartTime = "233000"
        image.SeriesTime, image.AcquisitionTime = "003000", "003000"
    found = injection(pet)
    assert found.elapsed_s == 3600
    assert found.administered == local(2026, 3, 3, 23, 30)


def test_a_time_zone_in_the_injection_counts_where_that_of_the_images_is_known(pet):
    for image in pet:
        item(image).RadiopharmaceuticalStartDateTime = "20260304073000+0000"
        image.TimezoneOffsetFromUTC = "+0100"
    assert injection(pet).elapsed_s == 3600


def test_corrections_to_administration_and_none(pet):
    truth = suv(pet).values
    given = injection(pet)
    for image in pet:
        image.DecayCorrection = "ADMIN"
        image.RescaleSlope = float(f"{float(image.RescaleSlope) * given.total_dose_bq / given.activity_bq:.10g}")
    assert suv(pet).values == pytest.approx(truth, rel=1e-6)
    for image in pet:
        image.DecayCorrection = "NONE"
        image.CorrectedImage = ["ATTN"]
        fraction = given.activity_bq / given.total_dose_bq / float(image.DecayFactor)
        image.RescaleSlope = float(f"{float(image.RescaleSlope) * fraction:.10g}")
    assert suv(pet).values == pytest.approx(truth, rel=1e-5)


def test_philips_counts_to_becquerel(pet):
    truth = suv(pet).values
    for image in pet:
        image.Units = "CNTS"
        image.RescaleSlope = float(f"{float(image.RescaleSlope) / 2.5:.10g}")
        image.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x09, "DS", "2.5")
    assert suv(pet).values == pytest.approx(truth, rel=1e-6)


# ------------------------------------------------------------------ laws

doses = st.floats(1e6, 1e10)
weights = st.floats(0.5, 600)
minutes = st.integers(0, 600)


@given(dose=doses, weight=weights, after=minutes, concentration=st.floats(0, 1e7))
def test_suv_grows_with_weight_and_concentration_and_falls_with_dose(dose, weight, after, concentration):
    one = Injection(dose, 6586.2, NOON, NOON + timedelta(minutes=after))
    twice = Injection(2 * dose, 6586.2, NOON, NOON + timedelta(minutes=after))
    value = suv_by_weight(np.array(concentration), weight_kg=weight, injection=one)
    assert suv_by_weight(np.array(2 * concentration), weight_kg=weight, injection=one) == pytest.approx(2 * value)
    assert suv_by_weight(np.array(concentration), weight_kg=weight / 2, injection=one) == pytest.approx(value / 2)
    assert suv_by_weight(np.array(concentration), weight_kg=weight, injection=twice) == pytest.approx(value / 2)


@given(dose=doses, weight=weights, after=minutes)
def test_an_even_distribution_has_suv_one(dose, weight, after):
    given_then = Injection(dose, 6586.2, NOON, NOON + timedelta(minutes=after))
    evenly = given_then.activity_bq / (weight * 1000)
    assert suv_by_weight(np.array([evenly]), weight_kg=weight, injection=given_then) == pytest.approx(1.0)


@given(after=st.integers(0, 100_000))
def test_half_is_left_after_a_half_life(after):
    early = Injection(1e8, 6586.2, NOON, NOON + timedelta(seconds=after))
    late = Injection(1e8, 6586.2, NOON, NOON + timedelta(seconds=after + 6586.2))
    assert late.activity_bq == pytest.approx(early.activity_bq / 2)


# ------------------------------------------------------------------ refusals


def changed(pet, keyword, value):
    for image in pet:
        where = item(image) if keyword.startswith(("Radionuclide", "RadiopharmaceuticalStart")) else image
        if value is None:
            delattr(where, keyword)
        else:
            setattr(where, keyword, value)
    return pet


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("PatientWeight", None, r"needs Patient's Weight \(0010,1030\).*Pass weight_kg="),
        ("PatientWeight", "", r"needs Patient's Weight"),
        ("PatientWeight", 0, r"not between 0 and 700 kg"),
        ("PatientWeight", 75000, r"not between 0 and 700 kg"),
        ("Units", "PROPCNTS", r"needs Units \(0054,1001\)"),
        ("Units", "CNTS", r"counts give no SUV"),
        ("Units", "CM2ML", r"Patient's Size|does not go with|body"),
        ("DecayCorrection", "", r"START, ADMIN or NONE"),
        ("CorrectedImage", ["DECY"], r"lacks ATTN"),
        ("CorrectedImage", "ATTN", r"lacks DECY"),
        ("RescaleSlope", None, r"Rescale Slope \(0028,1053\)"),
        ("RescaleSlope", 0, r"Rescale Slope \(0028,1053\)"),
        ("Modality", "CT", r"single-frame PET images"),
        ("SeriesTime", None, r"needs Series Date and Time"),
        ("SeriesTime", "9:30", r"not a date and time"),
        ("AcquisitionDate", None, r"needs Acquisition Date and Time"),
        ("RadionuclideTotalDose", None, r"RadionuclideTotalDose \(0018,1074\)"),
        ("RadionuclideTotalDose", 0, r"greater than 0"),
        ("RadionuclideTotalDose", 370, r"below 10 kBq"),
        ("RadionuclideHalfLife", None, r"RadionuclideHalfLife \(0018,1075\)"),
        ("RadiopharmaceuticalStartDateTime", "20260304103000", r"after the scan"),
        ("RadiopharmaceuticalStartDateTime", "20200304083000", r"more than 20 half-lives"),
        ("RadiopharmaceuticalStartDateTime", "tomorrow", r"not a date and time"),
        ("RadiopharmaceuticalInformationSequence", [], r"with one item.*has 0"),
    ],
)
def test_what_the_formula_needs(pet, keyword, value, message):
    if (keyword, value) == ("Units", "CM2ML"):
        pet = changed(pet, "PatientSize", None)
    with pytest.raises(AttributeUnusable, match=message) as refusal:
        suv(changed(pet, keyword, value))
    for secret in ("Linden", "PW-100421", "75000"):
        assert secret not in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "units", "message"),
    [
        ("LBM", "GML", "is not BW, BSA, IBW"),
        ("BSA", "GML", "does not go with Units"),
        ("LBMJAMES128", "GML", "Sex .* must be M or F"),
    ],
)
def test_kinds_of_suv_that_are_not_defined_enough(pet, kind, units, message):
    for image in pet:
        image.Units, image.SUVType, image.PatientSex = units, kind, "O"
    with pytest.raises(AttributeUnusable, match=message):
        suv(pet)


@pytest.mark.parametrize(
    ("keyword", "value"), [("Units", "GML"), ("PatientWeight", 80), ("SeriesInstanceUID", "1.2.3"), ("DecayCorrection", "NONE")]
)
def test_images_that_contradict_each_other(pet, keyword, value):
    setattr(pet[1], keyword, value)
    with pytest.raises(AttributeUnusable, match=f"{keyword} differs"):
        suv(pet)


def test_doses_that_contradict_each_other(pet):
    item(pet[2]).RadionuclideTotalDose = 380e6
    with pytest.raises(AttributeUnusable, match="Dose, half-life or injection time differ"):
        suv(pet)


def test_no_images():
    with pytest.raises(AttributeUnusable, match="none were given"):
        suv([])


@pytest.mark.parametrize("weight", [0, -70, float("nan"), 70_000])
def test_a_weight_that_is_none(weight):
    with pytest.raises(AttributeUnusable, match="greater than 0 and in kg"):
        suv_by_weight(np.zeros(3), weight_kg=weight, injection=Injection(1e8, 6586.2, NOON, NOON))


def test_a_weight_from_elsewhere(pet):
    truth = suv(pet).values
    changed(pet, "PatientWeight", None)
    assert suv(pet, weight_kg=150).values == pytest.approx(2 * truth)


def test_nothing_is_changed_in_the_images(pet):
    before = copy.deepcopy(pet)
    suv(pet)
    assert pet == before


def test_an_injection_does_not_show_its_times(pet):
    assert "2026" not in repr(injection(pet))
