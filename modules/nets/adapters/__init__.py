"""Weight adapters: small files that change the weights of a large network. One kind a file.

A kind is a row of ``table.ADAPTER_KINDS``; ``table.make_adapter`` picks it by the names of the tensors.
"""
