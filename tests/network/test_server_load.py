"""Many instances at once: none is lost, and what is in use stays bounded."""

import gc
import threading
import time

import psutil
import pytest

from tests.network.scripted import CT, EXPLICIT, instance
from workbench import files
from workbench.entities import Timeouts
from workbench.network import Retry, Server, find, store

COUNT = 10_000
#: The sources themselves, 10 MB, their rows in report and index, and buffers of five associations.
GROWTH_BYTES = 96 << 20


def usage():
    gc.collect()
    process = psutil.Process()
    opened = [file.path for file in process.open_files() if "index" not in file.path]  # which keeps its readers
    return threading.active_count(), len(process.net_connections(kind="all")), len(opened)


@pytest.mark.slow
def test_ten_thousand_small_instances_over_four_associations(archive):
    """N20: 10 000 small instances over 4 associations -> all are present, in bounded time and memory; descriptors stay flat."""
    uids = [f"1.2.826.0.1.3680043.9.20.{n}" for n in range(COUNT)]
    pixels = bytes(128)
    sources = [
        files.meta_bytes(CT, uid, EXPLICIT) + instance(uid, pixels=pixels, series=f"1.2.3.{k % 10}") for k, uid in enumerate(uids)
    ]
    with Server(archive, timeouts=Timeouts(dimse_s=60, network_s=60)) as server:
        assert store(server.peer, sources[:8], associations=4).complete
        time.sleep(0.3)
        before, memory = usage(), psutil.Process().memory_info().rss
        start = time.monotonic()
        report = store(server.peer, sources, associations=4, retry=Retry(attempts=1))
        seconds = time.monotonic() - start
        grown = psutil.Process().memory_info().rss - memory
        assert report.complete, report.troubles[:3]
        assert [row.sop_instance_uid for row in report] == uids
        assert seconds < 90, f"{seconds:.0f} s"  # some 10 s where nothing else runs
        assert grown < GROWTH_BYTES, f"{grown / 1e6:.0f} MB"
        end = time.monotonic() + 10
        while any(now > then for now, then in zip(usage(), before, strict=True)) and time.monotonic() < end:
            time.sleep(0.05)
        assert all(now <= then for now, then in zip(usage(), before, strict=True)), (before, usage())
        assert sorted(ref.sop_instance_uid for ref in archive) == sorted(uids)
        keys = {"StudyInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.7", "SOPInstanceUID": None}
        assert len(find(server.peer, level="IMAGE", keys=keys)) == COUNT // 10
    assert archive.path(uids[4711]).read_bytes().endswith(pixels)
