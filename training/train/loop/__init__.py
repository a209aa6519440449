"""The loop that every training run goes through: steps, processes, state, progress."""
