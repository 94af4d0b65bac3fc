"""Modality worklist with DCMTK (wlmscpfs, findscu) and with Orthanc's plugin, in both roles."""

import csv
import subprocess
from contextlib import contextmanager

import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.conftest import PLUGINS, RunningPeer, free_port, run_orthanc, running
from workbench.entities import Peer
from workbench.errors import AssociationRejected, StatusFailure
from workbench.network import Server, Worklist, worklist

# patient ID: name, character set of the file, modality, station, date, time
ITEMS = {
    "P1": ("DOE^JANE", "ISO_IR 100", "CT", "CT1", "20261121", "081500"),
    "P2": ("Müller^Jörg", "ISO_IR 100", "CT", "CT1", "20261122", "093000"),
    "P3": ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ISO_IR 192", "OPT", "OCT1", "20261121", "100000"),
    "P4": ("Иванов^Пётр", "ISO_IR 144", "MR", "MR1", "20261125", "140000"),
    "P5": ("DOE^JOHN", "", "PT", "PET1", "20270102", "070000"),
}
STEP = "ScheduledProcedureStepSequence"


def item(patient, charset=None):
    """Return a worklist item as a file holds it."""
    name, own, modality, station, date, time = ITEMS[patient]
    dataset = Dataset()
    dataset.SpecificCharacterSet = own if charset is None else charset
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = name, patient, "19700101", "F"
    dataset.AccessionNumber, dataset.StudyInstanceUID = f"A{patient}", generate_uid()
    dataset.RequestedProcedureID, dataset.RequestedProcedureDescription = f"RP{patient}", "Examination"
    dataset.RequestingPhysician, dataset.ReferringPhysicianName = "DOC^TOR", "DOC^TOR"
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = modality, station
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = date, time
    step.ScheduledProcedureStepID, step.ScheduledProcedureStepDescription = f"S{patient}", "Step"
    step.ScheduledPerformingPhysicianName = "DOC^TOR"
    dataset.ScheduledProcedureStepSequence = [step]
    return dataset


def files(folder):
    """Write all items as files, which both servers read."""
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    for patient in ITEMS:
        dataset = item(patient)
        if not dataset.SpecificCharacterSet:
            del dataset.SpecificCharacterSet
        dataset.file_meta = Dataset()
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
            "1.2.276.0.7230010.3.1.0.1",
            "1.2.3",
        )
        dataset.save_as(folder / f"{patient}.wl", enforce_file_format=True)


@contextmanager
def wlmscpfs(program, folder):
    files(folder / "WLAE")
    port = free_port()
    arguments = [program("wlmscpfs"), "--data-files-path", str(folder), "--single-process", "-csk", str(port)]
    with running(arguments, port=port, cwd=folder, log=folder / "log.txt") as process:
        yield RunningPeer(Peer("wlmscpfs", "WLAE", port=port), folder, process)


@contextmanager
def orthanc_worklists(program, folder):
    files(folder / "worklists")
    settings = {
        "Plugins": [str(PLUGINS / "libModalityWorklists.so")],
        "Worklists": {"Enable": True, "Database": str(folder / "worklists"), "FilterIssuerAet": False, "LimitAnswers": 0},
        "DicomAlwaysAllowFindWorklist": True,
        "DefaultEncoding": "Utf8",  # else it answers in Latin-1, and what that lacks is lost
    }
    with run_orthanc(program("Orthanc"), folder, **settings) as peer:
        yield peer


@pytest.fixture(scope="module", params=["wlmscpfs", "orthanc"])
def ris(request, program, tmp_path_factory):
    """A worklist of another maker."""
    folder = tmp_path_factory.mktemp(request.param)
    with {"wlmscpfs": wlmscpfs, "orthanc": orthanc_worklists}[request.param](program, folder / "data") as peer:
        yield peer


def patients(found):
    return sorted(str(answer.PatientID) for answer in found)


