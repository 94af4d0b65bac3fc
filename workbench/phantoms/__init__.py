"""Plausible, deterministic synthetic objects with known answers and planted identities.

Knows: pixels, modules and IODs of CT, PET, ophthalmic photography and tomography.
Does not know: everything else; numpy and pydicom are all it needs.
"""

from workbench.phantoms.collection import everything
from workbench.phantoms.ct import ct_series
from workbench.phantoms.endothelium import Endothelium, endothelium
from workbench.phantoms.fundus import fundus
from workbench.phantoms.oct import Oct, oct  # noqa: A004 - the word of the trade
from workbench.phantoms.pet import PetCt, Sphere, pet_ct
from workbench.phantoms.planted import Planted, planted_ct

__all__ = [
    "Endothelium",
    "Oct",
    "PetCt",
    "Planted",
    "Sphere",
    "ct_series",
    "endothelium",
    "everything",
    "fundus",
    "oct",
    "pet_ct",
    "planted_ct",
]
