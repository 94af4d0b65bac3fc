"""PET figures: every plane the right way round, whatever the order of the voxels."""

import numpy as np
import pytest

from workbench import figures, phantoms
from workbench.errors import AttributeUnusable
from workbench.quantification import Volume, suv, volume
from workbench.rendering import modality_values


@pytest.fixture(scope="module")
def phantom():
    pair = phantoms.pet_ct()
    return suv(pair.pet), volume(pair.ct, values=modality_values)


def point_source(at=(2, 3, 4), size=(6, 8, 10), step=(4.0, 3.0, 2.0)):
    """A volume of zeros with one hot voxel at (slice, row, column)."""
    values = np.zeros(size)
    values[at] = 10
    affine = np.diag([*step[::-1], 1.0])
    return Volume(values, affine, "1.2.3", units="g/ml")


def reordered(source, permutation, flips):
    """The same volume with its voxel axes in another order and direction."""
    values = np.transpose(source.values, permutation)
    affine = np.eye(4)
    for new, old in enumerate(permutation):
        affine[:, 2 - new] = source.affine_mm[:, 2 - old]
    affine[:, 3] = source.affine_mm[:, 3]
    for axis in flips:
        affine[:3, 3] += affine[:3, 2 - axis] * (values.shape[axis] - 1)
        affine[:3, 2 - axis] *= -1
        values = np.flip(values, axis)
    return source.but(values=values, affine_mm=affine)


def hot_place(axes):
    """Where the hottest pixel is drawn, in mm."""
    drawn = axes.images[-1]
    values = np.asarray(drawn.get_array())
    values = values if values.ndim == 2 else values[..., 3]
    row, column = np.unravel_index(np.argmax(values), values.shape)
    left, right, bottom, top = drawn.get_extent()
    return (
        left + (column + 0.5) * (right - left) / values.shape[1],
        top + (row + 0.5) * (bottom - top) / values.shape[0],
    )


@pytest.mark.parametrize("permutation", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_a_point_is_where_it_is_in_every_panel(permutation, flips):
    figure = figures.pet(reordered(point_source(), permutation, flips))
    x, y, z = 4 * 2.0, 3 * 3.0, 2 * 4.0
    axial, coronal, sagittal, projection = figure.axes[:4]
    assert hot_place(axial) == pytest.approx((x, y))
    assert hot_place(coronal) == pytest.approx((x, z))
    assert hot_place(sagittal) == pytest.approx((y, z))
    assert hot_place(projection) == pytest.approx((x, z))


def test_radiological_convention():
    figure = figures.pet(point_source())
    axial, coronal, sagittal, _ = figure.axes[:4]
    assert axial.get_xlim()[0] < axial.get_xlim()[1]  # x grows to the patient's left, which is at the right of the paper
    assert axial.get_ylim()[0] > axial.get_ylim()[1]  # y grows to the back, which is down
    assert coronal.get_ylim()[0] < coronal.get_ylim()[1]  # the head is up
    assert sagittal.get_xlim()[0] < sagittal.get_xlim()[1]
    assert {a.get_aspect() for a in figure.axes[:4]} == {1.0}


def test_a_tilted_volume_is_turned_upright():
    source = point_source(size=(20, 20, 20), at=(10, 10, 10), step=(2.0, 2.0, 2.0))
    source.values[9:12, 9:12, 9:12] = 10
    turn = np.radians(25)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = source.affine_mm.copy()
    affine[:3, :3] = rotation @ affine[:3, :3]
    x, y, z = (affine @ [10, 10, 10, 1])[:3]
    figure = figures.pet(source.but(affine_mm=affine), at_mm=(x, y, z))
    assert hot_place(figure.axes[0]) == pytest.approx((x, y), abs=3)
    assert hot_place(figure.axes[2]) == pytest.approx((y, z), abs=3)


def test_fused_on_ct(phantom, words, overlaps):
    figure = figures.pet(*phantom)
    assert overlaps(figure) == []
    assert {"SUVbw (g/ml) on CT", "SUVbw (g/ml)", "Axial", "Coronal", "Sagittal", "Maximum projection"} <= set(words(figure))
    assert [len(a.images) for a in figure.axes[:4]] == [2, 2, 2, 1]
    under, over = figure.axes[0].images
    assert under.get_array().shape == phantom[1].values.shape[1:]
    assert over.get_array().shape[:2] == phantom[0].values.shape[1:]


def test_pet_alone(phantom, overlaps):
    figure = figures.pet(phantom[0], vmax=6, title="Phantom")
    assert overlaps(figure) == []
    assert [i.get_clim() for a in figure.axes[:4] for i in a.images] == [(0, 6)] * 4


def test_the_projection_is_the_maximum(phantom):
    drawn = figures.pet(phantom[0]).axes[3].images[0].get_array()
    np.testing.assert_allclose(drawn, phantom[0].values.max(axis=1)[::-1], rtol=1e-6)


def test_refusals(phantom):
    warm, ct = phantom
    with pytest.raises(AttributeUnusable, match="different Frame of Reference"):
        figures.pet(warm, ct.but(frame_of_reference_uid="1.2.3"))
    with pytest.raises(AttributeUnusable, match="vmax must be greater than 0"):
        figures.pet(warm, vmax=0)
    with pytest.raises(AttributeUnusable, match="finite values"):
        figures.pet(warm.but(values=np.full((2, 2, 2), np.nan)))
