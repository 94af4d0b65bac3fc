"""Numbers from images: volumes, standardized uptake values, regions.

Knows: geometry, decay and statistics.
Does not know: figures, widgets, files, the network.
"""

from workbench.quantification import regions
from workbench.quantification.regions import RegionStatistics
from workbench.quantification.suv import Injection, injection, suv, suv_by_weight
from workbench.quantification.volumes import Volume, mip, resample, volume

__all__ = [
    "Injection",
    "RegionStatistics",
    "Volume",
    "injection",
    "mip",
    "regions",
    "resample",
    "suv",
    "suv_by_weight",
    "volume",
]
