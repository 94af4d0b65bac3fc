"""A plan or a release as something to read, sign and keep.

Knows: how to count and to tabulate.
Does not know: values; a report holds none.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.deid.apply import Released
from workbench.deid.plan import ACTIONS, Plan
from workbench.entities import html_safe, html_table

__all__ = ["Report", "report"]


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """Titles with tables: ``print()`` shows text, a notebook shows HTML."""

    parts: tuple[tuple[str, tuple[Mapping[str, object], ...]], ...]

    def __str__(self) -> str:
        lines: list[str] = []
        for title, rows in self.parts:
            lines += ["", title, "-" * len(title), *(" · ".join(str(v) for v in row.values() if v != "") for row in rows)]
        return "\n".join(lines[1:])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "".join(
            f"<h4>{html_safe(title)}</h4>{html_table([dict(row) for row in rows], limit=1000)}" for title, rows in self.parts
        )


def report(subject: Plan | Released) -> Report:
    """Return a report of what a plan will do, or of what a release is; it holds no value of the original.

    Parameters
    ----------
    subject : Plan or Released
        A plan is counted by action and listed by attribute; a release tells its method, its size and its findings.
    """
    return _of_plan(subject) if isinstance(subject, Plan) else _of_release(subject)


def _of_plan(plan: Plan) -> Report:
    counted = Counter(step.action for step in plan)
    counts = tuple({"action": a, "meaning": text, "attributes": counted[a]} for a, text in ACTIONS.items() if counted[a])
    profiles = tuple({"code": code.value, "profile": code.meaning} for code in plan.options.codes)
    return Report((("Profile and options", profiles), ("Actions", counts), ("Attributes", tuple(plan.shown()))))


def _of_release(released: Released) -> Report:
    codes = released.dataset.get("DeidentificationMethodCodeSequence") or ()
    profiles = tuple({"code": str(item.CodeValue), "profile": str(item.CodeMeaning)} for item in codes)
    dates = str(released.dataset.get("LongitudinalTemporalInformationModified", ""))
    facts = ({"what": "attributes", "value": len(released.dataset)}, {"what": "dates and times", "value": dates})
    return Report((("Profile and options", profiles), ("Release", facts), ("Findings", tuple(released.findings.records()))))
