"""How much a server bears, and how many of them a load wants: models that are fed with what was measured."""
