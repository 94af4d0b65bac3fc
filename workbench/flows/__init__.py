"""The order of work: pull, release, annotate, exchange, each with its audit line.

Knows: which room does what, and in which order.
Does not know: SQL, sockets, JavaScript.
"""

from workbench.flows import annotate, exchange, filming, notebook, pull, release
from workbench.flows.audit import Audit, AuditLine, AuditLines, Step
from workbench.flows.progress import progress

__all__ = ["Audit", "AuditLine", "AuditLines", "Step", "annotate", "exchange", "filming", "notebook", "progress", "pull", "release"]
