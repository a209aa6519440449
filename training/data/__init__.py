"""Data sets as people have them on disk, and as training reads them (`python -m training.data`)."""

# Until finetune and evaluate read the new sets.
from training._data import Augmentation, Batch, FaceSet, disturb, targets_of, training_batch

__all__ = ["Augmentation", "Batch", "FaceSet", "disturb", "targets_of", "training_batch"]
