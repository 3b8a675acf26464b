"""The control API, `/v1/…` on the same socket: what the command line needs beyond Docker's verbs.

One module for each resource has its routes; `schema/` has their messages.
"""
