"""Softmax attention: MHA, GQA and MQA with rotary positions, QK norm, windows and document masks.

It is the baseline every other mixer is measured against. Import it as `hydra.attention.softmax`.
"""
