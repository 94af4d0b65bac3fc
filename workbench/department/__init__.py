"""A simulated imaging department: archive, worklist, performed steps, printer, and five real systems at work.

Knows: archive, servers, phantoms, device profiles.
Does not know: widgets.
"""

from workbench.department.creating import buildable, not_yet
from workbench.department.department import Department
from workbench.department.modality import Modality
from workbench.department.performed import Activities, Done, Outcome
from workbench.department.schedule import scheduled

__all__ = ["Activities", "Department", "Done", "Modality", "Outcome", "buildable", "not_yet", "scheduled"]
