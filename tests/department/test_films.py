"""Films of the Vereos at a printer that answers each request as it is told: every status of Tables 59 to 77."""

import contextlib

import pytest
from pydicom.dataset import Dataset

from tests.peers.conftest import Plain
from workbench import devices, phantoms
from workbench.department import Modality, Outcome
from workbench.department._printing import print_policy
from workbench.errors import InputError
from workbench.network import PrintPolicy

VEREOS = devices.profile("philips-vereos")
(PRINTS,) = [a for a in VEREOS.activities if a.does == "print"]
GRAY, COLOR = "1.2.840.10008.5.1.1.9", "1.2.840.10008.5.1.1.18"
SESSION, FILM, GRAY_BOX, COLOR_BOX, PRINTER = (f"1.2.840.10008.5.1.1.{end}" for end in ("1", "2", "4", "4.1", "16"))
N_GET, N_SET, N_ACTION, N_CREATE, N_DELETE = 0x0110, 0x0120, 0x0130, 0x0140, 0x0150
SERVICES = {"N-CREATE": N_CREATE, "N-SET": N_SET, "N-ACTION": N_ACTION, "N-DELETE": N_DELETE}
#: One status that each way of writing several stands for.
ONE_OF = {"<>0000": 0x0110, "xxxx": 0x0106, "B000-B007": 0xB003}


def statuses():
    for table in VEREOS.of_kind("statuses", activity=PRINTS.name):
        service = next(number for name, number in SERVICES.items() if name in table.title)
        for row in devices.statuses(VEREOS, activity=PRINTS.name):
            if row.source == table.source:
                for is_color in (False, True):
                    if ("grayscale", "color")[not is_color] not in table.title:
                        name = f"{row.source}-{row.code}-{('gray', 'color')[is_color]}"
                        yield pytest.param(row, table.uid, service, is_color, id=name.replace(" ", ""))


class Answers:
    """A printer that takes everything, and answers one kind of request with a status.

    `asked` has service and SOP class of each request, in their order.
    """

    def __init__(self, sop_class="", service=0, code=0):
        self.one, self.code, self.asked, self.is_color = (service, sop_class), code, [], False

    def __call__(self, line):
        while True:
            command, _ = line.receive()
            service, sop_class = command[0x0100], command.get(0x0003) or command.get(0x0002)
            self.asked.append((service, sop_class))
            status = self.code if (service, sop_class) == self.one else 0
            meta = COLOR if self.is_color else GRAY
            instance = command.get(0x1001) or f"1.2.826.0.1.3680043.10.{len(self.asked)}"
            answer = {0x0100: service | 0x8000, 0x0120: command[0x0110], 0x0002: sop_class, 0x1000: instance, 0x0900: status}
            made = None
            if (service, sop_class) == (N_CREATE, FILM) and not 0xC000 <= status <= 0xCFFF:
                made, item = Dataset(), Dataset()
                item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = (COLOR_BOX if self.is_color else GRAY_BOX), "1.2.3.4"
                made.ReferencedImageBoxSequence = [item]
            line.send(meta, answer, made)


@pytest.fixture
def plain():
    with contextlib.closing(Plain()) as made:
        yield made


def printed(plain, printer, *, is_color=False):
    printer.is_color = is_color
    system = Modality(VEREOS, printer=plain.listen(printer, prefer=plain.EXPLICIT))
    system.made = [phantoms.fundus()] if is_color else phantoms.ct_series(1)
    return system.perform(PRINTS)


@pytest.mark.parametrize("is_color", [False, True], ids=["gray", "color"])
def test_the_services_are_those_of_table_57(plain, is_color):
    """No N-GET of the printer: of that class only N-EVENT-REPORT is listed. Film box and film session are deleted."""
    printer = Answers()
    done = printed(plain, printer, is_color=is_color)
    box = COLOR_BOX if is_color else GRAY_BOX
    assert (done.outcome, done.message) == (Outcome.DONE, "1 image on 1 film.")
    assert printer.asked == [
        (N_CREATE, SESSION), (N_CREATE, FILM), (N_SET, box), (N_ACTION, FILM), (N_DELETE, FILM), (N_DELETE, SESSION),
    ]  # fmt: skip
    listed = {(row["uid"], service) for row in VEREOS.table("print-members").records() for service in row["services"].split()}
    named = {number: name for name, number in SERVICES.items()}
    assert {(uid, named[service]) for service, uid in printer.asked} <= listed


@pytest.mark.parametrize(("row", "uid", "service", "is_color"), list(statuses()))
def test_each_status_of_each_table(plain, row, uid, service, is_color):
    code = ONE_OF.get(row.code) or int(row.code, 16)
    printer = Answers(uid, service, code)
    done = printed(plain, printer, is_color=is_color)
    assert (service, uid) in printer.asked
    assert done.outcome is (Outcome.FAILED if row.action == "failure" else Outcome.DONE), done
    assert (f"0x{code:04X}" in done.message) == (row.action == "failure" or "user told" in row.behaviour)
    if row.action == "failure" and service != N_DELETE:
        assert printer.asked[-1] == ((N_DELETE, SESSION) if (service, uid) != (N_CREATE, SESSION) else (service, uid))
        assert (N_ACTION, FILM) not in printer.asked or service == N_ACTION
        assert done.count == 0
    else:
        assert printer.asked[-2:] == [(N_DELETE, FILM), (N_DELETE, SESSION)]
        assert done.count == 1


@pytest.mark.parametrize(
    ("service", "uid", "code", "is_color", "outcome"),
    [
        (N_ACTION, FILM, 0xB601, True, Outcome.FAILED),  # Table 72: a warning by the standard, any other status here
        (N_ACTION, FILM, 0xB601, False, Outcome.DONE),  # Table 67 does not say
        (N_SET, GRAY_BOX, 0x0001, False, Outcome.FAILED),  # Table 75
    ],
)
def test_what_the_standard_takes_otherwise(plain, service, uid, code, is_color, outcome):
    assert printed(plain, Answers(uid, service, code), is_color=is_color).outcome is outcome


def test_systems_without_such_tables_ask_and_judge_as_is_usual():
    canon = devices.profile("canon-vitrea-read")
    (prints,) = [a for a in canon.activities if a.does == "print"]
    policy = print_policy(canon, prints, is_color=False)
    assert policy.asks_state
    assert policy.judged("film", 0xB605) is None
    assert print_policy(VEREOS, PRINTS, is_color=True).judged("print film", 0x0110).source == "Table 72"
    assert print_policy(VEREOS, PRINTS, is_color=False).judged("image", 0x0110).source == "Table 75"


def test_a_step_that_there_is_not():
    with pytest.raises(InputError, match="no step 'exposure'"):
        PrintPolicy(statuses={"exposure": ()})
