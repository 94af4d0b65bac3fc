"""What the five systems create goes to a real server and comes back as it was created.

A server sends a dataset encoded anew, and changes nothing that it says: pixels are compared as bytes, and as they decode.
"""

import copy
from collections import defaultdict

import numpy as np
import pytest

from workbench import phantoms
from workbench.department import Modality, Outcome
from workbench.department.creating import buildable
from workbench.department.schedule import scheduled
from workbench.devices import profiles
from workbench.entities import StudyRef
from workbench.files import Part10, read
from workbench.inspection import differences
from workbench.network import find, retrieve, store
from workbench.rendering import pixels

pytestmark = pytest.mark.slow


def created(name):
    """Return what a system creates as it performs its activities, of each series three instances at most: first, middle, last."""
    system = Modality(name)
    system.item = scheduled(profiles().values())[0]
    system.fetched = phantoms.ct_series(3, rows=64) if name == "canon-vitrea-read" else []  # it reads what others have made
    for activity in system.profile.activities:
        if activity.does == "acquire":
            done = system.perform(activity)
            assert done.outcome is Outcome.DONE, done.message
    assert {str(d.SOPClassUID) for d in system.made} == {claimed.uid for claimed in buildable(system.profile)} != set()
    series = defaultdict(list)
    for dataset in system.made:
        series[dataset.SOPClassUID, dataset.SeriesInstanceUID].append(dataset)
    return [each[k] for each in series.values() for k in sorted({0, len(each) // 2, len(each) - 1})]


def differing(given, taken, *, is_implicit=False):
    """Return where two datasets differ, but for what an encoder may choose.

    Group lengths (PS3.5 7.2), trailing padding, file meta information, and the VR of pixels where none is written (PS3.5 A.1).
    """
    return [
        (row.path, row.kind)
        for row in differences(given, taken)
        if not (
            row.tag.endswith(",0000)")
            or row.tag.startswith(("(0002", "(FFFC"))
            or (is_implicit and (row.path, row.kind) == ("PixelData", "vr changed"))
        )
    ]


@pytest.mark.parametrize("name", sorted(profiles()))
def test_what_a_system_creates_comes_back_from_orthanc_as_it_was(name, orthanc_module):
    made = created(name)
    given = {str(dataset.SOPInstanceUID): copy.deepcopy(dataset) for dataset in made}
    report = store(orthanc_module.peer, made, transcode="never")
    assert report.complete, report.troubles
    assert len(report) == len(given)

    studies, taken = {str(dataset.StudyInstanceUID) for dataset in given.values()}, {}
    for uid in studies:
        held = find(orthanc_module.peer, level="STUDY", keys={"StudyInstanceUID": uid, "PatientID": None, "PatientName": None})
        assert [(a.PatientID, a.PatientName) for a in held] == [(d.PatientID, d.PatientName) for d in [*given.values()][:1]]
        report = retrieve(orthanc_module.peer, StudyRef(uid), into=lambda f: taken.update({uid_of(f): f}), method="get")
        assert report.complete, report.troubles
    assert set(taken) == set(given)

    wrong = defaultdict(list)
    for uid, dataset in given.items():
        back = read(taken[uid]).dataset
        syntax = dataset.file_meta.TransferSyntaxUID
        assert Part10.locate(taken[uid]).transfer_syntax_uid == str(syntax)
        wrong[str(dataset.SOPClassUID)] += differing(dataset, back, is_implicit=syntax.is_implicit_VR)
        if "PixelData" in dataset:
            assert back.PixelData == dataset.PixelData
            np.testing.assert_array_equal(pixels(back), pixels(dataset))
    assert {sop_class: where for sop_class, where in wrong.items() if where} == {}


def uid_of(file):
    return Part10.locate(file).sop_instance_uid


def test_a_changed_value_would_be_seen():
    one = created("topcon-sp1p")[0]
    other = copy.deepcopy(one)
    other.PatientID, other.PixelData = "OTHER", bytes([one.PixelData[0] ^ 1]) + one.PixelData[1:]
    assert {path for path, _ in differing(one, other)} >= {"PatientID", "PixelData"}
    assert differing(one, copy.deepcopy(one)) == []
