"""Retrieval by C-MOVE from a peer that really sends: each final status, with all, some and none of the images."""

import contextlib
import dataclasses

import pytest

from tests.department.test_statuses import MOVING, ONE_OF, QUERYING, Accepting
from tests.network.scripted import EXPLICIT, Listening, Scripted, command_set, element, instance
from workbench import devices
from workbench.department import Modality, Outcome

CT = "1.2.840.10008.5.1.4.1.1.2"
UIDS = ["1.2.3.4.5.1", "1.2.3.4.5.2", "1.2.3.4.5.3"]
VEREOS = devices.profile("philips-vereos")
(RETRIEVE,) = [a for a in VEREOS.activities if a.does == "retrieve"]
ROWS = list(devices.statuses(VEREOS, entity=RETRIEVE.entity, activity=RETRIEVE.name))


def told(uid, level):
    """An answer of a query."""
    rows = [
        (0x00080016, "UI", CT), (0x00080018, "UI", uid), (0x00080052, "CS", level), (0x00080060, "CS", "CT"),
        (0x0020000D, "UI", "1.2.3.4"), (0x0020000E, "UI", "1.2.3.4.5"),
    ]  # fmt: skip
    return b"".join(element(*row) for row in rows)


class Archive(Listening):
    """A peer that has three images, sends as many as it is told in sub-operations, and ends with a status.

    Parameters
    ----------
    code : int
        The final status of C-MOVE.
    sends : int
        How many images it sends.
    comment : str
        Error Comment (0000,0902) of a final status of failure.
    """

    def __init__(self, code, sends, *, comment=""):
        self.code, self.sends, self.comment, self.system = code, sends, comment, None
        self.destinations, self.ends, self.stored = [], [], []
        super().__init__(None)

    def _serve(self, raw):
        raw.settimeout(10)
        with Accepting(raw) as connection, contextlib.suppress(OSError):
            try:
                connection.accept()
                while True:
                    request = connection.response()
                    (self._find if request[0x0100] == QUERYING.to_bytes(2, "little") else self._move)(connection, request)
            finally:
                self.ends.append(connection.end)

    def _find(self, connection, request):
        level = next(level for level in ("STUDY", "SERIES", "IMAGE") if level.encode() in request["dataset"])
        answer = {"e0002": request[0x0002], "e0100": QUERYING | 0x8000, "e0120": request[0x0110]}
        for uid in UIDS if level == "IMAGE" else UIDS[:1]:
            connection.message(connection.context_id, command_set(**answer, e0800=1, e0900=0xFF00), told(uid, level))
        connection.message(connection.context_id, command_set(**answer, e0800=0x0101, e0900=0))

    def _move(self, connection, request):
        self.destinations.append(request[0x0600].decode().strip())
        answer = {"e0002": request[0x0002], "e0100": MOVING | 0x8000, "e0120": request[0x0110]}
        if self.sends:
            with Scripted(self.system.port) as sub:
                accepted = sub.associate(((1, CT, (EXPLICIT,)),), called=self.system.ae_title)
                assert accepted == {1: EXPLICIT}
                for number, uid in enumerate(UIDS[: self.sends]):
                    self.stored.append(sub.store(uid, instance(uid), message_id=number + 1))
                    left = {"e1020": len(UIDS) - number - 1, "e1021": number + 1, "e1022": 0, "e1023": 0}
                    pending = command_set(**answer, **left, e0800=0x0101, e0900=0xFF00)
                    connection.message(connection.context_id, pending)
                sub.release()
        failed = len(UIDS) - self.sends if self.code == 0xB000 else 0
        counts = {"e1021": self.sends, "e1022": failed, "e1023": 0}
        comment = {"e0902": self.comment} if self.comment else {}
        final = command_set(**answer, **counts, **comment, e0800=1 if failed else 0x0101, e0900=self.code)
        lacking = element(0x00080058, "UI", "\\".join(UIDS[self.sends :])) if failed else None
        connection.message(connection.context_id, final, lacking)


def retrieved(archive):
    system = Modality(VEREOS, archive=archive.peer, known_to=lambda peer: setattr(archive, "system", peer))
    done = system.perform(RETRIEVE)
    archive.close()
    return system, done


@pytest.mark.parametrize("sends", [0, 2, 3])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_each_final_status_after_none_some_and_all(row, sends):
    """Table 29: what came is kept, whatever the status; the transfer result names one that is not success."""
    code = ONE_OF.get(row.code) or int(row.code, 16)
    archive = Archive(code, sends)
    system, done = retrieved(archive)
    title = VEREOS.entity("dicom-manager").ae_title
    assert (archive.destinations, archive.stored) == ([title], [0] * sends)
    assert set(archive.ends) == {5}  # each association released, section 4.2.1.3.5.1
    assert [str(image.SOPInstanceUID) for image in system.fetched] == UIDS[:sends]
    good = {"success": sends == len(UIDS), "warning": sends > 0}
    assert done.outcome is (Outcome.DONE if good.get(row.action) else Outcome.FAILED), done
    assert done.count == sends
    assert (f"0x{code:04X}" in done.message) == (code != 0), done
    if code and sends:
        assert row.meaning in done.message
        assert "Table 29" in done.message
    if not code and sends < len(UIDS):
        assert "did not send it" in done.message
    assert "SCRIPTED" not in done.message.replace("AE title 'SCRIPTED'", "")


def test_what_the_peer_says_of_it_is_told_where_nothing_came():
    _, done = retrieved(Archive(0xA801, 0, comment="who is that"))
    assert "0xA801" in done.message
    assert "who is that" in done.message


def test_a_system_whose_statement_has_no_such_table_fails_where_something_lacks():
    tables = tuple(table for table in VEREOS.tables if table.id != "move-statuses")
    plain = dataclasses.replace(VEREOS, tables=tables)
    for code, sends, outcome in ((0xB000, 2, Outcome.FAILED), (0, 3, Outcome.DONE)):
        archive = Archive(code, sends)
        system = Modality(plain, archive=archive.peer, known_to=lambda peer, at=archive: setattr(at, "system", peer))
        done = system.perform(RETRIEVE)
        archive.close()
        assert (done.outcome, done.count) == (outcome, sends)
