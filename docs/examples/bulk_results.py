# %% [markdown]
# # What is in a bulk run
#
# Reads what `python -m deploy.bulk photos/ --tasks age,expression --output var/bulk` wrote. Each `# %%` is a
# cell of a notebook (VS Code, PyCharm, Jupyter with jupytext); as a program:
# `python docs/examples/bulk_results.py var/bulk`. It needs pandas and pyarrow, nothing of Q-Face.

# %%
import json
import sys
from pathlib import Path

import pandas as pd
import pyarrow.dataset
import pyarrow.parquet

run = Path(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "var/bulk")

# %% [markdown]
# ## Is everything there?
# The summary counts every input of the listing: `missing` has to be 0.

# %%
summary = json.loads((run / "summary.json").read_text())
print({name: summary[name] for name in ("inputs", "done", "no_face", "failed", "missing", "faces")})

# %% [markdown]
# ## The two tables
# A row a photo, and a row a face. What a run is still writing begins with a dot, which readers leave out.

# %%
photos = pd.read_parquet(run / "photos")
faces = pd.read_parquet(run / "faces")
print(photos["status"].value_counts().to_string())

# %% [markdown]
# ## What failed, and why
# `cause` is a word to count by, `reason` the sentence.

# %%
failures = photos[photos["status"] == "failed"]
print(failures.groupby("cause")["reason"].value_counts().to_string())

# %% [markdown]
# ## What was asked, by which contract
# Every file can be read alone: tasks, labels and their order, network, precision and libraries are in its
# metadata.

# %%
metadata = pyarrow.parquet.read_schema(next(iter(sorted((run / "faces").glob("part-*.parquet"))))).metadata
contract = json.loads(metadata[b"qface.contract"])
asked = metadata[b"qface.tasks"].decode().split(",")
for task in contract["tasks"]:
    if task["name"] in asked:
        print(task["name"], task["kind"], task["unit"], task["labels"][:8])

# %% [markdown]
# ## Ages
# A number is a column of its task's name.

# %%
print(faces["age"].describe().round(1).to_string())
decades = pd.cut(faces["age"], range(0, 101, 10), right=False)
print(decades.value_counts(sort=False).to_string())

# %% [markdown]
# ## Expressions
# A class is its label, the label's probability, and the probability of every label. Sure answers first.

# %%
print(
    faces.groupby("expression", observed=True)
    .agg(faces=("face", "size"), mean_age=("age", "mean"), probability=("expression_probability", "mean"))
    .round(2)
    .to_string()
)
sure = faces[faces["expression_probability"] > 0.9].sort_values("expression_probability", ascending=False)
print(sure[["file", "expression", "expression_probability", "age"]].head().to_string(index=False))

# %% [markdown]
# ## Photos with their faces
# `photo`, the number in the listing, joins the tables. A left join keeps photos without a face.

# %%
joined = photos.merge(faces[["photo", "face", "age", "expression"]], on="photo", how="left")
per_photo = joined.groupby("file").agg(
    faces=("face", "count"), youngest=("age", "min"), oldest=("age", "max")
)
print(per_photo.sort_values("faces", ascending=False).head().to_string())

# %% [markdown]
# ## More rows than memory
# A dataset reads the columns and rows that are wanted, a part after the other.

# %%
dataset = pyarrow.dataset.dataset(run / "faces", format="parquet")
old = sum(
    batch.num_rows for batch in dataset.to_batches(columns=["age"], filter=pyarrow.dataset.field("age") >= 65)
)
print(f"{old} of {dataset.count_rows()} faces look 65 or older")
