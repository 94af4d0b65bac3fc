"""The department under many associations at once, for a while: nothing is lost, and nothing piles up.

Some seconds in a usual run; with the environment variable ``WORKBENCH_SOAK=60`` a minute. What it did is printed (``-s``).
"""

import contextlib
import copy
import ctypes
import gc
import itertools
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from pydicom.uid import generate_uid

from workbench import phantoms
from workbench.department import Department
from workbench.entities import FilmImage, InstanceRef, Timeouts
from workbench.network import Retry, echo, find, print_images, procedure_step, retrieve, store, worklist

SECONDS = float(os.environ.get("WORKBENCH_SOAK", "12"))
AT_ONCE = 50
PATIENT = Timeouts(connect_s=30, acse_s=60, dimse_s=60, network_s=60)
#: How much more memory may be in use afterwards than after a third of the time: arenas that are not given back. What piled up
#: with each association, such as its buffer of 0.5 MB, would be some 150 MB in 12 s, and five times as much in a minute.
GROWTH_BYTES = 96 << 20
FILM = FilmImage(bytes(range(256)) * 4, 32, 32)
SEED = phantoms.ct_series(1, rows=32)[0]


def usage():
    """Return how many threads, sockets and files there are, and how many bytes are in memory."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # what the allocator of Linux keeps for later is not in use
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    process = psutil.Process()
    files = [file.path for file in process.open_files() if "index" not in file.path]  # which keeps its readers
    return (threading.active_count(), len(process.net_connections(kind="all")), len(files)), process.memory_info().rss


class Load:
    """What users of a department do, each on associations of its own."""

    def __init__(self, department):
        self.peers = {name: peer.but(timeouts=PATIENT) for name, peer in department.peers.items()}
        self.done, self.wrong = Counter(), []
        self.stored, self.finished, self.films = [], [], 0
        self.study = str(SEED.StudyInstanceUID)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._inside = self.most_inside = 0

    def run(self, until):
        """Do one thing after the other until the time is up."""
        tasks = [self.echoed, self.stored_some, self.found, self.scheduled, self.performed, self.retrieved, self.printed]
        chance = random.Random(next(self._numbers))
        while time.monotonic() < until:
            task = chance.choice(tasks)
            with self._lock:
                self._inside += 1
                self.most_inside = max(self.most_inside, self._inside)
            try:
                task()
            except Exception as error:  # noqa: BLE001 - the test says what it was
                self.wrong.append(f"{task.__name__}: {type(error).__name__}: {error}")
            with self._lock:
                self._inside -= 1
                self.done[task.__name__] += 1

    def _see(self, is_well, what):
        if not is_well:
            self.wrong.append(what)

    def echoed(self):
        report = echo(self.peers["archive"])
        self._see(report.ok, str(report))

    def stored_some(self):
        datasets = []
        for _ in range(3):
            dataset = copy.deepcopy(SEED)
            dataset.SOPInstanceUID, dataset.InstanceNumber = generate_uid(), next(self._numbers)
            datasets.append(dataset)
        report = store(self.peers["archive"], datasets, retry=Retry(attempts=1))
        self.stored += [row.sop_instance_uid for row in report if row.outcome == "stored"]
        self._see(report.complete, repr(report.troubles))

    def found(self):
        found = find(self.peers["archive"], level="IMAGE", limit=20, keys={
            "StudyInstanceUID": self.study, "SeriesInstanceUID": str(SEED.SeriesInstanceUID), "SOPInstanceUID": None,
        })  # fmt: skip
        self._see(len(found) <= 20, f"{len(found)} answers")

    def scheduled(self):
        self._see(len(worklist(self.peers["ris"])) > 0, "the worklist is empty")

    def performed(self):
        step = procedure_step.begin(self.peers["ris"], attributes={"Modality": "CT"})
        step = procedure_step.finish(self.peers["ris"], step, series=procedure_step.performed_series([SEED]))
        self.finished.append(step.sop_instance_uid)

    def retrieved(self):
        uids = random.sample(self.stored, min(3, len(self.stored)))
        if not uids:
            return
        came = []
        study, series, sop_class = self.study, str(SEED.SeriesInstanceUID), str(SEED.SOPClassUID)
        refs = [InstanceRef(study, series, sop_class, uid) for uid in uids]
        report = retrieve(self.peers["archive"], refs, into=came.append, method="get")
        self._see(report.complete and len(came) == len(uids), f"{report!r} of {len(uids)}")

    def printed(self):
        report = print_images(self.peers["printer"], [FILM])
        self._see(report.is_printed, repr(report.told))
        with self._lock:
            self.films += report.films


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_at_once_for_a_while():
    """N20, in the department: 50 users at once -> all that was acknowledged is there; memory, descriptors and threads stay flat."""
    with Department(instances=[SEED], max_associations=AT_ONCE + 14) as department:
        load = Load(department)
        load.stored_some()
        together(load, SECONDS / 3)  # buffers, threads' arenas and readers of the index for so many are there now
        time.sleep(1)
        before, memory = usage()
        load.done.clear()
        until = together(load, SECONDS)
        over_s = time.monotonic() - until
        afterwards, memory_after = settled(before)
        grown = memory_after - memory
        print(  # noqa: T201 - the figures, where they are asked for
              f"\n{SECONDS:.0f} s (+{over_s:.1f} s): {dict(load.done)}, {len(load.stored)} stored, {len(load.finished)} steps, "
              f"{load.films} films; most at once {load.most_inside}; threads, sockets, files {before} -> {afterwards}; "
              f"memory {memory / 1e6:.0f} MB {grown / 1e6:+.0f} MB")  # fmt: skip
        assert load.wrong == []
        assert load.most_inside == AT_ONCE
        assert all(load.done[task] > AT_ONCE / 10 for task in ("echoed", "stored_some", "found", "scheduled", "performed"))
        assert_kept(department, load)
        assert all(now <= then for now, then in zip(afterwards, before, strict=True)), (before, afterwards)
        assert grown < GROWTH_BYTES
        assert echo(department.peer)


def together(load, seconds):
    """Let all users work for so long; return when they were to end."""
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for user in [pool.submit(load.run, until) for _ in range(AT_ONCE)]:
            user.result()
    return until


def settled(before):
    """Return what is in use once associations have had time to end."""
    end = time.monotonic() + 5
    while any(now > then for now, then in zip(usage()[0], before, strict=True)) and time.monotonic() < end:
        time.sleep(0.1)
    return usage()


def assert_kept(department, load):
    """Everything that was acknowledged is there, once, and whole."""
    assert len(load.stored) == len(set(load.stored))
    here = {ref.sop_instance_uid for ref in department.archive}
    assert here == {*load.stored, str(SEED.SOPInstanceUID)}
    for uid in load.stored[:: max(1, len(load.stored) // 50)]:
        dataset = department.archive.open(uid)
        assert (dataset.SOPInstanceUID, dataset.PixelData) == (uid, SEED.PixelData)
    assert {department.steps.status(uid) for uid in load.finished} <= {"COMPLETED"}
    assert len(department.steps) == len(load.finished)
    assert department.printer.waiting == 0
