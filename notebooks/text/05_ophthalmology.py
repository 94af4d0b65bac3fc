# %% [markdown]
# # Ophthalmology
# Photographs of both fundi, a volume of optical coherence tomography with the picture that locates it, and the corneal
# endothelium: what DICOM says about eyes, and what can be measured when the truth is known.
#
# **Reads** nothing but the embedded department and its phantoms.
# **Writes** an archive, figures and a table in the folder that `WORKBENCH_OUTPUT` names (by default `eye-output`).

# %%
import os
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from workbench import figures, inspection, phantoms, rendering
from workbench.archive import Archive
from workbench.department import Department

# %%
from workbench.entities import Polyline
from workbench.flows import pull
from workbench.widgets import Viewer

output = Path(os.environ.get("WORKBENCH_OUTPUT", "eye-output"))
truth, cornea = phantoms.oct("R"), phantoms.endothelium("R")
photographs = [phantoms.fundus("R"), phantoms.fundus("L")]
department = Department(instances=[*photographs, truth.localizer, truth.volume, cornea.image])
department

# %%
archive = Archive(output / "archive")
pulled = pull.retrieve(department.peer, pull.find(department.peer), into=archive)
eyes = {d.SOPInstanceUID: d for d in map(archive.open, archive)}
said = {"Modality": "modality", "ImageLaterality": "eye", "NumberOfFrames": "frames", "Rows": "rows", "Columns": "columns"}
said |= {"AcquisitionDeviceTypeCodeSequence.CodeMeaning": "device", "AnatomicRegionSequence.CodeMeaning": "region"}
inspection.table(eyes.values(), said).rename(columns=said).sort_values(["modality", "device", "eye"])

# %% [markdown]
# All at a glance, and of the volume its middle frame:

# %%
sheet = figures.contact_sheet(eyes.values(), columns=5, title="What was retrieved")
figures.save(sheet, output / "contact-sheet.png")
sheet

# %% [markdown]
# ## Which eye?
# Not the file name, not the description, and not the side of the optic disc decide, but Image Laterality (0020,0062), which
# ophthalmic images must have (PS3.3 C.8.17.5). On a photograph the disc lies towards the nose.

# %%
fundi = {d.ImageLaterality: d for d in eyes.values() if d.Modality == "OP" and d.get("PhotometricInterpretation") == "RGB"}
right = figures.image(fundi["R"])
figures.save(right, output / "fundus-right.png")
right

# %%
figures.image(fundi["L"])

# %% [markdown]
# A check for a whole archive: is the brightest place, the disc, on the side that the laterality promises?

# %%
sides = {}
for eye, photograph in fundi.items():
    bright = ndimage.gaussian_filter(rendering.pixels(photograph)[..., 1].astype(float), 12)
    column = int(bright.max(axis=0).argmax())
    sides[eye] = "R" if column > photograph.Columns / 2 else "L"
sides

# %% [markdown]
# ## The volume and its localizer
# An Ophthalmic Tomography Image (PS3.3 A.52) has one B-scan a frame. Where each lies on the fundus says the Ophthalmic Frame
# Location Sequence (C.8.17.10): row and column of both ends, in another instance. Follow the reference, don't guess by name.

# %%
volume = next(d for d in eyes.values() if d.Modality == "OPT")
places = [frame.OphthalmicFrameLocationSequence[0] for frame in volume.PerFrameFunctionalGroupsSequence]
localizer = eyes[places[0].ReferencedSOPInstanceUID]
fovea_frame, fovea_column = truth.fovea
shown = figures.ophthalmic(volume, localizer, bscan=fovea_frame)
figures.save(shown, output / "oct.png")
shown

# %% [markdown]
# Pixels are not square: a column is three times as wide as a row is high, and frames are 250 µm apart. The spacing stands
# in the functional groups (PS3.3 C.7.6.16.2.1), not at the top level.

# %%
measures = volume.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
row_mm, column_mm = measures.PixelSpacing
print(f"{row_mm * 1000:.1f} µm deep, {column_mm * 1000:.1f} µm wide, {measures.SpacingBetweenSlices * 1000:.0f} µm apart")
print(f"{volume.NumberOfFrames} frames of {volume.Rows} × {volume.Columns}")

# %% [markdown]
# ## Retinal thickness
# From the inner limiting membrane (where it first gets bright) to the outer border of the pigment epithelium (where the
# brightest band below ends). A simple rule, without any model, on speckle that is averaged over 0.4 mm along the scan:

