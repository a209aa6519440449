"""How well a network knows how far its answers may be off."""
