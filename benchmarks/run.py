"""Measure the workbench beside DCMTK, Orthanc and plain pynetdicom: ``python -m benchmarks.run [--quick] [--tuned]``.

Prints a table of medians and ratios and leaves the same as JSON in benchmarks/results.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks import loading, memory, programs, querying, retrieving, storing, subjects

RESULTS = Path(__file__).parent / "results"


def versions() -> dict[str, str]:
    dcmtk = subprocess.run([programs.program("storescu"), "--version"], capture_output=True, text=True, check=False)
    orthanc = subprocess.run([programs.program("Orthanc"), "--version"], capture_output=True, text=True, check=False)
    return {
        "dcmtk": dcmtk.stdout.split("\n")[0].removeprefix("$dcmtk: storescu ").split(" ")[0],
        "orthanc": orthanc.stdout.split("\n")[0].split(" ")[-1],
        "python": platform.python_version(),
        "pynetdicom": version("pynetdicom"),
        "pydicom": version("pydicom"),
        "workbench": version("dicom-workbench"),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended, too
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 instances, one repetition, a smaller large instance")
    parser.add_argument("--instances", type=int, default=0)
    parser.add_argument("--repetitions", type=int, default=0)
    parser.add_argument("--tuned", action="store_true", help="leave out DCMTK and Orthanc as they come, which is slow")
    parser.add_argument("--only", choices=["storing", "retrieving", "querying", "memory", "loading"], help="one part")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON")
    arguments = parser.parse_args()
    count = arguments.instances or (50 if arguments.quick else 500)
    repetitions = arguments.repetitions or (1 if arguments.quick else 5)
    folder = subjects.ct_folder(count if arguments.only != "querying" else 1)
    size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    found: dict[str, object] = {"versions": versions(), "instances": count, "megabytes": round(size_mb), "results": []}
    print(", ".join(f"{name} {value}" for name, value in found["versions"].items()))
    subject = "Queries" if arguments.only == "querying" else f"{count} CT of 512 x 512 x 16 bit, {size_mb:.0f} MB"
    print(f"{subject}, loopback; medians of {repetitions}; ratios to the first one")
    for part in (storing, retrieving, loading):
        if arguments.only in {None, part.__name__.split(".")[-1]}:
            for result in part.comparisons(folder, repetitions, tuned_only=arguments.tuned):
                print("\n".join(result.lines()), flush=True)
                found["results"].append(asdict(result))
    if arguments.only in {None, "querying"}:
        for result in querying.comparisons(100 if arguments.quick else 1000, repetitions):
            print("\n".join(result.lines()), flush=True)
            found["results"].append(asdict(result))
        found["growth"] = querying.growth((1_000,) if arguments.quick else (1_000, 10_000, 100_000))
        print("\nQueries to an index: milliseconds for all rows, and for each; a round trip is a C-ECHO on loopback")
        print("\n".join(querying.growth_lines(found["growth"], querying.round_trip_ms())))
    if arguments.only in {None, "memory"}:
        found["memory"] = memory.storing((64 if arguments.quick else 1024) << 20)
        print("\nMemory for one large instance: " + ", ".join(f"{name} {value:.0f}" for name, value in found["memory"].items()))
    arguments.output.mkdir(parents=True, exist_ok=True)
    target = arguments.output / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    target.write_text(json.dumps(found, indent=1))
    print(f"\nwritten: {target}")
    own = [failure for result in found["results"] for failure in result["failures"] if failure.startswith("workbench")]
    if own:
        raise SystemExit(f"The workbench failed: {own}")


if __name__ == "__main__":
    main()
