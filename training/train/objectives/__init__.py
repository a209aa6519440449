"""What a run minimises: the objectives of fine-tuning and of pretraining, and their parts."""
