"""Usages of RELOAD: what is stored in an overlay, and how it is found.

A usage asks nothing of a network. Its plans are generators over `reload.operations`, which `Node.run` drives; what has
to be kept stored is a `Publication`, which says when it is due and gives the plan for it.
"""
