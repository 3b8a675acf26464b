"""mount(8), umount2(2), bind mounts, and the mount table of the kernel."""
