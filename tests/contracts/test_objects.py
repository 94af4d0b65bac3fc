"""One contract for all that the workbench makes: every builder's output and every phantom.

It is written and read back equal, has no error that a validator finds, survives the archive byte for byte, and is
taken by Orthanc, by C-STORE and by STOW-RS, which gives back the same bytes by C-GET and by WADO-RS.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from workbench import builders, conformance, files, network, phantoms
from workbench.archive import Archive
from workbench.entities import Circle, Code, Ellipse, Point, Polyline, StudyRef, Text

AREA, MEAN = Code("42798000", "SCT", "Area"), Code("373098007", "SCT", "Mean")
MM2, HU = Code("mm2", "UCUM", "square millimeter"), Code("[hnsf'U]", "UCUM", "Hounsfield unit")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MARKS = (
    Point((12.5, 8.5)),
    Polyline(((2, 3), (30, 4))),
    Polyline.rectangle(10, 10, 20, 24),
    Circle((16, 16), 5),
    Ellipse((16, 18), (8, 4), angle_deg=30),
)
PERSON = builders.Author(person="Møller^Åse^^Dr.")


def regions(image, frame=0):
    """Every kind of mark that can be measured, one of them with derivation, finding and site."""
    numbers = (builders.Measurement(AREA, 12.25, MM2), builders.Measurement(ATTENUATION, -3.5, HU, derivation=MEAN))
    more = {"finding": Code("52988006", "SCT", "Lesion"), "site": Code("39607008", "SCT", "Lung"), "label": "Läsion 1"}
    return [builders.Region(image, mark, numbers, frame=frame, **(more if k == 4 else {})) for k, mark in enumerate(MARKS)]


@dataclass(frozen=True)
class Made:
    """Phantoms and what was built on them, by name."""

    by_name: dict[str, Dataset]
    folder: Path

    def path(self, name):
        return self.folder / f"{name}.dcm"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Everything, saved by files.save."""
    everything = phantoms.everything()
    objects = {f"{d.Modality}-{k:03}": d for k, d in enumerate(everything)}
    sources = {
        "ct": next(d for d in everything if d.Modality == "CT"),
        "pet": next(d for d in everything if d.Modality == "PT"),
        "fundus": next(d for d in everything if d.Modality == "OP" and d.SamplesPerPixel == 3),
        "oct": next(d for d in everything if d.Modality == "OPT"),
        "planted": everything[-1],
    }
    for name, source in sources.items():
        frame = 2 if int(source.get("NumberOfFrames", 1)) > 2 else 0
        author = PERSON if name in {"oct", "pet"} else builders.WORKBENCH
        objects[f"report-{name}"] = builders.measurement(regions(source, frame), author=author)
        objects[f"key-objects-{name}"] = builders.selection([source], description="Größe, 大きさ", author=author)
        if source.SamplesPerPixel == 1:
            words = Text("Näher ansehen", (3, 4))
            marks = [builders.Placed(source, (*MARKS, words), frame or None)]
            objects[f"state-{name}"] = builders.grayscale(
                [source], window=(40, 400), marks=marks, author=author, inverse=name == "pet"
            )
    series = [d for d in everything if d.SeriesInstanceUID == sources["ct"].SeriesInstanceUID]
    objects["key-objects-series"] = builders.selection(series, title=builders.SelectionTitle.FOR_TEACHING)
    objects["state-series"] = builders.grayscale(series, marks=MARKS)
    objects["key-objects-report"] = builders.selection([objects["report-ct"], sources["ct"]])
    folder = tmp_path_factory.mktemp("made")
    for name, dataset in objects.items():
        files.save(dataset, folder / f"{name}.dcm", durable=False)
    return Made(objects, folder)


def dataset_bytes(source):
    """What follows the file meta information."""
    data = source.read_bytes() if isinstance(source, Path) else source
    return data[files.Part10.locate(data).dataset_offset :]


def unpadded(data, dataset):
    """Without the trailing padding of the planted CT (PS3.10 7.2), which DCMTK, and so Orthanc, leaves out in C-STORE."""
    return data[: -12 - len(dataset.DataSetTrailingPadding)] if "DataSetTrailingPadding" in dataset else data


def test_nothing_is_left_out(made):
    assert len(made.by_name) == len(phantoms.everything()) + 17
    classes = {d.SOPClassUID.name for name, d in made.by_name.items() if "-" in name and not name[0].isupper()}
    assert classes == {
        "Comprehensive SR Storage", "Key Object Selection Document Storage", "Grayscale Softcopy Presentation State Storage",
    }  # fmt: skip
    assert len({d.SOPInstanceUID for d in made.by_name.values()}) == len(made.by_name)


def test_it_reads_back_equal_and_complete(made):
    for name, dataset in made.by_name.items():
        reading = files.read(made.path(name))
        assert reading.is_complete, name
        assert not reading.findings.errors, name
        assert reading.dataset == dataset, name
        assert reading.dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


def test_no_validator_finds_an_error(made):
    wrong = {}
    for name in made.by_name:
        if errors := conformance.check(made.path(name)).errors:
            wrong[name] = errors
    assert wrong == {}


def test_the_validators_would_find_an_error(made, tmp_path):
    for name, keyword in (("report-ct", "CompletionFlag"), ("key-objects-ct", "PatientID"), ("state-ct", "PresentationLUTShape")):
        broken = files.read(made.path(name)).dataset
        del broken[keyword]
        assert any(keyword in finding.path for finding in conformance.check(broken).errors), name


def test_the_archive_keeps_every_byte(made, tmp_path):
    with Archive(tmp_path / "archive") as archive:
        for name, dataset in made.by_name.items():
            ref = archive.add(made.path(name) if name[0].isupper() else dataset)
            assert dataset_bytes(archive.path(ref)) == dataset_bytes(made.path(name)), name
        assert archive.counts().instances == len(made.by_name)
        assert not archive.verify()
        for name, dataset in made.by_name.items():
            assert archive.open(str(dataset.SOPInstanceUID)) == dataset, name


@pytest.mark.parametrize("via", ["dimse", "web"])
def test_orthanc_takes_it_and_gives_it_back(made, via, orthanc):
    report = network.store(orthanc.peer, [made.path(name) for name in made.by_name], via=via)
    assert report.complete, report.troubles
    assert {row.sent_transfer_syntax_uid for row in report} == {row.transfer_syntax_uid for row in report}
    studies = {str(d.StudyInstanceUID) for d in made.by_name.values()}
    found = network.find(orthanc.peer, level="STUDY", keys={"StudyInstanceUID": None}, via=via)
    assert {str(answer.StudyInstanceUID) for answer in found} == studies
    for method in ("get", "web"):
        back = {}

        def take(file, back=back):
            back[files.Part10.locate(file).sop_instance_uid] = dataset_bytes(file)

        report = network.retrieve(orthanc.peer, [StudyRef(uid) for uid in sorted(studies)], into=take, method=method)
        assert report.complete, report.troubles
        assert len(back) == len(made.by_name)
        altered = {n for n, d in made.by_name.items() if back[d.SOPInstanceUID] != dataset_bytes(made.path(n))}
        padded = {n for n, d in made.by_name.items() if "DataSetTrailingPadding" in d}
        assert altered == (padded if method == "get" else set())
        for name in altered:
            dataset = made.by_name[name]
            assert back[dataset.SOPInstanceUID] == unpadded(dataset_bytes(made.path(name)), dataset)
