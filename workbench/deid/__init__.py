"""De-identification by PS3.15 Annex E: plan, apply, verify.

Knows: the confidentiality profiles, and a secret key for what has to stay consistent.
Does not know: files of datasets, networks, archives.

::

    keys = Keys.load("project.key")
    what = plan(dataset, Options(retain_patient_characteristics=True))     # a table: read it
    released = apply(what, dataset, keys=keys)                             # a new dataset, and findings
    verify(dataset, released)                                              # what is left of the identity
"""

from workbench.deid.apply import Released, apply
from workbench.deid.keys import Keys
from workbench.deid.options import Options
from workbench.deid.plan import ACTIONS, Plan, Step, plan
from workbench.deid.report import Report, report
from workbench.deid.verify import verify

__all__ = ["ACTIONS", "Keys", "Options", "Plan", "Released", "Report", "Step", "apply", "plan", "report", "verify"]
