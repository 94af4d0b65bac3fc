"""The pixel pipeline: from a dataset to what is seen, in two steps.

``plan = resolve(image)`` settles everything from attributes; ``render(plan, frame=0)`` gives 8-bit gray or RGB.
``modality_values`` and ``pixels`` give numbers instead.

Knows: PS3.4 Annex N, PS3.3 C.7.6.3, C.10 and C.11; arrays in, arrays out.
Does not know: figures, widgets, files.
"""

from workbench.rendering.annotations import GraphicObject, Layer, TextObject
from workbench.rendering.displayed_area import Spatial
from workbench.rendering.film import film, film_image, film_picture, film_places, p_value
from workbench.rendering.geometry import Sides, Spacing, orientation, spacing
from workbench.rendering.lookup import LookupTable
from workbench.rendering.modality import Modality, modality, modality_values, units
from workbench.rendering.ordering import series_in_order
from workbench.rendering.overlays import Overlay
from workbench.rendering.palette import Palette, palette
from workbench.rendering.pixels import Layout, layout, pixels
from workbench.rendering.plan import FramePlan, RenderPlan, resolve
from workbench.rendering.presentation_lut import PresentationLut
from workbench.rendering.render import render
from workbench.rendering.shutters import Shutter
from workbench.rendering.voi import Window

__all__ = [
    "FramePlan",
    "GraphicObject",
    "Layer",
    "Layout",
    "LookupTable",
    "Modality",
    "Overlay",
    "Palette",
    "PresentationLut",
    "RenderPlan",
    "Shutter",
    "Sides",
    "Spacing",
    "Spatial",
    "TextObject",
    "Window",
    "film",
    "film_image",
    "film_picture",
    "film_places",
    "layout",
    "modality",
    "modality_values",
    "orientation",
    "p_value",
    "palette",
    "pixels",
    "render",
    "resolve",
    "series_in_order",
    "spacing",
    "units",
]
