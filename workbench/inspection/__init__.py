"""How to read a dataset aloud: summary, tree, table, differences, and what a structured report says.

Knows: how a person wants to see a dataset, in a notebook and in a terminal.
Does not know: how to change one, or where it comes from.
"""

from workbench.inspection.differences import Difference, Differences, differences
from workbench.inspection.report import Content, report
from workbench.inspection.summary import Summary, summary
from workbench.inspection.table import lines, table, to_csv, to_parquet
from workbench.inspection.tree import Tree, tree

__all__ = [
    "Content",
    "Difference",
    "Differences",
    "Summary",
    "Tree",
    "differences",
    "lines",
    "report",
    "summary",
    "table",
    "to_csv",
    "to_parquet",
    "tree",
]
