# %% [markdown]
# # Five systems and what they say
# A conformance statement (PS3.2) tells what a system proposes, accepts, asks, creates and does when something goes wrong.
# Five real ones are kept here as data: **as meant** and **as printed**, since print has slips. What a statement claims can
# be looked up, counted, checked against the standard, and performed.
#
# **Reads** the device profiles and the embedded department with its phantoms.
# **Writes** nothing.

# %%
import pandas as pd
from IPython.display import display

from workbench import conformance, devices
from workbench.department import Department, buildable, not_yet

pd.set_option("display.max_colwidth", 90)

# %% [markdown]
# ## Who they are

# %%
profiles = devices.profiles()
pd.DataFrame(
    [(p.title, p.version, p.edition, len(p.entities), len(p.tables), len(p.slips)) for p in profiles.values()],
    columns=["system", "version", "DICOM edition", "entities", "tables", "slips"],
    index=list(profiles),
)

# %% [markdown]
# ## What can they send to each other?
# Two systems understand each other where one **proposes** what the other **accepts**: the same SOP class, and at least one
# transfer syntax in common (PS3.8 7.1.1.13). That is a join of two tables.

# %%
scanner = devices.contexts(profiles["philips-vereos"], role="SCU", activity="Image Export")
viewer = {c.uid: c for c in devices.contexts(profiles["canon-vitrea-read"], role="SCP")}
rows = []
for context in scanner:
    other = viewer.get(context.uid)
    common = set(context.syntaxes) & set(other.syntaxes) if other else set()
    rows.append((context.name, bool(other), len(common)))
matrix = pd.DataFrame(rows, columns=["the scanner exports", "the viewer accepts the class", "syntaxes in common"])
matrix

# %% [markdown]
# What the scanner exports and the viewer does not take is lost unless somebody looks here first:

# %%
matrix[~matrix["the viewer accepts the class"]]

# %% [markdown]
# ## What do they ask a worklist?
# Each asks other keys, and matches other ones. A worklist that supports what all of them ask serves all of them.

# %%
asked = {
    name: {key.path: key.matching or "returned" for key in devices.keys(p, uid="1.2.840.10008.5.1.4.31")}
    for name, p in profiles.items()
}
names = {k.path: k.name for p in profiles.values() for k in devices.keys(p, uid="1.2.840.10008.5.1.4.31")}
table = pd.DataFrame({name: keys for name, keys in asked.items() if keys}).rename(index=names).fillna("")
table[(table != "").sum(axis=1) >= 3]

# %% [markdown]
# ## Where print and standard disagree
# `lint` holds every row against the standard's tables. Each finding says what is printed, what is meant, and the rule.

# %%
findings = pd.concat(
    [devices.lint(p).table().assign(system=name) for name, p in profiles.items()], ignore_index=True
)
pd.crosstab(findings.system, findings.severity)

# %%
some = findings[findings.severity == "error"]  # UIDs, tags, representations, roles: what peers rely on
some.groupby("system").head(3)[["system", "path", "message", "remedy"]]

# %% [markdown]
# The same table in both views: the specular microscope's serial number has the tag of the model name in print.

# %%
microscope = profiles["topcon-sp1p"]
slip = next(s for s in microscope.slips if s.printed == "(0008,1090)")
meant, printed = microscope.table(slip.table), microscope.as_printed().table(slip.table)
pd.DataFrame([meant.records()[slip.row - 1], printed.records()[slip.row - 1]], index=["meant", "printed"])

# %% [markdown]
# ## What they create
# A statement lists every attribute of every object, when it is present and where its value comes from. Objects whose builder
# exists are created by these tables; the others are named, not feigned.

# %%
pd.DataFrame(
    [(name, ", ".join(sorted({o.title for o in buildable(p)})), ", ".join(sorted({o.title for o in not_yet(p)})))
     for name, p in profiles.items()],
    columns=["system", "created here", "not yet"],
)  # fmt: skip

# %% [markdown]
# ## Performed
# One system at work: it verifies, asks the worklist, acquires a phantom, fills its objects in by its own tables and sends
# them, in the order of its statement.

# %%
department = Department(instances=[])
camera = department.modalities["optos-v2-vantage"]
done = camera.run()
done.table()[["activity", "peer", "outcome", "count", "message", "source"]]

# %% [markdown]
# What it made is held against its own tables, and against the standard:

# %%
checks = [
    (image.SOPClassUID.name, len(conformance.check_claims(image, camera.profile).errors), len(conformance.check(image).errors))
    for image in camera.made
]
pd.DataFrame(checks, columns=["object", "against its statement", "against the standard"])

# %% [markdown]
# ## The other way round
# An object of another maker does not fit, and the findings say where.

# %%
stranger = department.modalities["topcon-sp1p"]
stranger.run()
image = stranger.made[0].copy()
image.Manufacturer = ""
del image.ConversionType
findings = conformance.check_claims(image, stranger.profile)
display(findings)

# %%
department.stop()
assert done.complete
assert [error for _, error, _ in checks] == [0] * len(checks)
assert any("ConversionType" in finding.path for finding in findings.errors)
