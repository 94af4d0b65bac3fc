# %% [markdown]
# # Inspect and de-identify
# Look at a dataset, decide what has to go, take it away, and prove that it is gone. De-identification is PS3.15 Annex E:
# a *basic profile* and *options* that keep what a study needs.
#
# **Reads** nothing but the embedded department and its phantoms; one is a CT with 157 planted identities.
# **Writes** the folder that `WORKBENCH_OUTPUT` names (by default `deid-output`): a key, released files, a table as CSV.

# %%
import os
from copy import deepcopy
from pathlib import Path

import pandas as pd

from workbench import deid, inspection, phantoms
from workbench.department import Department
from workbench.errors import BuildRefused, KeyRefused
from workbench.flows import pull, release

# %%
from workbench.archive import Archive

output = Path(os.environ.get("WORKBENCH_OUTPUT", "deid-output"))
pd.set_option("display.max_colwidth", None)
planted = phantoms.planted_ct()
pet = phantoms.pet_ct().pet
department = Department(instances=[planted.dataset, *pet[20:24]])
department

# %%
archive = Archive(output / "archive")
pulled = pull.retrieve(department.peer, pull.find(department.peer), into=archive)
originals = [archive.open(ref) for ref in archive]
original = next(d for d in originals if d.SOPInstanceUID == planted.dataset.SOPInstanceUID)
pulled.counts()

# %% [markdown]
# ## What is it?
# Three ways to read a dataset: in a few words, as a tree (fold and search it), as a table of many.

# %%
inspection.summary(original)

# %% [markdown]
# Identities hide everywhere: in private attributes, in sequences three levels deep, in overlays, in file meta information.
# Try the search: *Name*, *Private*, or the patient's own.

# %%
inspection.tree(original)

# %%
inspection.table(originals, ["Modality", "StudyDate", "PatientSex", "PatientWeight", "Units", "RescaleSlope", "SliceLocation"])

# %% [markdown]
# What differs between two neighbouring slices of one series? Pixels and position; the rest is shared (PS3.3 A.1.2).

# %%
first, second = sorted((d for d in originals if d.Modality == "PT"), key=lambda d: d.InstanceNumber)[:2]
between = inspection.differences(first, second)
between.table()[["path", "kind", "left", "right"]]

# %% [markdown]
# ## The plan
# Nothing has been touched yet. For each attribute the plan says what will be done (PS3.15 Table E.1-1a) and why: here every
# twelfth row of it. Where Table E.1-1 leaves a choice, such as X/Z/D, the attribute's type in its module decides. Attributes
# that the plan does not name stay.

# %%
basic = deid.plan(original)
print(basic)
deid.Plan(basic[::12])

# %% [markdown]
# ## Options
# The basic profile removes dates and weight, without which there is no follow-up and no SUV. Options keep what is needed,
# and say so in the file (PS3.16 CID 7050). Where do the two plans differ?

# %%
options = deid.Options(retain_patient_characteristics=True, retain_longitudinal_modified_dates=True)
careful = deid.plan(original, options)
both = basic.table().merge(careful.table(), on=["path", "name"], suffixes=(" basic", " with options"))
changed = both[both["action basic"] != both["action with options"]]
reasons = changed.groupby(["reason with options", "action basic", "action with options"])
reasons["name"].agg(lambda names: ", ".join(names.unique())).to_frame()

# %%
counts = pd.DataFrame({"basic": basic.table().action.value_counts(), "with options": careful.table().action.value_counts()})
counts.fillna(0).astype(int).assign(meaning=[deid.ACTIONS[action] for action in counts.index])

# %% [markdown]
# ## The key
# New UIDs, pseudonyms and date shifts come from a secret by HMAC: the same patient gets the same pseudonym in every file and
# run, and without the key nobody finds back. It lies in a file that only its owner can read, and never shows itself.

# %%
place = output / "project.key"
keys = deid.Keys.load(place) if place.exists() else deid.Keys.create(place)
place.chmod(0o644)  # as a careless copy would do
try:
    deid.Keys.load(place)
except KeyRefused as error:
    print(error)
place.chmod(0o600)
keys

# %% [markdown]
# ## Apply and verify
# `apply` returns a new dataset; the original stays as it is. `verify` does not believe the plan: it searches every value and
# every byte of the result for what the original said, and here also for all that was planted. First the basic profile:

