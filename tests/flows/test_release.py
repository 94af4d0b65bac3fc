"""Release: nothing goes out that is not proven, and nothing is changed or lost on the way."""

import copy

import pytest
from pydicom import Dataset, dcmread

from workbench import builders, deid, phantoms
from workbench.conformance import check
from workbench.errors import StorageFull
from workbench.files import read
from workbench.flows import Audit, release


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return deid.Keys.create(tmp_path_factory.mktemp("keys") / "key")


@pytest.fixture(scope="module")
def image():
    return phantoms.ct_series(1, rows=64)[0]


def but(dataset, **values):
    changed = copy.deepcopy(dataset)
    for keyword, value in values.items():
        setattr(changed, keyword, value)
    return changed


def test_every_phantom_is_released_whole(keys, tmp_path):
    originals = phantoms.everything()
    before = [dataset.to_json() for dataset in originals]
    audit = Audit()
    result = release.release(originals, keys=keys, folder=tmp_path / "out", audit=audit)
    assert result.complete
    assert repr(result) == f"Release({len(originals)} released, 0 held back)"
    assert [(row.number, row.errors) for row in result] == [(n, 0) for n in range(1, len(originals) + 1)]
    assert [dataset.to_json() for dataset in originals] == before
    assert sorted(row.file for row in result) == sorted(p.name for p in (tmp_path / "out").iterdir())
    old = {str(d.SOPInstanceUID) for d in originals}
    for row, dataset in zip(result, result.datasets, strict=True):
        reading = read(tmp_path / "out" / row.file)
        assert reading.is_complete
        assert reading.dataset == dataset
        assert dataset.SOPInstanceUID == row.sop_instance_uid
        assert row.sop_instance_uid not in old
        assert dataset.PatientIdentityRemoved == "YES"
    assert (audit.lines[0].count, audit.lines[0].verified) == (len(originals), True)


def test_nothing_planted_is_in_the_files(keys, tmp_path):
    planted = phantoms.planted_ct()
    assert release.release([planted.dataset], keys=keys, folder=tmp_path).complete
    (file,) = tmp_path.iterdir()
    content = file.read_bytes() + file.name.encode()
    assert [text for text in planted.identities if text.encode() in content] == []


def held_back(image):
    name, number = str(image.PatientName), str(image.PatientID)
    pixels = bytearray(image.PixelData)
    pixels[1000 : 1000 + len(number)] = number.encode()
    return {
        "a maker with the patient's name": (but(image, Manufacturer=name), "Manufacturer: Name of the original, still here."),
        "a model with the patient's number": (
            but(image, ManufacturerModelName=number),
            "ManufacturerModelName: Patient identifier",
        ),
        "a number written into the pixels": (but(image, PixelData=bytes(pixels)), "encoded bytes: Patient identifier"),
        "no class": (but(image, SOPClassUID=None), "SOPClassUID"),
        "no instance": (Dataset(), "needs SOPClassUID"),
    }


@pytest.mark.parametrize("case", held_back(phantoms.ct_series(1, rows=64)[0]))
def test_what_is_not_proven_is_held_back(keys, image, tmp_path, case):
    dataset, why = held_back(image)[case]
    audit = Audit()
    result = release.release([image, dataset], keys=keys, folder=tmp_path, audit=audit)
    assert [row.outcome for row in result] == ["released", "held back"]
    row = result[1]
    assert (row.number, row.sop_instance_uid, row.file) == (2, "", "")
    assert row.errors > 0
    assert why in row.message
    for value in (str(image.PatientName), image.PatientID):
        assert value not in result._repr_html_() + repr(result.records()) + audit.lines[0].note
    assert not result.complete
    assert len(result.datasets) == len(list(tmp_path.iterdir())) == 1
    assert (audit.lines[0].verified, audit.lines[0].note) == (False, "1 held back")


def test_derived_objects_of_a_released_image_are_valid(keys, image):
    selection = builders.selection([image], description=f"For {image.PatientName}")
    result = release.release([image, selection], keys=keys)
    assert result.complete
    new_image, new_selection = result.datasets
    evidence = new_selection.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == new_image.SOPInstanceUID
    assert not check(new_selection).errors
    assert str(image.PatientName) not in new_selection.to_json()


def test_the_same_key_gives_the_same_release(keys, image, tmp_path):
    first = release.release([image], keys=keys, folder=tmp_path)
    again = release.release([image], keys=keys, folder=tmp_path)
    assert first[0] == again[0]
    assert len(list(tmp_path.iterdir())) == 1
    other = release.release([image], keys=deid.Keys.create(tmp_path / "other"))
    assert other[0].sop_instance_uid != first[0].sop_instance_uid


def test_progress_and_nothing_to_do(keys, image):
    seen = []
    release.release([image, image], keys=keys, progress=seen.append)
    assert seen == [1, 2]
    audit = Audit()
    assert not release.release([], keys=keys, audit=audit).complete
    assert not audit.lines.verified


def test_a_full_disk_is_no_instance_held_back(keys, image, tmp_path, monkeypatch):
    def full(*_, **__):
        raise StorageFull("No space is left.")

    monkeypatch.setattr(release, "save", full)
    audit = Audit()
    with pytest.raises(StorageFull):
        release.release([image], keys=keys, folder=tmp_path, audit=audit)
    assert not audit.lines.verified


def test_compressed_pixels_stay_as_they_are(keys, image, tmp_path):
    compressed = copy.deepcopy(image)
    compressed.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
    (row,) = release.release([compressed], keys=keys, folder=tmp_path)
    back = dcmread(tmp_path / row.file)
    assert back.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    assert back.PixelData == compressed.PixelData


def test_two_instances_of_one_uid_do_not_overwrite_each_other(keys, tmp_path, image):
    other = but(image, SliceLocation="99")
    result = release.release([image, image, other], keys=keys, folder=tmp_path)
    assert [row.outcome for row in result] == ["released", "released", "held back"]
    assert "same SOP Instance UID" in result[2].message
    assert not result.complete
    (file,) = tmp_path.iterdir()
    assert read(file).dataset.get("SliceLocation") == image.get("SliceLocation")
    later = release.release([other], keys=keys, folder=tmp_path)
    assert [row.outcome for row in later] == ["held back"], "what an earlier run wrote stays, too"
    assert release.release([image], keys=keys, folder=tmp_path).complete, "the same again is no conflict"
    assert [row.outcome for row in release.release([image, other], keys=keys)] == ["released", "held back"]
