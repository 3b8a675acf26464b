"""The messages of the control API, one module for each resource.

The client imports them, so nothing here knows Flask.

No message is a type of the core: the routes convert each one, so that a change inside pyvol does not change
the API.
"""
