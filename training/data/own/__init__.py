"""Data of one's own without code: tables, folders by class, COCO's JSON and WebDataset's tars.

`own_reader` makes a Reader of a source, as the modules of training.data.readers define one of a data set.
"""
