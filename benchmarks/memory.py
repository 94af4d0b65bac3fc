"""How much memory one large instance takes, each side in a process of its own."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import programs, subjects
from workbench.files import Part10

_SEND = """
import sys
from benchmarks.memory import peak_bytes
from workbench.entities import Peer
from workbench.network import store
before = peak_bytes("self")
report = store(Peer(name="x", ae_title=sys.argv[1], port=int(sys.argv[2])), [sys.argv[3]])
assert report.complete, report[0].message
print(before, peak_bytes("self"))
"""


def peak_bytes(process_id: int | str) -> int:
    """Return the most memory that a process has had so far (Linux)."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def same_dataset(one: Path, other: Path) -> bool:
    """Whether the datasets of two files are equal, byte for byte."""
    left, right = Part10.locate(one), Part10.locate(other)
    if left.dataset_bytes != right.dataset_bytes:
        return False
    with one.open("rb") as a, other.open("rb") as b:
        a.seek(left.dataset_offset)
        b.seek(right.dataset_offset)
        while piece := a.read(8 << 20):
            if piece != b.read(len(piece)):
                return False
    return True


def storing(size_bytes: int) -> dict[str, float]:
    """Return the peak resident memory in MB of sender and receiver for one instance of `size_bytes`."""
    path = subjects.large_file(size_bytes)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        port = programs.free_port()
        serve = [sys.executable, "-m", "benchmarks.serve", str(Path(folder) / "archive"), str(port)]
        with programs.running(serve, port) as process_id:
            receiver_before = peak_bytes(process_id)
            sender = [sys.executable, "-c", _SEND, "WORKBENCH", str(port), str(path)]
            done = subprocess.run(sender, check=True, capture_output=True, text=True, timeout=programs.BOUND_S)
            receiver_peak = peak_bytes(process_id)
        if not same_dataset(path, next((Path(folder) / "archive").rglob("*.dcm"))):
            raise RuntimeError("what came is not what was sent")
    sender_before, sender_peak = (int(word) for word in done.stdout.split())
    figures = {
        "instance_mb": path.stat().st_size, "sender_before_mb": sender_before, "sender_peak_mb": sender_peak,
        "receiver_before_mb": receiver_before, "receiver_peak_mb": receiver_peak,
    }  # fmt: skip
    return {name: value / 1e6 for name, value in figures.items()}
