"""A worklist asked by DCMTK's findscu and by ourselves: what matches, what is returned, limits, cancelling."""

import re
import subprocess

import pytest

from workbench.errors import StatusFailure
from workbench.network import Server, Worklist, worklist

WORKLIST = "1.2.840.10008.5.1.4.31"
STEP = "ScheduledProcedureStepSequence"
ROWS = [
    {"PatientName": "Müller^Jörg", "PatientID": "1", "Modality": "OP", "ScheduledStationAETitle": "FUNDUS",
     "ScheduledProcedureStepStartDate": "20261121", "StudyInstanceUID": "1.2.1", "ScheduledProcedureStepID": "S1"},
    {"PatientName": "Doe^Jane", "PatientID": "2", "Modality": "OPT", "ScheduledStationAETitle": "OCT",
     "ScheduledProcedureStepStartDate": "20261122", "StudyInstanceUID": "1.2.2", "ScheduledProcedureStepID": "S2"},
]  # fmt: skip


@pytest.fixture
def provider():
    return Worklist(ROWS)


@pytest.fixture
def served(provider):
    with Server(None, providers=[provider]) as server:
        yield server


@pytest.mark.parametrize("syntax", ["-xe", "-xb", "-xi"])
def test_findscu_in_each_transfer_syntax(served, program, syntax):
    keys = ["PatientName", "PatientID", "AccessionNumber", f"{STEP}[0].Modality=OP", f"{STEP}[0].ScheduledProcedureStepID"]
    command = [program("findscu"), "-v", syntax, "-W", "-aec", "WORKBENCH", *(w for k in keys for w in ("-k", k)), "127.0.0.1"]
    done = subprocess.run([*command, str(served.port)], capture_output=True, timeout=30, check=True)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert len(re.findall(r"Find Response: \d+ \(Pending\)", said)) == 1
    for shown in (r"\(0010,0010\) PN \[Müller\^Jörg ?\]", r"\(0008,0005\) CS \[ISO_IR 192", r"\(0008,0060\) CS \[OP\]",
                  r"\(0040,0009\) SH \[S1\]", r"\(0008,0050\) SH \(no value available\)"):  # fmt: skip
        assert re.search(shown, said), shown


def test_what_changes_is_told_anew(served, provider):
    keys = {"PatientID": "1", f"{STEP}.ScheduledProcedureStepStatus": None}
    states = []
    for state in ("", "STARTED", "COMPLETED"):
        if state:
            provider.mark("1.2.1", "S1", state)
        states.append([answer[STEP].value[0].ScheduledProcedureStepStatus for answer in worklist(served.peer, keys=keys)])
    assert states == [["SCHEDULED"], ["STARTED"], []]


def test_both_sides_agree_about_names_beyond_ascii(served):
    found = worklist(served.peer, keys={"PatientName": "MÜLLER*"})
    assert [str(answer.PatientName) for answer in found] == ["Müller^Jörg"]
    assert found.table().PatientName.tolist() == ["Müller^Jörg"]


def test_more_items_than_may_be_are_refused():
    with Server(None, providers=[Worklist(ROWS, most=1)]) as server:
        with pytest.raises(StatusFailure, match="0xA700") as caught:
            worklist(server.peer)
        assert caught.value.status == 0xA700
        assert len(worklist(server.peer, keys={"Modality": "OPT"})) == 1


def test_a_query_for_items_is_cancelled(script):
    rows = [{**ROWS[1], "PatientID": str(n), "RequestedProcedureDescription": "d" * 60} for n in range(5_000)]
    with Server(None, providers=[Worklist(rows)]) as server, script.connect(server.port, receive_bytes=16_384) as connection:
        connection.associate([(1, WORKLIST, ("1.2.840.10008.1.2.1",))])
        request = script.command_set(e0002=WORKLIST, e0100=0x20, e0110=3, e0700=0, e0800=1)
        connection.message(1, request, script.element(0x00100020, "LO", "") + script.element(0x00321060, "LO", ""))
        count = 0
        assert script.status(connection.response()) == 0xFF00
        connection.message(1, script.command_set(e0100=0x0FFF, e0120=3, e0800=0x0101))
        while script.status(message := connection.response()) == 0xFF00:
            count += 1
        assert script.status(message) == 0xFE00
        assert count < 4_999