# %%
strict = deid.apply(basic, original, keys=keys)
left = deid.verify(original, strict, identities=planted.identities)
print(len(planted.identities), "planted identities looked for,", len(left), "found")
inspection.differences(original, strict.dataset).table().kind.value_counts().to_frame("attributes")

# %% [markdown]
# With the options nothing is left that identifies either. But of the *planted* texts some are still there: times of day and
# the ethnic group, which the options keep on purpose. An option is a decision, and this is what it means.

# %%
released = deid.apply(careful, original, keys=keys)
kept = deid.verify(original, released, identities=planted.identities)
print(len(deid.verify(original, released)), "identities found; kept by option:", ", ".join(sorted({f.path for f in kept})))

# %%
inspection.summary(released.dataset)

# %% [markdown]
# ## A check that can fail
# A verification that never finds anything proves nothing. So here is a botched release: a comment with a name in it,
# the old identifier in a private attribute, and a UID that was forgotten.

# %%
botched = deepcopy(released.dataset)
botched.ImageComments = f"compare with {original.PatientName.family_name}, earlier visit"
botched.StudyInstanceUID = original.StudyInstanceUID
block = botched.private_block(0x0029, "SOME MAKER 1.0", create=True)
block.add_new(0x10, "LO", original.PatientID)
caught = deid.verify(original, botched)
caught

# %% [markdown]
# The findings name the place and the kind, never the value: this table can be mailed.
#
# A person may change a plan, but not shorten it: what the profile affects must be decided, not forgotten.

# %%
shorter = deid.Plan([step for step in careful if "Name" not in step.name], careful.options)
try:
    deid.apply(shorter, original, keys=keys)
except BuildRefused as error:
    refused = error
    print(error)

# %% [markdown]
# ## The report
# What a data protection officer wants to see: profile, options, counts, findings. No value of the original is in it.

# %%
deid.report(released)

# %% [markdown]
# ## Two files, one patient
# References must survive (PS3.15 E.3.9: UIDs replaced *consistently*). Two slices, released one by one, still share study,
# series, frame of reference and pseudonym, and their dates moved by the same secret number of days.

# %%
slices = (first, second)
pair = [deid.apply(deid.plan(d, options), d, keys=keys).dataset for d in slices]
shared = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "StudyDate", "SOPInstanceUID"]
shown = inspection.table([*slices, *pair], shared).astype(str).map(lambda text: text if len(text) < 20 else "…" + text[-9:])
shown.set_axis(["before, slice 1", "before, slice 2", "after, slice 1", "after, slice 2"]).T

# %% [markdown]
# ## Releasing many, and holding one back
# `flows.release` plans, applies and verifies each instance, and writes only what was proven. Here one scanner has written
# the patient's name into the first pixels, as some do: no attribute tells, but the bytes do.

# %%
stained = deepcopy(first)
stained.SOPInstanceUID = stained.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.1"
name = str(stained.PatientName).encode().ljust(32)
stained.PixelData = name + stained.PixelData[len(name) :]
outcome = release.release([*originals, stained], keys=keys, options=options, folder=output / "released")
outcome.table()[["outcome", "sop_class", "attributes", "errors", "file"]]

# %% [markdown]
# Faces, and text that is *drawn* into pixels, no search of bytes can find: PS3.15 E.3.1 and E.3.2 need eyes.
#
# ## A table that a spreadsheet can open
# A cell that begins with `=` is a formula to a spreadsheet, and a dataset may come from anywhere. `to_csv` makes
# text cells harmless; numbers stay numbers.

# %%
listed = inspection.table(outcome.datasets, ["Modality", "PatientID", "PatientWeight", "StudyDate"])
listed["Remark"] = '=HYPERLINK("http://example.invalid")'
csv = inspection.to_csv(listed, output / "released.csv")
print(csv.read_text(encoding="utf-8-sig"))

# %%
department.stop()
archive.close()
files = sorted(path.name for path in (output / "released").iterdir())

# %%
assert not left and kept and {f.path for f in caught.errors} >= {"ImageComments", "StudyInstanceUID"}
assert pair[0].StudyInstanceUID == pair[1].StudyInstanceUID != first.StudyInstanceUID and pair[0].PatientWeight == 75
assert [row.outcome for row in outcome].count("held back") == 1 and len(files) == len(originals) == 5
assert "'=HYPERLINK" in csv.read_text(encoding="utf-8-sig") and "attributes of this dataset" in str(refused)
