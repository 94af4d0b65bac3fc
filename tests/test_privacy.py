"""No patient in any log, message, audit line, report or repr, through the whole of the work."""

import copy
import logging
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from pydicom import config as pydicom_config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from tests.conftest import free_port
from workbench import conformance, deid, devices, inspection, phantoms, quantification, rendering
from workbench.archive import Archive
from workbench.department import Department, scheduled
from workbench.entities import Circle, Peer, StudyRef
from workbench.errors import WorkbenchError
from workbench.files import read, save
from workbench.flows import Audit, annotate, exchange, pull, release
from workbench.network import ProcedureSteps, Server, Worklist, echo, find, retrieve, store, trace

WORKBENCH = str(Path(sys.executable).with_name("workbench"))
#: what is not a value of a dataset: UIDs and AE titles may be logged, dates of the phantoms look like any number
OF_A_PERSON = re.compile(r"[^\W\d_]{4,}|\d")


class Heard(logging.Handler):
    """Every record of every logger at DEBUG, as it would be written."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines = []

    def emit(self, record):
        self.lines.append((record.name.split(".")[0], self.format(record)))

    def of(self, *names):
        return [line for name, line in self.lines if name in names]


@pytest.fixture(scope="module")
def instances():
    """Phantoms with planted identities, but for most slices of the larger series."""
    some = {}
    for dataset in phantoms.everything():
        some.setdefault((dataset.SeriesInstanceUID, int(dataset.InstanceNumber or 0) % 20), dataset)
    planted = phantoms.planted_ct(1).dataset
    assert planted.SOPInstanceUID not in {d.SOPInstanceUID for d in some.values()}
    return [*some.values(), planted]


@pytest.fixture(scope="module")
def identities(instances):
    """What may not be said: names and their parts, numbers of patients, and whatever was planted but for UIDs."""
    found = set()
    for dataset in instances:
        name = str(dataset.PatientName)
        found |= {name, *re.split(r"[\^=]", name), str(dataset.PatientID)}
    for seed in (0, 1):
        found |= {text for text in phantoms.planted_ct(seed).identities if not re.fullmatch(r"[\d.]+", text)}
    found = {text for text in found if len(text) >= 4 and OF_A_PERSON.search(text)}
    assert len(found) > 50
    return found


@pytest.fixture(scope="module")
def heard():
    handler, root = Heard(), logging.getLogger()
    names = ("", "workbench", "pynetdicom", "pydicom", "highdicom")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def named(texts, identities):
    return sorted({(identity, text[:200]) for text in texts for identity in identities if identity.lower() in text.lower()})


@pytest.fixture(scope="module")
def worked(heard, instances, tmp_path_factory):
    """The whole of the work once; what it left to be read."""
    folder = tmp_path_factory.mktemp("work")
    audit = Audit(folder / "audit.jsonl")
    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Department(folder / "theirs", instances=instances) as department, Archive(folder / "ours") as archive:
            peer = department.peer
            assert echo(peer)
            studies = pull.find(peer, audit=audit, PatientName="*")
            pull.find(peer, level="PATIENT", model="PATIENT", audit=audit, PatientID=str(instances[0].PatientID))
            report = pull.retrieve(peer, studies, into=archive, audit=audit)
            assert report.complete
            moved = retrieve(peer.but(retrieve_by="get"), StudyRef(studies["StudyInstanceUID"][0]), into=archive)
            originals = [archive.open(ref) for ref in archive]
            for dataset in originals:
                shown += [repr(inspection.summary(dataset)), repr(inspection.tree(dataset))]
            found = inspection.differences(originals[0], originals[-1])
            keys = deid.Keys.create(folder / "key")
            plan = deid.plan(phantoms.planted_ct().dataset)
            done = release.release(originals, keys=keys, folder=folder / "released", audit=audit)
            assert done.complete
            image = next(d for d in originals if d.Modality == "CT")
            region = annotate.measure(image, Circle((32, 32), 6))
            derived = annotate.annotate([region], audit=audit)
            pushed = exchange.push(peer, [*derived.datasets, *done.datasets[:3]], audit=audit)
            assert pushed.verified
            findings = conformance.check_many([*derived.datasets, *originals[:3]])
            again = store(peer, originals[:3])
            reports = (report, moved, done, pushed, again, findings, audit.lines, plan, deid.report(plan))
            shown += [repr(r) for r in (*reports, derived, region, keys, department, archive, found)]
            shown += [part._repr_html_() for part in (*reports, department, department.server, archive, archive.conflicts())]
            shown += [str(row) for r in reports[:-1] for row in r.records()]
    shown.append((folder / "audit.jsonl").read_text())
    return folder, shown


def test_the_work_is_logged_at_all(worked, heard):
    assert len(heard.of("workbench")) > 20
    assert len(heard.of("pynetdicom")) > 20


def test_no_log_names_a_patient(worked, heard, identities):
    assert named(heard.of("workbench", "pynetdicom", "highdicom"), identities) == []


def test_no_report_and_no_audit_line_names_a_patient(worked, identities):
    assert named(worked[1], identities) == []


def test_no_released_file_names_a_patient(worked, identities):
    for path in (worked[0] / "released").iterdir():
        content = path.read_bytes().lower()
        # shorter ones may be in pixels by chance
        assert [text for text in identities if len(text) > 6 and text.lower().encode() in content] == []


def spoiled(dataset, **values):
    changed = copy.deepcopy(dataset)
    reading = pydicom_config.settings.reading_validation_mode, pydicom_config.settings.writing_validation_mode
    pydicom_config.settings.reading_validation_mode = pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE
    try:
        for keyword, value in values.items():
            try:
                setattr(changed, keyword, value)
            except ValueError:  # words where numbers belong
                changed.add(DataElement(tag_for_keyword(keyword), "LO", value))
    finally:
        pydicom_config.settings.reading_validation_mode, pydicom_config.settings.writing_validation_mode = reading
    return changed


def test_no_error_names_a_patient(worked, instances, identities, heard, tmp_path):
    folder, _ = worked
    keys = deid.Keys.load(folder / "key")
    image = next(d for d in instances if d.Modality == "CT")
    pet = next(d for d in instances if d.Modality == "PT")
    name, number = str(image.PatientName), str(image.PatientID)
    path = save(image, tmp_path / "image.dcm")
    path.write_bytes(path.read_bytes()[:-5000])
    (tmp_path / "name").write_bytes(f"{name} {number}".encode() * 50)
    peer = echo_peer = None
    with Department(folder / "more", instances=[image]) as department, Archive(folder / "third") as archive:
        peer, echo_peer = department.peer, department.peer.but(port=free_port())
        archive.add(image)
        attempts = {
            "a UID that is a name": lambda: archive.add(spoiled(image, SOPInstanceUID=name)),
            "other bytes": lambda: archive.add(spoiled(image, PatientName=f"{name}x")),
            "text for a file": lambda: read(tmp_path / "name"),
            "half a file": lambda: archive.add(path),
            "a key by value": lambda: find(peer, keys={"PatientName": [name, number]}),
            "a date by name": lambda: find(peer, keys={"StudyDate": name}),
            "a UID by name": lambda: find(peer, keys={"StudyInstanceUID": name}),
            "closed port": lambda: find(echo_peer, keys={"PatientName": name}),
            "a study by name": lambda: retrieve(peer, StudyRef(name), into=archive),
            "a window by name": lambda: rendering.resolve(spoiled(image, WindowCenter=name, WindowWidth=number)),
            "rows by name": lambda: rendering.pixels(spoiled(image, BitsAllocated=7)),
            "photometric by name": lambda: rendering.resolve(spoiled(image, PhotometricInterpretation=name)),
            "weight by name": lambda: quantification.suv([spoiled(pet, PatientWeight=None)]),
            "dose by name": lambda: quantification.injection(spoiled(pet, SeriesTime=name, AcquisitionTime=number)),
            "units by name": lambda: quantification.suv([spoiled(pet, Units=name)]),
            "spacing by name": lambda: quantification.volume([spoiled(image, PixelSpacing=[name, number])]),
            "position by name": lambda: quantification.volume([spoiled(image, ImagePositionPatient=None), image]),
            "a push without UID": lambda: exchange.push(peer, [spoiled(image, SOPInstanceUID=name)]),
            "a release without UID": lambda: release.release([spoiled(image, SOPInstanceUID=name)], keys=keys),
            "a region of no image": lambda: annotate.measure(spoiled(image, Rows=None), Circle((3, 3), 2)),
            "two patients": lambda: annotate.annotate([annotate.measure(d, Circle((32, 32), 6)) for d in (image, pet)]),
        }
        said, kinds = [], {}
        for attempt, act in attempts.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    result = act()
                    said.append(
                        f"{attempt}: {getattr(result, 'findings', '')} {repr(result) if hasattr(result, 'records') else ''}"
                    )
                except WorkbenchError as error:
                    said.append(f"{attempt}: {error}")
                    kinds[attempt] = type(error).__name__
    assert len(kinds) >= 15, kinds
    assert named(said, identities) == []
    assert named(heard.of("workbench", "pynetdicom", "highdicom"), identities) == []


CANARY = "XQCANARY"
#: values that are invalid for their VR, each with a name in it: pydicom would quote them in its warnings
INVALID = {
    "PatientName": f"{CANARY}^" * 12, "PatientID": CANARY * 12, "PatientBirthDate": f"DOE^{CANARY}", "StudyDate": f"{CANARY}DATE",
    "StudyTime": f"{CANARY}TIME", "PatientAge": f"{CANARY}AGE", "AccessionNumber": CANARY * 4, "PatientSex": f"{CANARY.lower()}^",
    "AcquisitionDateTime": f"{CANARY}DT", "InstitutionName": CANARY * 20, "OtherPatientNames": [f"{CANARY}=a=b=c=d", CANARY * 9],
    "PatientBirthTime": f"{CANARY}", "StudyID": CANARY * 3, "DeviceSerialNumber": CANARY * 9,
}  # fmt: skip


@pytest.fixture(scope="module")
def invalid():
    """A whole CT slice with a name in the place of every kind of value."""
    (image,) = phantoms.ct_series(1, rows=64)
    image = copy.deepcopy(image)
    with pydicom_config.disable_value_validation():
        for keyword, value in INVALID.items():
            tag = tag_for_keyword(keyword)
            image.add(DataElement(tag, dictionary_VR(tag), value))
    return image


def worked_on(dataset, folder):
    """Do everything with a dataset that has a door; return what was refused, by the name of the door."""
    keys, refused = deid.Keys.create(folder / "key"), {}
    path = folder / "invalid.dcm"
    with Department(folder / "theirs", instances=[]) as department, Archive(folder / "ours") as archive:
        peer = department.peer
        doors = {
            "save": lambda: save(dataset, path),
            "read": lambda: read(path).dataset,
            "summary": lambda: repr(inspection.summary(read(path).dataset)),
            "tree": lambda: repr(inspection.tree(read(path).dataset)),
            "table": lambda: inspection.table([read(path).dataset], list(INVALID)),
            "differences": lambda: inspection.differences(read(path).dataset, phantoms.ct_series(1, rows=64)[0]),
            "plan": lambda: deid.apply(deid.plan(read(path).dataset), read(path).dataset, keys=keys),
            "release": lambda: release.release([read(path).dataset], keys=keys, folder=folder / "released"),
            "check": lambda: conformance.check_many([path, read(path).dataset]),
            "figure": lambda: rendering.pixels(read(path).dataset),
            "measure": lambda: annotate.annotate([annotate.measure(read(path).dataset, Circle((32, 32), 6))]),
            "add": lambda: archive.add(read(path).dataset),
            "open": lambda: [archive.open(ref) for ref in archive],
            "store": lambda: store(peer, [path]),
            "find": lambda: pull.find(peer, PatientName="*"),
            "find images": lambda: find(peer, level="PATIENT", model="PATIENT", keys={"PatientID": "*"}).table(),
            "retrieve": lambda: pull.retrieve(peer, pull.find(peer), into=archive),
            "push": lambda: exchange.push(peer, [read(path).dataset]),
        }
        for name, act in doors.items():
            try:
                act()
            except WorkbenchError as error:
                refused[name] = str(error)
    return refused


def test_no_warning_of_a_library_quotes_an_invalid_value(invalid, tmp_path, heard, capfd):
    """What pydicom warns of, it quotes: none of it reaches a user's screen, log or standard error."""
    before = len(heard.lines)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        refused = worked_on(invalid, tmp_path)
    assert set(refused) <= {"measure"}, refused
    texts = [*(str(w.message) for w in warned), *refused.values(), *(line for _, line in heard.lines[before:]), *capfd.readouterr()]
    assert [text[:200] for text in texts if CANARY.lower() in text.lower()] == []