# ------------------------------------------------------------ we ask
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["P1", "P2", "P3", "P4", "P5"]),
        ({"Modality": "CT"}, ["P1", "P2"]),
        ({"PatientName": "DOE*"}, ["P1", "P5"]),
        ({"PatientName": "D?E^JANE"}, ["P1"]),
        ({"PatientID": "P4"}, ["P4"]),
        ({"ScheduledStationAETitle": "CT1", "ScheduledProcedureStepStartDate": "20261121"}, ["P1"]),
        ({"ScheduledProcedureStepStartDate": "20261121-20261122"}, ["P1", "P2", "P3"]),
        ({"ScheduledProcedureStepStartDate": "20261125-"}, ["P4", "P5"]),
        ({"ScheduledProcedureStepStartDate": "-20261121"}, ["P1", "P3"]),
        ({"AccessionNumber": "AP3"}, ["P3"]),
        ({"Modality": "US"}, []),
    ],
)
def test_the_same_answers_from_each(ris, keys, expected):
    assert patients(worklist(ris.peer, keys=keys)) == expected


def test_names_of_every_script(ris):
    found = {str(answer.PatientID): str(answer.PatientName) for answer in worklist(ris.peer)}
    assert found == {patient: values[0] for patient, values in ITEMS.items()}


def test_what_a_device_asks_and_no_more(ris):
    """Table of a device: its own return keys come back, and no others."""
    found = worklist(
        ris.peer, keys={"Modality": "OPT", "PatientName": "", "PatientID": "", "ScheduledProcedureStepID": ""}, only=True
    )
    (answer,) = found
    (step,) = answer.ScheduledProcedureStepSequence
    assert (answer.PatientID, step.Modality, step.ScheduledProcedureStepID) == ("P3", "OPT", "SP3")
    assert "AccessionNumber" not in answer
    assert found.table().filter(like="PatientID").iloc[0, 0] == "P3"


def test_enough_is_enough(ris):
    """C-CANCEL goes out, and what came is kept."""
    found = worklist(ris.peer, limit=2)
    assert len(found) == 2
    assert found.truncated


def test_a_worklist_that_does_not_know_us(ris):
    with pytest.raises((AssociationRejected, StatusFailure)):
        worklist(ris.peer.but(ae_title="OTHER"))


# ------------------------------------------------------------ findscu asks us
class Findscu:
    """DCMTK's findscu against a worklist of ours."""

    def __init__(self, program, peer, folder):
        self._program, self._peer, self._folder, self._count = program("findscu"), peer, folder, 0

    def __call__(self, *keys, switches=()):
        self._count += 1
        folder = self._folder / f"answers-{self._count}"
        folder.mkdir()
        command = [self._program, "-v", "-W", "-X", "-od", str(folder), "-aec", self._peer.ae_title, *switches]
        for key in keys:
            command += ["-k", key]
        command += [self._peer.host, str(self._peer.port)]
        self.done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        self.said = (self.done.stdout + self.done.stderr).decode(errors="replace")
        return [dcmread(path, force=True) for path in sorted(folder.glob("*.dcm"))]


def rows():
    names = (
        "PatientName",
        "Modality",
        "ScheduledStationAETitle",
        "ScheduledProcedureStepStartDate",
        "ScheduledProcedureStepStartTime",
    )
    return [
        {"PatientID": patient, "AccessionNumber": f"A{patient}"}
        | dict(zip(names, (values[0], *values[2:]), strict=True))
        for patient, values in ITEMS.items()
    ]  # fmt: skip


@pytest.fixture(params=["DataFrame", "CSV", "datasets"])
def ours(request, program, tmp_path):
    """A worklist of ours, however it is fed, and who asks it."""
    if request.param == "DataFrame":
        source = pd.DataFrame(rows())
    elif request.param == "CSV":
        source = tmp_path / "items.csv"
        with source.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows()[0])
            writer.writeheader()
            writer.writerows(rows())
    else:
        source = [item(patient, "ISO_IR 192") for patient in ITEMS]
    with Server(None, ae_title="RIS", providers=[Worklist(source)]) as server:
        yield Findscu(program, server.peer, tmp_path)


