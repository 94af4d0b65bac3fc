"""What a user installs: the wheel holds every file that the code reads, and fetches nothing."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from workbench.devices import names

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    files = (p for p in (ROOT / "workbench").rglob("*") if p.is_file() and p.suffix != ".pyc")
    kept = {p.relative_to(ROOT).as_posix() for p in files}
    assert kept <= set(wheel.namelist())
    assert {"workbench/widgets/viewer.js", "workbench/widgets/viewer.css", "workbench/py.typed"} <= set(wheel.namelist())


def test_the_notebooks_are_in_the_wheel(wheel):
    notebooks = {f"workbench/notebooks/{p.name}" for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks
    assert notebooks <= set(wheel.namelist())


def test_the_device_profiles_are_in_the_wheel(wheel):
    assert {f"workbench/devices/profiles/{name}.toml" for name in names()} <= set(wheel.namelist())


def test_it_has_a_command_a_licence_and_no_tests(wheel):
    names = wheel.namelist()
    (entry,) = (n for n in names if n.endswith("entry_points.txt"))
    assert "workbench = workbench.cli:main" in wheel.read(entry).decode()
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not [n for n in names if n.startswith(("tests/", "benchmarks/"))]