def test_pydicom_would_quote_one():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        Dataset().PatientBirthDate = INVALID["PatientBirthDate"]
    assert [w for w in warned if CANARY in str(w.message)]


def test_nor_does_a_command(invalid, tmp_path):
    environment = os.environ | {"WORKBENCH_PEERS": str(tmp_path / "peers.toml"), "PYTHONWARNINGS": "always"}
    save(invalid, tmp_path / "in" / "invalid.dcm")
    with Department(instances=[]) as department:
        title = f"{department.peer.ae_title}@{department.peer.host}:{department.peer.port}"
        commands = [
            ("store", title, "in"), ("find", title, "StudyDate="),
            ("retrieve", title, "--study", invalid.StudyInstanceUID, "--into", "o"),
            ("deid", "in", "released", "--key", "key"), ("check", "in"), ("show", "in"), ("tree", "in/invalid.dcm"),
            ("render", "in/invalid.dcm", "a.png"),
        ]  # fmt: skip
        for command in commands:
            done = subprocess.run([WORKBENCH, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert CANARY.lower() not in done.stderr.lower(), command
            assert "Traceback" not in done.stderr
            if command[0] not in {"find", "show", "tree"}:
                assert CANARY.lower() not in done.stdout.lower(), command


def test_no_command_names_a_patient_on_standard_error(worked, instances, identities, tmp_path):
    environment = os.environ | {"WORKBENCH_PEERS": str(tmp_path / "peers.toml"), "PYTHONWARNINGS": "default"}
    planted = instances[-1]
    save(planted, tmp_path / "in" / "planted.dcm")
    half = save(instances[0], tmp_path / "in" / "half.dcm")
    half.write_bytes(half.read_bytes()[:-1000])

    def said(*arguments):
        done = subprocess.run(
            [WORKBENCH, *map(str, arguments)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr
        return done

    with Department(instances=instances[-3:]) as department:
        peer = department.peer
        title = f"{peer.ae_title}@{peer.host}:{peer.port}"
        found = said("find", title, f"PatientID={planted.PatientID}", "--json")
        assert str(planted.PatientID) in found.stdout  # what was asked for is answered, on standard output
        others = [
            said("retrieve", title, "--study", planted.StudyInstanceUID, "--into", "out"),
            said("deid", "in", "released", "--key", "key"),
            said("store", title, "in"),
            said("check", "in"),
        ]
    assert [done.returncode for done in others] == [0, 1, 1, 1]
    texts = [found.stderr, *(done.stderr + done.stdout for done in others)]
    assert named(texts, identities) == []


def test_a_server_of_our_own_names_no_patient(instances, identities, tmp_path):
    port = free_port()
    with (tmp_path / "said").open("wb") as out:
        server = subprocess.Popen(
            [WORKBENCH, "serve", "--port", str(port), "--folder", str(tmp_path / "archive")], stdout=out, stderr=out
        )
        try:
            peer = Peer("server", "WORKBENCH", port=port)
            end = time.monotonic() + 30
            while not echo(peer):
                assert time.monotonic() < end
                time.sleep(0.1)
            changed = spoiled(instances[-1], PatientName=f"{instances[-1].PatientName}x")
            rows = store(peer, [*instances[-3:], changed])
            assert [str(row.outcome) for row in rows][:3] == ["stored"] * 3
            assert len(find(peer, keys={"PatientName": str(instances[-1].PatientName)})) == 1
        finally:
            server.terminate()
            assert server.wait(10) == 143
    text = (tmp_path / "said").read_text()
    assert "stored" in text
    assert named([text], identities) == []


def test_this_test_would_see_one(identities, instances):
    log = logging.getLogger("workbench.trial")
    handler = Heard()
    log.addHandler(handler)
    try:
        log.warning("found %s", str(instances[0].PatientName).upper())
    finally:
        log.removeHandler(handler)
    assert named(handler.of("workbench"), identities)


PLANTED = {"PatientName": "Xqplanted^Zwname^^", "PatientID": "XQPATIENT77", "PatientBirthDate": "19010203",
           "AccessionNumber": "XQACCESS5", "ReferringPhysicianName": "Xqreferrer^Vv"}  # fmt: skip
PLANTED_TEXTS = {"xqplanted", "zwname", "xqpatient77", "19010203", "xqaccess5", "xqreferrer"}


def test_no_system_at_its_work_names_a_patient(heard, capfd):
    """The five systems with planted worklist items: neither logs, rows, reprs, traces nor standard error name anybody."""
    before, said = len(heard.lines), []
    with Department() as department:
        for name, profile in devices.profiles().items():
            system = department.modalities[name]
            items = [spoiled(item, **PLANTED) for item in scheduled([profile])]
            worklist = Worklist(items)
            with Server(None, ae_title="RIS", providers=[worklist, ProcedureSteps(worklist)]) as ris, trace() as recorded:
                system.ris = ris.peer
                rows = system.run()
                assert rows.complete, rows
            planted = [d for d in system.made if "Xqplanted" in str(d.get("PatientName", ""))]
            assert not items or planted, name  # what was planted went all the way
            said += [repr(rows), rows._repr_html_(), *map(str, rows.records()), repr(system), system._repr_html_()]
            said += [
                repr(recorded),
                recorded._repr_html_(),
                repr(system.sent),
                *map(str, system.sent.records() if system.sent else []),
            ]
            said += [repr(ris), ris._repr_html_(), repr(worklist)]
        said += [repr(department.steps), repr(department.printer)]
    said += [line for _, line in heard.lines[before:]]
    said += list(capfd.readouterr())
    assert len(said) > 200
    assert named(said, PLANTED_TEXTS) == []


def test_no_command_about_schedules_steps_commitment_or_films_names_a_patient(tmp_path):
    """worklist, step, commit, print, device: standard output may hold what was asked for, standard error nothing."""
    environment = os.environ | {"WORKBENCH_PEERS": str(tmp_path / "peers.toml"), "PYTHONWARNINGS": "default"}
    item = spoiled(scheduled([devices.profile("topcon-sp1p")])[0], **PLANTED)
    image = spoiled(phantoms.ct_series(1, rows=64)[0], **PLANTED, StudyInstanceUID=item.StudyInstanceUID)
    save(image, tmp_path / "in" / "image.dcm")

    def said(*arguments):
        return subprocess.run([WORKBENCH, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    with Department(instances=[image]) as department:
        department.worklist.add(item)
        archive, ris, printer = (
            f"{peer.ae_title}@{peer.host}:{peer.port}"
            for peer in (department.peers[role] for role in ("archive", "ris", "printer"))
        )
        asked = said("worklist", ris, f"PatientID={PLANTED['PatientID']}", "--json")
        assert PLANTED["PatientID"] in asked.stdout
        begun = said("step", "begin", ris, "state.json", "--worklist", ris, "--match", f"PatientID={PLANTED['PatientID']}")
        others = [
            begun,
            said("step", "finish", ris, "state.json", "in"),
            said("commit", archive, "in", "--wait", "10"),
            said("print", printer, "in"),
            said("step", "begin", archive, "other.json", "--worklist", ris, "--match", f"PatientName={PLANTED['PatientName']}"),
        ]
    assert [done.returncode == 0 for done in others] == [True, True, True, True, False], [done.stderr for done in others]
    texts = [asked.stderr, *(done.stderr for done in others), *(done.stdout for done in others)]
    assert not [text for text in texts if "Traceback" in text]
    assert named(texts, PLANTED_TEXTS) == []
