"""What runs in the browser: the viewer.

Knows: anywidget, pixels, marks.
Does not know: peers, files, SQL.
"""

from workbench.widgets.viewer import Viewer

__all__ = ["Viewer"]