# %%
scans = ndimage.uniform_filter(rendering.pixels(volume).astype(float), (1, 5, 31))
slope, rows = np.diff(scans, axis=1), np.arange(volume.Rows - 1)[None, :, None]
surface = (scans > 60).argmax(axis=1) + 1
below = np.where(rows > surface[:, None] + 35, scans[:, :-1], 0)
epithelium = below.argmax(axis=1)
near = (rows >= epithelium[:, None]) & (rows < epithelium[:, None] + 8)
base = np.where(near, slope, 0).argmin(axis=1) + 1
thickness_um = (base - surface) * row_mm * 1000

# %% [markdown]
# The phantom knows its thickness. Measured along the B-scan through the fovea, in steps of 0.7 mm:

# %%
columns = [*range(16, 256, 60), fovea_column, *range(316, 512, 60)]
table = pd.DataFrame({"mm from fovea": [(c - fovea_column) * column_mm for c in columns]})
table["truth, µm"] = truth.thickness_um[fovea_frame, columns]
table["measured, µm"] = thickness_um[fovea_frame, columns]
table["error, µm"] = table["measured, µm"] - table["truth, µm"]
inspection.to_csv(table, output / "thickness.csv")
table.round(1)

# %%
error_um = np.abs(thickness_um - truth.thickness_um)
at_fovea = thickness_um[fovea_frame, fovea_column]
print(f"at the fovea: {at_fovea:.0f} µm, true {truth.thickness_um[fovea_frame, fovea_column]:.0f} µm")
print(f"all {error_um.size} places: half within {np.median(error_um):.1f} µm, 99 % within {np.percentile(error_um, 99):.1f} µm")

# %% [markdown]
# Half of the places are within one pixel. Errors are largest at the rim of the pit, where the smoothing that tames
# the speckle also rounds off the slope, and under vessels, whose shadows dim what is below. In real eyes the
# layers are less clear than in any phantom: such a rule is for teaching, not for a clinic.
#
# ## Drawn
# The two borders as marks in image coordinates (column, row), on the B-scan through the fovea, in true proportions:
# so flat is a retina.

# %%
lines = [
    Polyline(tuple((float(c), float(border[fovea_frame, c])) for c in range(8, volume.Columns, 8))) for border in (surface, base)
]
drawn = figures.marks(volume, lines, frame=fovea_frame)
figures.save(drawn, output / "borders.png")
drawn

# %% [markdown]
# The same in the viewer, to scroll through all B-scans (wheel or arrow keys). A report without a kernel shows a still picture.

# %%
viewer = Viewer(volume, frame=fovea_frame, height_px=360)
for line in lines:
    viewer.draw(line)
viewer

# %% [markdown]
# ## Corneal endothelium
# A specular microscope shows the cells that keep the cornea clear. Their density in cells/mm² is the number that counts
# before a cataract operation. The image must carry its scale: here Pixel Spacing, 1 µm.

# %%
specular = eyes[cornea.image.SOPInstanceUID]
cells = figures.image(specular)
figures.save(cells, output / "endothelium.png")
cells

# %% [markdown]
# Cells are bright, borders dark: smoothed over 3 µm, each cell is one local maximum. Those in a frame of known area are counted:

# %%
smooth = ndimage.gaussian_filter(rendering.pixels(specular).astype(float), 3)
peaks = smooth == ndimage.maximum_filter(smooth, 11)
inner = peaks[20:-20, 20:-20]
spacing_mm = rendering.spacing(specular, frame=0)
area_mm2 = inner.size * spacing_mm.row_mm * spacing_mm.column_mm
density = inner.sum() / area_mm2
print(f"{inner.sum()} cells in {area_mm2:.3f} mm²: {density:.0f}/mm²; true {cornea.density_per_mm2:.0f}/mm²")

# %% [markdown]
# What the phantom knows besides, and what a report on a cornea tells: the variation of the cell areas (polymegathism) and
# how many cells have six neighbours (pleomorphism).

# %%
facts = {"cells wholly inside": cornea.cells, "density, cells/mm²": cornea.density_per_mm2}
facts |= {"mean area, µm²": 1e6 / cornea.density_per_mm2, "variation of areas, %": cornea.variation_percent}
facts |= {"six-sided, %": cornea.hexagonality_percent}
pd.Series(facts).round(1).to_frame("truth")

# %%
department.stop()
archive.close()

# %%
assert pulled.complete and len(eyes) == 5 and sides == {"R": "R", "L": "L"}
assert localizer.SOPInstanceUID == truth.localizer.SOPInstanceUID
assert np.median(error_um) < row_mm * 1000 and abs(table["error, µm"]).max() < 20
assert viewer.drawn() == tuple(lines) and abs(density / cornea.density_per_mm2 - 1) < 0.05
