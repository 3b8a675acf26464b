"""Three hosts whose pyvol uses one pool; the tests share one guest and the daemons."""
