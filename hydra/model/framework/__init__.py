"""The model: blocks and stacks composed from a manifest, with exact accounting of parameters and FLOPs.

It reads as a paper's appendix: nothing in it knows of devices, ranks or files.
"""
