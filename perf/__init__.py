"""The benchmark side of Hydra: throughput of real runs, kept with everything needed to compare them later.

It starts the trainer as a process and reads run directories; it imports nothing of the trainer.
"""
