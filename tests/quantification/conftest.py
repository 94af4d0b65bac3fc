"""A PET series that tests may change."""

import copy

import pytest

from workbench import phantoms


@pytest.fixture(scope="session")
def body():
    return phantoms.pet_ct()


@pytest.fixture
def pet(body):
    """Five slices of the phantom, through the spheres."""
    return [copy.deepcopy(d) for d in body.pet[27:32]]
