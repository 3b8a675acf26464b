"""The names on disk: the directories of a pool, and the files of a volume. No other module spells them."""

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
