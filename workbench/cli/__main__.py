"""``python -m workbench.cli`` is the command ``workbench``.

Knows: nothing.
Does not know: the commands.
"""

from workbench.cli.commands import main

if __name__ == "__main__":
    main()
