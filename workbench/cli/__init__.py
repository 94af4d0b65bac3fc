"""The command line: every job of the workbench as one command.

Knows: arguments, tables on a terminal, exit codes, Ctrl-C.
Does not know: how anything is done.
"""

from workbench.cli.commands import app, main

__all__ = ["app", "main"]
