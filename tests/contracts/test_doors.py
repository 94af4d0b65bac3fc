"""One contract for all doors that take datasets: what is passed in their place is refused with the way to the dataset."""

import tempfile
from pathlib import Path

import pytest

from workbench import builders, deid, figures, inspection, phantoms, quantification, rendering, widgets
from workbench.entities import Circle, Code, Findings
from workbench.errors import InputError
from workbench.files import Reading
from workbench.flows import annotate, release

IMAGE = phantoms.planted_ct().dataset
KEYS = deid.Keys.create(Path(tempfile.mkdtemp()) / "project.key")
AREA = builders.Measurement(Code("42798000", "SCT", "Area"), 1.0, Code("mm2", "UCUM", "square millimeter"))

ONE = {
    "inspection.summary": inspection.summary,
    "inspection.tree": inspection.tree,
    "inspection.report": inspection.report,
    "inspection.differences, first": lambda d: inspection.differences(d, IMAGE),
    "inspection.differences, second": lambda d: inspection.differences(IMAGE, d),
    "deid.plan": deid.plan,
    "deid.apply": lambda d: deid.apply(deid.plan(IMAGE), d, keys=KEYS),
    "deid.verify, original": lambda d: deid.verify(d, IMAGE),
    "deid.verify, released": lambda d: deid.verify(IMAGE, d),
    "rendering.resolve": rendering.resolve,
    "rendering.resolve, state": lambda d: rendering.resolve(IMAGE, state=d),
    "rendering.pixels": rendering.pixels,
    "rendering.modality_values": rendering.modality_values,
    "builders.measurement": lambda d: builders.measurement([builders.Region(d, Circle((8, 8), 4), (AREA,))]),
    "figures.image": figures.image,
    "figures.marks": lambda d: figures.marks(d, Circle((8, 8), 4)),
    "figures.ophthalmic, volume": lambda d: figures.ophthalmic(d, IMAGE),
    "figures.ophthalmic, localizer": lambda d: figures.ophthalmic(IMAGE, d),
    "figures.presentation, image": lambda d: figures.presentation(d, IMAGE),
    "figures.presentation, state": lambda d: figures.presentation(IMAGE, d),
    "annotate.measure": lambda d: annotate.measure(d, Circle((8, 8), 4)),
}
SEVERAL = {
    "inspection.table": inspection.table,
    "quantification.volume": quantification.volume,
    "quantification.suv": quantification.suv,
    "quantification.injection": quantification.injection,
    "builders.selection": builders.selection,
    "builders.grayscale": builders.grayscale,
    "figures.contact_sheet": figures.contact_sheet,
    "widgets.Viewer": widgets.Viewer,
}
WRONG = {
    "str": ("scan.dcm", r"files\.read\(path\)\.dataset"),
    "Path": (Path("scan.dcm"), r"files\.read\(path\)\.dataset"),
    "Reading": (Reading(IMAGE, Findings(), is_complete=True, transfer_syntax_uid=""), r"pass its \.dataset"),
    "int": (7, "of type int"),
}


def _wrong(door, several):
    if door.endswith("state"):
        return WRONG
    return WRONG | {"None": (None, "None"), "list": ((["scan.dcm"], r"number 1") if several else ([IMAGE], "pass one of them"))}


@pytest.mark.parametrize("door", ONE)
def test_one_dataset(door):
    for value, message in _wrong(door, several=False).values():
        with pytest.raises(InputError, match=message):
            ONE[door](value)


@pytest.mark.parametrize("door", SEVERAL)
def test_several_datasets(door):
    for value, message in _wrong(door, several=True).values():
        with pytest.raises(InputError, match=message):
            SEVERAL[door](value)


def test_a_single_dataset_is_a_list_of_one():
    assert len(inspection.table(IMAGE)) == 1
    assert builders.selection(IMAGE).Modality == "KO"
    assert builders.grayscale(IMAGE).Modality == "PR"
    assert widgets.Viewer(IMAGE).frame_count == 1
    assert figures.contact_sheet(IMAGE).axes
    assert quantification.suv(phantoms.pet_ct().pet[0:2]).shape[0] == 2
    assert quantification.injection(phantoms.pet_ct().pet[0]).total_dose_bq > 0


def test_a_presentation_without_a_state():
    with pytest.raises(InputError, match="Wanted is a presentation state, not None"):
        figures.presentation(IMAGE, None)


def test_plan_and_dataset_in_the_other_order():
    with pytest.raises(InputError, match=r"apply\(plan\(dataset\), dataset, keys=keys\)"):
        deid.apply(IMAGE, deid.plan(IMAGE), keys=KEYS)


@pytest.mark.parametrize("found", ["x", 7, None, IMAGE, [IMAGE], [None]])
def test_what_is_no_region(found):
    for door in (builders.measurement, annotate.annotate):
        with pytest.raises(InputError, match=r"Wanted are regions"):
            door(found)


def test_a_single_region_is_a_list_of_one():
    region = annotate.measure(IMAGE, Circle((32, 32), 6))
    assert builders.measurement(region).Modality == "SR"
    assert len(annotate.annotate(region).datasets) == 3


def test_releasing(tmp_path):
    for value, message in WRONG.values():
        with pytest.raises(InputError, match=message):
            release.release(value, keys=KEYS)
    (row,) = release.release(["scan.dcm"], keys=KEYS)
    assert (row.outcome, "files.read(path).dataset" in row.message) == ("held back", True)
    done = release.release(IMAGE, keys=KEYS, folder=str(tmp_path))
    assert done.complete
    assert [p.name for p in tmp_path.iterdir()] == [done[0].file]


def test_windows():
    assert rendering.resolve(IMAGE, window=[40, 400]).window == rendering.resolve(IMAGE, window=(40, 400)).window
    assert figures.image(IMAGE, window=[40, 400]).axes
    plan = rendering.resolve(IMAGE)
    for wrong in ([40], (1, 2, 3), 40, "40", ("a", "b")):
        for door in (plan.with_window, lambda w: rendering.resolve(IMAGE, window=w)):
            with pytest.raises(InputError, match=r"A window is \(center, width\)"):
                door(wrong)


def test_a_figure_of_volumes():
    body = phantoms.pet_ct()
    with pytest.raises(InputError, match=r"pass quantification\.suv\(datasets\)"):
        figures.pet(body.pet)
    with pytest.raises(InputError, match=r"ct=quantification\.volume\(datasets\)"):
        figures.pet(quantification.suv(body.pet), body.ct)


@pytest.mark.parametrize("mark", [(1, 2, 3), None, "circle", IMAGE])
def test_what_is_no_mark(mark):
    with pytest.raises(InputError, match="Circle, Ellipse, Polyline, Point or Text"):
        widgets.Viewer(IMAGE).draw(mark)


def test_a_single_keyword():
    assert list(inspection.table(IMAGE, "Modality").columns) == ["Modality"]
    changed = IMAGE.copy()
    changed.Modality = "OT"
    assert not inspection.differences(IMAGE, changed, ignore="Modality")
