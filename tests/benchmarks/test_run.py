"""The benchmarks run, and what they claim about memory and the order of magnitude holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["storing", "retrieving", "loading", "querying", "memory"])
def test_the_quick_benchmark_runs(part, program, tmp_path):
    for name in ("storescu", "storescp", "getscu", "movescu", "findscu", "dcmqrscp", "dcmqridx", "wlmscpfs", "Orthanc"):
        program(name)
    arguments = [sys.executable, "-m", "benchmarks.run", "--quick", "--instances", "10", "--only", part, "--output", str(tmp_path)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    (written,) = tmp_path.iterdir()
    found = json.loads(written.read_text())
    assert set(found["versions"]) >= {"dcmtk", "orthanc", "python", "pynetdicom", "workbench"}
    assert len(found["results"]) == {"storing": 5, "retrieving": 1, "loading": 1, "querying": 10, "memory": 0}[part]
    assert all(seconds and min(seconds) > 0 for result in found["results"] for seconds in result["seconds"].values())
    assert not [failure for result in found["results"] for failure in result["failures"]]
    assert ("memory" in found) == (part == "memory")
    if part == "memory":
        assert found["memory"]["instance_mb"] > 64
        assert max(found["memory"]["sender_peak_mb"], found["memory"]["receiver_peak_mb"]) < 200
    if part == "querying":
        (of_index,) = found["growth"]
        assert (of_index["instances"], of_index["no match, rows"]) == (1_000, 0)
        assert min(of_index[f"{what}, rows"] for what in ("patient", "dates", "wildcard at the end", "wildcard at both ends")) > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.slow
def test_an_instance_of_two_gibibytes_takes_less_than_200_mb_on_either_side_and_comes_equal():  # N21
    code = "import json; from benchmarks import memory; print(json.dumps(memory.storing((2 << 30) + (1 << 16))))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout)
    assert figures["instance_mb"] > 2147
    assert figures["sender_peak_mb"] < 200
    assert figures["receiver_peak_mb"] < 200
    assert figures["sender_peak_mb"] - figures["sender_before_mb"] < 32  # a few buffers, whatever the size