IDS = ("PatientID", "PatientName", f"{STEP}[0].Modality", f"{STEP}[0].ScheduledProcedureStepStartDate")


def test_findscu_gets_what_it_asks_for(ours):
    for keys, expected in (
        ((), ["P1", "P2", "P3", "P4", "P5"]),
        ((f"{STEP}[0].Modality=CT",), ["P1", "P2"]),
        (("PatientName=DOE*",), ["P1", "P5"]),
        (("PatientName=d?e^jane",), ["P1"]),
        ((f"{STEP}[0].ScheduledProcedureStepStartDate=20261121-20261122",), ["P1", "P2", "P3"]),
        ((f"{STEP}[0].ScheduledProcedureStepStartDate=20261125-",), ["P4", "P5"]),
        ((f"{STEP}[0].ScheduledStationAETitle=CT1", "AccessionNumber=AP2"), ["P2"]),
        ((f"{STEP}[0].Modality=US",), []),
    ):
        wanted = [key for key in IDS if key not in {k.split("=")[0] for k in keys}]
        found = ours(*wanted, *keys)
        assert ours.done.returncode == 0, ours.said
        assert sorted(str(answer.PatientID) for answer in found) == expected, keys


def test_findscu_reads_every_script(ours):
    found = {str(answer.PatientID): answer for answer in ours(*IDS)}
    assert {patient: str(answer.PatientName) for patient, answer in found.items()} == {p: v[0] for p, v in ITEMS.items()}
    charsets = {patient: answer.get("SpecificCharacterSet", "") for patient, answer in found.items()}
    assert charsets["P3"] == charsets["P4"] == "ISO_IR 192"
    assert charsets["P5"] in {"", "ISO_IR 192"}


def test_findscu_gets_only_the_keys_it_named(ours):
    (answer,) = ours("PatientID=P1", f"{STEP}[0].Modality")
    assert {e.keyword for e in answer if e.tag.group > 2} - {"SpecificCharacterSet"} == {"PatientID", STEP}
    assert [e.keyword for e in answer.ScheduledProcedureStepSequence[0]] == ["Modality"]


def test_findscu_cancels(program, tmp_path):
    many = [rows()[0] | {"PatientID": f"N{number}"} for number in range(3000)]
    with Server(None, ae_title="RIS", providers=[Worklist(many)]) as server:
        ask = Findscu(program, server.peer, tmp_path)
        found = ask("PatientID", f"{STEP}[0].Modality", switches=("--cancel", "3"))
    assert 3 <= len(found) < 3000
    assert "Cancel" in ask.said


def test_more_than_the_limit_is_refused(program, tmp_path):
    with Server(None, ae_title="RIS", providers=[Worklist(rows(), most=4)]) as server:
        ask = Findscu(program, server.peer, tmp_path)
        assert ask("PatientID") == []
        assert "0xa700" in ask.said.lower() or "OutOfResources" in ask.said
        assert len(ask("PatientID", f"{STEP}[0].Modality=CT")) == 2


def test_a_step_that_is_over_is_no_longer_on_the_list(program, tmp_path):
    items = Worklist(rows())
    with Server(None, ae_title="RIS", providers=[items]) as server:
        ask = Findscu(program, server.peer, tmp_path)
        first = items.items[0]
        assert items.mark(first.StudyInstanceUID, first.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID, "COMPLETED")
        assert sorted(str(answer.PatientID) for answer in ask("PatientID")) == ["P2", "P3", "P4", "P5"]
        (done,) = ask("PatientID", f"{STEP}[0].ScheduledProcedureStepStatus=COMPLETED")
        assert done.PatientID == "P1"
