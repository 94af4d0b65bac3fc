"""A simulated imaging department: an archive, its server and phantoms, in the kernel.

Knows: archive, server, phantoms.
Does not know: widgets.
"""

from workbench.department.department import Department

__all__ = ["Department"]
