"""What importing costs, and reading all device profiles, beside pydicom alone."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Result, Way, compare


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def comparisons(folder: Path, repetitions: int, *, tuned_only: bool = False) -> Iterator[Result]:  # noqa: ARG001 - the parts' form
    """Yield the one comparison; each way is an interpreter of its own."""
    ways = {
        "import pydicom": "import pydicom",
        "import workbench": "import workbench",
        "import workbench.devices": "import workbench.devices",
        "read all five device profiles": "from workbench import devices; devices.profiles()",
    }
    yield compare(
        "Importing, in a new interpreter",
        [Way(name, lambda code=code: _run(code)) for name, code in ways.items()],
        repetitions=repetitions,
    )
