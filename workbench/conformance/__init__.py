"""Findings about objects: dciodvfy and checks of our own.

Knows: the rules of PS3.3, PS3.5 and PS3.10 that one object, or several of one study, can be held against.
Does not know: how to fix or print what it finds.
"""

from workbench.conformance.claimed import check_claims
from workbench.conformance.objects import check, check_many

__all__ = ["check", "check_claims", "check_many"]
