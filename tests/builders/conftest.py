"""Sources to build on, and DCMTK as a reader who was not there when it was written."""

import subprocess
from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from workbench import builders, files, phantoms
from workbench.entities import Circle, Code

AREA = Code("42798000", "SCT", "Area")
MM2 = Code("mm2", "UCUM", "square millimeter")


@pytest.fixture
def ct() -> list[Dataset]:
    """Three slices of one series, 48 rows and 64 columns."""
    return list(phantoms.ct_series(3, rows=48, columns=64))


@pytest.fixture(scope="session")
def volume() -> Dataset:
    """An OCT volume of 25 frames; nobody may change it."""
    return phantoms.oct("L").volume


@pytest.fixture(scope="session")
def fundus() -> Dataset:
    """A colour photograph; nobody may change it."""
    return phantoms.fundus("R")


def _region(image, mark=None, value=1.5, **more):
    measurements = more.pop("measurements", (builders.Measurement(AREA, value, MM2),))
    return builders.Region(image, mark or Circle((20, 20), 5), measurements, **more)


@pytest.fixture
def region() -> Callable[..., builders.Region]:
    """A function that makes a region with one measurement."""
    return _region


@pytest.fixture
def all_builders() -> dict[str, Callable[[list[Dataset]], Dataset]]:
    """Each builder, as a function of images alone."""
    return {
        "measurement": lambda images: builders.measurement([_region(image) for image in images]),
        "selection": lambda images: builders.selection(images, description="why"),
        "grayscale": lambda images: builders.grayscale(images, window=(40, 400), marks=[Circle((20, 20), 5)]),
    }


@pytest.fixture
def dcmtk(program, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """A function that runs a program of DCMTK on a dataset."""

    def run(name, dataset, *switches):
        path = files.save(dataset, tmp_path / "object.dcm", durable=False)
        done = subprocess.run([program(name), *switches, str(path)], capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stderr
        return done

    return run
