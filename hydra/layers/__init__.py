"""Layers every model is made of: projections, embedding, norms, feed-forward networks and the head.

They exist apart from the model so that any backend or cell can use the same ones; modules are imported by their file.
"""
