"""The names on disk, each spelt here alone: the directories of a pool, and what is in a volume's directory."""

VOLUMES = "volumes"
TRASH = "trash"
STAGING = "staging"
MOUNTS = "mounts"
POOLS = "pools"
LOCKS = "locks"

MANIFEST = "volume.json"
REMOVAL = "removed.json"
DATA = "_data"

NEW = "new-"
"""In staging: a volume that is being created. A start deletes it."""
TAKEN = "taken-"
"""In staging: a volume that is being made of files that existed before. A start finishes it."""
GONE = "gone-"
"""In staging: a volume that waits for its permanent deletion."""
