"""How a run is watched while it trains: trackers, the live line of a terminal, samples with predictions."""
