"""The benchmark side of Hydra: throughput of real runs, kept with everything needed to compare them later.

It reads run directories and imports nothing of the trainer, so measuring cannot change what is measured.
"""
