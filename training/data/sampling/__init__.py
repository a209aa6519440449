"""What a training step draws: batches, augmentation, targets."""
