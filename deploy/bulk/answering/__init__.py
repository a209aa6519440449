"""What answers photos: a network in this machine's cores, or servers.

It runs in a process of its own (`process`), so that a photo that kills it takes nothing else along.
"""
