"""The audit trail: appended, honest about failures, without a patient."""

import json
import stat
import threading

import pytest

from workbench.errors import AttributeUnusable, FileError, StatusFailure
from workbench.flows import Audit, AuditLines


def test_lines_are_appended_and_read_back(tmp_path):
    path = tmp_path / "new" / "audit.jsonl"
    for name in ("one", "two"):
        audit = Audit(path)
        with audit.step(name) as step:
            step.count, step.verified, step.note = 3, True, "über\nzwei Zeilen"
    lines = Audit.read(path)
    assert [(line.step, line.count, line.verified, line.note) for line in lines] == [
        ("one", 3, True, "über\nzwei Zeilen"),
        ("two", 3, True, "über\nzwei Zeilen"),
    ]
    assert lines.verified
    assert len(path.read_text().splitlines()) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [line.step for line in audit.lines] == ["two"]
    assert lines.table()["count"].dtype == "Int64"
    assert lines[0].time <= lines[1].time  # milliseconds


def test_no_lines_are_not_verified():
    assert not AuditLines().verified
    assert repr(Audit()) == "Audit(0 steps, not all verified)"


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (AttributeUnusable("The table has no column."), "AttributeUnusable: The table has no column."),
        (ValueError("DOE^JANE is no date"), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (StatusFailure("PACS says: 'no DOE^JANE here'", status=0xA700), "StatusFailure, status 0xA700"),
    ],
)
def test_a_failure_is_written_down_and_goes_on(tmp_path, error, note):
    audit = Audit(tmp_path / "audit.jsonl")

    def work():
        with audit.step("push") as step:
            step.count, step.verified = 2, True
            raise error

    with pytest.raises(type(error)):
        work()
    (line,) = Audit.read(tmp_path / "audit.jsonl")
    assert (line.count, line.verified, line.note) == (2, False, note)
    assert "DOE" not in (tmp_path / "audit.jsonl").read_text()


def test_steps_of_several_threads_are_whole_lines(tmp_path):
    audit = Audit(tmp_path / "audit.jsonl")

    def work(name):
        for _ in range(10):
            with audit.step(name) as step:
                step.note = "x" * 2000

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Audit.read(tmp_path / "audit.jsonl")) == 40


@pytest.mark.parametrize("damage", [b'{"time": "2', b"[]", b"\xff\xfe", json.dumps({"step": "x"}).encode()])
def test_a_damaged_trail_is_refused(tmp_path, damage):
    audit = Audit(tmp_path / "audit.jsonl")
    with audit.step("one"):
        pass
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(damage + b"\n")
    with pytest.raises(FileError, match=r"Line 2 of .* is no line of an audit trail"):
        Audit.read(tmp_path / "audit.jsonl")
