# %% [markdown]
# # PET in numbers
# From stored values to standardized uptake values, on a body phantom whose truth is known: six hot spheres after NEMA NU 2.
# What goes into SUV (PS3.3 C.8.9), what a region measures, and when no number is better than a wrong one.
#
# **Reads** nothing but the embedded department and its phantoms.
# **Writes** an archive and two figures in the folder that `WORKBENCH_OUTPUT` names (by default `pet-output`).

# %%
import os
from copy import deepcopy
from pathlib import Path

import pandas as pd

from workbench import figures, inspection, phantoms, quantification, rendering
from workbench.archive import Archive
from workbench.department import Department
from workbench.flows import pull

# %%
from workbench.errors import AttributeUnusable

output = Path(os.environ.get("WORKBENCH_OUTPUT", "pet-output"))
pd.set_option("display.max_colwidth", None)
truth = phantoms.pet_ct()
department = Department(instances=[*truth.pet, *truth.ct])
archive = Archive(output / "archive")
pulled = pull.retrieve(department.peer, pull.find(department.peer), into=archive)
images = [archive.open(ref) for ref in archive]

# %%
pet, ct = ([d for d in images if d.Modality == modality] for modality in ("PT", "CT"))
len(pet), len(ct)

# %% [markdown]
# ## What the scanner says
# The series tells in which unit its values are, to which moment they are decay corrected, and what was injected, when:
# Units (0054,1001), Decay Correction (0054,1102), and the Radiopharmaceutical Information Sequence (PS3.3 C.8.9.2).

# %%
tracer = "RadiopharmaceuticalInformationSequence."
facts = ["Units", "DecayCorrection", "CorrectedImage", "PatientWeight", "SeriesTime"]
facts += [tracer + k for k in ("Radiopharmaceutical", "RadionuclideTotalDose", "RadionuclideHalfLife")]
facts += [tracer + "RadiopharmaceuticalStartDateTime"]
inspection.table(pet[:1], facts).T.set_axis(["first slice"], axis=1)

# %% [markdown]
# ## From stored values to activity
# The modality transformation comes first: value = slope · stored + intercept (PS3.3 C.11.1). In PET **each slice has its
# own slope**. Who forgets that gets images that look right and numbers that are not.

# %%
middle = sorted(pet, key=lambda d: d.InstanceNumber)[20:25]
slopes = inspection.table(middle, ["InstanceNumber", "RescaleSlope"])
slopes["highest stored value"] = [int(rendering.pixels(d).max()) for d in middle]
slopes["highest activity, Bq/ml"] = [float(rendering.modality_values(d).max()) for d in middle]
slopes.round(3)

# %% [markdown]
# ## The formula
# > SUVbw = C · W / A(t), with A(t) = dose · 2^(−t / half-life)
#
# C is the activity concentration in Bq/ml, W the weight in g, A(t) what is left of the dose at the moment to which C is
# corrected (PS3.3 C.8.9.1.1.3). SUV is 1 where the tracer is spread evenly in the body, as if 1 ml were 1 g.

# %%
given = quantification.injection(pet)
print(f"{given.radiopharmaceutical}: {given.total_dose_bq / 1e6:.0f} MBq injected, half-life {given.half_life_s / 60:.1f} min")
print(f"{given.elapsed_s / 60:.0f} min later {given.activity_bq / 1e6:.1f} MBq are left")
per_suv = given.activity_bq / (float(pet[0].PatientWeight) * 1000)
print(f"SUV 1 is {per_suv:.0f} Bq/ml in this patient of {pet[0].PatientWeight} kg")

# %%
suv = quantification.suv(pet)
density = quantification.volume(ct)
suv

# %% [markdown]
# A volume knows its grid in the patient's coordinates (LPS, mm), its unit and the formula by which it came to be.
#
# ## Seen
# PET and CT have different grids, but one frame of reference (PS3.3 C.7.4.1): so they can be laid over each other without
# registration. The cross goes through the largest sphere.

# %%
largest = truth.spheres[-1]
fused = figures.pet(suv, density, vmax=10, at_mm=largest.center_mm, title="Six spheres of SUV 8 in a background of 1")
figures.save(fused, output / "fused.png")
fused

# %% [markdown]
# The maximum intensity projection as an array (its brightest pixel is the hottest voxel), and the PET alone:

# %%
projection = quantification.mip(suv, "coronal")
alone = figures.pet(suv, vmax=10)
figures.save(alone, output / "pet.png")
print(projection.shape, f"{projection.max():.2f} = {suv.values.max():.2f} g/ml")
alone

# %% [markdown]
# ## Known against measured
# Each sphere has SUV 8, the background 1. Measured is the mean in a sphere of the true size, and in its core, 2 mm inside
# of the surface.

