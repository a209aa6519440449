"""Renders of the ICT head: faces whose pose, landmarks, visibility, regions and action units are known.

`python -m training.render --head ict_compact.npz --count 20000 --output data/prepared` makes a prepared
set `ict`. The head is ICT-FaceKit's (MIT; https://github.com/ICT-VGL/ICT-FaceKit): a neutral head, 100
directions of identity and the ARKit expressions. It comes without colours and hair: skin, brows, beard,
hair, hats, glasses and clothes are drawn here.

The packages build on each other in this order: `head` (the file, its topology, expressions and vertex
fields), `scene` (one picture's random parameters; hair, accessories, occluders and background), `drawing`
(the z-buffer, shading, camera effects, and `picture`, which puts them together). `labels` computes
landmarks and visibility, `workers` renders in several processes.
"""
