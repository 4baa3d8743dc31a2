"""The thin adapters: everything in Headrace that talks to AWS."""
