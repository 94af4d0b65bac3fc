# %% [markdown]
# # The tour: the main job, end to end
# Query, retrieve, inspect, de-identify, see, measure, build, check, push back, and prove it — on real DICOM traffic,
# between this notebook and an archive that runs inside its kernel.
#
# **Reads** nothing but the embedded department and its phantoms.
# **Writes** the folder that `WORKBENCH_OUTPUT` names (by default `tour-output`): the de-identified copies, the
# derived objects, the figures, and one audit line a step; and `private/`, which only its owner can open, with the originals
# and the key.

# %%
import os
from pathlib import Path

from workbench import conformance, deid, figures, files, inspection, phantoms, quantification, rendering
from workbench.archive import Archive
from workbench.department import Department
from workbench.entities import Circle
from workbench.flows import Audit, annotate, exchange, progress, pull, release
from workbench.widgets import Viewer

# %%
output = Path(os.environ.get("WORKBENCH_OUTPUT", "tour-output"))
private = output / "private"
private.mkdir(mode=0o700, parents=True, exist_ok=True)
audit = Audit(output / "audit.jsonl")
department = Department()
department

# %% [markdown]
# ## Query
# C-FIND at study level. The answer is a DataFrame: dates are dates, counts are numbers.

# %%
studies = pull.find(department.peer, PatientName="*", audit=audit)
studies[["PatientName", "StudyDate", "ModalitiesInStudy", "StudyDescription", "NumberOfStudyRelatedInstances"]]

# %% [markdown]
# ## Retrieve
# C-GET into an archive of our own: bytes as they came, an index beside them, and one row an instance in the report.

# %%
archive = Archive(private / "archive")
with progress("retrieving") as tick:
    retrieved = pull.retrieve(department.peer, studies, into=archive, progress=tick, audit=audit)
retrieved

# %% [markdown]
# ## Inspect

# %%
originals = [archive.open(ref) for ref in archive]
pet_slice = next(d for d in originals if d.Modality == "PT")
with audit.step("inspect") as step:
    overview = inspection.table(originals, ["Modality", "SOPClassUID", "Rows", "Columns", "NumberOfFrames", "Manufacturer"])
    step.count, step.verified = len(overview), len(overview) == len(retrieved)
overview.groupby("Modality", observed=True).size().rename("instances").to_frame()

# %%
inspection.summary(pet_slice)

# %%
inspection.tree(pet_slice)

# %% [markdown]
# ## De-identify
# First the plan, as a table that one can read: what will be done to which attribute, and by which section of PS3.15.

# %%
options = deid.Options(retain_patient_characteristics=True, retain_longitudinal_modified_dates=True)
deid.plan(pet_slice, options)

# %% [markdown]
# Then all of it, each instance verified: no name, identifier, date or UID of the original in any value or byte.

# %%
key = private / "tour.key"
keys = deid.Keys.load(key) if key.exists() else deid.Keys.create(key)
with progress("de-identifying") as tick:
    released = release.release(
        originals, keys=keys, options=options, folder=output / "released", progress=tick, audit=audit
    )  # fmt: skip
released.table().groupby(["sop_class", "outcome"])[["errors", "warnings"]].sum()

# %% [markdown]
# ## See
# PET in SUV (weight and dose stayed, names did not), fused on the CT of the same frame of reference.

# %%
pet = [d for d in released.datasets if d.Modality == "PT"]
ct = [d for d in released.datasets if d.Modality == "CT" and d.get("FrameOfReferenceUID") == pet[0].FrameOfReferenceUID]
suv, density = quantification.suv(pet), quantification.volume(ct)
sphere = max(phantoms.pet_ct().spheres, key=lambda s: s.diameter_mm)
with audit.step("see PET") as step:
    fused = figures.pet(suv, density, at_mm=sphere.center_mm)
    figures.save(fused, output / "pet.png")
    step.count, step.verified = len(pet) + len(ct), suv.units == "g/ml" and float(suv.values.max()) > 1
fused

# %% [markdown]
# An OCT B-scan and where it lies on its fundus picture.

# %%
scan = next(d for d in released.datasets if d.Modality == "OPT")
groups = scan.PerFrameFunctionalGroupsSequence
wanted = {str(i.ReferencedSOPInstanceUID) for f in groups for i in f.OphthalmicFrameLocationSequence}
(localizer,) = (d for d in released.datasets if d.SOPInstanceUID in wanted)
with audit.step("see OCT") as step:
    eye = figures.ophthalmic(scan, localizer)
    figures.save(eye, output / "oct.png")
    step.count, step.verified = scan.NumberOfFrames, len(wanted) == 1
eye

# %% [markdown]
# The viewer: wheel or arrow keys scroll, dragging windows, and marks can be drawn (what you draw is in `viewer.drawn()`).

# %%
viewer = Viewer(ct, frame=len(ct) // 2, window=(40, 400))
viewer

# %% [markdown]
# ## Measure and build
# The largest of the phantom's hot spheres, whose uptake is known: SUV 8. A circle on its PET slice is measured; from that
# region come a TID 1500 measurement report, a presentation state that shows it, and a key object selection.

# %%
index, row, column = suv.voxel(sphere.center_mm).round().astype(int)
image = next(d for d in pet if d.SOPInstanceUID == suv.sop_instance_uids[index])
mark = Circle((column + 0.5, row + 0.5), 3.0)
with audit.step("measure") as step:
    region = annotate.measure(image, mark, values=suv.values[index], unit="g/ml", label="Sphere")
    mean = region.measurements[0].value
    step.count, step.verified, step.note = 1, abs(mean / sphere.suv - 1) < 0.02, f"mean {mean:.3f}, truth {sphere.suv}"
region

# %%
activity = rendering.modality_values(image).max()
derived = annotate.annotate([region], window=(activity / 2, activity), audit=audit)
for dataset in derived.datasets:
    files.save(dataset, output / "derived" / f"{dataset.Modality}.dcm")
derived

# %%
with audit.step("see presentation") as step:
    shown = figures.presentation(image, derived.presentation)
    figures.save(shown, output / "presentation.png")
    drawn = rendering.resolve(image, state=derived.presentation).frame(0).annotations
    step.count, step.verified = len(drawn), [type(d).__name__ for d in drawn] == ["GraphicObject", "TextObject"]
shown

# %% [markdown]
# ## Check
# Against the standard: dciodvfy and checks of our own. Findings, not exceptions.

# %%
with audit.step("check") as step:
    findings = conformance.check_many(derived.datasets)
    step.count, step.verified = len(derived.datasets), not findings.errors
findings

# %% [markdown]
# ## Push back
# Store, query, retrieve again, compare attribute by attribute. Only what came back equal is verified.

# %%
pushed = exchange.push(department.peer, [*derived.datasets, image], audit=audit)
pushed

# %% [markdown]
# ## What happened

# %%
department.stop()
archive.close()
audit.lines

# %%
assert audit.lines.verified
assert retrieved.complete and released.complete and pushed.verified
