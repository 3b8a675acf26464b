"""Three hosts with pyvol on one pool; the tests share a guest, and the daemons."""
