"""The daemon: it makes all objects, listens, serves requests, and works in the background."""
