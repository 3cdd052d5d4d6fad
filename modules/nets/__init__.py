"""The networks as plain torch modules, one architecture a file.

A network is a frozen dataclass of hyper-parameters, the modules and a forward pass. The names in the
state dict are those of the published checkpoints without their prefix. Every network can be built under
``torch.device("meta")``: there are no buffers to fill in afterwards.
"""
