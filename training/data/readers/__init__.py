"""Every data set that `prepare` can read, by name.

A layout's module has `LAYOUT`, or `LAYOUTS_HERE` for a family. It is imported when it is asked for.
"""

import importlib
from collections.abc import Iterator, Mapping

from training.data.sample import Layout

# Name in `prepare NAME` -> module in this package.
_MODULES = {
    "rafdb": "rafdb",
    "emotionet": "emotionet",
    "celeba": "celeba",
    "agedb": "agedb",
    "agedb_by_person": "agedb",
    "biwi": "biwi",
    "biwi_by_person": "biwi",
    "fer2013": "fer2013",
    "utkface": "utkface",
    "fairface": "fairface",
    "lapa": "lapa",
    "celebamask_hq": "celebamask_hq",
    "300w": "ibug_300w",
    "300vw": "ibug_300vw",
    "wflw": "wflw",
    "300w_lp": "faces_3d",
    "aflw2000": "faces_3d",
    "cofw": "cofw",
    "affectnet": "affectnet",
    "lfwa": "lfwa",
    "ffhq": "ffhq",
    "youtube68": "youtube68",
    "ict": "ict",
    "photos": "photos",
    "glint360k": "glint360k",
}


class _Layouts(Mapping[str, Layout]):
    def __getitem__(self, name: str) -> Layout:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
        here: tuple[Layout, ...] = getattr(module, "LAYOUTS_HERE", None) or (module.LAYOUT,)
        for layout in here:
            if layout.name == name:
                return layout
        raise LookupError(f"{module.__name__} has no layout of the name {name}")

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


LAYOUTS: Mapping[str, Layout] = _Layouts()
