"""What happens to volumes: create, mount, remove, undelete, adopt, rename."""
