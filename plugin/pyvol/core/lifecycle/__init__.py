"""What happens to volumes: create, mount, unmount, remove, undelete, adopt, rename."""