# %%
def measured(sphere, inset_mm=0.0):
    """Statistics in a sphere that is smaller than the true one by `inset_mm` on every side."""
    mask = quantification.regions.sphere(suv, center_mm=sphere.center_mm, diameter_mm=sphere.diameter_mm - 2 * inset_mm)
    return quantification.regions.statistics(suv.values, mask, units=suv.units, voxel_volume_ml=suv.voxel_ml)

# %%
regions = [*truth.spheres, truth.background]
whole, core = [measured(s) for s in regions], [measured(s, 2.0) for s in regions]
results = pd.DataFrame({"diameter, mm": [s.diameter_mm for s in regions], "truth": [s.suv for s in regions]})
results["core mean"], results["core voxels"] = [c.mean for c in core], [c.n for c in core]
results["core error, %"] = 100 * (results["core mean"] / results["truth"] - 1).abs()
results["whole mean"], results["whole maximum"] = [w.mean for w in whole], [w.max for w in whole]
results["recovery, %"] = 100 * results["whole mean"] / results["truth"]
results.round(3)

# %% [markdown]
# ## Partial volume
# In the core the truth is met within 0.001. Over the whole sphere the mean is too low: voxels at the surface hold sphere *and*
# background, and in a small sphere nearly all voxels are surface. The maximum is no way out: the larger the region, the more
# noise it picks up, and the further above the truth it lies. That is why recovery is measured with a phantom for each size,
# and why SUVmax, SUVpeak and SUVmean of one lesion are three different numbers.
#
# Recovery does not even rise smoothly with the size: it also matters how the grid happens to lie on the sphere. The volume
# shows it: voxels counted against 4/3 π r³.

# %%
volumes = pd.DataFrame({"diameter, mm": [s.diameter_mm for s in regions], "counted, ml": [w.volume_ml for w in whole]})
volumes["true, ml"] = [4 / 3 * 3.14159265 * (s.diameter_mm / 2) ** 3 / 1000 for s in regions]
volumes["error, %"] = 100 * (volumes["counted, ml"] / volumes["true, ml"] - 1)
volumes.round(2)

# %% [markdown]
# ## Decay correction
# Two bed positions, scanned one after the other. With Decay Correction START the scanner has brought both back to the start of
# the series by Decay Factor (0054,1321): one A(t) serves all. Correcting each bed by its own time once more would be wrong.

# %%
beds = inspection.table(pet, ["AcquisitionTime", "FrameReferenceTime", "DecayFactor"])
beds.groupby(list(beds.columns)).size().rename("slices").reset_index()

# %% [markdown]
# And the mistake that is made most often: to divide by the dose as injected, as if no time had passed.

# %%
undecayed = deepcopy(pet)
for image in undecayed:
    image.DecayCorrection = "ADMIN"  # a lie: says that the values are corrected to the injection
low = quantification.suv(undecayed)
ratio = low.values.max() / suv.values.max()
print(f"SUV too low by {100 * (1 - ratio):.1f} %: 2^(-60 min / 109.8 min) = {2 ** (-3600 / 6586.2):.3f}")

# %% [markdown]
# ## Refused
# What is missing is not guessed. A message says what, where, by which section, and how to go on.

# %%
def broken(image, **changes):
    """A copy of an image with attributes changed, in the image or in what it says of the tracer."""
    image = deepcopy(image)
    for keyword, value in changes.items():
        setattr(image if keyword in image else image.RadiopharmaceuticalInformationSequence[0], keyword, value)
    return image

# %%
cases = {
    "no weight": {"PatientWeight": None},
    "dose in MBq": {"RadionuclideTotalDose": 370},
    "counts": {"Units": "CNTS"},
    "correction unknown": {"DecayCorrection": ""},
    "dates shifted apart": {"RadiopharmaceuticalStartDateTime": "20260401083000"},
}

# %%
refusals = {}
for case, changes in cases.items():
    try:
        quantification.suv([broken(image, **changes) for image in pet])
    except AttributeUnusable as error:
        refusals[case] = error
        print(f"{case}: {error}", end="\n\n")

# %% [markdown]
# Who knows the weight from elsewhere says so, and takes the responsibility:

# %%
weighed = quantification.suv([broken(image, PatientWeight=None) for image in pet], weight_kg=75)
float(abs(weighed.values - suv.values).max())

# %%
department.stop()
archive.close()

# %%
assert pulled.complete and suv.units == "g/ml"
assert all(abs(c.mean - s.suv) < 0.001 for c, s in zip(core, regions, strict=True))
assert results["recovery, %"][:6].between(80, 100).all() and projection.max() == suv.values.max()
assert abs(ratio - 2 ** (-3600 / 6586.2)) < 1e-9
assert set(refusals) == set(cases) and "Patient's Weight (0010,1030)" in str(refusals["no weight"])
