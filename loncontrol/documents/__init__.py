"""Documents that are made of the sources, so that they can't say anything else: manual pages, completion, messages.

`python -m loncontrol.documents` writes them; with ``--check`` it says which are stale.
"""
