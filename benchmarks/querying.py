"""Queries: 1,000 studies and 1,000 worklist items, asked and answered; an index of up to 100,000 instances."""

import contextlib
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from benchmarks import programs
from benchmarks.measure import Result, Way, compare
from benchmarks.subjects import SCRATCH
from workbench import files, phantoms
from workbench.archive import Archive
from workbench.archive._index import Row
from workbench.entities import Peer
from workbench.network import Server, find, worklist
from workbench.standard import query_identifier

STUDY_KEYS = ("PatientName", "PatientID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyInstanceUID")
STEP_KEYS = ("Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime",
             "ScheduledProcedureStepDescription", "ScheduledProcedureStepID")  # fmt: skip
ITEM_KEYS = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "RequestedProcedureID",
             "RequestedProcedureDescription", "StudyInstanceUID")  # fmt: skip
HALF, HALF_COUNT = "The first 500", 500  # more studies dcmqrscp does not keep
_STEP = "ScheduledProcedureStepSequence"


# ---------------------------------------------------------------- subjects
def study_folder(count: int) -> Path:
    """Return a folder with `count` small CT instances, each a study of its own."""
    said = json.dumps(_values(0, studies=1 << 30)).encode()
    folder = SCRATCH / f"studies-{count}-{hashlib.sha256(said).hexdigest()[:8]}"  # files with other values are not taken for these
    if not folder.is_dir() or len(list(folder.iterdir())) != count:
        folder.mkdir(parents=True, exist_ok=True)
        dataset = phantoms.ct_series(1, rows=16, columns=16)[0]
        for number in range(count):
            files.save(_one_study(dataset, number), folder / f"{number:05}.dcm", durable=False)
    return folder


def _one_study(dataset: Dataset, number: int) -> Dataset:
    for keyword, value in _values(number, studies=1 << 30).items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _values(number: int, *, studies: int) -> dict[str, str]:
    """Return what the index holds of an instance, ten of which make a study where there are so many."""
    study = number % studies
    date = f"20{study // 365 % 26:02}{study % 12 + 1:02}{study % 28 + 1:02}"
    return {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SOPInstanceUID": f"1.2.826.0.1.3680043.10.77.{study}.1.{number}",
        "StudyInstanceUID": f"1.2.826.0.1.3680043.10.77.{study}", "SeriesInstanceUID": f"1.2.826.0.1.3680043.10.77.{study}.1",
        "PatientName": f"Name{study:06}^First{study % 97:02}", "PatientID": f"P{study:06}", "PatientSex": "FMO"[study % 3],
        "PatientBirthDate": f"19{study % 90:02}0101", "StudyDate": date,
        "StudyTime": f"{study % 24:02}3000", "AccessionNumber": f"A{study:06}", "StudyID": str(study),
        "StudyDescription": HALF if study < HALF_COUNT else "Chest routine", "Modality": "CT", "SeriesNumber": "1",
        "InstanceNumber": str(number % 100 + 1),
    }  # fmt: skip


