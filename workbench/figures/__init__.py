"""Figures for paper and notebooks: images, presentation states, PET, ophthalmology, films.

Every function returns a matplotlib Figure that pyplot does not know; ``save`` writes it.

Knows: paper.
Does not know: the browser, files' contents, peers.
"""

from workbench.figures.film import film
from workbench.figures.images import contact_sheet, image
from workbench.figures.ophthalmic import ophthalmic
from workbench.figures.pet import pet
from workbench.figures.presentation import marks, presentation
from workbench.figures.saving import save

__all__ = ["contact_sheet", "film", "image", "marks", "ophthalmic", "pet", "presentation", "save"]
