"""For whom a network is how good: its figures by groups of people, and the gaps between them."""
