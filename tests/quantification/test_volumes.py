"""Volumes: geometry, refusals, resampling, projection."""

import copy
import io

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword

from workbench import phantoms
from workbench.errors import AttributeUnusable, PixelDataUnusable
from workbench.quantification import Volume, mip, resample, volume


@pytest.fixture(scope="module")
def thorax():
    return phantoms.ct_series(6, rows=24, columns=32)


def changeable(images):
    return [copy.deepcopy(image) for image in images]


def test_a_volume_is_sorted_and_knows_where_it_is(thorax):
    made = volume([thorax[i] for i in (3, 0, 5, 1, 4, 2)])
    assert made.shape == (6, 24, 32)
    assert made.sop_instance_uids == tuple(d.SOPInstanceUID for d in thorax)
    assert made.spacing_mm == pytest.approx((2.5, 12.5, 12.5))
    assert made.voxel_ml == pytest.approx(2.5 * 12.5 * 12.5 / 1000)
    assert made.units == "[hnsf'U]"
    assert made.affine_mm @ [0, 0, 4, 1] == pytest.approx([*thorax[4].ImagePositionPatient, 1])
    assert made.values[2] == pytest.approx(thorax[2].pixel_array - 1024.0)
    assert made.voxel(made.points_mm()[3, 7, 11]) == pytest.approx([3, 7, 11])


