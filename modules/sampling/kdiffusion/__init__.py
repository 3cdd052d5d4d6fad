"""The surroundings in which ``k_diffusion/sampling.py`` is executed (see ``modules.sampling.k_samplers``).

That file asks for ``from . import utils``. Its own package would import torchvision, image metrics and
web clients for it; the one function that the samplers use is in ``utils.py`` here.
"""