def fill_index(archive: Archive, count: int) -> None:
    """Write rows for `count` instances of a tenth as many studies, through the index itself: there are no files."""
    index = archive._shelf.index  # noqa: SLF001 - a hundred thousand files would say no more
    for number in range(count):
        index.add(Row(_values(number, studies=max(1, count // 10)), str(ExplicitVRLittleEndian), "BENCH", 1000))
    index.flush()


def items(count: int) -> list[dict[str, str]]:
    """Return worklist items as rows."""
    return [
        {
            "PatientName": f"Name{n:05}^First{n % 97:02}", "PatientID": f"P{n:05}", "PatientBirthDate": "19700101",
            "PatientSex": "FM"[n % 2], "AccessionNumber": f"A{n:05}", "RequestedProcedureID": f"R{n:05}",
            "RequestedProcedureDescription": "Fundus photography", "StudyInstanceUID": f"1.2.826.0.1.3680043.10.78.{n}",
            "Modality": "OP", "ScheduledStationAETitle": "FUNDUS", "ScheduledProcedureStepStartDate": "20261121",
            "ScheduledProcedureStepStartTime": "081500", "ScheduledProcedureStepDescription": "Both eyes",
            "ScheduledProcedureStepID": f"S{n:05}",
        }
        for n in range(count)
    ]  # fmt: skip


def item_files(folder: Path, count: int) -> None:
    """Write worklist items as the files that wlmscpfs and Orthanc read."""
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    for number, row in enumerate(items(count)):
        item, step = Dataset(), Dataset()
        for keyword, value in row.items():
            setattr(step if keyword.startswith("Scheduled") or keyword == "Modality" else item, keyword, value)
        item.SpecificCharacterSet = "ISO_IR 100"
        item.ReferringPhysicianName, item.RequestedProcedurePriority, item.PatientWeight = "", "", None
        item.ScheduledProcedureStepSequence = [step]
        item.file_meta = Dataset()
        item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        item.file_meta.MediaStorageSOPClassUID = "1.2.276.0.7230010.3.1.0.1"
        item.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.10.79.{number}"
        item.save_as(folder / f"{number:05}.wl", enforce_file_format=True)


# ---------------------------------------------------------------- servers
@contextlib.contextmanager
def dcmqrscp(folder: Path, instances: Path) -> Iterator[Peer]:
    """Run DCMTK's archive, its index filled by dcmqridx."""
    port, place = programs.free_port(), folder / "qr"
    place.mkdir(parents=True)
    (folder / "qr.cfg").write_text(
        f"NetworkTCPPort  = {port}\nMaxPDUSize      = 131072\nMaxAssociations = 16\nHostTable BEGIN\nHostTable END\n"
        f"VendorTable BEGIN\nVendorTable END\nAETable BEGIN\nDCMQR {place} RW (100000, 4096mb) ANY\nAETable END\n"
    )
    paths = sorted(map(str, instances.iterdir()))[:HALF_COUNT]
    for start in range(0, len(paths), 200):
        subprocess.run([programs.program("dcmqridx"), str(place), *paths[start : start + 200]], check=True, capture_output=True)
    with programs.running([programs.program("dcmqrscp"), "-c", str(folder / "qr.cfg")], port, programs.TUNED, folder):
        yield Peer(name="dcmqrscp", ae_title="DCMQR", port=port)


@contextlib.contextmanager
def wlmscpfs(folder: Path, count: int) -> Iterator[Peer]:
    """Run DCMTK's worklist."""
    port = programs.free_port()
    item_files(folder / "WLAE", count)
    arguments = [programs.program("wlmscpfs"), "--data-files-path", str(folder), str(port)]
    with programs.running(arguments, port, programs.TUNED, folder):
        yield Peer(name="wlmscpfs", ae_title="WLAE", port=port)


@contextlib.contextmanager
def orthanc(folder: Path, instances: Path, count: int) -> Iterator[Peer]:
    """Run Orthanc with `instances` and the files of a worklist."""
    port, web_port = programs.free_port(), programs.free_port()
    folder.mkdir(parents=True)
    item_files(folder / "worklist", count)
    (folder / "orthanc.json").write_text(json.dumps({
        "StorageDirectory": str(folder / "db"), "HttpPort": web_port, "DicomPort": port, "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowFindWorklist": True, "LimitFindResults": 0,
        "Plugins": ["/usr/share/orthanc/plugins/libModalityWorklists.so"],
        "Worklists": {"Enable": True, "Database": str(folder / "worklist"), "FilterIssuerAet": False, "LimitAnswers": 0},
    }))  # fmt: skip
    with programs.running([programs.program("Orthanc"), str(folder / "orthanc.json")], web_port, programs.TUNED, folder):
        programs.run("storescu", "+sd", "-aec", "ORTHANC", "127.0.0.1", str(port), instances, env=programs.TUNED)
        yield Peer(name="orthanc", ae_title="ORTHANC", port=port)


@contextlib.contextmanager
def embedded(folder: Path, instances: Path, count: int) -> Iterator[Peer]:
    """Run the workbench's archive and worklist in a process of its own."""
    folder.mkdir()
    with Archive(folder / "archive") as archive:
        for path in sorted(instances.iterdir()):
            archive.add(path)
    (folder / "items.json").write_text(json.dumps(items(count)))
    port = programs.free_port()
    arguments = [sys.executable, "-m", "benchmarks.serve", str(folder / "archive"), str(port), str(folder / "items.json")]
    with programs.running(arguments, port):
        yield Peer(name="workbench", ae_title="WORKBENCH", port=port)


# ---------------------------------------------------------------- clients
def findscu(peer: Peer, *, is_worklist: bool = False, is_half: bool = False) -> None:
    """Ask with DCMTK's client, which decodes and prints nothing."""
    if is_worklist:
        keys = [*ITEM_KEYS, *(f"{_STEP}[0].{key}" for key in STEP_KEYS)]
    else:
        given = {**dict.fromkeys(STUDY_KEYS), "StudyDescription": HALF if is_half else None}
        asked_for = query_identifier("STUDY", "STUDY", given)  # the same as `find` asks for
        keys = [f"{element.keyword}={element.value or ''}" for element in asked_for]
    switches = [part for key in keys for part in ("-k", key)]
    programs.run(
        "findscu", "-q", "-W" if is_worklist else "-S", "-aec", peer.ae_title, *switches, peer.host, str(peer.port),
        env=programs.TUNED,
    )  # fmt: skip


def asked(peer: Peer, count: int, *, is_worklist: bool = False, is_half: bool = False) -> None:
    """Ask with the workbench, the same keys."""
    if is_worklist:
        found = worklist(peer, keys=dict.fromkeys((*ITEM_KEYS, *STEP_KEYS)), only=True)
    else:
        found = find(peer, keys={**dict.fromkeys(STUDY_KEYS), "StudyDescription": HALF if is_half else None})
    if len(found) != count:
        raise RuntimeError(f"{len(found)} answers of {count}")


def comparisons(count: int, repetitions: int) -> Iterator[Result]:
    """Yield the results: as SCU against each server, and of the servers asked by findscu."""
    instances = study_folder(count)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        own = stack.enter_context(embedded(folder / "own", instances, count))
        archive = stack.enter_context(dcmqrscp(folder / "dcmqrscp", instances))
        both = stack.enter_context(orthanc(folder / "orthanc", instances, count))
        items_of = stack.enter_context(wlmscpfs(folder / "wlmscpfs", count))
        half = min(count, HALF_COUNT)
        for number, what, is_worklist, is_half, peers in (
            (count, "studies", False, False, (own, both)), (half, "studies", False, True, (own, archive)),
            (count, "worklist items", True, False, (own, both, items_of)),
        ):  # fmt: skip
            for peer in peers:
                yield compare(f"FIND of {number} {what} as SCU, from {peer.name}", [
                    Way("findscu", lambda p=peer, w=is_worklist, h=is_half: findscu(p, is_worklist=w, is_half=h)),
                    Way("workbench", lambda p=peer, n=number, w=is_worklist, h=is_half: asked(p, n, is_worklist=w, is_half=h)),
                ], repetitions=repetitions)  # fmt: skip
            yield compare(f"FIND of {number} {what} as SCP, asked by findscu", [
                Way(peer.name, lambda p=peer, w=is_worklist, h=is_half: findscu(p, is_worklist=w, is_half=h))
                for peer in (*peers[1:], own)
            ], repetitions=repetitions)  # fmt: skip


def round_trip_ms(repetitions: int = 200) -> float:
    """Return the median of a C-ECHO on an association that stands, with pynetdicom's client and our server."""
    with tempfile.TemporaryDirectory() as name, Archive(name) as archive, Server(archive) as server:
        entity = AE(ae_title="BENCH")
        entity.add_requested_context("1.2.840.10008.1.1")
        association = entity.associate("127.0.0.1", server.port, ae_title="WORKBENCH")
        seconds = []
        for _ in range(repetitions):
            began = time.perf_counter()
            association.send_c_echo()
            seconds.append(time.perf_counter() - began)
        association.release()
    return statistics.median(seconds) * 1e3


def growth_lines(found: list[dict[str, float]], trip_ms: float) -> list[str]:
    """Return the growth as a table."""
    lines = [f"  {'':<24}" + "".join(f"{row['instances']:>22,}" for row in found) + f"   (a round trip: {trip_ms:.2f} ms)"]
    for name in (key.removesuffix(", ms") for key in found[0] if key.endswith(", ms")):
        cells = []
        for row in found:
            rows, ms = int(row[f"{name}, rows"]), row[f"{name}, ms"]
            cells.append(f"{ms:8.2f} / {rows:>3} = {ms / max(rows, 1):5.3f}")
        lines.append(f"  {name:<24}" + "".join(f"{cell:>22}" for cell in cells))
    return lines


def growth(sizes: tuple[int, ...] = (1_000, 10_000, 100_000), *, repetitions: int = 5) -> list[dict[str, float]]:
    """Return milliseconds a query and microseconds a row in the index, by its size, and one round trip on loopback."""
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as name, Archive(name) as archive:
            fill_index(archive, size)
            row: dict[str, float] = {"instances": size}
            for what, keys in (
                ("patient", {"PatientID": "P000042"}), ("dates", {"StudyDate": "20000101-20000131"}),
                ("wildcard at the end", {"PatientName": "Name00004*"}), ("wildcard at both ends", {"PatientName": "*0042^*"}),
                ("no match", {"AccessionNumber": "none"}),
            ):  # fmt: skip
                row |= _timed(archive, what, keys, repetitions)
            found.append(row)
    return found


def _timed(archive: Archive, what: str, keys: dict[str, str], repetitions: int) -> dict[str, float]:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    for keyword in STUDY_KEYS:
        setattr(identifier, keyword, keys.get(keyword))
    seconds, rows = [], 0
    for _ in range(repetitions):
        began = time.perf_counter()
        rows = sum(1 for _ in archive.matches(identifier).encoded(is_implicit=False))
        seconds.append(time.perf_counter() - began)
    best = sorted(seconds)[len(seconds) // 2]
    return {f"{what}, rows": rows, f"{what}, ms": round(best * 1e3, 3)}
