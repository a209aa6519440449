"""A prepared set whose label is measured: how usable a crop is to the network that is to say so.

Crops of prepared faces are degraded as bad photos and a wrong detector degrade them (`degradations`), and
shown to a network beside the crops as they were (`agreement`). Crops that show no face come from photos
without one (`faceless`). `making` puts them together, kept apart by face and by photo.
"""
