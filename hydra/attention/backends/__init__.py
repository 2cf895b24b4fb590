"""One folder per attention backend: configuration, module, cache, implementations, README.

They are apart so that each can be read, tested and bundled alone; nothing here imports another backend.
"""
