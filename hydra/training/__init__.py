"""Training: the loop, its step, state, parallel layout, guards, metrics, evaluation and checkpoints.

It exists to make a run exact and hard to lose; everything a model computes lives elsewhere.
"""
