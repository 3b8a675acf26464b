"""mount(8), umount2(2), bind mounts, and the kernel's table of mounts."""
