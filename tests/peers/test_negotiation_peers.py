"""Queries beyond the baseline, with peers that negotiate them and peers that do not.

Relational ones are asked level by level where they must be, and give what ours give when asked at once. Dates with their times are
one moment where both sides agree on it, and two keys where they do not (F11, N23; PS3.4 C.2.2.2.5).
"""

import re
import subprocess

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from workbench.archive import Archive
from workbench.entities import InstanceRef, Peer, Timeouts
from workbench.errors import QueryKeyInvalid
from workbench.network import QueryOptions, Server, find, retrieve, store
from workbench.phantoms import ct_series


@pytest.fixture
def instances(tmp_path):
    """Three studies of two images as files."""
    paths = []
    for study, name in enumerate(("DOE^JANE", "ROE^RITA", "DOE^JOHN"), start=1):
        for number, dataset in enumerate(ct_series(2, rows=16, columns=16), start=1):
            dataset.PatientID, dataset.PatientName, dataset.StudyID = f"R{study}", name, str(study)
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.{study}", f"1.2.3.{study}.1"
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{study}.1.{number}"
            paths.append(tmp_path / f"{study}-{number}.dcm")
            dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def other(request, program, instances):
    """Orthanc or dcmqrscp with the three studies."""
    running = request.getfixturevalue(request.param)
    command = [program("storescu"), "-aec", running.peer.ae_title, running.peer.host, str(running.peer.port), *map(str, instances)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return running


KEYS = {"PatientName": "DOE*", "InstanceNumber": None}
NAMES = ("PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def rows(found):
    return sorted(tuple(str(answer[name].value) for name in NAMES) for answer in found)


def test_a_walk_gives_what_our_server_gives_at_once(other, archive, instances):
    for path in instances:
        archive.add(path)
    told = []
    walked = find(
        other.peer,
        level="IMAGE",
        keys=KEYS,
        options=QueryOptions(relational=True),
        progress=lambda *counts: told.append(counts),
    )
    with Server(archive) as server:
        at_once = find(server.peer, level="IMAGE", keys=KEYS, options=QueryOptions(relational=True))
    assert at_once.granted == {"relational"}
    assert "relational" not in walked.granted
    assert any("level by level" in note for note in walked.notes)
    assert rows(walked) == rows(at_once)
    assert len(walked) == 4
    assert told[-1][0] == told[-1][1] == 5


def test_an_instance_by_its_own_uid_alone(other, tmp_path):
    with Archive(tmp_path / "into") as into:
        report = retrieve(other.peer, InstanceRef("", "", "", "1.2.3.2.1.2"), into=into, relational=True, method="get")
        assert [row.sop_instance_uid for row in report] == ["1.2.3.2.1.2"]
        assert report.counts() == {"retrieved": 1}
        assert report.granted == frozenset()


# ---------------------------------------------------------------- moments about midnight
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
#: patient, study date, study time: before and after midnight, and the same times on the other day
MOMENTS = [
    ("A", "20260101", "2330"), ("B", "20260102", "0030"), ("C", "20260101", "1200"), ("D", "20260102", "2330"),
    ("E", "20260101", "0030"),
]  # fmt: skip
DATES = "20260101-20260102"
#: Study Time: who matches as one moment (combined), who matches date and time apart (separate); None where apart it means nothing
MATCHED = {"2300-0100": (["A", "B"], None), "0100-2300": (["A", "B", "C"], ["C"])}


@pytest.fixture
def moments():
    """An image for each moment."""
    images = []
    for number, (patient, date, time) in enumerate(MOMENTS, start=1):
        (image,) = ct_series(1, rows=16, columns=16)
        image.PatientID, image.StudyDate, image.StudyTime = patient, date, time
        image.StudyInstanceUID, image.SeriesInstanceUID = f"1.2.4.{number}", f"1.2.4.{number}.1"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.4.{number}.1.1"
        images.append(image)
    return images


@pytest.fixture
def kept(archive, moments):
    """Our server with them."""
    for image in moments:
        archive.add(image)
    with Server(archive, ae_title="DOOR") as server:
        yield server


def patients(found):
    return sorted(str(answer.PatientID) for answer in found)


@pytest.mark.parametrize("times", MATCHED)
def test_we_ask_ourselves_by_moments_and_by_two_keys(kept, times):
    combined, separate = MATCHED[times]
    keys = {"StudyDate": DATES, "StudyTime": times}
    found = find(kept.peer, keys=keys, options=QueryOptions(date_time=True))
    assert (found.granted, patients(found)) == ({"date_time"}, combined)
    if separate is None:
        with pytest.raises(QueryKeyInvalid, match="StudyTime has a range whose end is before its begin"):
            find(kept.peer, keys=keys)
    else:
        assert patients(find(kept.peer, keys=keys)) == separate


@pytest.mark.parametrize("times", MATCHED)
def test_findscu_negotiates_nothing_and_is_answered_by_two_keys(kept, program, times):
    command = [
        program("findscu"), "-v", "-S", "-aec", "DOOR", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyDate={DATES}",
        "-k", f"StudyTime={times}", "-k", "PatientID", "127.0.0.1", str(kept.port),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    separate = MATCHED[times][1]
    answered = sorted(re.findall(r"\(0010,0020\) LO \[(\w) *\]", said))
    assert answered == (separate or [])
    final = "Error: DataSetDoesNotMatchSOPClass" if separate is None else "Success"  # 0xA900
    assert f"Received Final Find Response ({final})" in said


@pytest.mark.parametrize("times", MATCHED)
@pytest.mark.parametrize("is_proposed", [True, False])
def test_pynetdicom_is_answered_by_what_it_negotiates(kept, times, is_proposed):
    entity = AE()
    entity.add_requested_context(STUDY_FIND)
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = STUDY_FIND, b"\x00\x01"  # PS3.4 Table C.5.1-1, byte 2
    question = Dataset()
    question.QueryRetrieveLevel, question.StudyDate, question.StudyTime, question.PatientID = "STUDY", DATES, times, None
    association = entity.associate("127.0.0.1", kept.port, ae_title="DOOR", ext_neg=[item] if is_proposed else [])
    assert association.is_established
    granted = association.acceptor.sop_class_extended
    answers = list(association.send_c_find(question, STUDY_FIND))
    association.release()
    combined, separate = MATCHED[times]
    expected = combined if is_proposed else separate
    assert granted == ({STUDY_FIND: b"\x00\x01"} if is_proposed else {})
    assert sorted(str(found.PatientID) for status, found in answers if status.Status == 0xFF00) == (expected or [])
    assert answers[-1][0].Status == (0xA900 if expected is None else 0x0000)


@pytest.fixture
def agreeing():
    """A server of pynetdicom that grants what it is asked for, matches moments by itself, and keeps the questions."""
    heard = []

    def answer(event):
        asked = event.identifier
        heard.append((str(asked.StudyDate), str(asked.StudyTime)))
        (first_day, last_day), (first, last) = (str(key).split("-") for key in (asked.StudyDate, asked.StudyTime))
        for patient, date, time in MOMENTS:
            if first_day + first <= date + time <= last_day + last:
                found = Dataset()
                found.PatientID, found.StudyInstanceUID = patient, f"1.2.4.{ord(patient)}"
                yield 0xFF00, found
        yield 0x0000, None

    entity = AE(ae_title="AGREEING")
    entity.add_supported_context(STUDY_FIND)
    handlers = [(evt.EVT_C_FIND, answer), (evt.EVT_SOP_EXTENDED, lambda event: dict(event.app_info))]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    yield Peer("agreeing", "AGREEING", port=server.server_address[1], timeouts=Timeouts(2, 2, 5, 5)), heard
    server.shutdown()


@pytest.mark.parametrize("times", MATCHED)
def test_a_peer_that_agrees_is_asked_by_moments(agreeing, times):
    peer, heard = agreeing
    found = find(peer, keys={"StudyDate": DATES, "StudyTime": times}, options=QueryOptions(date_time=True))
    assert (found.granted, patients(found), found.notes) == ({"date_time"}, MATCHED[times][0], ())
    assert heard == [(DATES, times)]


@pytest.mark.parametrize("name", ["orthanc", "dcmqrscp"])
def test_a_peer_that_does_not_agree_is_asked_by_two_keys_or_not_at_all(request, name, moments):
    running = request.getfixturevalue(name)
    assert store(running.peer, moments).complete
    options = QueryOptions(date_time=True)
    found = find(running.peer, keys={"StudyDate": DATES, "StudyTime": "0100-2300"}, options=options)
    assert (found.granted, patients(found)) == (frozenset(), ["C"])
    assert any("date time" in note for note in found.notes)
    with pytest.raises(QueryKeyInvalid, match="The peer does not match dates with their times as one, and StudyTime has a range"):
        find(running.peer, keys={"StudyDate": DATES, "StudyTime": "2300-0100"}, options=options)
