"""The process that serves: wires everything, listens, and runs what goes on in the background."""
