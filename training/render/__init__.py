"""Renders of the ICT head: faces whose pose, landmarks, visibility, regions and action units are known.

`python -m training.render --head ict_compact.npz --count 20000 --output data/prepared` makes a prepared
set `ict`. The head is ICT-FaceKit's (MIT; https://github.com/ICT-VGL/ICT-FaceKit): a neutral head, 100
directions of identity and the ARKit expressions. It comes without colours and hair: skin, brows, beard,
hair, hats, glasses and clothes are drawn here.

In the order in which they come in: `topology` (which vertex is what), `head` (the file), `fields` (where
on the head brows, lips, beard and hairline are), `scene` (one picture's random choices), `hair` and
`wear` (further meshes), `raster` (the z-buffer), `shade` (skin and light), `background`, `cover`
(occluders), `camera` (what a photo does to it), `labels`, and `picture`, which puts them together.
"""
