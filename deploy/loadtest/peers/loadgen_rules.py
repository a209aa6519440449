"""Which of MLPerf's rules a run of LoadGen here does not keep: each with MLPerf's own value beside ours.

MLPerf's values are those of the configuration that LoadGen itself has in it (its `mlperf.conf`), of the model
that is nearest to a photo of faces: the one that classifies images. The rules outside LoadGen are those of
https://github.com/mlcommons/inference_policies.
"""

from collections.abc import Mapping, Sequence

MODEL = "resnet50"  # of MLPerf's configuration
VERDICT = "unverified, overridden rules listed"
# Settings that each user of LoadGen gives it, by MLPerf's rules too: the load that is tried.
GIVEN = frozenset({"scenario", "server_target_qps", "offline_expected_qps"})
# Rules that no setting of LoadGen holds.
BEYOND_SETTINGS = (
    "no accuracy run was made: MLPerf wants one of each result, on the whole data set",
    f"model and pictures are this project's: MLPerf's closed division has its own ({MODEL}: ImageNet)",
    "no compliance runs (TEST01, TEST04) were made, and nobody reviewed the result",
    "LoadGen, the client and, where the address is this machine's, the server share the processors: "
    "MLPerf describes its systems, and has a division of its own for those behind a network",
)
_UNITS = {"_ms": (1e-3, "s"), "_ns": (1e-6, "ms")}


def overridden(*, theirs: Mapping[str, object], ours: Mapping[str, object], pictures: int) -> Sequence[str]:
    """A line for each setting in which a run differs from MLPerf's, and for each rule that no setting holds.

    theirs, ours: LoadGen's TestSettings by their names; pictures: how many the query sample library has.
    """
    if theirs.keys() != ours.keys():
        raise ValueError("the settings of MLPerf and of this run are not of the same LoadGen")
    settings = [
        f"{name}: {_stated(name, ours[name])}, MLPerf {_stated(name, theirs[name])}"
        for name in sorted(theirs)
        if name not in GIVEN and theirs[name] != ours[name]
    ]
    size = theirs.get("performance_sample_count_override") or 0
    library = [f"query sample library: {pictures}, MLPerf {size}"] if pictures != size else []
    return (*settings, *library, *BEYOND_SETTINGS)


def _stated(name: str, value: object) -> str:
    for ending, (factor, unit) in _UNITS.items():
        if name.endswith(ending) and isinstance(value, int | float):
            return f"{value * factor:g} {unit}"
    return str(value)
