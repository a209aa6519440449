"""Data sets as people have them on disk, and as training reads them (`python -m training.data`)."""

from typing import Any


# Until finetune and evaluate read the new sets. Only when asked: what reads teachers' files needs no torch.
def __getattr__(name: str) -> Any:
    if name in {"Augmentation", "Batch", "FaceSet", "disturb", "targets_of", "training_batch"}:
        from training import _data

        return getattr(_data, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
