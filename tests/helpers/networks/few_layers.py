"""A network that is exported within seconds: it has each kind of layer, and few of each."""

import dataclasses

from training.models.qface import CONFIGS

FEW_LAYERS = dataclasses.replace(CONFIGS["qface_quick"], width=48, heads=2, decoder_blocks=1)
