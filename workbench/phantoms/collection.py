"""All phantoms at once, as a department would hold them.

Knows: which phantoms there are.
Does not know: how they are made.
"""

from pydicom.dataset import Dataset

from workbench.phantoms.ct import ct_series
from workbench.phantoms.endothelium import endothelium
from workbench.phantoms.fundus import fundus
from workbench.phantoms.oct import oct as tomography
from workbench.phantoms.pet import pet_ct
from workbench.phantoms.planted import planted_ct

__all__ = ["everything"]


def everything(seed: int = 0) -> list[Dataset]:
    """Return all phantoms: five patients, five studies, CT, PT, OP and OPT.

    Parameters
    ----------
    seed : int
        Another seed, other noise, identities of the planted CT, and UIDs.

    Returns
    -------
    list of Dataset
        PET/CT (94 instances), a thorax of 12 slices, fundus photographs, OCT volumes and their localizers of both
        eyes, endothelium of both eyes, and the CT with planted identities.
    """
    body, volumes = pet_ct(seed), [tomography(eye, seed=seed) for eye in ("R", "L")]
    return [
        *body.ct,
        *body.pet,
        *ct_series(12, rows=256, columns=256, seed=seed),
        *(fundus(eye, seed=seed) for eye in ("R", "L")),
        *(dataset for volume in volumes for dataset in (volume.localizer, volume.volume)),
        *(endothelium(eye, seed=seed).image for eye in ("R", "L")),
        planted_ct(seed).dataset,
    ]
