"""Training of Q-Face: the task catalogue, the network, the data and the trainer."""