def test_a_callable_gives_the_values(thorax):
    made = volume(thorax, values=lambda image: np.full((image.Rows, image.Columns), image.InstanceNumber), units="1")
    assert made.values[:, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert made.units == "1"


def test_frames_of_an_image_with_functional_groups():
    made = phantoms.oct("R")
    found = volume(made.volume)
    assert found.shape == (25, 320, 512)
    assert found.spacing_mm == pytest.approx((0.25, 0.0038, 6 / 512))
    # frames run from superior to inferior, the normal from inferior to superior
    assert found.values[0] == pytest.approx(made.volume.pixel_array[-1])


def test_a_tilted_gantry_gives_a_sheared_grid(thorax):
    images = changeable(thorax)
    for i, image in enumerate(images):
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [x, y + 0.7 * i, z]
    made = volume(images)
    assert made.affine_mm[:3, 2] == pytest.approx([0, 0.7, 2.5])
    assert made.voxel_ml == pytest.approx(2.5 * 12.5 * 12.5 / 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(2), r"missing or not equidistant: 5 mm between slices 2 and 3 of 5, elsewhere 2\.5 mm"),
        (lambda s: s.append(copy.deepcopy(s[1])), "at the same place"),
        (lambda s: setattr(s[1], "ImageOrientationPatient", [0, 1, 0, 0, 0, -1]), r"Image Orientation \(Patient\) of .* differs"),
        (lambda s: setattr(s[0], "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "right angle"),
        (lambda s: setattr(s[0], "ImageOrientationPatient", [2, 0, 0, 0, 1, 0]), "right angle"),
        (lambda s: setattr(s[3], "FrameOfReferenceUID", "1.2.3"), "Frame of Reference UID of .* differs"),
        (lambda s: setattr(s[3], "PixelSpacing", [1, 1]), "Pixel Spacing of .* differs"),
        (lambda s: setattr(s[3], "Rows", 12), "Rows and Columns of .* differs"),
        (lambda s: delattr(s[0], "ImagePositionPatient"), "needs ImagePositionPatient with 3 numbers"),
        (lambda s: delattr(s[0], "PixelSpacing"), "needs PixelSpacing with 2 numbers"),
        (lambda s: setattr(s[0], "PixelSpacing", [0, 1]), "not greater than 0"),
        (lambda s: setattr(s[2], "ImagePositionPatient", [5.0, *s[2].ImagePositionPatient[1:]]), "beside the line"),
        (lambda s: s.clear(), "none were given"),
    ],
)
def test_slices_that_make_no_volume(thorax, change, message):
    images = changeable(thorax)
    change(images)
    with pytest.raises(AttributeUnusable, match=message):
        volume(images)


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagePositionPatient", "RescaleSlope"])
@pytest.mark.parametrize("text", [b"one\\two\\three ", b"nan\\inf\\1 "])
def test_text_where_a_number_should_be(thorax, keyword, text):
    raw = io.BytesIO()
    thorax[0].save_as(raw, enforce_file_format=True)
    image = pydicom.dcmread(io.BytesIO(raw.getvalue()))
    tag = tag_for_keyword(keyword)
    image._dict[tag] = image.get_item(tag)._replace(value=text, length=len(text))
    with pytest.raises(AttributeUnusable, match=f"{keyword} has a value that is not a number"):
        volume([image])


def test_pixels_that_can_not_be_decoded(thorax):
    images = changeable(thorax)
    images[2].PixelData = images[2].PixelData[:100]
    with pytest.raises(PixelDataUnusable, match=rf"{images[2].SOPInstanceUID} can't be decoded"):
        volume(images)
    with pytest.raises(PixelDataUnusable, match=r"gave an array of shape \(2, 2\)"):
        volume(thorax, values=lambda _: np.zeros((2, 2)))


@pytest.mark.parametrize("is_empty", [True, False])
def test_pixels_that_are_not_there(thorax, is_empty):
    images = changeable(thorax)
    if is_empty:
        images[2].PixelData = b""
    else:
        del images[2].PixelData
    with pytest.raises(PixelDataUnusable, match=rf"Pixel Data \(7FE0,0010\) is missing or empty in .*{images[2].SOPInstanceUID}"):
        volume(images)


def test_resampling_on_its_own_grid_changes_nothing(thorax):
    made = volume(thorax)
    for order in (0, 1, 3):
        assert resample(made, like=made, order=order).values == pytest.approx(made.values, abs=1e-6)


@given(slope=st.tuples(*[st.floats(-3, 3)] * 3), shift=st.tuples(*[st.floats(-5, 5)] * 3), scale=st.floats(0.4, 2.0))
def test_linear_resampling_keeps_a_linear_function(slope, shift, scale):
    source = Volume(np.zeros((5, 6, 7)), np.diag([2.0, 3.0, 4.0, 1.0]), "1.2")
    source = source.but(values=source.points_mm() @ np.array(slope))
    grid = np.diag([scale, scale, scale, 1.0])
    grid[:3, 3] = shift
    like = Volume(np.zeros((4, 4, 4)), grid, "1.2")
    found = resample(source, like=like)
    wanted = like.points_mm() @ np.array(slope)
    inside = ~np.isnan(found.values)
    assert found.values[inside] == pytest.approx(wanted[inside], abs=1e-4)
    index = np.linalg.solve(source.affine_mm, np.c_[like.points_mm().reshape(-1, 3), np.ones(64)].T)[:3].T
    within = np.all((index >= -1e-5) & (index <= np.array([6, 5, 4]) + 1e-5), axis=1)
    strictly = np.all((index >= 1e-5) & (index <= np.array([6, 5, 4]) - 1e-5), axis=1)
    assert not np.any(inside.ravel() & ~within)
    assert np.all(inside.ravel()[strictly])


def test_pet_lies_on_ct(body):
    pet, ct = volume(body.pet), volume(body.ct)
    fused = resample(pet, like=ct, outside=0.0)
    assert fused.shape == ct.shape
    big = body.spheres[-1]
    k, i, j = np.rint(ct.voxel(big.center_mm)).astype(int)
    at = np.rint(pet.voxel(big.center_mm)).astype(int)
    assert fused.values[k, i, j] == pytest.approx(pet.values[tuple(at)], rel=0.1)


def test_other_frames_of_reference_are_not_mixed(thorax, body):
    with pytest.raises(AttributeUnusable, match="different Frame of Reference UIDs"):
        resample(volume(thorax), like=volume(body.ct))


def test_projections_by_plane_and_by_axis(body):
    made = volume(body.pet)
    assert np.array_equal(mip(made), made.values.max(axis=1))
    assert np.array_equal(mip(made, "sagittal"), made.values.max(axis=2))
    assert np.array_equal(mip(made, "axial"), mip(made, 0))
    turned = np.eye(4)[[2, 0, 1, 3]]  # columns go along y, rows along z, slices along x
    assert np.array_equal(mip(Volume(made.values, turned, ""), "sagittal"), made.values.max(axis=0))


def test_nan_is_nothing_in_a_projection():
    values = np.array([[[np.nan, 1.0], [2.0, np.nan]], [[3.0, np.nan], [1.0, np.nan]]])
    assert np.array_equal(mip(Volume(values, np.eye(4), ""), 0), [[3, 1], [2, np.nan]], equal_nan=True)


@pytest.mark.parametrize("axis", ["oblique", 3, -1])
def test_a_projection_needs_an_axis(axis):
    with pytest.raises(AttributeUnusable, match="'axial', 'coronal' or 'sagittal'"):
        mip(Volume(np.zeros((2, 2, 2)), np.eye(4), ""), axis)
