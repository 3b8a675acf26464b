"""What pyvol costs, side by side with floors and a peer, in one run: `python -m bench`.

Numbers only: nothing here passes or fails, and no test depends on it.
"""
